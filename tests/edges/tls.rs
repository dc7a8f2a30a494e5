//! TLS as clients meet it: versions, certificates by name and kind, resumption, ALPN, and client
//! certificates.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion,
};

use super::support::{Authority, Gateway, RawUpstream, Wire, issue, issue_with};

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A client that trusts the gateway's authority, with the certificate `NAME` of its folder.
pub(super) fn client(
    gateway: &Gateway,
    versions: &[&'static SupportedProtocolVersion],
    name: Option<&str>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(gateway.ca_file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let Some(name) = name else {
        return builder.with_no_client_auth();
    };
    let file = |kind: &str| gateway.folder().join(format!("{name}.{kind}"));
    let chain = vec![CertificateDer::from_pem_file(file("pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
    builder.with_client_auth_cert(chain, key).unwrap()
}

/// A finished handshake. With TLS 1.3 a server refuses a client's certificate only afterwards, so
/// the client also asks for something, and waits for what comes first: the answer, or an alert.
pub(super) fn shake(
    gateway: &Gateway,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut socket = gateway.tcp();
    socket.set_read_timeout(Some(super::support::TIMEOUT))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
        connection.writer().write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        while connection.wants_write() {
            connection.write_tls(&mut socket)?;
        }
        connection.complete_io(&mut socket)?;
    }
    Ok(connection)
}

fn start(tls: &str) -> Gateway {
    Gateway::to(&[RawUpstream::unused_address()]).tls(tls).start()
}

#[test]
fn both_versions_are_spoken_unless_the_lower_one_is_ruled_out() {
    let gateway = start("");
    for (version, spoken) in [
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
    ] {
        let config = Arc::new(client(&gateway, &[version], None));
        let connection = shake(&gateway, &config, "localhost").unwrap();
        assert_eq!(connection.protocol_version(), Some(spoken));
    }
    let gateway = start("min_version = \"1.3\"");
    let old = Arc::new(client(&gateway, &[&rustls::version::TLS12], None));
    let error = shake(&gateway, &old, "localhost").unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    gateway.wait_for_record(|record| record["reason"] == "tls.failed");
    let new = Arc::new(client(&gateway, BOTH, None));
    assert!(shake(&gateway, &new, "localhost").is_ok());
}

#[test]
fn sessions_are_resumed_in_both_versions() {
    let gateway = start("");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut config = client(&gateway, &[version], None);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        let first = shake(&gateway, &config, "localhost").unwrap();
        assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
        let second = shake(&gateway, &config, "localhost").unwrap();
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn http_1_1_is_the_only_protocol() {
    let gateway = start("");
    let with = |protocols: &[&[u8]]| {
        let mut config = client(&gateway, BOTH, None);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        shake(&gateway, &Arc::new(config), "localhost")
    };
    let connection = with(&[b"h2", b"http/1.1"]).unwrap();
    assert_eq!(connection.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert!(with(&[b"h2"]).unwrap_err().to_string().contains("NoApplicationProtocol"));
}

#[test]
fn each_name_gets_its_certificate_whatever_its_kind_of_key() {
    fn prepare(folder: &Path, authority: &Authority) {
        for (file, name, algorithm) in [
            ("rsa", "rsa.example", &PKCS_RSA_SHA256),
            ("ed25519", "ed25519.example", &PKCS_ED25519),
            ("p384", "*.wild.example", &PKCS_ECDSA_P384_SHA384),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            issue_with(authority, folder, file, &[name], &key);
        }
    }
    let pair = |name: &str| format!("{{ cert = \"{name}.pem\", key = \"{name}.key\" }}");
    let pairs = ["site0", "rsa", "ed25519", "p384"].map(pair).join(", ");
    let gateway =
        Gateway::to(&[RawUpstream::unused_address()]).prepare(prepare).certificates(&pairs).start();
    let config = Arc::new(client(&gateway, BOTH, None));
    for (name, file) in [
        ("localhost", "site0"),
        ("rsa.example", "rsa"),
        ("ed25519.example", "ed25519"),
        ("a.wild.example", "p384"),
    ] {
        let connection = shake(&gateway, &config, name).unwrap();
        let shown = &connection.peer_certificates().unwrap()[0];
        let issued = CertificateDer::from_pem_file(gateway.folder().join(format!("{file}.pem")));
        assert_eq!(*shown, issued.unwrap(), "{name}");
    }
}

fn issue_to_clients(folder: &Path, authority: &Authority) {
    issue(authority, folder, "client", &["client.example"]);
    let stranger = super::support::authority();
    issue(&stranger, folder, "stranger", &["client.example"]);
    fs::write(folder.join("stranger-ca.pem"), stranger.pem()).unwrap();
}

fn with_client_auth(mode: &str) -> Gateway {
    Gateway::to(&[RawUpstream::unused_address()])
        .tls(&format!("client_auth = \"{mode}\"\nclient_ca = \"ca.pem\""))
        .prepare(issue_to_clients)
        .start()
}

#[test]
fn a_required_client_certificate_is_verified() {
    let gateway = with_client_auth("required");
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let shake =
            |name| shake(&gateway, &Arc::new(client(&gateway, versions, name)), "localhost");
        assert!(shake(Some("client")).is_ok());
        assert!(shake(None).is_err(), "none was shown");
        assert!(shake(Some("stranger")).is_err(), "of another authority");
    }
    gateway.wait_for_record(|record| {
        let detail = record["detail"].as_str().unwrap_or_default();
        record["reason"] == "tls.failed" && detail.contains("showed no certificate")
    });
}

#[test]
fn an_optional_client_certificate_is_verified_if_it_is_shown() {
    let gateway = with_client_auth("optional");
    let shake = |name| shake(&gateway, &Arc::new(client(&gateway, BOTH, name)), "localhost");
    assert!(shake(Some("client")).is_ok());
    assert!(shake(None).is_ok());
    assert!(shake(Some("stranger")).is_err(), "of another authority");
}

#[test]
fn half_a_tls_handshake_is_a_connection_error() {
    let gateway = start("");
    let mut client = Wire::client(gateway.tcp());
    client.send(b"\x16\x03\x01\x02\x00\x01");
    client.half_close();
    client.expect_gone();
    let record = gateway.wait_for_record(|record| record["reason"] == "tls.failed");
    assert!(record["detail"].as_str().unwrap().contains("in the middle"), "{record}");
}
