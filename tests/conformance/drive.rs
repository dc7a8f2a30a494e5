//! Sends a case from one end of a session and looks at both.

use super::Case;
use super::case::{End, Part, Writes};
use super::support::{Frame, Session, Wire};

/// The sender's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToUpstream,
    ToClient,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ToUpstream => "client to upstream",
            Self::ToClient => "upstream to client",
        }
    }

    fn masks(self) -> bool {
        self == Self::ToUpstream
    }
}

/// The two ends, by what they do in this case.
struct Ends {
    sender: Wire,
    receiver: Wire,
    direction: Direction,
}

/// Runs a case in a session of its own, to the end of both connections.
pub(crate) fn drive(case: &Case, session: Session, direction: Direction) {
    let Session { client, upstream, .. } = session;
    let (sender, receiver) = match direction {
        Direction::ToUpstream => (client, upstream),
        Direction::ToClient => (upstream, client),
    };
    let mut ends = Ends { sender, receiver, direction };
    let masks = direction.masks();
    send(&mut ends.sender, &case.crosses, &case.stays, case.writes, masks);
    expect_bytes(&mut ends.receiver, &encode(&case.crosses, masks).concat());
    match case.end {
        End::Open => ends.close(),
        End::Closed => ends.answer(case.crosses.last().expect("a Close")),
        End::Refused(code, reason) => ends.expect_refusal(code, reason),
        End::Cut(code, reason) => ends.expect_cut(code, reason, &case.stays),
    }
}

/// Writes frames as the case has them written.
pub(crate) fn send(
    wire: &mut Wire,
    crosses: &[Frame],
    stays: &[Part],
    writes: Writes,
    masks: bool,
) {
    let mut pieces = encode(crosses, masks);
    pieces.extend(stays.iter().map(|part| part.encode(masks)));
    match writes {
        Writes::FrameWise => pieces.iter().for_each(|piece| wire.send(piece)),
        Writes::Together => wire.send(&pieces.concat()),
        Writes::Chops(size) => pieces.concat().chunks(size).for_each(|chop| wire.send(chop)),
    }
}

fn encode(frames: &[Frame], masks: bool) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.clone().masked(masks).encode()).collect()
}

fn expect_bytes(wire: &mut Wire, wanted: &[u8]) {
    let got = wire.take(wanted.len());
    let same = got.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    assert_eq!(same, wanted.len(), "what arrived differs from what was sent at byte {same}");
}

impl Ends {
    fn close(mut self) {
        let close = Frame::close(1000, "as expected");
        self.sender.say(close.clone());
        self.receiver.expect_frame(close.clone());
        self.answer(&close);
    }

    /// The receiver has its Close and answers it; behind that, nothing comes at either end.
    fn answer(mut self, close: &Frame) {
        self.receiver.say(close.clone());
        self.sender.expect_frame(close.clone());
        let (mut client, mut upstream) = self.into_client_and_upstream();
        client.expect_end();
        upstream.expect_end();
    }

    /// A Close for each, with what each is to know, and nothing else.
    fn expect_refusal(mut self, code: u16, reason: &str) {
        let (other_code, other_reason) = told(self.direction, reason);
        self.sender.expect_closing(code, reason);
        self.receiver.expect_closing(other_code, other_reason);
    }

    /// A Close for the sender; the receiver has bytes of the frame, none from the offence on, and
    /// then the end of its connection.
    fn expect_cut(mut self, code: u16, reason: &str, stays: &[Part]) {
        let sent = stays[0].encode(self.direction.masks());
        let arrived = self.receiver.expect_gone();
        assert!(arrived.len() < sent.len(), "the offending byte arrived");
        assert!(sent.starts_with(&arrived), "something else than the frame arrived");
        assert_eq!(self.sender.expect_close(), (code, reason.to_owned()));
    }

    fn into_client_and_upstream(self) -> (Wire, Wire) {
        match self.direction {
            Direction::ToUpstream => (self.sender, self.receiver),
            Direction::ToClient => (self.receiver, self.sender),
        }
    }
}

/// What the end is told that did nothing wrong: an application that its client is gone, a client
/// that the application failed.
fn told(direction: Direction, reason: &str) -> (u16, &str) {
    match (direction, reason) {
        (Direction::ToUpstream, _) => (1001, reason),
        (Direction::ToClient, "frame.protocol" | "frame.utf8") => (1014, "upstream.protocol"),
        (Direction::ToClient, _) => (1014, reason),
    }
}
