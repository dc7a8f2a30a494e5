//! What the application, `sessions` and `explain` are told of a client certificate (RFC 9440).

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::support::{Authority, Gateway, RawUpstream, Request, Response, Wire, authority};
use super::tls::client;

static CLIENTS: LazyLock<Authority> = LazyLock::new(authority);

fn prepare(folder: &Path, _: &Authority) {
    fs::write(folder.join("clients.pem"), CLIENTS.pem()).unwrap();
    issue(folder, "client", &CLIENTS);
    issue(folder, "stranger", &authority());
}

fn issue(folder: &Path, name: &str, authority: &Authority) {
    let mut params = CertificateParams::new(vec!["charger-7.example".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "charger-7");
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn start(mode: &str, upstream: &RawUpstream, server: &str) -> Gateway {
    Gateway::to(&[upstream.address()])
        .tls(&format!("client_auth = \"{mode}\"\nclient_ca = \"clients.pem\""))
        .server(server)
        .prepare(prepare)
        .more("[admin]\nsocket = \"admin.sock\"\n")
        .start()
}

/// Opens a session with the certificate, or without; the application's end and what it was told.
fn open(
    gateway: &Gateway,
    name: Option<&str>,
    upstream: &RawUpstream,
    request: &Request,
) -> ([Wire; 2], Response) {
    let config = client(gateway, &[&rustls::version::TLS13], name);
    let mut wire = Wire::tls_client(gateway.tcp(), Arc::new(config), "localhost");
    wire.send_request(request);
    let (application, told) = upstream.accept_upgrade("");
    assert_eq!(wire.read_head().status(), 101);
    ([wire, application], told)
}

fn forged() -> Request {
    Request::upgrade("/ws")
        .and("Client-Cert", ":Zm9yZ2Vk:")
        .and("client_cert", ":Zm9yZ2Vk:")
        .and("Client-Cert-Chain", ":Zm9yZ2Vk:")
        .and("X-SSL-Client-S-DN", "CN=forged")
}

#[test]
fn the_application_gets_the_certificate_and_no_forged_one() {
    let upstream = RawUpstream::bind();
    let gateway = start("optional", &upstream, "");
    let (_session, told) = open(&gateway, Some("client"), &upstream, &forged());
    let certificate = CertificateDer::from_pem_file(gateway.folder().join("client.pem")).unwrap();
    let item = format!(":{}:", STANDARD.encode(&certificate));
    assert_eq!(told.only("client-cert"), Some(item.as_str()));
    for removed in ["client_cert", "client-cert-chain", "x-ssl-client-s-dn"] {
        assert_eq!(told.all(removed), Vec::<&str>::new(), "{removed}");
    }
    let (_session, told) = open(&gateway, None, &upstream, &forged());
    assert_eq!(told.all("client-cert"), Vec::<&str>::new());
}

/// Its own certificate is not that of the client whom it speaks for.
#[test]
fn a_trusted_proxy_forwards_the_certificate_of_its_client() {
    let upstream = RawUpstream::bind();
    let gateway = start("required", &upstream, "trusted_proxies = [\"127.0.0.1\"]");
    let request = Request::upgrade("/ws").and("X-Forwarded-For", "198.51.100.7");
    let (_session, told) = open(&gateway, Some("client"), &upstream, &request);
    assert_eq!(told.all("client-cert"), Vec::<&str>::new());
    let request = request.and("Client-Cert", ":b2Zfb25l:");
    let (_session, told) = open(&gateway, Some("client"), &upstream, &request);
    assert_eq!(told.only("client-cert"), Some(":b2Zfb25l:"));
}

#[test]
fn sessions_and_explain_name_the_holder() {
    let upstream = RawUpstream::bind();
    let gateway = start("required", &upstream, "");
    let (_session, _) = open(&gateway, Some("client"), &upstream, &Request::upgrade("/ws"));
    let (_, listed, _) = gateway.admin(&["sessions", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let certificate = &listed["sessions"][0]["certificate"];
    assert_eq!(certificate["subject"], "CN=charger-7", "{listed}");
    assert_eq!(certificate["alternative"], "DNS:charger-7.example");
    let fingerprint = certificate["fingerprint"].as_str().unwrap();
    assert_eq!(fingerprint.len(), 64);
    let (_, table, _) = gateway.admin(&["sessions"]);
    assert!(table.contains("CERTIFICATE") && table.contains("CN=charger-7"), "{table}");

    let file = |name: &str| gateway.folder().join(name).display().to_string();
    let with = |name: &str| {
        let (code, text) =
            gateway.explain(&["--ip", "192.0.2.7", "--path", "/ws", "--client-cert", &file(name)]);
        (code, text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (code, text) = with("client.pem");
    assert_eq!(code, Some(0), "{text}");
    let line = format!(
        "certificate verified: \"CN=charger-7\", DNS:charger-7.example, SHA-256 {fingerprint} \
         (tls.client_ca)"
    );
    assert!(text.contains(&line), "{text}");
    let (code, text) = with("stranger.pem");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("refused tls.failed"), "{text}");
    assert_eq!(with("client.key").0, Some(64));
    let (code, text) = gateway.explain(&["--ip", "192.0.2.7", "--path", "/ws"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("one is required: without --client-cert"), "{text}");
}
