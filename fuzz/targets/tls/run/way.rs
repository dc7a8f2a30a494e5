//! What the peer does, and what happens to bytes on their way.

use framewall_fuzz::tls::pattern;
use rustls::ContentType;

use super::{Peer, Run, UPDATES, VOLUME};

impl Run {
    pub(super) fn send(&mut self, records: Vec<u8>) {
        let records = self.link.pass(records);
        self.damaged |= self.link.damaged;
        if !self.socket.lock().eof {
            self.coming.extend(records);
        }
    }

    pub(super) fn say(&mut self, size: usize) {
        let size = size.min(VOLUME.saturating_sub(self.said));
        let (at, gone) = (self.said, self.closed);
        let records = match &mut self.peer {
            Peer::Honest(peer) if !gone && peer.speaks() => peer.say(at, size),
            Peer::Honest(_) => return,
            Peer::Corrupt(forger) => {
                // Empty records are counted, longer ones not allowed, and any behind the end ignored.
                self.damaged |= gone || size == 0 || size > 1 << 14;
                let bytes: Vec<u8> = (at..at + size).map(pattern).collect();
                forger.record(ContentType::ApplicationData, &bytes)
            }
        };
        self.said += size;
        self.send(records);
    }

    pub(super) fn arrive(&mut self, size: usize) {
        let size = size.min(self.coming.len());
        self.socket.lock().arrived.extend(self.coming.drain(..size));
    }

    pub(super) fn update_keys(&mut self) {
        if self.closed || self.updates == UPDATES {
            return;
        }
        let Peer::Honest(peer) = &mut self.peer else { return };
        if !peer.speaks() {
            return;
        }
        self.updates += 1;
        let records = peer.update_keys();
        self.send(records);
    }

    pub(super) fn close(&mut self) {
        let records = match &mut self.peer {
            Peer::Honest(peer) => peer.close(),
            Peer::Corrupt(forger) => forger.record(ContentType::Alert, &[1, 0]),
        };
        self.closed = true;
        self.send(records);
    }

    /// The peer takes what the stream wrote.
    pub(super) fn hear(&mut self, size: usize) {
        let written: Vec<u8> = {
            let mut socket = self.socket.lock();
            let size = size.min(socket.written.len());
            socket.written.drain(..size).collect()
        };
        let Peer::Honest(peer) = &mut self.peer else { return };
        peer.hear(&written);
        assert!(peer.heard <= self.taken, "more was heard than said");
        if let Some(Err(error)) = &peer.ended {
            assert!(
                self.damaged || self.deafened,
                "the peer was sent what it must not be: {error}"
            );
        }
        let answers = peer.speak();
        self.send(answers);
    }

    pub(super) fn give_room(&mut self, size: usize) {
        let mut socket = self.socket.lock();
        socket.room = Some(socket.room.unwrap_or(0) + size);
    }

    pub(super) fn break_off(&mut self, sure: u8) {
        // Not in every run.
        self.socket.lock().reset |= sure == 0xff;
    }

    pub(super) fn flip(&mut self, at: usize, bits: u8) {
        if let Some(byte) = self.coming.get_mut(at) {
            *byte ^= bits.max(1);
            self.damaged = true;
        }
    }

    /// A record that is none of the peer's, before what is on its way.
    pub(super) fn insert(&mut self, header: &[u8], size: usize) {
        if self.socket.lock().eof {
            return;
        }
        let record = [header, &vec![0; size]].concat();
        self.coming.splice(0..0, record);
        self.damaged = true;
    }

    pub(super) fn lose(&mut self, size: usize) {
        let size = size.min(self.coming.len());
        self.damaged |= size > 0;
        self.coming.drain(..size);
    }

    /// Something of what the stream wrote reaches the peer as something else.
    pub(super) fn garble(&mut self, at: usize, bits: u8) {
        if let Some(byte) = self.socket.lock().written.get_mut(at) {
            *byte ^= bits.max(1);
            self.deafened = true;
        }
    }

    pub(super) fn forge(&mut self, typ: u8, size: usize, fill: u8) {
        let Peer::Corrupt(forger) = &mut self.peer else { return };
        let typ = ContentType::from(typ);
        if typ == ContentType::ApplicationData || self.coming.len() > VOLUME {
            return;
        }
        let record = forger.record(typ, &vec![fill; size.min(20_000)]);
        self.damaged = true;
        self.send(record);
    }

    pub(super) fn forge_message(&mut self, size: u8, payload: &[u8]) {
        let Peer::Corrupt(forger) = &mut self.peer else { return };
        let typ = if size & 8 == 0 { ContentType::Handshake } else { ContentType::Alert };
        let payload = &payload[..usize::from(size & 7).min(payload.len())];
        let record = forger.record(typ, payload);
        self.damaged = true;
        self.closed |= typ == ContentType::Alert && payload.get(1) == Some(&0);
        self.send(record);
    }
}
