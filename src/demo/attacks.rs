//! The attacks of the page. Each is sent to the same application through a blind proxy and through
//! the gateway, and the page shows both outcomes side by side.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::witness::{Witness, WitnessRecord, WitnessedFrame};

/// How long a connection may take to open and a handshake to be answered.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// How long the application's side of a connection may take to end after the client's side.
const RECORD_WITHIN: Duration = Duration::from_secs(1);

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Bytes shown of the data that reached the application.
const SHOWN: usize = 16;

/// One button of the page.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Attack {
    /// The name in URLs.
    pub name: &'static str,
    /// The attack, described for the page.
    pub title: &'static str,
    /// The rule that the attack breaks.
    pub rule: &'static str,
    /// The reason with which the gateway refuses it.
    pub reason: &'static str,
    #[serde(skip)]
    origin: PageOrigin,
    #[serde(skip)]
    token: Token,
    #[serde(skip)]
    payload: Payload,
}

#[derive(Debug, Clone, Copy)]
enum PageOrigin {
    Own,
    Foreign,
}

#[derive(Debug, Clone, Copy)]
enum Token {
    Valid,
    Expired,
    Forged,
}

#[derive(Debug, Clone, Copy)]
enum Payload {
    /// No payload: the handshake is the attack.
    Handshake,
    ReservedBit,
    Unmasked,
    BrokenText,
    HugeHeader,
    Fragments,
    Bomb,
    Slow,
}

const fn frames(
    name: &'static str,
    title: &'static str,
    rule: &'static str,
    reason: &'static str,
    payload: Payload,
) -> Attack {
    Attack { name, title, rule, reason, origin: PageOrigin::Own, token: Token::Valid, payload }
}

/// Every attack, in the order of the page.
pub const ATTACKS: [Attack; 10] = [
    frames(
        "reserved-bit",
        "A frame with a reserved bit set",
        "RFC 6455 section 5.2",
        "frame.protocol",
        Payload::ReservedBit,
    ),
    frames(
        "unmasked",
        "A client frame without a mask",
        "RFC 6455 section 5.1",
        "frame.protocol",
        Payload::Unmasked,
    ),
    frames(
        "broken-text",
        "A text message that is not UTF-8",
        "RFC 6455 section 8.1",
        "frame.utf8",
        Payload::BrokenText,
    ),
    frames(
        "huge-header",
        "The header of a frame of 2 GiB",
        "websocket.max_frame_size",
        "frame.too_big",
        Payload::HugeHeader,
    ),
    frames(
        "fragments",
        "A message in 5,000 fragments of one byte",
        "websocket.max_fragments",
        "message.fragments",
        Payload::Fragments,
    ),
    frames(
        "deflate-bomb",
        "A message of 10 KB that inflates to 10 MiB",
        "websocket.max_message_size",
        "message.too_big",
        Payload::Bomb,
    ),
    frames(
        "slow-message",
        "A message that never ends",
        "websocket.message_timeout",
        "message.timeout",
        Payload::Slow,
    ),
    Attack {
        origin: PageOrigin::Foreign,
        ..frames(
            "foreign-origin",
            "A page of https://evil.example, with its visitor's token",
            "RFC 6455 section 10.2",
            "origin.denied",
            Payload::Handshake,
        )
    },
    Attack {
        token: Token::Expired,
        ..frames(
            "expired-token",
            "A token that expired an hour ago",
            "RFC 7519 section 4.1.4",
            "token.expired",
            Payload::Handshake,
        )
    },
    Attack {
        token: Token::Forged,
        ..frames(
            "forged-token",
            "A token with a signature of another key",
            "RFC 7515 section 5.2",
            "token.invalid",
            Payload::Handshake,
        )
    },
];

/// The targets and the credentials of the attacks.
#[derive(Debug, Clone)]
pub struct Targets {
    /// The gateway, without TLS.
    pub gateway: SocketAddr,
    /// The page's own origin, which the gateway admits.
    pub origin: String,
    /// A valid token.
    pub valid: String,
    /// An expired token.
    pub expired: String,
    /// A token with the signature of another key.
    pub forged: String,
}

/// Sends attacks and reports their outcomes.
#[derive(Debug, Clone)]
pub(super) struct Attacker {
    pub(super) targets: Targets,
    pub(super) blind: SocketAddr,
    pub(super) witness: Witness,
    pub(super) next: Arc<AtomicU64>,
}

/// Both outcomes of an attack, as the page gets them.
#[derive(Debug, Serialize)]
pub(super) struct Outcomes {
    blind: AttackOutcome,
    framewall: AttackOutcome,
}

