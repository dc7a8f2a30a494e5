//! An application that breaks the protocol: it is told the rule, and the client that the
//! application failed.

use super::offences::{self, Offence};
use super::support::{Frame, Gateway, RawUpstream, Session};

fn commit(offences: Vec<Offence>) {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for offence in offences {
        println!("{}", offence.name);
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        for frame in &offence.before {
            session.upstream.send_frame(frame);
            assert_eq!(session.client.read_frame(), *frame);
        }
        session.upstream.send(&offence.bad);
        session.client.expect_closing(1014, "upstream.protocol");
        session.upstream.expect_closing(offence.code, offence.reason);
        let ended = gateway.wait_for_reason(&id, "upstream.protocol");
        assert_eq!(ended["request_id"], id);
        let error = gateway.wait_for_record(|record| {
            record["event"] == "protocol.error" && record["request_id"] == id
        });
        assert_eq!(error["direction"], "upstream to client");
    }
}

#[test]
fn headers_that_break_the_protocol() {
    commit(offences::headers(false));
}

#[test]
fn fragments_and_control_frames_that_break_the_protocol() {
    commit(offences::structure(false));
}

#[test]
fn closes_that_break_the_protocol() {
    commit(offences::closes(false));
}

#[test]
fn text_that_is_not_utf_8() {
    commit(offences::text(false));
}

#[test]
fn a_large_text_that_turns_bad_halfway_is_cut_never_continued() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let mut text = vec![b'a'; 256 * 1024];
    *text.last_mut().unwrap() = 0xff;
    let frame = Frame::text(&text);
    session.upstream.send_frame(&frame);
    let crossed = session.client.expect_gone();
    assert_eq!(session.upstream.expect_close(), (1007, "frame.utf8".to_owned()));
    let sent = frame.encode();
    assert!(crossed.len() < sent.len(), "the whole frame crossed");
    assert!(sent.starts_with(&crossed), "something else than the frame crossed");
}
