//! Application data, closing, and slow sockets.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::Poll;

use rustls::Error;
use rustls::server::UnbufferedServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::tls::engine::{OutgoingRecords, Progress, Send};
use crate::tls::handshake::MessageLimit;
use crate::tls::records::MAX_RECORD;
use crate::tls::stream::MOST_OUTBOUND;

#[test]
fn a_message_takes_one_read_and_one_write() {
    for version in [TLS12, TLS13] {
        for length in [1, 64, 4096, 8 * 1024, 16 * 1024] {
            let mut pair = serving(version);
            let socket = pair.peer.socket.clone();
            let before = socket.moved();
            pair.peer.say(&pattern(length));
            assert_eq!(pair.lend(), Lent::bytes(pattern(length)));
            assert_eq!(pair.lend(), Lent::Nothing);
            pair.write_all(&pattern(length));
            assert_eq!(pair.peer.listen(), pattern(length));
            let after = socket.moved();
            assert_eq!(after, (before.0 + 1, before.1 + 1), "{length} bytes");
        }
    }
}

#[test]
fn an_idle_stream_holds_no_buffer() {
    let mut pair = serving(TLS13);
    for length in [10, 100_000] {
        pair.peer.say(&pattern(length));
        assert_eq!(pair.lend_all(), (pattern(length), Lent::Nothing));
        pair.write_all(&pattern(length));
        assert_eq!(pair.stream.memory(), 0);
    }
}

#[test]
fn a_stream_stays_small() {
    let connection = size_of::<UnbufferedServerConnection>();
    let own = size_of::<Stream>() - connection;
    assert!(own <= 104, "{own} bytes beside rustls' {connection}");
    assert!(connection <= 1088, "{connection}");
}

#[test]
fn records_are_lent_together_and_a_read_at_a_time() {
    let mut pair = serving(TLS13);
    for part in ["one", "two", "three"] {
        pair.peer.say(part.as_bytes());
    }
    assert_eq!(pair.lend(), Lent::bytes("onetwothree"));
    pair.peer.say(&pattern(10 * AT_ONCE));
    let Lent::Bytes(bytes) = pair.lend() else { panic!("nothing was lent") };
    assert!(bytes.len() <= AT_ONCE, "{}", bytes.len());
    assert!(pair.stream.held().inbound < MAX_RECORD);
}

#[test]
fn small_reads_borrow_at_most_one_record() {
    let mut pair = serving(TLS13);
    let message = pattern(10 * MAX_RECORD);
    pair.peer.say(&message);
    let mut heard = Vec::new();
    while heard.len() < message.len() {
        let Lent::Bytes(bytes) = pair.lend_at_most(1) else { panic!("nothing was lent") };
        assert!(bytes.len() <= MAX_RECORD, "{}", bytes.len());
        heard.extend(bytes);
    }
    assert_eq!(heard, message);
}

#[test]
fn records_may_be_cut_anywhere() {
    for version in [TLS12, TLS13] {
        let mut pair = serving(version);
        let parts = ["first".to_owned(), "x".repeat(300), "last".to_owned()];
        let all = parts.concat();
        let mut length = 1;
        let mut cut = 0;
        while cut < length {
            for part in &parts {
                pair.peer.say(part.as_bytes());
            }
            let records = pair.peer.socket.intercept();
            length = records.len();
            pair.peer.socket.deliver(&records[..cut]);
            let (mut heard, last) = pair.lend_all();
            assert_eq!(last, Lent::Nothing);
            pair.peer.socket.deliver(&records[cut..]);
            heard.extend(pair.lend_all().0);
            assert_eq!(heard, all.as_bytes(), "cut at {cut}");
            cut += 1;
        }
    }
}

#[test]
fn records_pass_byte_by_byte() {
    for version in [TLS12, TLS13] {
        let mut pair = serving(version);
        let socket = pair.peer.socket.clone();
        socket.lock().read_at_most = Some(1);
        socket.lock().write_at_most = Some(1);
        pair.peer.say(&pattern(20_000));
        assert_eq!(pair.lend_all(), (pattern(20_000), Lent::Nothing));
        pair.write_all(&pattern(20_000));
        assert_eq!(pair.peer.listen(), pattern(20_000));
    }
}

/// Counts the calls of the engine.
struct Counting(RustlsEngine, usize);

impl Engine for Counting {
    fn process(
        &mut self,
        raw: &mut [u8],
        send: Option<Send<'_>>,
        out: &mut OutgoingRecords,
        give: impl FnMut(&[u8], bool),
    ) -> Progress {
        self.1 += 1;
        self.0.process(raw, send, out, give)
    }

    fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn ends_with_tickets(&self) -> bool {
        false
    }
}

