//! Records that no client of rustls' would send, with the keys of one that it made.

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

use super::*;

/// Encrypts whatever it is told to.
pub(super) struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
    version: ProtocolVersion,
}

impl Forger {
    pub(super) fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap();
        self.sequence += 1;
        record.encode()
    }

    pub(super) fn data(&mut self, payload: &[u8]) -> Vec<u8> {
        self.record(ContentType::ApplicationData, payload)
    }

    pub(super) fn handshake(&mut self, payload: &[u8]) -> Vec<u8> {
        self.record(ContentType::Handshake, payload)
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.version
    }
}

/// A server's stream with its socket, and a forger in place of the client.
pub(super) fn forged(version: &'static SupportedProtocolVersion) -> (Pair, Forger) {
    let socket = Socket::default();
    let mut config = client_config(version);
    config.enable_secret_extraction = true;
    let config = Arc::new(config);
    let mut peer = Peer::client(Arc::clone(&config), &socket);
    let stream = peer.handshake(terminator().accept(socket.clone())).unwrap().stream;
    let placeholder = Peer::client(config, &socket);
    let Connection::Client(client) = peer.tls else { panic!("a client") };
    let suite = client.negotiated_cipher_suite().unwrap();
    let version = client.protocol_version().unwrap();
    let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
        panic!("another suite was chosen");
    };
    let encrypter = match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let (fixed, explicit) = iv.as_ref().split_at(4);
            suite.aead_alg.encrypter(key, fixed, explicit)
        }
    };
    let mut forger = Forger { encrypter, sequence: 0, version };
    // aws-lc takes the first number that it sees for the lowest.
    while forger.sequence < sequence {
        forger.data(b"");
    }
    (Pair { stream, peer: placeholder }, forger)
}