/// The outcome of an attack on one of the two paths.
#[derive(Debug, Serialize)]
struct AttackOutcome {
    /// Whether a part of the attack reached the application.
    reached: bool,
    /// A description of the data that reached it.
    application: String,
    /// A description of the attacker's answer.
    client: String,
}

/// The answer to an attack.
#[derive(Debug, PartialEq, Eq)]
enum AttackAnswer {
    /// The handshake was refused with this status and reason.
    Status(u16, Option<String>),
    /// A Close with this code and reason.
    Close(u16, String),
    /// The connection ended without a Close.
    Ended,
    /// No answer came while the attacker waited.
    Nothing,
}

impl Attacker {
    /// Sends the attack with this name on both paths at once; `None` if there is no such attack.
    pub(super) async fn attack(&self, name: &str) -> Option<Outcomes> {
        let attack = ATTACKS.iter().find(|attack| attack.name == name)?;
        // Built before the connections, whose limits of time do not allow for it: a build without
        // optimization deflates the bomb for seconds.
        let bytes = attack.payload.bytes();
        let (blind, framewall) = tokio::join!(
            self.send(attack, &bytes, self.blind),
            self.send(attack, &bytes, self.targets.gateway)
        );
        Some(Outcomes { blind, framewall })
    }

    async fn send(&self, attack: &Attack, bytes: &[u8], target: SocketAddr) -> AttackOutcome {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let request = self.request(attack, target, id);
        let answer = exchange(target, &request, attack.payload, bytes).await;
        let limit = match answer {
            Ok(AttackAnswer::Status(..)) => Duration::ZERO,
            _ => RECORD_WITHIN,
        };
        let record = self.witness.testify(id, limit).await;
        let client = match answer {
            Ok(answer) => answer.to_string(),
            Err(error) => format!("the connection failed: {error}"),
        };
        let (reached, application) = describe(attack, record.as_ref());
        AttackOutcome { reached, application, client }
    }

    fn request(&self, attack: &Attack, target: SocketAddr, id: u64) -> String {
        let Targets { origin, valid, expired, forged, .. } = &self.targets;
        let origin = match attack.origin {
            PageOrigin::Own => origin,
            PageOrigin::Foreign => "https://evil.example",
        };
        let token = match attack.token {
            Token::Valid => valid,
            Token::Expired => expired,
            Token::Forged => forged,
        };
        let extensions = match attack.payload {
            Payload::Bomb => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            _ => "",
        };
        format!(
            "GET /attack?id={id} HTTP/1.1\r\nHost: {target}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\
             Authorization: Bearer {token}\r\n{extensions}\r\n"
        )
    }
}

/// Sends a handshake and the bytes of a payload, and waits for the answer.
async fn exchange(
    target: SocketAddr,
    request: &str,
    payload: Payload,
    bytes: &[u8],
) -> std::io::Result<AttackAnswer> {
    let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    let mut stream =
        timeout(HANDSHAKE_WITHIN, TcpStream::connect(target)).await.map_err(|_| late())??;
    stream.write_all(request.as_bytes()).await?;
    let head = timeout(HANDSHAKE_WITHIN, read_head(&mut stream)).await.map_err(|_| late())??;
    let (head, mut rest) = head;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    if status != 101 {
        // The connection ends after the answer; the data recorded until then is enough.
        let _ = timeout(HANDSHAKE_WITHIN, read_rest(&mut stream, &mut rest)).await;
        return Ok(AttackAnswer::Status(status, reason(&rest)));
    }
    if matches!(payload, Payload::Handshake) {
        return Ok(AttackAnswer::Status(101, None));
    }
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        // The gateway may close before everything is written: its answer gives the reason.
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = timeout(payload.limit(), read_close(&mut reader, rest)) => {
            Ok(answer.unwrap_or(AttackAnswer::Nothing))
        }
        () = writing => Ok(AttackAnswer::Nothing),
    }
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        if stream.read_buf(&mut read).await? == 0 || read.len() > MAX_ANSWER {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn read_rest(stream: &mut TcpStream, rest: &mut Vec<u8>) -> std::io::Result<()> {
    while rest.len() < MAX_ANSWER && stream.read_buf(rest).await? > 0 {}
    Ok(())
}

/// The `reason` of a problem body (RFC 9457).
fn reason(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body["reason"].as_str().map(str::to_owned)
}

/// Reads until a Close or the end of the connection. A server's frames are not masked; pings are
/// skipped.
async fn read_close(stream: &mut (impl AsyncRead + Unpin), mut read: Vec<u8>) -> AttackAnswer {
    loop {
        while let [first, length, rest @ ..] = read.as_slice() {
            let size = usize::from(length & 0x7f);
            let Some(payload) = rest.get(..size) else { break };
            if first & 0x0f == 0x8 {
                return close(payload);
            }
            read.drain(..2 + size);
        }
        match stream.read_buf(&mut read).await {
            Ok(length) if length > 0 && read.len() < MAX_ANSWER => {}
            _ => return AttackAnswer::Ended,
        }
    }
}

fn close(payload: &[u8]) -> AttackAnswer {
    match payload.split_first_chunk() {
        Some((code, reason)) => AttackAnswer::Close(
            u16::from_be_bytes(*code),
            String::from_utf8_lossy(reason).into_owned(),
        ),
        None => AttackAnswer::Close(1005, String::new()),
    }
}

impl std::fmt::Display for AttackAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(101, _) => f.write_str("101: admitted"),
            Self::Status(code, Some(reason)) => write!(f, "{code} {reason}"),
            Self::Status(code, None) => write!(f, "{code}"),
            Self::Close(code, reason) => write!(f, "closed with {code} {reason}"),
            Self::Ended => f.write_str("the connection ended"),
            Self::Nothing => f.write_str("nothing happened"),
        }
    }
}