#[test]
fn a_slow_record_is_not_parsed_at_each_byte() {
    let socket = Socket::default();
    let config = ServerConfig::clone(&terminator().config);
    let engine = Counting(RustlsEngine::server(config).unwrap(), 0);
    let mut peer = Peer::client(client_config(TLS13), &socket);
    let limit = MessageLimit::for_client(false);
    let handshake = crate::tls::handshake::perform(socket.clone(), engine, limit);
    let stream = Box::new(peer.handshake(handshake).unwrap());
    let mut pair = Pair { stream, peer };
    let before = pair.stream.engine().1;
    socket.lock().read_at_most = Some(1);
    pair.peer.say(&pattern(16_000));
    assert_eq!(pair.lend_all(), (pattern(16_000), Lent::Nothing));
    // The five bytes of its header one by one, and the whole record.
    assert_eq!(pair.stream.engine().1, before + 6);
}

#[test]
fn bytes_after_close_notify_are_ignored() {
    for version in [TLS12, TLS13] {
        let mut pair = serving(version);
        pair.peer.say(b"goodbye");
        pair.peer.close();
        pair.peer.socket.deliver(&vec![0x17; 30_000]);
        assert_eq!(pair.lend_all(), (b"goodbye".to_vec(), Lent::End));
        assert_eq!(pair.lend(), Lent::End);
        pair.write_all(b"not before I have said this");
        assert!(matches!(pair.shutdown(), Poll::Ready(Ok(()))));
        assert_eq!(pair.peer.listen(), b"not before I have said this");
        assert_eq!(pair.peer.ended, Some(Ok(())));
    }
}

#[test]
fn an_end_without_close_notify_is_an_error() {
    let truncated = |last: &Lent| matches!(last, Lent::Error(ErrorKind::UnexpectedEof, _));
    for cut in [0, 1, 4, 5, 6, 20] {
        let mut pair = serving(TLS13);
        pair.peer.say(b"whole");
        assert_eq!(pair.lend(), Lent::bytes("whole"));
        pair.peer.say(b"not whole");
        let record = pair.peer.socket.intercept();
        pair.peer.socket.deliver(&record[..cut]);
        pair.peer.socket.lock().eof = true;
        let (heard, last) = pair.lend_all();
        assert!(heard.is_empty() && truncated(&last), "{last:?}");
        assert!(truncated(&pair.lend()), "and stays one");
    }
}

#[test]
fn close_notify_is_sent_once_and_last() {
    for version in [TLS12, TLS13] {
        let mut pair = serving(version);
        let socket = pair.peer.socket.clone();
        pair.write_all(b"last");
        socket.lock().room = Some(3);
        assert!(pair.shutdown().is_pending());
        assert!(!socket.lock().shut, "not before close_notify is out");
        assert!(pair.shutdown().is_pending());
        socket.lock().room = None;
        assert!(matches!(pair.shutdown(), Poll::Ready(Ok(()))));
        assert!(socket.lock().shut);
        assert_eq!(pair.peer.listen(), b"last");
        assert_eq!(pair.peer.ended, Some(Ok(())));
        let refused = pair.write(b"more");
        let broken = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
        assert!(matches!(refused, Poll::Ready(Err(error)) if broken(&error)));
        pair.peer.say(b"still heard");
        assert_eq!(pair.lend(), Lent::bytes("still heard"));
    }
}

#[test]
fn a_blocked_socket_gets_no_further_writes() {
    let mut pair = serving(TLS13);
    let socket = pair.peer.socket.clone();
    socket.lock().room = Some(1000);
    let message = pattern(200_000);
    let Poll::Ready(Ok(taken)) = pair.write(&message) else { panic!("there was room") };
    assert_eq!(taken, AT_ONCE, "one write's worth is kept");
    assert!(pair.write(&message[taken..]).is_pending());
    assert!(pair.flush().is_pending());
    assert!(pair.stream.held().outbound <= AT_ONCE + 2048);
    socket.lock().room = Some(500);
    assert!(pair.write(&message[taken..]).is_pending(), "what is kept goes first");
    pair.peer.say(b"reading goes on");
    assert_eq!(pair.lend(), Lent::bytes("reading goes on"));
    socket.lock().room = None;
    pair.write_all(&message[taken..]);
    assert_eq!(pair.peer.listen(), message);
}

#[test]
fn a_peer_that_reads_nothing_is_not_read() {
    let mut pair = serving(TLS13);
    let socket = pair.peer.socket.clone();
    socket.lock().room = Some(0);
    // rustls' answers are few; this is as if there were many.
    pair.stream.outbound.push(&vec![0; MOST_OUTBOUND + 1]);
    pair.peer.say(b"answer this");
    let before = socket.moved();
    assert_eq!(pair.lend(), Lent::Nothing);
    assert_eq!(socket.moved(), before);
    socket.lock().room = None;
    assert_eq!(pair.lend(), Lent::bytes("answer this"));
}

