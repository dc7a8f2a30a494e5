//! The clients: TLS 1.3 with one suite and one key exchange, so that every proxy does the same
//! cryptography; frames made beforehand, answers counted in bytes and the first compared.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Outcome;

/// The name in the certificate.
pub(crate) const HOST: &str = "localhost";
/// Of the page that the clients claim to be.
pub(crate) const ORIGIN: &str = "https://chat.example.com";
/// For everything that a proxy is waited for; a benchmark that hangs is a failed one.
const PATIENCE: Duration = Duration::from_secs(30);
/// Client addresses that connections are spread over: 127.0.0.1 and up.
pub(crate) const SOURCES: u32 = 64;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const CLOSE_NORMAL: [u8; 2] = 1000u16.to_be_bytes();

/// How clients connect.
#[derive(Clone)]
pub(crate) struct Dialer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    resumes: bool,
    /// One for each source address.
    tokens: Arc<[String]>,
}

/// An upgraded connection.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// A connection that carries one request after the other.
pub(crate) struct Browser {
    stream: TlsStream<TcpStream>,
    request: String,
    size: usize,
    buffer: Vec<u8>,
}

/// Messages as they go out and as they come back.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) out: Arc<[u8]>,
    pub(crate) back: Arc<[u8]>,
}

impl Dialer {
    /// Clients that trust `root`; each source address is a user with one of `tokens`.
    pub(crate) fn new(root: CertificateDer<'static>, tokens: Vec<String>) -> Outcome<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(HOST)?;
        Ok(Self { config: Arc::new(config), name, resumes: false, tokens: tokens.into() })
    }

    /// The same, with a store of tickets of its own that each connection takes one from.
    pub(crate) fn resuming(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config), resumes: true, ..self.clone() }
    }

    /// Connects as client number `number` and upgrades to a WebSocket at `path`.
    pub(crate) async fn open(&self, to: SocketAddr, number: u32, path: &str) -> io::Result<Client> {
        within(self.upgrade(to, number, path)).await
    }

    /// One connection from TCP to its Close; resumed, if this dialer resumes and is not at its first.
    pub(crate) async fn open_and_close(&self, to: SocketAddr, number: u32) -> io::Result<()> {
        let client = self.open(to, number, "/echo").await?;
        let kind = client.stream.get_ref().1.handshake_kind();
        client.close().await?;
        if (kind == Some(HandshakeKind::Resumed)) == (self.resumes && number > 0) {
            return Ok(());
        }
        Err(io::Error::other(format!("the handshake was {kind:?}")))
    }

    /// Connects as client number `number`, which will ask for a page of `size` bytes again and again.
    pub(crate) async fn browse(
        &self,
        to: SocketAddr,
        number: u32,
        size: usize,
    ) -> io::Result<Browser> {
        let stream = within(self.connect(to, number)).await?;
        let request = format!(
            "GET /page/{size} HTTP/1.1\r\nHost: {HOST}:{}\r\nUser-Agent: a browser\r\n\
             Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\n\
             Cookie: theme=dark; visit=17\r\n\r\n",
            to.port(),
        );
        Ok(Browser { stream, request, size, buffer: Vec::new() })
    }

    async fn connect(&self, to: SocketAddr, number: u32) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + number % SOURCES);
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(self.name.clone(), stream).await
    }

    async fn upgrade(&self, to: SocketAddr, number: u32, path: &str) -> io::Result<Client> {
        let mut stream = self.connect(to, number).await?;
        let token = self.tokens.iter().cycle().nth((number % SOURCES) as usize);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {HOST}:{}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {ORIGIN}\r\n\
             Authorization: Bearer {}\r\n\r\n",
            to.port(),
            token.map_or("", String::as_str),
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(io::Error::other(String::from_utf8_lossy(line).into_owned()));
        }
        Ok(Client { stream, buffer: Vec::new() })
    }
}

impl Client {
    /// Sends, waits for as many bytes as are to come back, and compares them.
    pub(crate) async fn check(&mut self, exchange: &Exchange) -> io::Result<()> {
        within(async {
            self.stream.write_all(&exchange.out).await?;
            self.stream.flush().await?;
            let mut back = vec![0; exchange.back.len()];
            self.stream.read_exact(&mut back).await?;
            if back == *exchange.back { Ok(()) } else { Err(io::Error::other("another echo")) }
        })
        .await
    }

    /// The exchange `times` times, counting bytes.
    pub(crate) async fn echo(&mut self, exchange: &Exchange, times: u32) -> io::Result<()> {
        for _ in 0..times {
            self.stream.write_all(&exchange.out).await?;
            self.stream.flush().await?;
            within(self.skip(exchange.back.len())).await?;
        }
        Ok(())
    }

