//! `jwks`: a JWK Set in a file or at a URL.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use http::Uri;
use serde_json::Value;

use super::super::files::{self, Help};
use super::super::issuer::{Algorithm, Family};
use super::super::kinds::{Fault, check_path};
use crate::values::{is_host, split_port};

const FILE: Help = Help {
    missing: "correct the path, which is relative to this file's folder",
    wrong: "give a JWK Set as the issuer publishes it: {\"keys\": [...]}",
};

/// The location of a JWK Set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum JwksRef {
    /// A file, relative to the configuration's folder.
    File(String),
    /// An `https://` or `http://` URL.
    Url(Uri),
}

impl fmt::Display for JwksRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// Reads a URL or the path of a file. Whether `http://` is accepted depends on other keys.
pub(in super::super) fn parse_jwks(text: &str) -> Result<JwksRef, Fault> {
    if text.trim_start().starts_with('{') {
        let fault = Fault::new("this is what a file of keys holds, not its path");
        return Err(fault.help("save it as a file and give the path of that"));
    }
    match text.split_once("://") {
        None => check_path(text).map(|()| JwksRef::File(text.to_owned())),
        Some((scheme, rest))
            if ["https", "http"].iter().any(|it| scheme.eq_ignore_ascii_case(it)) =>
        {
            parse_url(text, rest)
        }
        Some(_) => Err(Fault::new("this is neither an https:// address nor the path of a file")),
    }
}

fn parse_url(text: &str, rest: &str) -> Result<JwksRef, Fault> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err(Fault::new("a user name or password cannot be part of this address"));
    }
    if text.contains('#') {
        return Err(Fault::new("an address to fetch has no fragment")
            .help("remove the # and what is after it"));
    }
    let host = split_port(authority).filter(|(host, port)| is_host(host) && *port != Some(0));
    let url = host.and_then(|_| text.parse().ok());
    url.map(JwksRef::Url).ok_or_else(|| Fault::new(format!("\"{text}\" is not an address")))
}

/// Whether the keys come over `http://` from another machine, where anyone on the network path can
/// replace them.
pub(super) fn is_exposed(url: &Uri) -> bool {
    if url.scheme_str() != Some("http") {
        return false;
    }
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let local =
        address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback());
    !local
}

/// Reads a JWK Set file; it must have at least one key for `algorithms`, and no private key.
pub(super) fn read(path: &Path, algorithms: &[Algorithm]) -> Result<String, Fault> {
    let name = path.display();
    let fault = |what: String| Fault::new(what).help(FILE.wrong);
    let bytes = files::read(path, &FILE)?;
    let json =
        String::from_utf8(bytes).map_err(|_| fault(format!("{name} is not JSON: not UTF-8")))?;
    let set: Value = serde_json::from_str(&json)
        .map_err(|error| fault(format!("{name} is not JSON at line {}", error.line())))?;
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or_else(|| fault(format!("{name} has no list \"keys\"")))?;
    if keys.iter().any(is_private) {
        return Err(private(path));
    }
    let fits = |key: &&Value| algorithms.iter().any(|one| fits(key, one.family()));
    match (keys.iter().find(fits), algorithms.first()) {
        (None, Some(algorithm)) => Err(fault(format!("{name} has no key for {algorithm}"))),
        _ => Ok(json),
    }
}

/// Whether a JWK holds secret key material: every private key has `d`, and an `oct` key is a shared
/// secret (RFC 7518 section 6).
fn is_private(key: &Value) -> bool {
    key.get("d").is_some() || key.get("kty").is_some_and(|kind| kind == "oct")
}

fn private(path: &Path) -> Fault {
    Fault::new(format!("{} has a private key in it", path.display())).help(
        "anybody who reads it can sign tokens: keep it with the issuer alone, and give its public \
         keys here",
    )
}

fn fits(key: &Value, family: Family) -> bool {
    let kind = match family {
        Family::Hmac => return false,
        Family::Rsa => "RSA",
        Family::Ec => "EC",
        Family::Ed => "OKP",
    };
    key.get("kty").is_some_and(|kty| kty == kind)
}

#[cfg(test)]
mod tests {
    use super::{JwksRef, is_exposed, parse_jwks};

    #[test]
    fn http_is_for_this_machine() {
        for url in
            ["http://127.0.0.1:8080/jwks", "http://localhost/", "http://[::1]:1/", "https://a/"]
        {
            assert!(!is_exposed(&url.parse().unwrap()), "{url}");
        }
        for url in [
            "http://10.0.0.1/",
            "http://localhost.example/",
            "http://keycloak:8080/",
            "http://[::2]/",
        ] {
            assert!(is_exposed(&url.parse().unwrap()), "{url}");
        }
    }

    #[test]
    fn an_address_is_nothing_more_than_needed() {
        let url = "https://issuer.example:8443/.well-known/jwks.json?v=1";
        assert_eq!(parse_jwks(url), Ok(JwksRef::Url(url.parse().unwrap())));
        assert_eq!(parse_jwks("keys/jwks.json"), Ok(JwksRef::File("keys/jwks.json".into())));
        for text in [
            "https://",
            "https:///a",
            "https://u:p@a",
            "https://a#b",
            "https://a b",
            "file:///a",
            "https://a:0",
            "https://a:99999",
            "",
            " {\"keys\":[]}",
        ] {
            assert!(parse_jwks(text).is_err(), "{text}");
        }
    }
}
