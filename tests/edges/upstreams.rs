//! Upstreams behind TLS and on unix sockets.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::support::{
    Authority, Frame, Gateway, RawUpstream, Request, Response, issue, valid_answer,
};

/// Answers one handshake and echoes one frame of a client's, unmasked and at most 125 bytes long.
fn echo_once(stream: &mut (impl Read + Write)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let answer = valid_answer(&Response::parse(&head), "");
    stream.write_all(answer.as_bytes()).unwrap();
    let mut header = [0; 6];
    stream.read_exact(&mut header).unwrap();
    let mut payload = vec![0; usize::from(header[1] & 0x7f)];
    stream.read_exact(&mut payload).unwrap();
    let mask = [header[2], header[3], header[4], header[5]];
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    stream.write_all(&Frame::text(payload).masked(false).encode()).unwrap();
    stream.flush().unwrap();
}

fn echoes(gateway: &Gateway, target: &str) {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade(target));
    assert_eq!(client.read_head().status(), 101);
    client.say(Frame::text("there and back"));
    client.expect_frame(Frame::text("there and back"));
}

fn route(name: &str, upstream: &str, lines: &str) -> String {
    format!(
        "[routes.{name}]\npath = \"/{name}\"\nupstream = [\"{upstream}\"]\nauth = \"none\"\n{lines}\n"
    )
}

#[test]
fn a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let application = std::thread::spawn(move || echo_once(&mut listener.accept().unwrap().0));
    let gateway = Gateway::to(&[RawUpstream::unused_address()])
        .more(&route("unix", &format!("unix:{}", path.display()), ""))
        .start();
    echoes(&gateway, "/unix");
    application.join().unwrap();
}

#[test]
fn a_unix_socket_that_is_not_there_is_unavailable() {
    let gateway = Gateway::to(&[RawUpstream::unused_address()])
        .more(&route("unix", "unix:no.sock", ""))
        .start();
    gateway.expect_refusal(&Request::upgrade("/unix"), 503, "upstream.unavailable");
}

/// Shows whatever certificate it was given, which rustls would look at first otherwise.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        assert_ne!(hello.server_name(), Some(""), "no name is better than an empty one");
        Some(Arc::clone(&self.0))
    }
}

