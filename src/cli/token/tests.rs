use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use tempfile::TempDir;

use super::TokenCommand;
use super::inspect::{report, verdict};
use super::mint::mint;
use crate::cli::{CommandFailure, main};
use crate::config::{Algorithm, Issuer, KeySource, OnExpiry, Secret};
use crate::policy::token::inspect;
use crate::values::TokenPlace;

const SECRET: &str = "a secret of the tests that is long enough";
/// `jwt.encode({'user_id': 7}, 'secret_key')`
const BEGINNERS: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjo3fQ.vI4qwPu7Qc6O12-ltrPzU-a6W9ZdDy5labjzUDbr2hQ";

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: TokenCommand,
}

fn minted(args: &[&str]) -> Result<String, CommandFailure> {
    let args = ["token", "mint"].iter().chain(args);
    match Cli::try_parse_from(args).map_err(CommandFailure::other)?.command {
        TokenCommand::Mint(args) => mint(&args),
        TokenCommand::Inspect(_) => unreachable!(),
    }
}

fn secret_file(folder: &TempDir, secret: &str) -> String {
    let path = folder.path().join("secret");
    fs::write(&path, format!("{secret}\n")).unwrap();
    format!("file:{}", path.display())
}

fn issuer(algorithms: &[Algorithm], key: KeySource) -> Arc<Issuer> {
    Arc::new(Issuer {
        name: "main".to_owned(),
        algorithms: algorithms.to_vec(),
        key,
        issuer: Some("https://a.example".to_owned()),
        audience: vec!["chat".to_owned()],
        leeway: Duration::from_secs(30),
        user_claim: "sub".to_owned(),
        token_from: vec![TokenPlace::Header],
        message_deadline: Duration::from_secs(5),
        message_token: None,
        max_token: 16 * 1024,
        require: Vec::new(),
        forward: Vec::new(),
        forward_token: false,
        on_expiry: OnExpiry::Close,
    })
}

/// The text that `inspect` prints, and whether the token passes.
fn inspected(token: &str, issuer: Option<&Arc<Issuer>>, later: u64) -> (String, bool) {
    let now = SystemTime::now() + Duration::from_secs(later);
    let verdict = issuer.map(|issuer| verdict(issuer, token, now)).transpose();
    let verdict = verdict.unwrap_or_else(|failure| panic!("{failure}"));
    report(inspect(token, now), verdict.as_ref(), now)
}

#[test]
fn a_minted_token_verifies_until_it_expires() {
    let folder = TempDir::new().unwrap();
    let secret = secret_file(&folder, SECRET);
    let more = ["--issuer", "https://a.example", "--audience", "chat", "--audience", "b"];
    let args = [&["--secret", &secret, "--user", "ann", "--claim", "n=1"][..], &more].concat();
    let token = minted(&args).unwrap();
    let key = KeySource::Secret(Secret(SECRET.as_bytes().to_vec()));
    let main = issuer(&[Algorithm::HS256], key);
    let (text, passes) = inspected(&token, Some(&main), 0);
    assert!(passes, "{text}");
    assert!(text.contains("sub  \"ann\"\n") && text.contains("  n    1\n"), "{text}");
    assert!(text.contains("UTC, expires in 59 minutes)"), "{text}");
    assert!(text.contains("[jwt.main] accepts it: user ann, until 2"), "{text}");
    assert!(!text.contains(token.rsplit('.').next().unwrap()), "the signature is shown: {text}");

    let (text, passes) = inspected(&token, Some(&main), 4 * 86_400);
    assert!(!passes && text.contains("expired 3 days ago"), "{text}");
    assert!(text.contains("[jwt.main] refuses it: token.expired: the token expired"), "{text}");
    let (text, passes) = inspected(&token, None, 0);
    assert!(passes && text.ends_with("to see whether it would pass.\n"), "{text}");
}

