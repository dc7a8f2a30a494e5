//! Both ways at once, in pieces of any size, over sockets of any pace; and records that are damaged on
//! their way.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::tls::records::MAX_RECORD;

#[derive(Debug, Clone)]
enum Step {
    /// The peer says so many bytes, in one write of its own.
    Say(usize),
    /// So many bytes from the peer arrive.
    Arrive(usize),
    Lend,
    Read(usize),
    /// The stream is to say so many more.
    Write(usize),
    Flush,
    /// The socket takes so many more.
    Room(usize),
    UpdateKeys,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = || prop_oneof![4 => 0..200_usize, 2 => 0..5000_usize, 1 => 0..70_000_usize];
    let step = prop_oneof![
        1 => size().prop_map(Step::Say),
        2 => size().prop_map(Step::Arrive),
        2 => Just(Step::Lend),
        1 => size().prop_map(Step::Read),
        2 => size().prop_map(Step::Write),
        1 => Just(Step::Flush),
        1 => size().prop_map(Step::Room),
        1 => Just(Step::UpdateKeys),
    ];
    vec(step, 1..60)
}

struct Run {
    pair: Pair,
    version: &'static SupportedProtocolVersion,
    /// Said, and still on its way.
    coming: Vec<u8>,
    said: Vec<u8>,
    lent: Vec<u8>,
    /// To be written, and how much of it was taken.
    ours: Vec<u8>,
    taken: usize,
    updates: usize,
}

impl Run {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let pair = serving(version);
        pair.peer.socket.lock().room = Some(0);
        let (coming, said, lent, ours) = Default::default();
        Self { pair, version, coming, said, lent, ours, taken: 0, updates: 0 }
    }

    fn step(&mut self, step: &Step) {
        let socket = self.pair.peer.socket.clone();
        match *step {
            Step::Say(size) => {
                let bytes: Vec<u8> = pattern(self.said.len() + size).split_off(self.said.len());
                let arrived = socket.intercept();
                self.pair.peer.say(&bytes);
                self.coming.extend(socket.intercept());
                socket.deliver(&arrived);
                self.said.extend(bytes);
            }
            Step::Arrive(size) => {
                let size = size.min(self.coming.len());
                socket.deliver(&self.coming[..size]);
                self.coming.drain(..size);
            }
            Step::Lend => self.lend(),
            Step::Read(size) => self.read(size),
            Step::Write(size) => {
                let end = self.ours.len() + size;
                self.ours = pattern(end);
                self.write();
            }
            Step::Flush => drop(self.pair.flush()),
            Step::Room(size) => {
                let mut socket = socket.lock();
                socket.room = socket.room.map(|room| room + size);
            }
            Step::UpdateKeys => {
                // More of them without data between would be an error.
                if self.version == TLS13 && self.updates < 30 {
                    self.updates += 1;
                    let arrived = socket.intercept();
                    self.pair.peer.tls.refresh_traffic_keys().unwrap();
                    self.pair.peer.speak();
                    self.coming.extend(socket.intercept());
                    socket.deliver(&arrived);
                }
            }
        }
        self.pair.peer.listen();
        let Held { inbound, plain, outbound } = self.pair.stream.held();
        assert!(inbound < MAX_RECORD && plain < MAX_RECORD && outbound < AT_ONCE + 3000);
    }

    fn lend(&mut self) {
        match self.pair.lend() {
            Lent::Bytes(bytes) => self.lent.extend(bytes),
            other => assert_eq!(other, Lent::Nothing),
        }
    }

    fn read(&mut self, size: usize) {
        use tokio::io::{AsyncRead, ReadBuf};
        let mut space = vec![0; size];
        let mut buf = ReadBuf::new(&mut space);
        let polled = poll(|cx| Pin::new(&mut self.pair.stream).poll_read(cx, &mut buf));
        if let Poll::Ready(result) = polled {
            result.unwrap();
            assert!(size == 0 || !buf.filled().is_empty(), "this is not the end");
            self.lent.extend_from_slice(buf.filled());
        }
    }

    fn write(&mut self) {
        if self.taken == self.ours.len() {
            return;
        }
        let rest = self.ours[self.taken..].to_vec();
        if let Poll::Ready(taken) = self.pair.write(&rest) {
            self.taken += taken.unwrap();
        }
    }

    /// Everything arrives in the end, both ways.
    fn finish(mut self) {
        let socket = self.pair.peer.socket.clone();
        socket.lock().room = None;
        let arrived = socket.intercept();
        self.pair.peer.close();
        let end = socket.intercept();
        socket.deliver(&[arrived, self.coming.clone(), end].concat());
        let (rest, last) = self.pair.lend_all();
        self.lent.extend(rest);
        assert_eq!(last, Lent::End);
        assert!(self.lent == self.said, "what the peer said was lent");
        while self.taken < self.ours.len() {
            self.write();
        }
        assert!(matches!(self.pair.shutdown(), Poll::Ready(Ok(()))));
        self.pair.peer.listen();
        assert!(self.pair.peer.heard == self.ours, "what was written was heard");
        assert_eq!(self.pair.peer.ended, Some(Ok(())));
    }
}

