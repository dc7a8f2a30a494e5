//! A peer that does as TLS says: rustls' own buffered connection; and handshakes with it.

use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use rustls::{ClientConnection, Connection, Error, ServerConnection};

use super::{Forger, Socket, pattern};

/// The other end of a stream.
pub struct Honest {
    tls: Connection,
    /// Bytes that it heard: all of them those of the pattern.
    pub heard: usize,
    /// What it makes of what it was sent last, if that is the end.
    pub ended: Option<Result<(), Error>>,
}

/// What becomes of bytes on their way to the stream: one edit at one place.
#[derive(Default)]
pub struct Link {
    passed: usize,
    /// Where, how, and with which byte.
    pub edit: Option<(usize, u8, u8)>,
    /// It was edited.
    pub damaged: bool,
}

impl Honest {
    /// A client.
    #[must_use]
    pub fn client(config: rustls::ClientConfig) -> Self {
        Self::new(ClientConnection::new(Arc::new(config), super::name()).expect("a client").into())
    }

    /// A server.
    #[must_use]
    pub fn server(config: rustls::ServerConfig) -> Self {
        Self::new(ServerConnection::new(Arc::new(config)).expect("a server").into())
    }

    /// Whoever this is.
    #[must_use]
    pub fn new(tls: Connection) -> Self {
        Self { tls, heard: 0, ended: None }
    }

    /// Whether it has not failed.
    #[must_use]
    pub fn speaks(&self) -> bool {
        !matches!(self.ended, Some(Err(_)))
    }

    /// Records with `size` bytes of the pattern, from `at`.
    pub fn say(&mut self, at: usize, size: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (at..at + size).map(pattern).collect();
        let (mut rest, mut records) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let said = self.tls.writer().write(rest).expect("a buffer");
            rest = &rest[said..];
            records.extend(self.speak());
        }
        records
    }

    /// `close_notify`.
    pub fn close(&mut self) -> Vec<u8> {
        self.tls.send_close_notify();
        self.speak()
    }

    /// New keys for itself, and a request for new ones of the stream's. There is none in TLS 1.2.
    pub fn update_keys(&mut self) -> Vec<u8> {
        let _ = self.tls.refresh_traffic_keys();
        self.speak()
    }

    /// Records that it has to send.
    pub fn speak(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("a vector");
        }
        records
    }

    /// Takes what the stream sent, until that is the end.
    pub fn hear(&mut self, mut records: &[u8]) {
        while !records.is_empty() && self.ended.is_none() {
            if self.tls.read_tls(&mut records).expect("a slice") == 0 {
                break;
            }
            if let Err(error) = self.tls.process_new_packets() {
                self.ended = Some(Err(error));
            }
            let mut plain = Vec::new();
            match self.tls.reader().read_to_end(&mut plain) {
                Ok(_) => self.ended = self.ended.take().or(Some(Ok(()))),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            for byte in plain {
                assert_eq!(byte, pattern(self.heard), "at {}", self.heard);
                self.heard += 1;
            }
        }
    }

    /// Its keys, for one that is not honest. `None` if its handshake is not over.
    #[must_use]
    pub fn corrupt(self) -> Option<Forger> {
        if self.tls.is_handshaking() {
            return None;
        }
        let suite = self.tls.negotiated_cipher_suite()?;
        let secrets = match self.tls {
            Connection::Client(tls) => tls.dangerous_extract_secrets(),
            Connection::Server(tls) => tls.dangerous_extract_secrets(),
        };
        Some(Forger::new(suite, secrets.ok()?.tx))
    }
}

impl Link {
    /// What arrives of these bytes.
    pub fn pass(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let start = self.passed;
        self.passed += bytes.len();
        let Some((at, how, byte)) = self.edit.filter(|(at, ..)| (start..self.passed).contains(at))
        else {
            return bytes;
        };
        let at = at - start;
        self.damaged = true;
        match how % 4 {
            0 => bytes[at] ^= byte.max(1),
            1 => bytes.insert(at, byte),
            2 => drop(bytes.drain(at..(at + 1 + usize::from(byte)).min(bytes.len()))),
            _ => drop(bytes.splice(at..at, vec![byte; 300])),
        }
        bytes
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a handshake of the gateway's to its end.
///
/// # Errors
/// Those of the handshake.
pub fn shake<T>(
    socket: &Socket,
    peer: &mut Honest,
    link: &mut Link,
    shaking: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut shaking = Box::pin(shaking);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        let coming = link.pass(peer.speak());
        let idle = coming.is_empty();
        socket.lock().arrived.extend(coming);
        socket.lock().calls = super::Calls::default();
        let polled = shaking.as_mut().poll(&mut Context::from_waker(&waker));
        let written = std::mem::take(&mut socket.lock().written);
        peer.hear(&written);
        if let Poll::Ready(result) = polled {
            return result;
        }
        let mut socket = socket.lock();
        assert!(socket.reader_is(&waker) || socket.writer_is(&waker), "who wakes it?");
        let woken = woken.0.swap(false, Ordering::Relaxed);
        if idle && socket.calls.moves == 0 && !woken {
            assert!(!socket.eof || socket.room.is_some(), "a handshake without an end");
            socket.eof = socket.room.take().is_none();
        }
    }
}
