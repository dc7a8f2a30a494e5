//! The application behind the proxies: answers the upgrade, then echoes each message when it is
//! whole, after a pause on a connection to `.../slow`, or pushes messages on one to `.../push`. A request without an upgrade
//! gets a page: `/page/SIZE` one of so many bytes. It trusts its peer; it is not measured.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const CLOSE: u8 = 0x88;
const READ: usize = 64 * 1024;
/// Between two messages that are pushed to one client.
const TICK: Duration = Duration::from_millis(1);
/// Before an answer that is to be slow: a proxy has gone to sleep by then.
const PAUSE: Duration = Duration::from_millis(3);

/// What a connection asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Echo,
    SlowEcho,
    Push,
}

/// Accepts for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        // One that fails is missed by the client that waits for it.
        tokio::spawn(async move {
            let _ = session(stream).await;
        });
    }
}

async fn session(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    let Some(manner) = answer(&mut stream, &mut buffer).await? else {
        return Ok(());
    };
    let mut out = Vec::new();
    loop {
        let mut used = 0;
        let mut closed = false;
        while let Some(frame) = Frame::read(&buffer[used..]) {
            used += frame.size;
            closed = frame.first == CLOSE;
            if manner == Manner::Push && !closed {
                push(&mut stream, &frame.payload()).await?;
            } else {
                frame.echo(&mut out);
            }
        }
        buffer.drain(..used);
        if !out.is_empty() {
            if manner == Manner::SlowEcho {
                tokio::time::sleep(PAUSE).await;
            }
            stream.write_all(&out).await?;
        }
        out.clear();
        if closed {
            return Ok(());
        }
        if buffer.is_empty() {
            // An idle connection of ten thousand keeps no buffer.
            (buffer, out) = (Vec::new(), Vec::new());
            stream.readable().await?;
        }
        buffer.reserve(READ);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// Reads requests and sends pages, up to a request that is answered with 101. What came behind it stays in
/// `buffer`. `None` when the proxy closes the connection.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Manner>> {
    let mut page = (0, Vec::new());
    let (head, key) = loop {
        let Some(head) = read_head(stream, buffer).await? else {
            return Ok(None);
        };
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        let key = fields.clone().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        if let Some((_, key)) = key {
            let key = key.trim().to_owned();
            break (head, key);
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let size = path.rsplit('/').next().and_then(|size| size.parse().ok());
        let size = size.ok_or(io::ErrorKind::InvalidData)?;
        if page.0 != size {
            page = (size, crate::load::page(size));
        }
        stream.write_all(&page.1).await?;
    };
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    Ok(Some(match path.rsplit('/').next() {
        Some("push") => Manner::Push,
        Some("slow") => Manner::SlowEcho,
        _ => Manner::Echo,
    }))
}

/// The next head, taken out of `buffer`; `None` at the end of the stream.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    Ok(Some(head))
}

/// The request is `SIZE COUNT`: so many messages of that size, one each [`TICK`]. Sent without a
/// pause, they would be measured in heaps of whatever size the proxy lets grow.
async fn push(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(request);
    let mut numbers = text.split(' ').filter_map(|number| number.parse().ok());
    let (Some(size), Some(count)) = (numbers.next(), numbers.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let frame = crate::load::unmasked(&crate::load::text(size));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..count {
        ticks.tick().await;
        stream.write_all(&frame).await?;
    }
    Ok(())
}

/// A masked frame that is whole.
struct Frame<'a> {
    first: u8,
    /// The header without its key.
    head: &'a [u8],
    key: [u8; 4],
    masked: &'a [u8],
    size: usize,
}

impl<'a> Frame<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let [first, second, ..] = *bytes else {
            return None;
        };
        let (length, head) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let start = head + 4;
        let size = start + usize::try_from(length).ok()?;
        let key = *bytes.get(head..)?.first_chunk()?;
        let masked = bytes.get(start..size)?;
        Some(Self { first, head: &bytes[..head], key, masked, size })
    }

    fn payload(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.masked.len());
        self.unmask(&mut plain);
        plain
    }

    /// The same frame as a server sends it.
    fn echo(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        let at = out.len() - self.head.len() + 1;
        out[at] &= 0x7f;
        self.unmask(out);
    }

    fn unmask(&self, out: &mut Vec<u8>) {
        let key = u32::from_ne_bytes(self.key);
        let (words, rest) = self.masked.as_chunks::<4>();
        let at = out.len();
        out.resize(at + self.masked.len(), 0);
        let (to, tail) = out[at..].as_chunks_mut::<4>();
        for (to, from) in to.iter_mut().zip(words) {
            *to = (u32::from_ne_bytes(*from) ^ key).to_ne_bytes();
        }
        for (i, (to, from)) in tail.iter_mut().zip(rest).enumerate() {
            *to = from ^ self.key[i];
        }
    }
}
