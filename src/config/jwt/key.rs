//! `secret`, `public_key` and `jwks`: exactly one, of the family of the algorithms.

use std::ops::Range;
use std::path::{Path, PathBuf};

use http::Uri;

use super::super::files;
use super::super::issuer::{Algorithm, Family, KeySource};
use super::super::keys;
use super::super::kinds::Fault;
use super::super::lints::LintName;
use super::super::load::Loader;
use super::super::reader::SectionReader;
use super::super::report::Problem;
use super::jwks::{self, JwksRef};
use super::secret::SecretRef;
use super::{public_key, secret};
use crate::tls::Roots;

const MISSING: &str = "write secret = \"env:NAME\" for HS*, or public_key = \"keys/issuer.pem\" or \
    jwks = \"https://...\" for the others";

/// The location of an issuer's verification key.
pub(super) enum KeyPlace {
    Secret(SecretRef),
    PublicKey(PathBuf),
    JwksFile(PathBuf),
    /// The URL of a JWK Set, and the file of the roots for `https://` if it is given.
    JwksUrl(Uri, Option<PathBuf>),
}

/// Checks the keys that locate the verification key of the issuer `name`; `algorithms` is empty if they
/// had a fault.
pub(super) fn check(
    reader: &SectionReader<'_>,
    name: &str,
    algorithms: &[Algorithm],
) -> Option<KeyPlace> {
    let (ca, insecure) = (jwks_ca(reader), jwks_insecure(reader));
    let names = [keys::SECRET.name, keys::PUBLIC_KEY.name, keys::JWKS.name];
    let given = names.map(|name| Some((name, reader.span_of(name)?)));
    let given: Vec<_> = given.into_iter().flatten().collect();
    match given.as_slice() {
        [] => {
            let what = format!("jwt.{name}: there is no key to verify tokens with");
            reader.refuse_empty(&what, MISSING);
            return None;
        }
        [(name, span)] => check_family(reader, name, span, algorithms)?,
        [first, others @ ..] => {
            refuse_many(reader, first, others);
            return None;
        }
    }
    let secret = reader.get(&keys::SECRET).map(KeyPlace::Secret);
    secret
        .or_else(|| reader.get(&keys::PUBLIC_KEY).map(KeyPlace::PublicKey))
        .or_else(|| jwks(reader, ca, insecure))
}

impl KeyPlace {
    /// Loads the key, unless it is at a URL. Returns `None` after it reported a fault.
    pub(super) fn load(
        self,
        reader: &SectionReader<'_>,
        algorithms: &[Algorithm],
        loader: &Loader,
    ) -> Option<KeySource> {
        Some(match self {
            Self::Secret(place) => {
                KeySource::Secret(secret::load(reader, algorithms, &place, loader)?)
            }
            Self::PublicKey(path) => {
                let read = |path: &Path| public_key::read(path, algorithms);
                let pem = loader.read(reader, keys::PUBLIC_KEY.name, &path, read)?;
                KeySource::PublicKey { path, pem }
            }
            Self::JwksFile(path) => {
                let read = |path: &Path| jwks::read(path, algorithms);
                let json = loader.read(reader, keys::JWKS.name, &path, read)?;
                KeySource::JwksFile { path, json }
            }
            Self::JwksUrl(url, ca) => {
                let name = keys::JWKS_CA.name;
                let roots = match ca {
                    _ if url.scheme_str() == Some("http") => Roots::empty(),
                    Some(path) => loader.read(reader, name, &path, files::read_roots)?,
                    None => {
                        let span = reader.span_of(keys::JWKS.name)?;
                        loader.system_roots(reader, span, "this address", name)?
                    }
                };
                KeySource::JwksUrl { url, roots }
            }
        })
    }
}

fn refuse_many(
    reader: &SectionReader<'_>,
    (name, span): &(&str, Range<usize>),
    others: &[(&str, Range<usize>)],
) {
    for (other, place) in others {
        reader.cx.refuse(
            Problem::at(place.clone(), format!("{} contradicts `{name}`", reader.key(other)))
                .related(span.clone(), "tokens are verified with this")
                .help("keep one of them; a second issuer has a [jwt.NAME] table of its own"),
        );
    }
}

