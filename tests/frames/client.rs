//! A client that breaks the protocol.

use serde_json::Value;

use super::offences::{self, Offence};
use super::support::{Frame, Gateway, RawUpstream, Session};

/// Commits each offence in a session of its own.
fn commit(offences: Vec<Offence>) {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for offence in offences {
        println!("{}", offence.name);
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        let offset = send_all(&mut session, &offence.before);
        session.client.send(&offence.bad);
        session.client.expect_closing(offence.code, offence.reason);
        session.upstream.expect_closing(1001, offence.reason);
        let ended = gateway.wait_for_record(|record| {
            record["event"] == "session.ended" && record["request_id"] == id
        });
        assert_eq!(ended["reason"], offence.reason);
        assert_eq!(ended["by"], "client");
        assert_eq!(ended["code"], offence.code);
        check_record(&gateway, &id, &offence, offset);
    }
}

/// Sends frames that are in order; all of them cross, mask and all. Returns their bytes.
fn send_all(session: &mut Session, frames: &[Frame]) -> usize {
    let mut bytes = 0;
    for frame in frames {
        let frame = frame.clone().masked(true);
        bytes += frame.encode().len();
        session.client.send_frame(&frame);
        assert_eq!(session.upstream.read_frame(), frame);
    }
    bytes
}

/// The record shows the header, where it was, and the rule; it is in the error file too.
fn check_record(gateway: &Gateway, id: &str, offence: &Offence, offset: usize) {
    let wanted = |record: &Value| record["event"] == "protocol.error" && record["request_id"] == id;
    let record = gateway.wait_for_record(wanted);
    assert_eq!(record["reason"], offence.reason);
    assert_eq!(record["direction"], "client to upstream");
    assert_eq!(record["frame_offset"], offset);
    let broken_at = record["offset"].as_u64().unwrap();
    let frame = offset as u64..offset as u64 + offence.bad.len() as u64;
    assert!(frame.contains(&broken_at) || broken_at == frame.end, "{record}");
    let header = record["header_hex"].as_str().unwrap();
    let start = format!("{:02x} {:02x}", offence.bad[0], offence.bad[1]);
    assert!(header.starts_with(&start), "{header} does not start with {start}");
    for field in ["header", "section", "rule"] {
        assert!(record[field].as_str().is_some_and(|text| !text.is_empty()), "{record}");
    }
    assert_eq!(gateway.wait_for_error(wanted), record);
}

#[test]
fn headers_that_break_the_protocol() {
    commit(offences::headers(true));
}

#[test]
fn fragments_and_control_frames_that_break_the_protocol() {
    commit(offences::structure(true));
}

#[test]
fn closes_that_break_the_protocol() {
    commit(offences::closes(true));
}

#[test]
fn text_that_is_not_utf_8() {
    commit(offences::text(true));
}

#[test]
fn a_violation_sent_byte_by_byte_is_refused_the_same_way() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for bad in [
        Frame::text(b"caf\xc3").masked(true),
        Frame::ping([0; 126]).masked(true),
        Frame::close(1005, "").masked(true),
    ] {
        let mut session = Session::open(&gateway, &upstream);
        let (mut sent, bytes) = (0, bad.encode());
        // The gateway may have closed before the last byte; what it reads then is thrown away.
        while sent < bytes.len() {
            session.client.send(&bytes[sent..=sent]);
            sent += 1;
        }
        let (code, reason) = session.client.expect_close();
        assert!([1002, 1007].contains(&code), "{code} {reason}");
        session.upstream.expect_closing(1001, &reason);
    }
}

#[test]
fn frames_before_a_violation_in_the_same_read_are_forwarded() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let good = Frame::text("good").masked(true).encode();
    let bad = Frame::text("bad").with_rsv(4).masked(true).encode();
    let after = Frame::text("after").masked(true).encode();
    session.client.send(&[good, bad, after].concat());
    session.upstream.expect_frame(Frame::text("good"));
    session.client.expect_closing(1002, "frame.protocol");
    session.upstream.expect_closing(1001, "frame.protocol");
}

#[test]
fn a_large_text_that_turns_bad_halfway_is_cut_never_continued() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let mut text = vec![b'a'; 256 * 1024];
    *text.last_mut().unwrap() = 0xff;
    let frame = Frame::text(&text).masked(true);
    session.client.send_frame(&frame);
    let crossed = session.upstream.expect_gone();
    assert_eq!(session.client.expect_close(), (1007, "frame.utf8".to_owned()));
    let sent = frame.encode();
    assert!(crossed.len() < sent.len(), "the whole frame crossed");
    assert!(sent.starts_with(&crossed), "something else than the frame crossed");
}

#[test]
fn nothing_crosses_behind_a_close() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let close = Frame::close(4002, "done").masked(true).encode();
    let late = Frame::text("late").masked(true).encode();
    session.client.send(&[close, late].concat());
    session.upstream.expect_frame(Frame::close(4002, "done"));
    session.upstream.say(Frame::close(4002, "done"));
    session.client.expect_frame(Frame::close(4002, "done"));
    session.upstream.expect_end();
}

/// The records of what is wrong are written when it happens. The client does not answer its Close, so
/// that the session has not ended yet.
#[test]
fn an_offence_is_in_the_log_before_the_session_has_ended() {
    let upstream = RawUpstream::bind();
    for (lines, event, reason) in [
        ("", "protocol.error", "frame.protocol"),
        ("message_timeout = \"100ms\"", "connection.error", "message.timeout"),
    ] {
        let gateway = Gateway::to(&[upstream.address()]).websocket(lines).start();
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        // A reserved bit; or a message that never ends.
        let first = if lines.is_empty() { 0xc1 } else { 0x01 };
        session.client.send(&[first, 0x80, 0, 0, 0, 0]);
        session.client.read_frame();
        let about = |record: &Value| record["request_id"] == id.as_str();
        let record = gateway.wait_for_record(|record| about(record) && record["event"] == event);
        assert_eq!(record["reason"], reason);
        let ended = |record: &Value| about(record) && record["event"] == "session.ended";
        assert!(!gateway.log_records().iter().any(ended), "it waits for the client's Close");
        session.client.say(Frame::close(1000, ""));
        session.client.expect_eof();
        drop(session.upstream);
        assert_eq!(gateway.wait_for_record(ended)["reason"], reason);
        let again = gateway.log_records();
        let records = again.iter().filter(|record| about(record) && record["event"] == event);
        assert_eq!(records.count(), 1);
    }
}
