//! Streams against rustls' buffered connections, over a socket that is in the test's hands.

mod client_certificate;
mod forger;
mod handshake;
mod hostile;
mod properties;
mod socket;
mod stream;

use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};

use super::{
    AT_ONCE, Certificate, ClientAuth, Connector, Held, PrivateKey, Roots, ServerCertificate,
    ServerSettings, ServerTrust, Stream, Terminated, Terminator, TlsClient, TlsVersion,
};
use crate::tls::engine::Engine;
use crate::tls::rustls_engine::RustlsEngine;
use socket::Socket;

const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;
const NAME: &str = "chat.example.com";

/// One certificate for all tests: making keys takes time.
static ISSUED: LazyLock<(CertificateDer<'static>, Vec<u8>)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    (made.cert.der().clone(), made.signing_key.serialize_der())
});

fn key() -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(ISSUED.1.clone()).unwrap()
}

fn roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(ISSUED.0.clone()).unwrap();
    Arc::new(roots)
}

fn trusted() -> Roots {
    Roots(roots())
}

/// A self-signed certificate for these names.
pub(crate) fn server_certificate(names: &[&str]) -> ServerCertificate {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let chain = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let key = PrivateKey::from_pem(made.signing_key.serialize_pem().as_bytes()).unwrap();
    ServerCertificate::new(PathBuf::new(), chain, key).unwrap()
}

/// The server side for `localhost`, and the roots that clients verify it with.
pub(crate) fn localhost() -> (Terminator, Roots) {
    let certificate = server_certificate(&["localhost"]);
    let chain: Vec<_> = certificate.chain().map(|der| der.to_vec().into()).collect();
    let certificates = vec![certificate];
    let min_version = TlsVersion::Tls12;
    let settings = ServerSettings { certificates, min_version, client_auth: ClientAuth::Off };
    (Terminator::new(&settings, None).unwrap(), Roots::new(&chain).unwrap())
}

/// Whether `roots` vouch for the certificate under this name.
pub(crate) fn verifies(roots: &Roots, certificate: &Certificate, name: &str) -> bool {
    let roots = Arc::clone(&roots.0);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, super::provider());
    let name = ServerName::try_from(name).unwrap();
    let verifier = verifier.build().unwrap();
    verifier.verify_server_cert(&certificate.0, &[], &name, &[], UnixTime::now()).is_ok()
}

fn settings(client_auth: ClientAuth) -> ServerSettings {
    let chain = vec![Certificate(ISSUED.0.clone())];
    let certificate = ServerCertificate::new(PathBuf::new(), chain, PrivateKey(key())).unwrap();
    let certificates = vec![certificate];
    ServerSettings { certificates, min_version: TlsVersion::Tls12, client_auth }
}

fn terminator() -> Terminator {
    Terminator::new(&settings(ClientAuth::Off), None).unwrap()
}

fn connector(name: &str) -> Connector {
    TlsClient::new(&ServerTrust::from(trusted())).unwrap().connector(name).unwrap()
}

fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth()
}

