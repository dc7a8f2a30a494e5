//! Records that no honest client sends.

use rustls::{Error, PeerMisbehaved, ProtocolVersion};

use super::forger::forged;
use super::*;
use crate::tls::records::MAX_RECORD;

/// A `KeyUpdate` that asks for none in return (RFC 8446 section 4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

#[test]
fn empty_records_are_counted_and_bounded() {
    for version in [TLS12, TLS13] {
        let (mut pair, mut forger) = forged(version);
        let empty: Vec<u8> = (0..32).flat_map(|_| forger.data(b"")).collect();
        pair.peer.socket.deliver(&empty);
        assert_eq!(pair.lend(), Lent::Nothing);
        pair.peer.socket.deliver(&forger.data(b"x"));
        assert_eq!(pair.lend(), Lent::bytes("x"));
        let flood: Vec<u8> = (0..10_000).flat_map(|_| forger.data(b"")).collect();
        let before = pair.peer.socket.moved().0;
        pair.peer.socket.deliver(&flood);
        let error = Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments);
        assert_eq!(pair.lend(), Lent::error(&error));
        assert_eq!(pair.peer.socket.moved().0, before + 1, "the rest is not looked at");
    }
}

#[test]
fn key_updates_without_end_are_an_error() {
    let mut pair = serving(TLS13);
    for _ in 0..40 {
        pair.peer.tls.refresh_traffic_keys().unwrap();
        pair.peer.speak();
    }
    let error = Error::PeerMisbehaved(PeerMisbehaved::TooManyKeyUpdateRequests);
    assert_eq!(pair.lend(), Lent::error(&error));
}

#[test]
fn a_message_in_pieces_is_kept_while_the_other_way_goes_on() {
    for cut in 1..KEY_UPDATE.len() {
        let (mut pair, mut forger) = forged(TLS13);
        pair.peer.socket.deliver(&forger.handshake(&KEY_UPDATE[..cut]));
        assert_eq!(pair.lend(), Lent::Nothing);
        pair.write_all(b"in between");
        assert!(pair.stream.held().inbound > 0, "it is needed again");
        // Byte by byte, so that rustls sees each behind the kept ones.
        pair.peer.socket.lock().read_at_most = Some(1);
        pair.peer.socket.deliver(&forger.handshake(&KEY_UPDATE[cut..]));
        assert_eq!(pair.lend(), Lent::Nothing);
        pair.write_all(b"and afterwards");
        assert_eq!(pair.stream.memory(), 0);
        // Its keys are new now, and the forger's are not.
        pair.peer.socket.deliver(&forger.data(b"old"));
        assert_eq!(pair.lend(), Lent::error(&Error::DecryptError));
    }
}

#[test]
fn a_message_without_a_body_needs_no_further_bytes() {
    for version in [TLS12, TLS13] {
        let (mut pair, mut forger) = forged(version);
        for round in 0..40 {
            // rustls keeps as many bytes as it has, but not those.
            let both = [forger.handshake(b""), forger.data(b"beside it")].concat();
            pair.peer.socket.deliver(&both);
            assert_eq!(pair.lend(), Lent::bytes("beside it"), "{round}");
            pair.peer.socket.deliver(&forger.data(b"behind it"));
            assert_eq!(pair.lend(), Lent::bytes("behind it"), "{round}");
        }
    }
}

#[test]
fn handshake_messages_cannot_be_interleaved() {
    let (mut pair, mut forger) = forged(TLS13);
    pair.peer.socket.deliver(&forger.handshake(&KEY_UPDATE[..3]));
    pair.peer.socket.deliver(&forger.data(b"x"));
    let error = PeerMisbehaved::MessageInterleavedWithHandshakeMessage;
    assert_eq!(pair.lend(), Lent::error(&Error::PeerMisbehaved(error)));
    assert!(matches!(pair.shutdown(), Poll::Ready(Ok(()))));
}

