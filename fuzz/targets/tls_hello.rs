//! Arbitrary bytes as the beginning of a TLS connection, in records as they come or in records of
//! any size, towards either end. The handshake fails, and with the same error as that of rustls' own
//! buffered connection: how bytes are read decides nothing.

#![no_main]

use std::future::Future;
use std::io::{self, ErrorKind};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use framewall_fuzz::tls::{SETTINGS, Socket, name};
use libfuzzer_sys::fuzz_target;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConnection, Connection, Error, ServerConfig, ServerConnection};

/// As the gateway's, for a connection that buffers.
static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(SETTINGS.resolver());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
});

/// One byte of choices, two of sizes, then what is sent.
struct Case {
    serving: bool,
    socket: Socket,
    sent: Vec<u8>,
}

fuzz_target!(|data: &[u8]| {
    let Some(([choice, record, read], bytes)) = data.split_first_chunk() else {
        return;
    };
    let socket = Socket::default();
    {
        let mut socket = socket.lock();
        socket.read_at_most = usize::from(*read);
        socket.write_at_most = usize::from(*read);
        socket.stutters = choice & 2 != 0;
    }
    let sent = if choice & 4 == 0 { bytes.to_vec() } else { fragments(*record, bytes) };
    Case { serving: choice & 1 == 0, socket, sent }.run();
});

impl Case {
    fn run(self) {
        let (error, expected) = if self.serving {
            let tls = ServerConnection::new(SERVER.clone()).expect("a server");
            (self.shake(SETTINGS.terminator.accept(self.socket.clone())), self.buffered(tls.into()))
        } else {
            let tls = ClientConnection::new(SETTINGS.upstream_client(), name()).expect("a client");
            let shaking = SETTINGS.connector.connect(self.socket.clone());
            (self.shake(shaking), self.buffered(tls.into()))
        };
        check_records(&self.socket.lock().written);
        match expected {
            Some((expected, answer)) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}, not {expected}");
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
                assert_eq!(inner, Some(&expected));
                // An alert alone is not encrypted. It goes out as far as the socket takes it.
                let socket = self.socket.lock();
                let whole = socket.written == answer;
                let part = socket.stutters && answer.starts_with(&socket.written);
                assert!(answer.len() != 7 || whole || part, "another alert");
            }
            None => assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}"),
        }
    }

    fn shake<T>(&self, shaking: impl Future<Output = io::Result<T>>) -> io::Error {
        let mut shaking = Box::pin(shaking);
        let mut poll = || shaking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.socket.lock().arrived.extend(&self.sent);
        self.socket.lock().eof = true;
        let mut polls = 0;
        loop {
            polls += 1;
            match poll() {
                Poll::Ready(Ok(_)) => panic!("nobody has the keys"),
                Poll::Ready(Err(error)) => return error,
                Poll::Pending => {
                    let socket = self.socket.lock();
                    assert!(socket.stutters, "nothing is in the way");
                    assert!(polls <= socket.calls.moves + 4, "it does not go on");
                }
            }
        }
    }

    /// What the buffered connection makes of it, if that is an error, and what it says to it.
    fn buffered(&self, mut tls: Connection) -> Option<(Error, Vec<u8>)> {
        let mut answer = Vec::new();
        let mut speak = |tls: &mut Connection| {
            while tls.wants_write() {
                tls.write_tls(&mut answer).expect("a vector");
            }
        };
        let mut rest = self.sent.as_slice();
        while !rest.is_empty() && tls.read_tls(&mut rest).expect("a slice") > 0 {
            let processed = tls.process_new_packets();
            speak(&mut tls);
            if let Err(error) = processed {
                return Some((error, answer));
            }
        }
        None
    }
}

/// Handshake records with so many bytes each.
fn fragments(size: u8, bytes: &[u8]) -> Vec<u8> {
    let record = |piece: &[u8]| {
        let length = u8::try_from(piece.len()).expect("at most 255");
        [&[0x16, 3, 1, 0, length], piece].concat()
    };
    bytes.chunks(usize::from(size.max(1))).flat_map(record).collect()
}

/// What is written are whole records.
fn check_records(mut written: &[u8]) {
    while let Some(([typ, major, _, high, low], rest)) = written.split_first_chunk() {
        assert!((20..24).contains(typ) && *major == 3, "{typ}");
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        written = rest.get(length..).expect("a whole record");
    }
    assert!(written.is_empty(), "the beginning of a record");
}