fn server_config(folder: &Path) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(folder.join("upstream.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("upstream.key")).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let shown = CertifiedKey::new(chain.map(Result::unwrap).collect(), key);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(Arc::new(shown))));
    Arc::new(config)
}

/// A gateway with a route to a TLS application at `host`, whose certificate is for `localhost`.
fn before_tls(host: &str, lines: &str) -> (Gateway, TcpListener) {
    before_tls_with(host, lines, |folder, authority| {
        issue(authority, folder, "upstream", &["localhost"]);
    })
}

/// The same, with a certificate that `prepare` makes.
fn before_tls_with(
    host: &str,
    lines: &str,
    prepare: fn(&Path, &Authority),
) -> (Gateway, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let gateway = Gateway::to(&[RawUpstream::unused_address()])
        .prepare(prepare)
        .more(&route("tls", &format!("wss://{host}:{port}"), lines))
        .start();
    (gateway, listener)
}

fn serve_tls(gateway: &Gateway, listener: TcpListener) -> std::thread::JoinHandle<bool> {
    let config = server_config(gateway.folder());
    std::thread::spawn(move || {
        let connection = ServerConnection::new(config).unwrap();
        let mut stream = StreamOwned::new(connection, listener.accept().unwrap().0);
        if stream.conn.complete_io(&mut stream.sock).is_err() {
            return false;
        }
        echo_once(&mut stream);
        true
    })
}

#[test]
fn a_tls_upstream_with_a_certificate_authority_of_its_own() {
    let (gateway, listener) = before_tls("localhost", "upstream_ca = \"ca.pem\"");
    let application = serve_tls(&gateway, listener);
    echoes(&gateway, "/tls");
    assert!(application.join().unwrap());
}

#[test]
fn a_tls_upstream_for_another_name_is_unavailable() {
    let (gateway, listener) = before_tls("127.0.0.1", "upstream_ca = \"ca.pem\"");
    let application = serve_tls(&gateway, listener);
    gateway.expect_refusal(&Request::upgrade("/tls"), 503, "upstream.unavailable");
    assert!(!application.join().unwrap(), "the handshake of TLS fails");
}

#[test]
fn a_tls_upstream_that_the_system_does_not_trust_is_unavailable() {
    let (gateway, listener) = before_tls("localhost", "");
    let application = serve_tls(&gateway, listener);
    gateway.expect_refusal(&Request::upgrade("/tls"), 503, "upstream.unavailable");
    assert!(!application.join().unwrap(), "the handshake of TLS fails");
}

/// The detail of the refusal of a route, whose words say what to change.
#[track_caller]
fn refused_with(gateway: &Gateway, target: &str, words: &str) {
    gateway.expect_refusal(&Request::upgrade(target), 503, "upstream.unavailable");
    let record = gateway.wait_for_record(|record| record["reason"] == "upstream.unavailable");
    let detail = record["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{detail}");
    assert!(!detail.contains("OtherError") && !detail.contains("InvalidMessage"), "{detail}");
}

#[test]
fn upstream_server_name_is_sent_and_verified() {
    let lines = "upstream_ca = \"ca.pem\"\nupstream_server_name = \"LocalHost\"";
    let (gateway, listener) = before_tls("127.0.0.1", lines);
    let config = server_config(gateway.folder());
    let application = std::thread::spawn(move || {
        let connection = ServerConnection::new(config).unwrap();
        let mut stream = StreamOwned::new(connection, listener.accept().unwrap().0);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let asked = stream.conn.server_name().map(str::to_owned);
        echo_once(&mut stream);
        asked
    });
    echoes(&gateway, "/tls");
    assert_eq!(application.join().unwrap().as_deref(), Some("localhost"));
}

#[test]
fn upstream_server_name_replaces_the_host_in_verification() {
    let lines = "upstream_ca = \"ca.pem\"\nupstream_server_name = \"other.example\"";
    let (gateway, listener) = before_tls("localhost", lines);
    let application = serve_tls(&gateway, listener);
    refused_with(&gateway, "/tls", "as upstream_server_name");
    assert!(!application.join().unwrap(), "the handshake of TLS fails");
}

#[test]
fn the_upstream_gets_another_host() {
    let upstream = RawUpstream::bind();
    let gateway =
        Gateway::to(&[upstream.address()]).route("upstream_host = \"App.internal:8080\"").start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws").set("Host", "chat.example"));
    let (_application, request) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    assert_eq!(request.only("host"), Some("app.internal:8080"));
    assert_eq!(request.only("x-forwarded-host"), Some("chat.example"));
    let forwarded = request.only("forwarded").unwrap();
    assert!(forwarded.contains("host=\"chat.example\""), "{forwarded}");
}

/// A certificate that calls itself an authority, as `openssl req -x509` makes it.
fn own_authority(folder: &Path, names: &[&str]) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("upstream.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("upstream.key"), key.serialize_pem()).unwrap();
}

#[test]
fn a_server_certificate_in_upstream_ca_is_trusted() {
    for prepare in [
        (|folder: &Path, _: &Authority| own_authority(folder, &["localhost"])) as fn(&Path, &_),
        |folder, _| own_authority(folder, &[]),
    ] {
        let (gateway, listener) =
            before_tls_with("localhost", "upstream_ca = \"upstream.pem\"", prepare);
        let application = serve_tls(&gateway, listener);
        echoes(&gateway, "/tls");
        assert!(application.join().unwrap());
    }
}

#[test]
fn another_certificate_of_its_authority_is_not_trusted() {
    let (gateway, listener) =
        before_tls_with("localhost", "upstream_ca = \"ca.pem\"", |folder, _| {
            own_authority(folder, &["localhost"]);
        });
    let application = serve_tls(&gateway, listener);
    refused_with(&gateway, "/tls", "give that very certificate as upstream_ca");
    assert!(!application.join().unwrap());
}

#[test]
fn a_server_certificate_in_upstream_ca_for_another_name_is_not_trusted() {
    let (gateway, listener) =
        before_tls_with("localhost", "upstream_ca = \"upstream.pem\"", |folder, _| {
            own_authority(folder, &["other.example"]);
        });
    let application = serve_tls(&gateway, listener);
    refused_with(&gateway, "/tls", "for this name");
    assert!(!application.join().unwrap());
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
#[ignore = "needs openssl"]
fn a_self_signed_default_certificate_of_openssl_is_trusted() {
    let (gateway, listener) =
        before_tls_with("localhost", "upstream_ca = \"upstream.pem\"", |folder, _| {
            let arguments = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 \
                             -keyout upstream.key -out upstream.pem";
            openssl(folder, &arguments.split_whitespace().collect::<Vec<_>>());
        });
    let application = serve_tls(&gateway, listener);
    echoes(&gateway, "/tls");
    assert!(application.join().unwrap());
}

/// `openssl x509 -req` makes version 1 where no extension is asked for.
fn version_1(folder: &Path, _: &Authority) {
    for arguments in [
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout upstream.key -out upstream.csr",
        "x509 -req -in upstream.csr -signkey upstream.key -days 2 -out upstream.pem",
    ] {
        openssl(folder, &arguments.split_whitespace().collect::<Vec<_>>());
    }
}

#[test]
#[ignore = "needs openssl"]
fn an_x_509_version_1_certificate_is_reported() {
    let (gateway, listener) = before_tls_with("localhost", "upstream_ca = \"ca.pem\"", version_1);
    let application = serve_tls(&gateway, listener);
    refused_with(&gateway, "/tls", "X.509 version 1");
    assert!(!application.join().unwrap());

    for (right, wrong) in [("ca.pem", "upstream.pem"), ("site0.", "upstream.")] {
        gateway.rewrite(|text| text.replace(right, wrong));
        let failed = gateway.hang_up("reload.failed");
        let detail = failed["detail"].as_str().unwrap();
        assert!(detail.contains("X.509 version 1") && !detail.contains("OtherError"), "{detail}");
        gateway.rewrite(|text| text.replace(wrong, right));
    }
}

#[test]
fn a_plain_port_for_wss_is_reported() {
    for (answer, words) in [
        ("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "write ws:// instead of wss://"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"),
        ("", "does it speak TLS on this port?"),
    ] {
        let (gateway, listener) = before_tls("localhost", "");
        let application = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut hello = [0; 5];
            socket.read_exact(&mut hello).unwrap();
            let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
            socket.read_exact(&mut rest).unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
        });
        refused_with(&gateway, "/tls", words);
        application.join().unwrap();
    }
}

#[test]
fn a_tls_port_for_ws_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::to(&[listener.local_addr().unwrap()])
        .prepare(|folder, authority| issue(authority, folder, "upstream", &["localhost"]))
        .start();
    let application = serve_tls(&gateway, listener);
    gateway.expect_refusal(&Request::upgrade("/ws"), 502, "upstream.handshake");
    let record = gateway.wait_for_record(|record| record["reason"] == "upstream.handshake");
    assert!(record["detail"].as_str().unwrap().contains("write wss://"), "{record}");
    assert!(!application.join().unwrap());
}
