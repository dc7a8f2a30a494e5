//! One end of a connection in the test's hands: bytes, heads and frames, each awaited for
//! [`TIMEOUT`] at most.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::frame::masked;
use super::{Frame, Request, Response, TIMEOUT};

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

/// A plain or TLS connection. Everything that is read is also kept in [`Wire::received`].
pub struct Wire {
    stream: Box<dyn Duplex>,
    socket: TcpStream,
    received: Vec<u8>,
    taken: usize,
    masks: bool,
}

impl Wire {
    /// A client's end without TLS.
    pub fn client(socket: TcpStream) -> Self {
        Self::new(Box::new(socket.try_clone().unwrap()), socket, true)
    }

    /// A client's end behind a TLS handshake with this server name.
    pub fn tls_client(socket: TcpStream, config: Arc<ClientConfig>, name: &str) -> Self {
        set_timeouts(&socket, TIMEOUT);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(config, name).unwrap();
        let mut stream = StreamOwned::new(connection, socket.try_clone().unwrap());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        Self::new(Box::new(stream), socket, true)
    }

    /// An application's end.
    pub fn application(socket: TcpStream) -> Self {
        Self::new(Box::new(socket.try_clone().unwrap()), socket, false)
    }

    fn new(stream: Box<dyn Duplex>, socket: TcpStream, masks: bool) -> Self {
        set_timeouts(&socket, TIMEOUT);
        socket.set_nodelay(true).unwrap();
        Self { stream, socket, received: Vec::new(), taken: 0, masks }
    }

