//! What can happen to a stream behind its handshake, and what must hold whenever something did.

mod calls;
mod way;

use framewall::tls::{Held, Stream};
use framewall_fuzz::tls::{Forger, Honest, Link, MAX_RECORD, Socket};

/// Plaintext that one write takes, at most.
const AT_ONCE: usize = 144 * 1024;
/// What its records come to, and what TLS itself may have to say beside it.
const ONE_WRITE: usize = AT_ONCE + 4 * 1024;
/// Nothing is read while more than this waits to be written.
const MOST_OUTBOUND: usize = AT_ONCE + 64 * 1024;
/// Nobody says more in one run, so that runs are short.
const VOLUME: usize = 300_000;
/// More requests for new keys without data between are an error.
const UPDATES: usize = 30;

/// Who is at the other end.
pub(crate) enum Peer {
    Honest(Box<Honest>),
    Corrupt(Forger),
}

pub(crate) struct Run {
    stream: Box<Stream<Socket>>,
    socket: Socket,
    peer: Peer,
    link: Link,
    /// Said, and still on its way.
    coming: Vec<u8>,
    /// Bytes of the pattern: said by the peer, lent by the stream, and taken by it.
    said: usize,
    lent: usize,
    taken: usize,
    updates: usize,
    /// The peer's records were broken on their way, or are none; or those of the stream were.
    damaged: bool,
    deafened: bool,
    /// The peer said `close_notify`.
    closed: bool,
    ended: bool,
    shut: bool,
    /// All that is kept to be written are tickets, which go with what is written next.
    at_leisure: bool,
    /// What the stream said went wrong; and how many bytes it may still write.
    failure: Option<String>,
    last_words: Option<usize>,
}

impl Run {
    pub(crate) fn new(
        stream: Box<Stream<Socket>>,
        socket: Socket,
        peer: Peer,
        link: Link,
        coming: Vec<u8>,
    ) -> Self {
        let (said, lent, taken, updates) = (0, 0, 0, 0);
        let mut run = Self {
            damaged: link.damaged,
            at_leisure: stream.held().outbound > 0,
            stream,
            socket,
            peer,
            link,
            coming: Vec::new(),
            said,
            lent,
            taken,
            updates,
            deafened: false,
            closed: false,
            ended: false,
            shut: false,
            failure: None,
            last_words: None,
        };
        run.send(coming);
        run
    }

    pub(crate) fn step(&mut self, step: u8, more: &mut impl Iterator<Item = u8>) {
        let mut byte = || more.next().unwrap_or(0);
        match step % 25 {
            0 => self.say(size(byte())),
            1 => self.arrive(size(byte())),
            2 => _ = self.lend(AT_ONCE),
            3 => _ = self.read(size(byte())),
            4 => self.write(&[size(byte())]),
            5 => self.write(&[size(byte()), size(byte()), size(byte())]),
            6 => _ = self.flush(),
            7 => _ = self.shutdown(),
            8 => self.hear(size(byte())),
            9 => self.update_keys(),
            10 => self.close(),
            11 => self.give_room(size(byte())),
            12 => self.socket.lock().read_at_most = usize::from(byte()),
            13 => self.socket.lock().write_at_most = usize::from(byte()),
            14 => {
                let mut socket = self.socket.lock();
                socket.stutters = !socket.stutters;
            }
            15 => {
                // The rest is lost: an end in the middle, or a clean one.
                self.coming.clear();
                self.socket.lock().eof = true;
            }
            16 => self.break_off(byte()),
            17 => self.flip(size(byte()), byte()),
            18 => self.insert(&[byte(), 3, byte() % 5, byte(), byte()], usize::from(byte())),
            19 => self.lose(size(byte())),
            20 => self.garble(size(byte()), byte()),
            21 => self.forge(byte(), size(byte()), byte()),
            22 => self.forge_message(byte(), &[byte(), byte(), byte(), byte(), byte()]),
            23 => self.socket.lock().room = None,
            _ => _ = self.lend(0),
        }
        let Held { inbound, plain, outbound } = self.stream.held();
        assert!(inbound < MAX_RECORD, "{inbound} bytes of a record");
        assert!(plain <= MAX_RECORD, "{plain} bytes of plaintext");
        assert!(outbound <= MOST_OUTBOUND + ONE_WRITE, "{outbound} bytes of records");
    }

    /// Everything arrives and is said in the end, unless it was broken.
    pub(crate) fn finish(mut self) {
        self.socket.lock().hurry();
        let cut = self.socket.lock().eof;
        if !self.closed && !self.socket.lock().eof {
            self.close();
        }
        self.arrive(usize::MAX);
        self.socket.lock().eof = true;
        while self.lend(AT_ONCE) {}
        let whole = self.lent == self.said;
        if !self.damaged && !self.deafened && !self.socket.lock().reset {
            assert!(cut || self.ended, "the end did not come");
            assert!(!self.ended || whole, "the end came before the last byte");
        }
        // What it said last it says again, whoever asks.
        let (ended, failed) = (self.ended, self.failure.is_some());
        assert!(!self.lend(AT_ONCE) && !self.read(10) && !self.lend(0));
        assert_eq!((self.ended, self.failure.is_some()), (ended, failed));
        assert!(self.shutdown(), "the socket takes everything");
        self.write(&[1]);
        self.hear(usize::MAX);
        let Peer::Honest(peer) = &self.peer else { return };
        if !self.damaged && !self.deafened && !self.socket.lock().reset {
            assert_eq!(peer.heard, self.taken, "not all was heard");
            assert_eq!(peer.ended, Some(Ok(())));
        }
    }
}

/// Small sizes as they are, large ones up to those of many records.
fn size(byte: u8) -> usize {
    let size = usize::from(byte);
    if size < 200 { size } else { (size - 199) * 1237 }
}
