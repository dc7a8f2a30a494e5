//! The end of the gateway itself.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::support::{Frame, Gateway, RawUpstream, Request, Session, eventually};

#[test]
fn without_sessions_the_first_signal_stops_the_gateway() {
    let mut gateway = Gateway::to(&[RawUpstream::unused_address()]).start();
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn shutdown_closes_sessions_and_exits_cleanly() {
    let upstream = RawUpstream::bind();
    let mut gateway = Gateway::to(&[upstream.address()]).server("shutdown_spread = \"1s\"").start();
    let mut sessions: Vec<_> = (0..5).map(|_| Session::open(&gateway, &upstream)).collect();
    for session in &mut sessions {
        session.prove_alive();
    }
    gateway.terminate();
    let ids: Vec<_> = sessions.iter().map(Session::request_id).collect();
    for mut session in sessions {
        session.client.expect_closing(1001, "shutdown");
        session.upstream.expect_closing(1001, "shutdown");
    }
    assert_eq!(gateway.exit_code(), Some(0));
    for id in ids {
        gateway.wait_for_reason(&id, "shutdown");
    }
    TcpStream::connect(gateway.address()).expect_err("nobody listens any more");
}

/// Each waits for its turn, and lives on meanwhile: it can be kicked, and new connections learn that the gateway
/// stops.
#[test]
fn a_shutdown_tells_sessions_one_after_the_other() {
    let upstream = RawUpstream::bind();
    let mut gateway = Gateway::to(&[upstream.address()])
        .server("shutdown_spread = \"5s\"\nshutdown_grace = \"1h\"\nhealth_path = \"/healthz\"")
        .more("[admin]\nsocket = \"admin.sock\"\n")
        .start();
    let mut sessions: Vec<_> = (0..10).map(|_| Session::open(&gateway, &upstream)).collect();
    gateway.terminate();
    let began = Instant::now();
    let mut last = sessions.pop().unwrap();
    sessions[0].client.expect_closing(1001, "shutdown");
    last.prove_alive();
    let check = Request::with_line("GET /healthz HTTP/1.1").and("Host", "localhost");
    assert_eq!(gateway.answer_to(&check.bytes()).status(), 503);
    let (code, ..) = gateway.admin(&["kick", "--id", &last.request_id()]);
    assert_eq!(code, Some(0));
    last.client.expect_closing(4403, "session.kicked");
    last.upstream.expect_closing(1001, "session.kicked");
    assert!(began.elapsed() < Duration::from_secs(4), "before its turn");
    for (mut session, turn) in sessions.into_iter().zip(0..) {
        if turn > 0 {
            session.client.expect_closing(1001, "shutdown");
        }
        session.upstream.expect_closing(1001, "shutdown");
        // Not before; a busy machine may be late.
        assert!(began.elapsed() >= Duration::from_millis(500) * turn, "{turn}");
    }
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn a_shutdown_does_not_wait_for_the_turns_of_sessions_that_are_gone() {
    let upstream = RawUpstream::bind();
    let mut gateway = Gateway::to(&[upstream.address()])
        .server("shutdown_spread = \"3h\"\nshutdown_grace = \"1h\"")
        .start();
    let mut first = Session::open(&gateway, &upstream);
    let mut second = Session::open(&gateway, &upstream);
    gateway.terminate();
    first.client.expect_closing(1001, "shutdown");
    first.upstream.expect_closing(1001, "shutdown");
    second.client.say(Frame::close(1000, ""));
    second.upstream.expect_closing(1000, "");
    second.client.expect_frame(Frame::close(1000, ""));
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn unanswered_closes_do_not_delay_shutdown_beyond_the_grace() {
    let upstream = RawUpstream::bind();
    let mut gateway = Gateway::to(&[upstream.address()]).server("shutdown_grace = \"1s\"").start();
    let mut session = Session::open(&gateway, &upstream);
    gateway.terminate();
    assert_eq!(session.client.expect_close(), (1001, "shutdown".to_owned()));
    assert_eq!(gateway.exit_code(), Some(0));
    session.client.expect_gone();
    session.upstream.expect_gone();
}

#[test]
fn a_second_signal_ends_the_gateway_at_once() {
    let upstream = RawUpstream::bind();
    let mut gateway = Gateway::to(&[upstream.address()]).server("shutdown_grace = \"1h\"").start();
    let mut sessions: Vec<_> = (0..5).map(|_| Session::open(&gateway, &upstream)).collect();
    gateway.terminate();
    // The first signal was taken once the gateway listens no more.
    eventually(|| TcpStream::connect(gateway.address()).err()).expect("it stops listening");
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(1));
    for session in &mut sessions {
        session.client.expect_gone();
    }
}

#[test]
fn a_configuration_that_is_wrong_is_refused_before_anything_listens() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("wrong.toml"), "[server]\nlisten = [\"127.0.0.1:0\"\n")
        .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["run", "--config", "wrong.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("wrong.toml"), "{text}");
}
