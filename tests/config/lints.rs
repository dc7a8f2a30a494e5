//! Lints about certificates and upstreams.

use std::fs;

use framewall::config::{Lint, examine};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::folder::{folder, load_in, without_folder, write_private};

/// Writes a certificate for `names`, valid so many days from now and until so many days from now.
fn certify(folder: &TempDir, names: &[&str], from: i64, until: i64) {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now + time::Duration::days(from);
    params.not_after = now + time::Duration::days(until);
    let key = KeyPair::generate().unwrap();
    let certs = folder.path().join("certs");
    fs::write(certs.join("site.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    write_private(&certs.join("site.key"), &key.serialize_pem());
}

/// A configuration whose route has `keys`.
fn file(listen: &str, keys: &str) -> String {
    format!(
        "allow = [\"auth.none\", \"server.unprotected\"]\n[server]\nlisten = [\"{listen}\"]\n\
         [tls]\ncertificates = [{{ cert = \"certs/site.pem\", key = \"certs/site.key\" }}]\n\
         [routes.app]\npath = \"/ws\"\nauth = \"none\"\n{keys}\n"
    )
}

fn shown(lints: &[Lint], folder: &TempDir) -> Vec<(String, String)> {
    let shown = |lint: &Lint| (lint.name().to_string(), without_folder(lint.message(), folder));
    lints.iter().map(shown).collect()
}

fn lints(folder: &TempDir, keys: &str) -> Vec<(String, String)> {
    let loaded = load_in(folder, &file("127.0.0.1:8443", keys)).unwrap_or_else(|e| panic!("{e}"));
    shown(&loaded.lints, folder)
}

const UPSTREAM: &str = "upstream = [\"ws://127.0.0.1:1\"]";

#[test]
fn certificates_are_warned_of_before_and_after_their_time() {
    let folder = folder();
    for (from, until, expected) in [
        (-30, -1, Some(("certificate.expired", "expired on"))),
        (1, 30, Some(("certificate.expired", "is valid from"))),
        (-30, 13, Some(("certificate.expiring", "expires on"))),
        (-30, 15, None),
    ] {
        certify(&folder, &["localhost"], from, until);
        let found = lints(&folder, UPSTREAM);
        assert_eq!(found.len(), usize::from(expected.is_some()), "{found:?}");
        if let Some((name, words)) = expected {
            assert_eq!(found[0].0, name);
            assert!(found[0].1.starts_with(&format!("the certificate certs/site.pem {words} 2")));
        }
    }
}

#[test]
fn hosts_without_a_certificate_are_warned_of() {
    let folder = folder();
    certify(&folder, &["chat.example.com", "*.rooms.example.com", "192.0.2.1"], -1, 90);
    let found = |hosts: &str| {
        let found = lints(&folder, &format!("{UPSTREAM}\nhost = [{hosts}]"));
        assert!(found.iter().all(|(name, _)| name == "certificate.host"), "{found:?}");
        found.into_iter().map(|(_, what)| what).collect::<Vec<_>>()
    };
    let none = [""; 0];
    assert_eq!(found("\"CHAT.example.com\""), none);
    assert_eq!(found("\"*.rooms.example.com\", \"a.rooms.example.com\", \"192.0.2.1\""), none);
    assert_eq!(
        found("\"example.com\", \"*.example.com\", \"a.b.rooms.example.com\", \"192.0.2.2\""),
        ["example.com", "*.example.com", "a.b.rooms.example.com", "192.0.2.2"]
            .map(|host| format!("no certificate is valid for {host}"))
    );
}

#[test]
fn an_upstream_that_is_the_gateway_itself_is_warned_of() {
    let folder = folder();
    let found = lints(
        &folder,
        "upstream = [\"ws://127.0.0.1:8765\", \"wss://localhost:8443\"]\nupstream_ca = \"certs/ca.pem\"",
    );
    let expected = "the upstream wss://localhost:8443 is the gateway itself, which listens on \
                    127.0.0.1:8443";
    assert_eq!(found, [("upstream.self".to_owned(), expected.to_owned())]);
}

/// RFC 6761 section 6.4: no name below `.invalid` exists.
#[test]
fn names_are_looked_up_by_check_alone() {
    let folder = folder();
    let keys = "upstream = [\"ws://app.invalid:8765\"]";
    assert_eq!(lints(&folder, keys), []);
    let loaded = examine(&folder.path().join("f.toml")).unwrap();
    let found = shown(&loaded.lints, &folder);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "upstream.name");
    let expected = "the upstream ws://app.invalid:8765 does not resolve: ";
    assert!(found[0].1.starts_with(expected), "{found:?}");
}