#[test]
fn a_short_read_leaves_the_rest() {
    let mut pair = serving(TLS13);
    pair.peer.say(b"a head, ");
    pair.peer.say(&pattern(40_000));
    let mut heard = Vec::new();
    for size in [1, 4, 3, 100] {
        let mut space = vec![0; size];
        let mut buf = ReadBuf::new(&mut space);
        let read = poll(|cx| Pin::new(&mut pair.stream).poll_read(cx, &mut buf));
        assert!(matches!(read, Poll::Ready(Ok(()))));
        heard.extend_from_slice(buf.filled());
        assert!(pair.stream.held().plain <= MAX_RECORD);
    }
    heard.extend(pair.lend_all().0);
    assert_eq!(heard, [b"a head, ".to_vec(), pattern(40_000)].concat());
}

#[test]
fn a_reader_gets_end_of_file() {
    let mut pair = serving(TLS13);
    pair.peer.say(b"x");
    pair.peer.close();
    for expected in [1, 0, 0] {
        let mut space = [0; 10];
        let mut buf = ReadBuf::new(&mut space);
        let read = poll(|cx| Pin::new(&mut pair.stream).poll_read(cx, &mut buf));
        assert!(matches!(read, Poll::Ready(Ok(()))));
        assert_eq!(buf.filled().len(), expected);
    }
}

#[test]
fn the_parts_of_an_answer_are_one_record() {
    let mut pair = serving(TLS13);
    let parts = [b"head".as_slice(), b"", b"body"].map(io::IoSlice::new);
    let taken = poll(|cx| Pin::new(&mut pair.stream).poll_write_vectored(cx, &parts));
    assert!(matches!(taken, Poll::Ready(Ok(8))));
    assert_eq!(pair.peer.socket.collect().len(), 8 + 22);
}

#[test]
fn keys_may_be_updated_from_either_end() {
    let mut pair = serving(TLS13);
    for round in 0..100 {
        pair.peer.tls.refresh_traffic_keys().unwrap();
        pair.peer.say(b"with new keys");
        assert_eq!(pair.lend(), Lent::bytes("with new keys"), "{round}");
        pair.write_all(b"so have I");
        pair.peer.listen();
    }
    assert_eq!(pair.peer.heard, b"so have I".repeat(100));
}

#[test]
fn client_streams_behave_like_server_streams() {
    for version in [TLS12, TLS13] {
        let mut pair = calling(version);
        pair.write_all(b"question");
        assert_eq!(pair.peer.listen(), b"question");
        // Behind TLS 1.3's tickets, which say nothing.
        assert_eq!(pair.lend(), Lent::Nothing);
        pair.peer.say(&pattern(50_000));
        assert_eq!(pair.lend_all(), (pattern(50_000), Lent::Nothing));
        pair.peer.close();
        assert_eq!(pair.lend(), Lent::End);
        assert!(matches!(pair.shutdown(), Poll::Ready(Ok(()))));
        pair.peer.listen();
        assert_eq!(pair.peer.ended, Some(Ok(())));
    }
}

#[test]
fn a_modified_record_is_an_error_after_the_valid_ones() {
    for version in [TLS12, TLS13] {
        let mut pair = serving(version);
        pair.peer.say(b"good");
        let good = pair.peer.socket.intercept();
        pair.peer.say(b"evil");
        let mut evil = pair.peer.socket.intercept();
        *evil.last_mut().unwrap() ^= 1;
        pair.peer.socket.deliver(&[good, evil, vec![0x17; 100]].concat());
        assert_eq!(pair.lend(), Lent::bytes("good"));
        assert_eq!(pair.lend(), Lent::error(&Error::DecryptError));
        assert_eq!(pair.lend(), Lent::error(&Error::DecryptError), "and stays one");
        assert!(matches!(pair.write(b"x"), Poll::Ready(Err(_))));
        assert!(matches!(pair.shutdown(), Poll::Ready(Ok(()))));
        pair.peer.listen();
        let alert = rustls::AlertDescription::BadRecordMac;
        assert_eq!(pair.peer.ended, Some(Err(Error::AlertReceived(alert))));
    }
}

#[test]
fn the_alert_of_an_error_waits_for_a_socket_that_is_blocked() {
    let mut pair = serving(TLS13);
    pair.peer.socket.lock().room = Some(0);
    pair.peer.socket.deliver(b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(pair.lend(), Lent::Error(ErrorKind::InvalidData, _)));
    assert!(pair.flush().is_pending());
    pair.peer.socket.lock().room = None;
    assert!(matches!(pair.flush(), Poll::Ready(Ok(()))));
    pair.peer.listen();
    let alert = rustls::AlertDescription::DecodeError;
    assert_eq!(pair.peer.ended, Some(Err(Error::AlertReceived(alert))));
}
