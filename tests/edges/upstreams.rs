//! Upstreams behind TLS and on unix sockets.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::support::{Frame, Gateway, RawUpstream, Request, Response, issue, valid_answer};

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
    let gateway = Gateway::to(&[RawUpstream::nobody()])
        .more(&route("unix", &format!("unix:{}", path.display()), ""))
        .start();
    echoes(&gateway, "/unix");
    application.join().unwrap();
}

#[test]
fn a_unix_socket_that_is_not_there_is_unavailable() {
    let gateway =
        Gateway::to(&[RawUpstream::nobody()]).more(&route("unix", "unix:no.sock", "")).start();
    gateway.expect_refusal(&Request::upgrade("/unix"), 503, "upstream.unavailable");
}

fn server_config(folder: &Path) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(folder.join("upstream.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("upstream.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    Arc::new(config)
}

/// A gateway with a route to a TLS application at `host`, whose certificate is for `localhost`.
fn before_tls(host: &str, lines: &str) -> (Gateway, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let gateway = Gateway::to(&[RawUpstream::nobody()])
        .prepare(|folder, authority| issue(authority, folder, "upstream", &["localhost"]))
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