fn poll<T>(work: impl FnOnce(&mut Context<'_>) -> T) -> T {
    work(&mut Context::from_waker(Waker::noop()))
}

/// The peer of a stream.
struct Peer {
    tls: Connection,
    socket: Socket,
    heard: Vec<u8>,
    /// How the connection ended for it, once it has.
    ended: Option<Result<(), Error>>,
}

impl Peer {
    fn client(config: impl Into<Arc<ClientConfig>>, socket: &Socket) -> Self {
        let name = NAME.try_into().unwrap();
        Self::new(ClientConnection::new(config.into(), name).unwrap().into(), socket)
    }

    fn new(tls: Connection, socket: &Socket) -> Self {
        Self { tls, socket: socket.clone(), heard: Vec::new(), ended: None }
    }

    fn say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let said = self.tls.writer().write(bytes).unwrap();
            bytes = &bytes[said..];
            self.speak();
        }
    }

    fn close(&mut self) {
        self.tls.send_close_notify();
        self.speak();
    }

    fn speak(&mut self) {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        self.socket.deliver(&records);
    }

    /// Reads the records that were written to the socket.
    fn listen(&mut self) -> &[u8] {
        let written = self.socket.collect();
        let mut written = written.as_slice();
        while !written.is_empty() && self.ended.is_none() {
            if self.tls.read_tls(&mut written).unwrap() == 0 {
                break;
            }
            if let Err(error) = self.tls.process_new_packets() {
                self.ended = Some(Err(error));
            }
            match self.tls.reader().read_to_end(&mut self.heard) {
                Ok(_) => self.ended = self.ended.take().or(Some(Ok(()))),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        &self.heard
    }

    /// Runs a handshake of this library's to its end.
    fn handshake<T>(&mut self, handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut handshake = Box::pin(handshake);
        loop {
            self.speak();
            if let Poll::Ready(result) = poll(|cx| handshake.as_mut().poll(cx)) {
                self.listen();
                return result;
            }
            self.listen();
        }
    }
}

/// A stream with its peer, after the handshake.
struct Pair<E = RustlsEngine> {
    stream: Box<Stream<Socket, E>>,
    peer: Peer,
}

/// The stream is a server's.
fn serving(version: &'static SupportedProtocolVersion) -> Pair {
    let socket = Socket::default();
    let mut peer = Peer::client(client_config(version), &socket);
    let stream = peer.handshake(terminator().accept(socket)).unwrap().stream;
    let mut pair = Pair { stream, peer };
    assert!(poll(|cx| pair.stream.poll_drain(cx)).is_ready(), "the tickets are sent");
    pair.peer.listen();
    pair
}

/// The stream is a client's.
fn calling(version: &'static SupportedProtocolVersion) -> Pair {
    let socket = Socket::default();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![ISSUED.0.clone()], key())
        .unwrap();
    let mut peer = Peer::new(ServerConnection::new(Arc::new(config)).unwrap().into(), &socket);
    let stream = peer.handshake(connector(NAME).connect(socket)).unwrap();
    Pair { stream, peer }
}

/// The result of asking a stream for plaintext.
#[derive(Debug, PartialEq)]
enum Lent {
    Nothing,
    Bytes(Vec<u8>),
    End,
    Error(ErrorKind, String),
}

impl Lent {
    fn error(error: &Error) -> Self {
        Self::Error(ErrorKind::InvalidData, error.to_string())
    }

    fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(bytes.as_ref().to_vec())
    }
}

impl<E: Engine + Unpin> Pair<E> {
    fn lend(&mut self) -> Lent {
        self.lend_at_most(AT_ONCE)
    }

    fn lend_at_most(&mut self, most: usize) -> Lent {
        match poll(|cx| self.stream.poll_lend(cx, most, |_, bytes| bytes.to_vec())) {
            Poll::Pending => Lent::Nothing,
            Poll::Ready(Ok(Some(bytes))) => Lent::Bytes(bytes),
            Poll::Ready(Ok(None)) => Lent::End,
            Poll::Ready(Err(error)) => Lent::Error(error.kind(), error.to_string()),
        }
    }

    /// Everything that is there, however it was cut.
    fn lend_all(&mut self) -> (Vec<u8>, Lent) {
        let mut all = Vec::new();
        loop {
            match self.lend() {
                Lent::Bytes(bytes) => all.extend(bytes),
                last => return (all, last),
            }
        }
    }

    /// How much the stream takes.
    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        use tokio::io::AsyncWrite;
        poll(|cx| Pin::new(&mut self.stream).poll_write(cx, bytes))
    }

    fn flush(&mut self) -> Poll<io::Result<()>> {
        use tokio::io::AsyncWrite;
        poll(|cx| Pin::new(&mut self.stream).poll_flush(cx))
    }

    fn shutdown(&mut self) -> Poll<io::Result<()>> {
        use tokio::io::AsyncWrite;
        poll(|cx| Pin::new(&mut self.stream).poll_shutdown(cx))
    }

    /// Writes all of it to a socket that takes all of it.
    fn write_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Poll::Ready(Ok(taken)) = self.write(bytes) else {
                panic!("the socket takes everything");
            };
            bytes = &bytes[taken..];
        }
        assert!(matches!(self.flush(), Poll::Ready(Ok(()))));
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0_u8..251).cycle().take(length).collect()
}

/// Code outside this folder names no item of rustls or webpki: the next version of rustls changes
/// nothing but this folder.
#[test]
fn rustls_is_named_in_this_folder_alone() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![sources.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path == sources.join("tls") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let named = code.filter(|line| line.contains("rustls") || line.contains("webpki"));
            assert_eq!(named.collect::<Vec<_>>(), [""; 0], "{}", path.display());
        }
    }
}