    /// Every byte that came so far.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The bytes that came and were not looked at yet.
    pub fn unread(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    /// Whether something came that was not looked at yet; waits for a moment.
    pub fn has_something(&mut self) -> bool {
        let moment = Instant::now() + Duration::from_millis(5);
        !self.unread().is_empty() || self.fill(moment).is_ok()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// As [`Wire::send`], to a peer that may be gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends `chunk` over and over until the other side takes no more for `pause`, or `most` bytes are sent. Returns how
    /// many the other side, and the buffers on the way, took.
    pub fn flood(&mut self, chunk: &[u8], pause: Duration, most: usize) -> usize {
        self.socket.set_write_timeout(Some(pause)).unwrap();
        let mut sent = 0;
        while sent < most {
            match self.stream.write(&chunk[sent % chunk.len()..]) {
                Ok(count) => sent += count,
                Err(error) if is_timeout(&error) => break,
                Err(error) => panic!("flood ended after {sent} bytes: {error}"),
            }
        }
        self.socket.set_write_timeout(Some(TIMEOUT)).unwrap();
        sent
    }

    pub fn send_request(&mut self, request: &Request) {
        self.send(&request.bytes());
    }

    /// Sends a frame exactly as it is.
    pub fn send_frame(&mut self, frame: &Frame) {
        self.send(&frame.encode());
    }

    /// Sends a frame as this end should: masked by a client, not masked by an application.
    pub fn say(&mut self, frame: Frame) {
        let frame = frame.masked(self.masks);
        self.send_frame(&frame);
    }

    /// Reads more; `Ok(0)` is the end.
    fn fill(&mut self, deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 * 1024];
        let count = loop {
            match self.stream.read(&mut chunk) {
                // A signal, such as that of a child that ended.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.received.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + TIMEOUT;
        while self.unread().len() < count {
            match self.fill(deadline) {
                Ok(1..) => {}
                Ok(0) => panic!("{count} bytes expected, the end came: {}", self.shown()),
                Err(error) => panic!("{count} bytes expected: {error}: {}", self.shown()),
            }
        }
        let start = self.taken;
        self.taken += count;
        self.received[start..self.taken].to_vec()
    }

    /// A head, up to the empty line that ends it.
    pub fn read_head(&mut self) -> Response {
        Response::parse(&self.read_raw_head())
    }

    /// The bytes of a head.
    pub fn read_raw_head(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let end = self.unread().windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(end) = end {
                return self.take(end + 4);
            }
            match self.fill(deadline) {
                Ok(1..) => {}
                other => panic!("a head expected, {other:?}: {}", self.shown()),
            }
        }
    }

    /// A whole answer; the body is as long as Content-Length says, or lasts to the end.
    pub fn read_response(&mut self) -> Response {
        let mut response = self.read_head();
        let length = response.only("content-length").map(str::parse::<usize>);
        response.body = match length {
            _ if response.status() == 101 => Vec::new(),
            Some(length) => self.take(length.unwrap()),
            None => self.read_to_end(),
        };
        response
    }

    /// The next frame, its payload unmasked.
    pub fn read_frame(&mut self) -> Frame {
        let [first, second] = self.take_array();
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.take_array())),
            127 => u64::from_be_bytes(self.take_array()),
            short => u64::from(short),
        };
        let mask = (second & 0x80 != 0).then(|| self.take_array());
        let payload = self.take(usize::try_from(length).unwrap());
        Frame {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 0x7,
            opcode: first & 0x0f,
            mask,
            payload: masked(&payload, mask),
        }
    }

    fn take_array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }

    /// The next frame must be this one, as the other end should send it.
    pub fn expect_frame(&mut self, frame: Frame) {
        let got = self.read_frame();
        assert_eq!(got.mask.is_some(), !self.masks, "only clients mask: {got:?}");
        let mask = got.mask;
        assert_eq!(got, Frame { mask, ..frame });
    }

    /// The next frame must be a Close with a code. Returns it with its reason.
    pub fn expect_close(&mut self) -> (u16, String) {
        let frame = self.read_frame();
        assert!(frame.fin && frame.rsv == 0, "{frame:?}");
        assert_eq!(frame.mask.is_some(), !self.masks, "only clients mask: {frame:?}");
        frame.close_code().expect("a Close frame with a code")
    }

    /// Expects this Close, answers it, and expects the connection to end cleanly behind it.
    pub fn expect_closing(&mut self, code: u16, reason: &str) {
        assert_eq!(self.expect_close(), (code, reason.to_owned()));
        self.say(Frame::close(code, ""));
        self.expect_end();
    }

    /// Behind both Close frames: the server ends the connection first (RFC 6455 section 7.1.1),
    /// which the gateway is to the client and the application to the gateway.
    pub fn expect_end(&mut self) {
        if !self.masks {
            self.half_close();
        }
        self.expect_eof();
        // The other end may have reset the connection already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Nothing more comes, and the connection is ended in order.
    pub fn expect_eof(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "the end expected: {}", self.shown());
    }

    /// The connection ends, in order or by a reset; returns what came before that.
    pub fn expect_gone(&mut self) -> Vec<u8> {
        self.drain(|error| !is_timeout(error))
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        self.drain(|error| error.kind() == ErrorKind::UnexpectedEof)
    }

    fn drain(&mut self, is_end: impl Fn(&io::Error) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.fill(deadline) {
                Ok(1..) => {}
                Err(error) if !is_end(&error) => panic!("the end expected: {error}"),
                Ok(0) | Err(_) => return self.take(self.unread().len()),
            }
        }
    }

    /// Ends the sending half, without a Close frame. A peer that has reset the connection already
    /// leaves nothing to end.
    pub fn half_close(&mut self) {
        match self.socket.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            result => result.unwrap(),
        }
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let linger = Some(Duration::ZERO);
        socket2::SockRef::from(&self.socket).set_linger(linger).unwrap();
    }

    fn shown(&self) -> String {
        let last = self.received.len().saturating_sub(400);
        String::from_utf8_lossy(&self.received[last..]).into_owned()
    }
}

fn set_timeouts(socket: &TcpStream, timeout: Duration) {
    socket.set_read_timeout(Some(timeout)).unwrap();
    socket.set_write_timeout(Some(timeout)).unwrap();
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