    /// Sends one for each time that comes in `times`, and gives how long after it the echo was there.
    /// One that is sent late, because the one before was not back, counts from its time all the same.
    pub(crate) async fn paced(
        &mut self,
        exchange: &Exchange,
        mut times: UnboundedReceiver<Instant>,
    ) -> io::Result<Vec<Duration>> {
        let mut taken = Vec::new();
        while let Some(due) = times.recv().await {
            self.stream.write_all(&exchange.out).await?;
            self.stream.flush().await?;
            within(self.skip(exchange.back.len())).await?;
            taken.push(due.elapsed());
        }
        Ok(taken)
    }

    /// Asks for `count` messages of `size` bytes and takes them.
    pub(crate) async fn pushed(&mut self, size: usize, count: u32) -> io::Result<()> {
        self.stream.write_all(&masked(format!("{size} {count}").as_bytes())).await?;
        self.stream.flush().await?;
        within(self.skip(unmasked(&text(size)).len() * count as usize)).await
    }

    /// Closes as RFC 6455 section 7.1.1 has it, and waits for the end of the stream.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        let mut close = masked(&CLOSE_NORMAL);
        close[0] = 0x88;
        self.stream.write_all(&close).await?;
        self.stream.flush().await?;
        within(async {
            let mut answer = [0; 4];
            self.stream.read_exact(&mut answer).await?;
            if answer[0] != 0x88 || answer[2..] != CLOSE_NORMAL {
                return Err(io::Error::other("not the Close that was sent"));
            }
            // Some end TLS without saying so; the connection is over either way.
            let _ = self.stream.read(&mut answer).await;
            Ok(())
        })
        .await
    }

    async fn skip(&mut self, mut bytes: usize) -> io::Result<()> {
        const READ: usize = 64 * 1024;
        self.buffer.resize(READ.min(bytes), 0);
        while bytes > 0 {
            let wanted = bytes.min(self.buffer.len());
            match self.stream.read(&mut self.buffer[..wanted]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => bytes -= read,
            }
        }
        Ok(())
    }
}

impl Browser {
    /// Asks for the page and compares it.
    pub(crate) async fn check(&mut self) -> io::Result<()> {
        self.get().await?;
        if page(self.size).ends_with(&self.buffer) {
            return Ok(());
        }
        Err(io::Error::other("another page"))
    }

    /// Asks for the page so often, counting bytes.
    pub(crate) async fn load(&mut self, times: u32) -> io::Result<()> {
        for _ in 0..times {
            within(self.get()).await?;
        }
        Ok(())
    }

    /// Leaves the body in the buffer.
    async fn get(&mut self) -> io::Result<()> {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let end = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(at) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200 ")
            || !head.contains(&format!("content-length: {}\r\n", self.size))
        {
            return Err(io::Error::other(head));
        }
        self.buffer.drain(..end);
        self.buffer.reserve(self.size);
        while self.buffer.len() < self.size {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// An answer with a page of `size` bytes.
pub(crate) fn page(size: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-cache\r\n\
         ETag: \"1b-17\"\r\nContent-Length: {size}\r\n\r\n"
    );
    [head.into_bytes(), text(size)].concat()
}

/// `count` text messages of `size` bytes in one piece.
pub(crate) fn exchange(size: usize, count: u32) -> Exchange {
    exchange_of(&text(size), count)
}

/// `count` messages with this text in one piece.
pub(crate) fn exchange_of(text: &[u8], count: u32) -> Exchange {
    let count = count as usize;
    let (out, back) = (masked(text).repeat(count), unmasked(text).repeat(count));
    Exchange { out: out.into(), back: back.into() }
}

/// A text of `size` bytes that is not ASCII throughout.
pub(crate) fn text(size: usize) -> Vec<u8> {
    let line = "{\"from\":\"Zoë\",\"text\":\"a line of a chat, or a row of figures\"}\n";
    let mut text: String = line.chars().cycle().take(size).collect();
    while text.len() > size {
        text.pop();
    }
    let missing = size - text.len();
    text.extend(std::iter::repeat_n('.', missing));
    text.into_bytes()
}

/// A final text frame as a server sends it.
pub(crate) fn unmasked(payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![0x81];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => frame.push(short),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// The same as a client sends it.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = unmasked(payload);
    let head = frame.len() - payload.len();
    frame[1] |= 0x80;
    for (i, byte) in frame[head..].iter_mut().enumerate() {
        *byte ^= MASK[i % 4];
    }
    frame.splice(head..head, MASK);
    frame
}

async fn within<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, what).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::other("nothing came for 30 s")),
    }
}
