//! A real application at the other end: what it understood is what comes back.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use tokio_tungstenite::tungstenite::{Error, accept};

use super::Case;
use super::case::{End, Part};
use super::drive::send;
use super::support::{Frame, Gateway, Request, Wire};

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
        let outcome =
            socket.read().and_then(|message| match message.is_text() || message.is_binary() {
                true => socket.send(message),
                false => Ok(()),
            });
        if let Err(error) = outcome {
            return error;
        }
    }
}

/// Runs a case that is in order through the gateway to an echo: each message comes back, each
/// ping is answered, and the Close too.
pub(crate) fn through(case: &Case, gateway: &Gateway) {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    assert_eq!(client.read_head().status(), 101);
    let (close, frames) = match (case.end, case.crosses.split_last()) {
        (End::Closed, Some((close, frames))) => (close.clone(), frames),
        _ => (Frame::close(1000, "as expected"), &case.crosses[..]),
    };
    send(&mut client, frames, &[], case.writes, true);
    expect_echo(&mut client, frames);
    let late: Vec<Part> = case.stays.clone();
    send(&mut client, &[close.clone()], &late, case.writes, true);
    expect_answer(&mut client, &close);
    client.expect_end();
}

/// What one end said, as messages: text or binary, and pongs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    messages: Vec<(u8, Vec<u8>)>,
    pongs: Vec<Vec<u8>>,
    open: bool,
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
            heard.open = false;
        }
        heard
    }

    fn data(&mut self, frame: &Frame) {
        if !self.open {
            self.messages.push((frame.opcode, Vec::new()));
        }
        let (_, payload) = self.messages.last_mut().unwrap();
        payload.extend_from_slice(&frame.payload);
        self.open = !frame.fin;
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

/// The same code back. 1014 was registered after the RFC, and there are implementations that
/// answer a code which they do not know with 1002.
fn expect_answer(client: &mut Wire, close: &Frame) {
    let sent = close.close_code().map(|(code, _)| code);
    let answer = client.read_frame().close_code().map(|(code, _)| code);
    let unknown = sent == Some(1014) && answer == Some(1002);
    assert!(answer == sent || unknown, "{answer:?} answers {sent:?}");
}
