//! The end of the gateway itself.

use std::net::TcpStream;

use super::support::{Gateway, RawUpstream, Session, eventually};

#[test]
fn without_sessions_the_first_signal_stops_the_gateway() {
    let mut gateway = Gateway::to(&[RawUpstream::unused_address()]).start();
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn shutdown_closes_sessions_and_exits_cleanly() {
    let upstream = RawUpstream::bind();
    let mut gateway = Gateway::to(&[upstream.address()]).start();
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
