//! `secret`, `public_key` and `jwks`: exactly one, of the family of the algorithms.

use std::ops::Range;

use toml::Spanned;

use super::super::files;
use super::super::issuer::{Algorithm, Family, KeySource};
use super::super::keys;
use super::super::reader::Reader;
use super::super::report::Problem;
use super::super::tls::{load, system_roots};
use super::jwks::{self, JwksRef};
use super::{public_key, secret};

const MISSING: &str = "write secret = \"env:NAME\" for HS*, or public_key = \"keys/issuer.pem\" or \
    jwks = \"https://...\" for the others";

/// Reads what signatures are verified with; `algorithms` is `None` if they are wrong.
pub(super) fn read(reader: &Reader<'_>, algorithms: Option<&[Algorithm]>) -> Option<KeySource> {
    let names = [keys::SECRET.name, keys::PUBLIC_KEY.name, keys::JWKS.name];
    let given = names.map(|name| Some((name, reader.span_of(name)?)));
    let given: Vec<_> = given.into_iter().flatten().collect();
    match given.as_slice() {
        [] => reader.refuse_empty(&format!("{} is missing", reader.key("secret")), MISSING),
        [(name, span)] => check_family(reader, name, span, algorithms.unwrap_or_default())?,
        [first, others @ ..] => refuse_many(reader, first, others),
    }
    // Each is read all the same, so that all that is wrong is said.
    let algorithms = algorithms.unwrap_or_default();
    let secret = reader.get(&keys::SECRET);
    let secret = secret.and_then(|reference| secret::read(reader, algorithms, &reference));
    let key = secret.map(KeySource::Secret).or(public_key(reader, algorithms));
    key.or(jwks(reader, algorithms))
}

fn refuse_many(
    reader: &Reader<'_>,
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
    reader: &Reader<'_>,
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
    let mut problem = Problem::at(span.clone(), what).label(label).help(help);
    if let Some(algorithms) = reader.span_of(keys::ALGORITHMS.name) {
        problem = problem.related(algorithms, "the algorithms");
    }
    reader.cx.refuse(problem);
    None
}

fn public_key(reader: &Reader<'_>, algorithms: &[Algorithm]) -> Option<KeySource> {
    let path = reader.get(&keys::PUBLIC_KEY)?;
    let pem =
        load(reader, keys::PUBLIC_KEY.name, &path, |path| public_key::read(path, algorithms))?;
    Some(KeySource::PublicKey { path: path.into_inner(), pem })
}

fn jwks(reader: &Reader<'_>, algorithms: &[Algorithm]) -> Option<KeySource> {
    let jwks = reader.get(&keys::JWKS);
    let is_url = matches!(jwks.as_ref().map(Spanned::get_ref), Some(JwksRef::Url(_)));
    let wrong = jwks.is_none() && reader.span_of(keys::JWKS.name).is_some();
    let ca = reader.get(&keys::JWKS_CA);
    if let (Some(ca), false, false) = (&ca, is_url, wrong) {
        refuse_idle_ca(reader, ca.span());
        return None;
    }
    let jwks = jwks?;
    let span = jwks.span();
    match jwks.into_inner() {
        JwksRef::File(path) => {
            let path = Spanned::new(span, reader.cx.base.join(path));
            let json = load(reader, keys::JWKS.name, &path, |path| jwks::read(path, algorithms))?;
            Some(KeySource::JwksFile { path: path.into_inner(), json })
        }
        JwksRef::Url(url) => {
            let roots = match ca {
                Some(path) => load(reader, keys::JWKS_CA.name, &path, files::read_roots),
                None if reader.span_of(keys::JWKS_CA.name).is_some() => None,
                None => system_roots(reader, span, "this address", keys::JWKS_CA.name),
            };
            Some(KeySource::JwksUrl { url, roots: roots? })
        }
    }
}

fn refuse_idle_ca(reader: &Reader<'_>, span: Range<usize>) {
    let key = reader.key(keys::JWKS_CA.name);
    reader.cx.refuse(
        Problem::at(span, format!("{key} is given, but jwks is not an https:// address"))
            .label("nothing would be verified with it")
            .help("remove it, or give the issuer's https:// address in `jwks`"),
    );
}