/// Whether a part of the attack reached the application, with a description.
fn describe(attack: &Attack, record: Option<&WitnessRecord>) -> (bool, String) {
    let Some(record) = record else {
        return (false, "the gateway did not connect to the application".to_owned());
    };
    if matches!(attack.payload, Payload::Handshake) {
        let origin = record.field("origin").unwrap_or("none");
        let token = if record.field("authorization").is_some() { "the token" } else { "no token" };
        return (true, format!("the application was asked, with Origin: {origin} and {token}"));
    }
    let frames = record.frames();
    let data = frames.iter().filter(|frame| **frame == WitnessedFrame::Other).count();
    if data == 0 {
        let told = if frames.contains(&WitnessedFrame::Close) { ", but a Close" } else { "" };
        return (false, format!("nothing reached the application{told}"));
    }
    let shown: Vec<_> = record.bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    let more = if record.count > SHOWN as u64 { " ..." } else { "" };
    let plural = if data == 1 { "frame" } else { "frames" };
    let then = if frames.contains(&WitnessedFrame::Close) { ", then a Close" } else { "" };
    let text = format!("{data} {plural}, {} bytes: {}{more}{then}", record.count, shown.join(" "));
    (true, text)
}

impl Payload {
    fn limit(self) -> Duration {
        match self {
            // Longer than `message_timeout` of the demo's configuration.
            Self::Slow => Duration::from_secs(4),
            _ => Duration::from_secs(1),
        }
    }

    fn bytes(self) -> Vec<u8> {
        const FIN: u8 = 0x80;
        const TEXT: u8 = 0x1;
        const BINARY: u8 = 0x2;
        match self {
            Self::Handshake => Vec::new(),
            Self::ReservedBit => masked(FIN | 0x20 | TEXT, b"hello"),
            Self::Unmasked => [&[FIN | TEXT, 5][..], b"hello"].concat(),
            Self::BrokenText => masked(FIN | TEXT, b"caf\xc3 au lait"),
            Self::HugeHeader => {
                [&[FIN | BINARY, 0x80 | 0x7f][..], &(1_u64 << 31).to_be_bytes(), &MASK].concat()
            }
            Self::Fragments => {
                let first = masked(TEXT, b"x");
                let others = masked(0, b"x").repeat(4999);
                [first, others].concat()
            }
            Self::Bomb => masked(FIN | 0x40 | BINARY, &deflated(&vec![0; 10 << 20])),
            Self::Slow => masked(FIN | TEXT, &[b'x'; 100])[..20].to_vec(),
        }
    }
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Builds a client's frame of less than 64 KiB (RFC 6455 section 5.2).
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut frame = match length {
        0..126 => vec![first, 0x80 | length.to_be_bytes()[1]],
        _ => [&[first, 0x80 | 0x7e][..], &length.to_be_bytes()].concat(),
    };
    frame.extend(MASK);
    let keys = MASK.iter().cycle();
    frame.extend(payload.iter().zip(keys).map(|(byte, key)| byte ^ key));
    frame
}

/// Builds a compressed message (RFC 7692 section 7.2.1).
fn deflated(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(text).and_then(|()| encoder.flush());
    let mut message = encoder.get_ref().clone();
    message.truncate(message.len().saturating_sub(4));
    message
}