#[test]
fn a_handshake_message_above_its_bound_is_an_error() {
    for version in [TLS12, TLS13] {
        let (mut pair, mut forger) = forged(version);
        pair.peer.socket.deliver(&forger.handshake(&[24, 0, 0xff, 0xff]));
        let mut last = Lent::Nothing;
        for _ in 0..20 {
            pair.peer.socket.deliver(&forger.handshake(&[0; 1000]));
            last = pair.lend();
            if last != Lent::Nothing {
                break;
            }
            assert!(pair.stream.held().inbound < MAX_RECORD);
        }
        assert!(matches!(&last, Lent::Error(_, text) if text.contains("too long")), "{last:?}");
        assert_eq!(pair.stream.held().inbound, 0);
        assert!(matches!(pair.flush(), Poll::Ready(Ok(()))));
    }
}

#[test]
fn renegotiation_is_refused_once_and_then_an_error() {
    let (mut pair, mut forger) = forged(TLS12);
    assert_eq!(forger.version(), ProtocolVersion::TLSv1_2);
    let socket = Socket::default();
    let mut hello = Peer::client(client_config(TLS12), &socket);
    hello.speak();
    let hello = socket.intercept().split_off(5);
    pair.peer.socket.deliver(&forger.handshake(&hello));
    pair.peer.socket.deliver(&forger.data(b"goes on"));
    assert_eq!(pair.lend(), Lent::bytes("goes on"));
    let alert = pair.peer.socket.collect();
    assert_eq!((alert[0], alert.len()), (0x15, 5 + 8 + 2 + 16), "a warning, at once");
    pair.peer.socket.deliver(&forger.handshake(&hello));
    let error = Error::PeerMisbehaved(PeerMisbehaved::TooManyRenegotiationRequests);
    assert_eq!(pair.lend(), Lent::error(&error));
}

#[test]
fn after_its_close_notify_a_stream_sends_nothing() {
    for (warned, blocked) in [(true, false), (true, true), (false, false), (false, true)] {
        let (mut pair, mut forger) = forged(TLS12);
        let socket = pair.peer.socket.clone();
        socket.lock().room = blocked.then_some(0);
        assert_eq!(pair.shutdown().is_pending(), blocked);
        let close_notify = 5 + 8 + 2 + 16;
        let renegotiation = forger.handshake(&[1, 0, 0, 0]);
        let broken = [&[0x17, 3, 3, 0, 30][..], &[0; 30]].concat();
        socket.deliver(if warned { &renegotiation } else { &broken });
        pair.lend();
        socket.lock().room = None;
        assert!(matches!(pair.shutdown(), Poll::Ready(Ok(()))));
        assert_eq!(socket.collect().len(), close_notify);
    }
}

#[test]
fn an_oversized_record_is_refused_at_its_header() {
    for read_at_most in [None, Some(1)] {
        let mut pair = serving(TLS13);
        pair.peer.socket.lock().read_at_most = read_at_most;
        pair.peer.socket.deliver(&[0x17, 3, 3, 0xff, 0xff]);
        assert!(matches!(pair.lend(), Lent::Error(ErrorKind::InvalidData, _)));
    }
}

#[test]
fn a_header_that_is_wrong_is_an_error_of_the_read_that_gets_it() {
    for header in [[0x99, 3, 3, 0, 30], [0x17, 9, 9, 0, 30], [0x17, 3, 3, 0xff, 0xff]] {
        let mut pair = serving(TLS13);
        let mut last = Lent::Nothing;
        for byte in header {
            pair.write_all(b"not in the way");
            pair.peer.socket.deliver(&[byte]);
            last = pair.lend();
            if last != Lent::Nothing {
                break;
            }
        }
        assert!(matches!(last, Lent::Error(ErrorKind::InvalidData, _)), "{last:?}");
        assert_eq!(pair.stream.memory(), 0);
        pair.peer.listen();
        assert!(matches!(pair.peer.ended, Some(Err(Error::AlertReceived(_)))));
    }
}

#[test]
fn a_record_of_the_maximum_length_is_read() {
    let mut pair = serving(TLS13);
    // One byte more is too much for rustls already.
    let record = [&[0x17, 3, 3, 0x47, 0xff][..], &vec![0; 0x47ff]].concat();
    assert_eq!(record.len(), MAX_RECORD - 1);
    for byte in &record[..record.len() - 1] {
        pair.peer.socket.deliver(&[*byte]);
        assert_eq!(pair.lend(), Lent::Nothing);
    }
    pair.peer.socket.deliver(&record[record.len() - 1..]);
    assert_eq!(pair.lend(), Lent::error(&Error::DecryptError));
}