fn check_family(
    reader: &SectionReader<'_>,
    name: &str,
    span: &Range<usize>,
    algorithms: &[Algorithm],
) -> Option<()> {
    let Some(algorithm) = algorithms.first() else {
        return Some(());
    };
    let (label, help) = match (algorithm.family() == Family::Hmac, name == keys::SECRET.name) {
        (true, false) => (
            "a public key is known to everybody: so would be the secret",
            "write secret = \"env:NAME\", or name the algorithms of this key",
        ),
        (false, true) => (
            "its tokens are verified with a public key",
            "write public_key or jwks, or algorithms = [\"HS256\"]",
        ),
        _ => return Some(()),
    };
    let what = format!("{} contradicts the algorithm {algorithm}", reader.key(name));
    let problem = Problem::at(span.clone(), what).label(label).help(help);
    reader.cx.refuse(problem.related(reader.span_of(keys::ALGORITHMS.name), "the algorithms"));
    None
}

/// Reads `jwks_ca`, the roots for a JWK Set URL; refused if `jwks` is not such a URL.
fn jwks_ca(reader: &SectionReader<'_>) -> Option<PathBuf> {
    let name = keys::JWKS_CA.name;
    let ca = reader.get(&keys::JWKS_CA)?;
    let is_address = |value: &str| {
        value.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
    };
    if !reader.text(keys::JWKS.name).is_some_and(is_address) {
        let problem = reader.problem(name, "is given, but jwks is not an https:// address");
        reader.cx.refuse(problem.map(|problem| {
            problem
                .label("nothing would be verified with it")
                .help("remove it, or give the issuer's https:// address in `jwks`")
        }));
    }
    Some(ca)
}

fn jwks(reader: &SectionReader<'_>, ca: Option<PathBuf>, insecure: bool) -> Option<KeyPlace> {
    let span = reader.span_of(keys::JWKS.name)?;
    match reader.get(&keys::JWKS)? {
        JwksRef::File(path) => Some(KeyPlace::JwksFile(reader.cx.base.join(path))),
        JwksRef::Url(url) if jwks::is_exposed(&url) && !insecure => {
            refuse_exposed(reader, span, &url);
            None
        }
        JwksRef::Url(url) => {
            // A `jwks_ca` with a fault was reported.
            let known = ca.is_some() || reader.span_of(keys::JWKS_CA.name).is_none();
            known.then_some(KeyPlace::JwksUrl(url, ca))
        }
    }
}

/// Reads `jwks_insecure`; refused if `jwks` is not an `http://` URL of another machine.
fn jwks_insecure(reader: &SectionReader<'_>) -> bool {
    let name = keys::JWKS_INSECURE.name;
    let (Some(span), true) = (reader.span_of(name), reader.value(&keys::JWKS_INSECURE)) else {
        return false;
    };
    match reader.text(keys::JWKS.name).map(jwks::parse_jwks) {
        Some(Ok(JwksRef::Url(url))) if jwks::is_exposed(&url) => reader.lint(
            LintName::JwtInsecure,
            Problem::at(span, "keys come over http://: anybody on the way can sign tokens")
                .help("have the issuer answer over https://, or save its keys as a file"),
        ),
        // The fault in `jwks` is reported where `jwks` is read.
        Some(Err(_)) => {}
        _ => {
            let what = "is given, but jwks is not an http:// address of another machine";
            let problem = reader.problem(name, what);
            reader.cx.refuse(problem.map(|problem| problem.help("remove it")));
        }
    }
    true
}

fn refuse_exposed(reader: &SectionReader<'_>, span: Range<usize>, url: &Uri) {
    let url = url.to_string();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let fault = Fault::new("over http:// anybody on the way can put in keys of their own").help(
        format!("write \"https://{rest}\"; or, on a network that you trust, jwks_insecure = true"),
    );
    let problem = Problem::of(&reader.key(keys::JWKS.name), span, fault);
    reader.cx.refuse(problem.label("expected https:// for another machine"));
}
