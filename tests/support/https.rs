//! A small https server in the test's hands: pages for a browser, keys for the gateway.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Response, TIMEOUT};

/// Answers a request, given its head with its body; without an answer the connection is closed.
pub type Handler = dyn Fn(&Response) -> Option<Vec<u8>> + Send + Sync;

/// A port of loopback that is bound before its server can answer, so that others can be told of it.
pub struct HttpsPort(TcpListener);

impl HttpsPort {
    pub fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// The origin of its pages as `localhost`.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.0.local_addr().unwrap().port())
    }

    /// Serves with `NAME.pem` and `NAME.key` of `folder`; each connection carries one request.
    pub fn serve<F>(self, folder: &Path, name: &str, handler: F) -> Https
    where
        F: Fn(&Response) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        let (config, handler) = (Arc::new(config(folder, name)), Arc::new(handler));
        let address = self.0.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        std::thread::spawn(move || {
            for socket in self.0.incoming().map_while(Result::ok) {
                if over.load(Ordering::Acquire) {
                    break;
                }
                let (config, handler) = (Arc::clone(&config), Arc::clone(&handler));
                std::thread::spawn(move || exchange(socket, config, &*handler));
            }
        });
        Https { address, ended }
    }
}

/// A running server; dropping it closes its port.
pub struct Https {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Drop for Https {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // It is waiting for a connection, and this is the last one.
        let _ = TcpStream::connect(self.address);
    }
}

fn config(folder: &Path, name: &str) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// Browsers open connections that they never use, and clients may hang up on what they do not like:
/// whoever waits for the outcome knows.
fn exchange(socket: TcpStream, config: Arc<ServerConfig>, handler: &Handler) -> Option<()> {
    socket.set_read_timeout(Some(TIMEOUT)).ok()?;
    socket.set_write_timeout(Some(TIMEOUT)).ok()?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).ok()?, socket);
    let request = read_request(&mut stream)?;
    if let Some(answer) = handler(&request) {
        stream.write_all(&answer).ok()?;
        stream.conn.send_close_notify();
    }
    stream.flush().ok()
}

fn read_request(stream: &mut impl Read) -> Option<Response> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(stream, &mut bytes)?;
    };
    let mut request = Response::parse(&bytes[..end]);
    let length = request.only("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        read_more(stream, &mut bytes)?;
    }
    request.body = bytes.split_off(end);
    Some(request)
}

fn read_more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => {
                bytes.extend_from_slice(&chunk[..count]);
                return Some(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// A whole answer; `fields` are lines, each ended with CR LF.
pub fn answer(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{fields}\r\n{body}",
        body.len()
    )
    .into_bytes()
}
