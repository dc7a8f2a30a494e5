//! A TLS stream of the gateway's, over a socket of any pace, with a peer that is rustls' own buffered
//! connection, or one that has its keys and misuses them. The input decides what happens in which
//! order, and what is broken on the way. What arrives is what was sent, and all of it when nothing
//! was broken; a stream that waits is woken; what it keeps is bounded; after an error it says no more.

#![no_main]

mod run;

use framewall::tls;
use framewall_fuzz::tls::{Honest, Link, SETTINGS, Socket, shake};
use libfuzzer_sys::fuzz_target;
use run::{Peer, Run};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// One byte of choices, two of the socket's pace, four of an edit, then steps.
struct Case<'a> {
    serving: bool,
    version: &'static SupportedProtocolVersion,
    corrupt: bool,
    link: Link,
    socket: Socket,
    steps: &'a [u8],
}

fuzz_target!(|data: &[u8]| {
    if let Some(case) = Case::read(data) {
        case.run();
    }
});

impl<'a> Case<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let ([choice, read, write, low, high, how, byte], steps) = data.split_first_chunk()?;
        let mut link = Link::default();
        if choice & 16 != 0 {
            link.edit = Some((usize::from(u16::from_le_bytes([*low, *high])), *how, *byte));
        }
        let socket = Socket::default();
        {
            let mut socket = socket.lock();
            (socket.read_at_most, socket.write_at_most) = (usize::from(*read), usize::from(*write));
            socket.stutters = choice & 8 != 0;
            socket.room = (choice & 32 != 0).then_some(usize::from(*low));
        }
        Some(Self {
            serving: choice & 1 == 0,
            version: if choice & 2 == 0 { &TLS13 } else { &TLS12 },
            corrupt: choice & 4 != 0,
            link,
            socket,
            steps,
        })
    }

    fn run(mut self) {
        let socket = self.socket.clone();
        let settings = &*SETTINGS;
        if self.serving {
            let mut peer = Honest::client(settings.client(self.version));
            let shaking = settings.terminator.accept(socket.clone());
            let stream = shake(&socket, &mut peer, &mut self.link, shaking);
            self.go_on(stream.map(|terminated| terminated.stream), peer);
        } else {
            let mut peer = Honest::server(settings.server(self.version));
            let shaking = settings.connector.connect(socket.clone());
            let stream = shake(&socket, &mut peer, &mut self.link, shaking);
            self.go_on(stream, peer);
        }
    }

    fn go_on(self, stream: std::io::Result<Box<tls::Stream<Socket>>>, mut peer: Honest) {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                assert!(self.link.damaged, "an honest handshake failed: {error}");
                return;
            }
        };
        let coming = peer.speak();
        let peer = if self.corrupt {
            peer.corrupt().map(Peer::Corrupt)
        } else {
            Some(Peer::Honest(Box::new(peer)))
        };
        if let Some(peer) = peer {
            let mut run = Run::new(stream, self.socket, peer, self.link, coming);
            let mut steps = self.steps.iter().copied();
            while let Some(step) = steps.next() {
                run.step(step, &mut steps);
            }
            run.finish();
        }
    }
}
