//! How long client certificates are valid, and how open sessions are judged by them again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use time::OffsetDateTime;

use super::*;
use crate::tls::ClientVerifier;
use crate::values::Reason;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn wall(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn params(end: i64) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (at(1_000_000), at(end));
    params
}

fn ca(end: i64) -> CertificateParams {
    let mut params = params(end);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn root() -> Authority {
    Authority::self_signed(ca(9_000_000), KeyPair::generate().unwrap()).unwrap()
}

fn verifier(root: &Authority) -> ClientVerifier {
    let roots = Roots::new(&[Certificate(root.der().clone())]).unwrap();
    ClientVerifier::new(&ClientAuth::Required(roots)).unwrap()
}

fn end(verifier: &ClientVerifier, chain: &[CertificateDer<'static>]) -> SystemTime {
    let chain = chain.iter().cloned().map(Certificate).collect();
    verifier.admit(chain).unwrap().unwrap().ends()
}

#[test]
fn a_chain_ends_with_the_first_certificate_that_it_needs() {
    let root = root();
    let verifier = verifier(&root);
    let key = KeyPair::generate().unwrap();
    let own = params(5_000_000).signed_by(&key, &root).unwrap();
    let chain = [own.der().clone()];
    assert_eq!(end(&verifier, &chain), wall(5_000_001));

    let middle = KeyPair::generate().unwrap();
    let middle = Authority::signed_by(ca(3_000_000), middle, &root).unwrap();
    let below = params(5_000_000).signed_by(&key, &middle).unwrap();
    let chain = [below.der().clone(), middle.der().clone()];
    assert_eq!(end(&verifier, &chain), wall(3_000_001), "the intermediate ends first");

    let chain = [own.der().clone(), middle.der().clone()];
    assert_eq!(end(&verifier, &chain), wall(5_000_001), "nothing needs the intermediate");
    assert!(verifier.admit(Vec::new()).unwrap().is_none(), "none was shown");
}

#[test]
fn an_open_session_is_checked_against_time_and_authorities() {
    let root = root();
    let (own, other) = (verifier(&root), verifier(&self::root()));
    let key = KeyPair::generate().unwrap();
    let shown = params(5_000_000).signed_by(&key, &root).unwrap();
    let certificate = own.admit(vec![Certificate(shown.der().clone())]).unwrap().unwrap();
    let review = |verifier: &ClientVerifier, shown, now| {
        verifier.review(shown, wall(now)).map_err(|refusal| refusal.reason)
    };
    let shown = Some(&certificate);
    assert_eq!(review(&own, shown, 5_000_000), Ok(()));
    assert_eq!(review(&own, shown, 5_000_001), Err(Reason::CertificateExpired));
    assert_eq!(review(&other, shown, 4_000_000), Err(Reason::CertificateInvalid));
    assert_eq!(review(&own, None, 4_000_000), Err(Reason::CertificateInvalid));
    assert_eq!(review(&ClientVerifier::default(), None, 6_000_000), Ok(()));
    assert_eq!(review(&ClientVerifier::default(), shown, 6_000_000), Ok(()));
}