#[test]
fn each_kind_of_private_key_mints() {
    let folder = TempDir::new().unwrap();
    let kinds = [
        (&PKCS_RSA_SHA256, Algorithm::RS256),
        (&PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
        (&PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
        (&PKCS_ED25519, Algorithm::EdDSA),
    ];
    for (kind, algorithm) in kinds {
        let pair = KeyPair::generate_for(kind).unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, pair.serialize_pem()).unwrap();
        let more = ["--issuer", "https://a.example", "--audience", "chat", "--kid", "k"];
        let key = ["--key", path.to_str().unwrap(), "--user", "ann"];
        let token = minted(&[&key[..], &more].concat()).unwrap();
        let pem = pair.public_key_pem().into_bytes();
        let main = issuer(&[algorithm], KeySource::PublicKey { path: "k.pem".into(), pem });
        let (text, passes) = inspected(&token, Some(&main), 0);
        assert!(passes && text.contains("kid  \"k\""), "{text}");
        for wrong in ["HS256", if algorithm == Algorithm::EdDSA { "ES256" } else { "EdDSA" }] {
            assert!(minted(&[&key[..], &["--alg", wrong]].concat()).is_err(), "{wrong}");
        }
    }
}

#[test]
fn minting_errors_name_the_cause() {
    let folder = TempDir::new().unwrap();
    let weak = secret_file(&folder, "secret_key");
    let refused = |args: &[&str], says: &str| {
        let error = minted(&[args, &["--user", "ann"]].concat()).expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    };
    refused(&["--secret", &weak], "the secret has 80 bits, and HS256 needs at least 256");
    refused(&["--secret", SECRET], "not the secret itself");
    refused(&["--secret", "env:FRAMEWALL_NO_SUCH"], "variable FRAMEWALL_NO_SUCH");
    refused(&["--secret", "file:/no/such"], "cannot read the secret in /no/such");
    refused(&["--secret", &weak, "--alg", "RS256"], "RS256 needs a private key (--key)");
    refused(&["--key", "/no/such"], "cannot read /no/such");
    refused(&["--key", &weak["file:".len()..]], "no private key in");
    refused(&["--secret", &weak, "--claim", "sub=root"], "has an option of its own");
    refused(&["--secret", &weak, "--lifetime", "1 hour"], "unit");
    refused(&[], "required");
    refused(&["--secret", &weak, "--key", "k"], "cannot be used with");
}

#[test]
fn inspect_explains_each_fault_of_a_weak_token() {
    let (text, passes) = inspected(BEGINNERS, None, 0);
    assert!(!passes);
    for says in [
        "user_id  7\n",
        "well-known secret \"secret_key\"",
        "it has 80 bits, and HS256 needs at least 256",
        "openssl rand -base64 48",
        "no exp claim, so it would never expire: give it one",
        "It would be refused by every issuer.\n",
    ] {
        assert!(text.contains(says), "{says:?} is not in {text}");
    }
}

#[test]
fn nothing_in_a_token_steers_the_terminal() {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims =
        "{\"a\u{9b}2J\":\"\u{202e}x\u{7f}\\u001b[2J\",\"e\u{301}\":1,\"ok\":\"J\u{fc}rgen\"}";
    let token = format!("{}.{}.AA", encode("{\"alg\":\"none\"}"), encode(claims));
    let (text, passes) = inspected(&token, None, 0);
    assert!(!passes && text.contains("its alg is none, so nobody signed it"), "{text}");
    assert!(text.contains("J\u{fc}rgen"), "{text}");
    let plain = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
    assert!(text.chars().all(plain), "{text:?}");
    for bad in ["", "x", "a.b.c", "e30", "e30.W10.AA"] {
        let (text, passes) = inspected(bad, None, 0);
        assert!(!passes && text.starts_with("not readable: "), "{text}");
    }
}

#[test]
fn exit_codes_are_the_contracts() {
    let run = |args: &[&str]| {
        main(["framewall", "token"].iter().chain(args).map(std::ffi::OsString::from))
    };
    assert_eq!(run(&["inspect", BEGINNERS]), ExitCode::from(2));
    assert_eq!(run(&["inspect"]), ExitCode::from(64));
    assert_eq!(run(&["inspect", "--issuer", "main", BEGINNERS]), ExitCode::from(64));
    assert_eq!(run(&["inspect", "--config", "/no/such.toml", BEGINNERS]), ExitCode::from(78));
    assert_eq!(run(&["mint", "--user", "ann"]), ExitCode::from(64));
    let folder = TempDir::new().unwrap();
    let weak = secret_file(&folder, "secret_key");
    assert_eq!(run(&["mint", "--secret", &weak, "--user", "ann"]), ExitCode::from(64));
    let strong = secret_file(&folder, SECRET);
    assert_eq!(run(&["mint", "--secret", &strong, "--user", "ann"]), ExitCode::SUCCESS);
    assert!(Path::new(&strong["file:".len()..]).exists());
}
