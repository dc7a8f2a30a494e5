//! A real application at the other end: what it understood is what comes back.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::{slice, thread};

use tokio_tungstenite::tungstenite::{Error, accept};

use super::Case;
use super::agreement::Agreement;
use super::case::End;
use super::drive::send;
use super::support::{Frame, Gateway, Request, Wire, inflated};

/// tungstenite's server, a thread a connection, until the test's process ends.
pub(crate) struct Echo(SocketAddr);

impl Echo {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                thread::spawn(move || echo(stream));
            }
        });
        Self(address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }
}

/// Ends with the error that says that the connection did.
fn echo(stream: TcpStream) -> Error {
    let mut socket = match accept(stream) {
        Ok(socket) => socket,
        Err(error) => panic!("the gateway's handshake is refused: {error}"),
    };
    loop {
        let echoed = socket.read().and_then(|message| {
            let is_data = message.is_text() || message.is_binary();
            if is_data { socket.send(message) } else { Ok(()) }
        });
        if let Err(error) = echoed {
            return error;
        }
    }
}

/// Runs a case that is in order through the gateway to an echo: each message comes back, each
/// ping is answered, and the Close too.
pub(crate) fn through(case: &Case, gateway: &Gateway) {
    let mut client = gateway.connect();
    let alone = "; server_no_context_takeover; client_no_context_takeover";
    let agreement = case.agreed.as_ref().map(|_| Agreement::new(alone, alone, alone));
    client.send_request(&agreement.map_or(Request::upgrade("/ws"), |agreed| agreed.request()));
    let answer = client.read_head();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.only("sec-websocket-extensions").is_some(), case.agreed.is_some());
    let (close, frames) = match (case.end, case.crosses.split_last()) {
        (End::Closed, Some((close, frames))) => (close.clone(), frames),
        _ => (Frame::close(1000, "as expected"), &case.crosses[..]),
    };
    send(&mut client, frames, &[], case.writes, true);
    expect_echo(&mut client, frames);
    send(&mut client, slice::from_ref(&close), &case.stays, case.writes, true);
    expect_answer(&mut client, &close, frames);
    client.expect_end();
}

/// What one end said, as messages: text or binary, and pongs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    messages: Vec<(u8, Vec<u8>)>,
    pongs: Vec<Vec<u8>>,
    open: bool,
    compressed: bool,
}

impl Heard {
    /// What an echo says to these frames.
    fn of(frames: &[Frame]) -> Self {
        let mut heard = Self::default();
        for frame in frames {
            match frame.opcode {
                0x9 => heard.pongs.push(frame.payload.clone()),
                0xa => {}
                _ => heard.data(frame),
            }
        }
        if heard.open {
            heard.messages.pop();
            (heard.open, heard.compressed) = (false, false);
        }
        heard
    }

    fn data(&mut self, frame: &Frame) {
        if !self.open {
            self.messages.push((frame.opcode, Vec::new()));
            self.compressed = frame.rsv == 4;
        }
        let (_, payload) = self.messages.last_mut().unwrap();
        payload.extend_from_slice(&frame.payload);
        self.open = !frame.fin;
        if frame.fin && std::mem::take(&mut self.compressed) {
            *payload = inflated(payload);
        }
    }
}

/// The echo may put its pongs between its messages as it likes.
fn expect_echo(client: &mut Wire, frames: &[Frame]) {
    let wanted = Heard::of(frames);
    let mut heard = Heard::default();
    while heard.open
        || heard.messages.len() < wanted.messages.len()
        || heard.pongs.len() < wanted.pongs.len()
    {
        let frame = client.read_frame();
        match frame.opcode {
            0xa => heard.pongs.push(frame.payload),
            0x0..=0x2 => heard.data(&frame),
            _ => panic!("an echo expected: {frame:?}"),
        }
    }
    assert!(heard == wanted, "{heard:.400?} is not {wanted:.400?}");
}

/// The same code back. An echo may answer with 1002 what it takes for a mistake and the RFC does
/// not: 1014, which was registered after it (tungstenite), or a Close inside a message (Python).
fn expect_answer(client: &mut Wire, close: &Frame, frames: &[Frame]) {
    let sent = close.close_code().map(|(code, _)| code);
    let answer = client.read_frame().close_code().map(|(code, _)| code);
    let debatable = sent == Some(1014) || is_open(frames);
    let own = debatable && answer == Some(1002);
    assert!(answer == sent || own, "{answer:?} answers {sent:?}");
}

/// Whether these frames end inside a message.
fn is_open(frames: &[Frame]) -> bool {
    frames.iter().rfind(|frame| frame.opcode < 8).is_some_and(|frame| !frame.fin)
}