/// Damage to records on their way.
#[derive(Debug, Clone)]
enum Damage {
    Flip(u8),
    Insert(Vec<u8>),
    Lose(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (1..=u8::MAX).prop_map(Damage::Flip),
        vec(any::<u8>(), 1..400).prop_map(Damage::Insert),
        (1..300_usize).prop_map(Damage::Lose),
    ]
}

impl Damage {
    fn act_on(&self, records: &mut Vec<u8>, at: prop::sample::Index) {
        let at = at.index(records.len());
        match self {
            Self::Flip(bits) => records[at] ^= bits,
            Self::Insert(bytes) => drop(records.splice(at..at, bytes.iter().copied())),
            Self::Lose(size) => drop(records.drain(at..records.len().min(at + size))),
        }
    }
}

/// The stream lends nothing that was not said, in the end it fails, and then it is silent.
fn survives(mut pair: Pair, records: &[u8], pieces: &[usize], said: &[u8]) {
    let socket = pair.peer.socket.clone();
    let (mut lent, mut rest) = (Vec::new(), records);
    let mut last = Lent::Nothing;
    for size in pieces.iter().cycle() {
        let (piece, later) = rest.split_at(rest.len().min(*size));
        rest = later;
        socket.deliver(piece);
        socket.lock().eof = rest.is_empty();
        let (bytes, end) = pair.lend_all();
        lent.extend(bytes);
        last = end;
        if last != Lent::Nothing {
            break;
        }
    }
    assert!(said.starts_with(&lent));
    assert!(matches!(last, Lent::Error(..)), "{last:?}");
    assert_eq!(pair.lend(), last);
    let fatal = matches!(last, Lent::Error(ErrorKind::InvalidData, _));
    socket.collect();
    assert_eq!(matches!(pair.write(b"x"), Poll::Ready(Err(_))), fatal);
    assert!(matches!(pair.shutdown(), Poll::Ready(Ok(()))));
    assert_eq!(socket.collect().is_empty(), fatal);
}

proptest! {
    #[test]
    fn damaged_records_are_an_error_and_never_lent(
        version in prop_oneof![Just(TLS12), Just(TLS13)],
        serves in any::<bool>(),
        sizes in vec(prop_oneof![1..200_usize, 1..40_000_usize], 1..6),
        damage in damage(),
        at in any::<prop::sample::Index>(),
        pieces in vec(prop_oneof![1..50_usize, 1..40_000_usize], 1..5),
    ) {
        let said = pattern(sizes.iter().sum());
        let records = |peer: &mut Peer| {
            // Tickets come first, and whole.
            let before = peer.socket.intercept();
            let mut rest = said.as_slice();
            for size in &sizes {
                peer.say(&rest[..*size]);
                rest = &rest[*size..];
            }
            let mut records = peer.socket.intercept();
            damage.act_on(&mut records, at);
            [before, records].concat()
        };
        if serves {
            let mut pair = serving(version);
            let records = records(&mut pair.peer);
            survives(pair, &records, &pieces, &said);
        } else {
            let mut pair = calling(version);
            let records = records(&mut pair.peer);
            survives(pair, &records, &pieces, &said);
        }
    }

    #[test]
    fn nothing_is_lost_or_doubled_or_out_of_order(
        version in prop_oneof![Just(TLS12), Just(TLS13)],
        steps in steps(),
    ) {
        let mut run = Run::new(version);
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }

    /// Bytes of anybody's, at any cut: an error or nothing, never a panic.
    #[test]
    fn bytes_that_are_no_records_are_an_error(
        bytes in vec(any::<u8>(), 0..200),
        typ in 20_u8..24,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut pair = serving(TLS12);
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let record = [&[typ, 3, 3], length.as_slice(), &bytes].concat();
        let (first, second) = record.split_at(cut.index(record.len()));
        for part in [first, second] {
            pair.peer.socket.deliver(part);
            prop_assert!(!matches!(pair.lend(), Lent::Bytes(_) | Lent::End));
        }
        prop_assert!(matches!(pair.shutdown(), Poll::Ready(Ok(()))));
    }
}
