//! Clients without a token hold as much as they may of frames that are not whole, and users with one
//! notice nothing.
//!
//! All of it comes from one address, so that nobody is helped by being somewhere else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::support::{
    Frame, Gateway, RawUpstream, Request, Session, Wire, eventually, raise_open_files,
};
use super::{guarded, now, sign, token};

/// Connections of each kind. Each is made to hold 16 KiB, 12 of them beyond what is not counted:
/// without shares, 64 MiB are taken.
const CONNECTIONS: usize = 2_800;
/// What each of them sends.
const SENT: usize = 9_000;

/// The first bytes of a frame that is announced to be longer.
fn half(frame: Frame) -> Vec<u8> {
    frame.masked(true).encode()[..SENT].to_vec()
}

/// A connection that takes few resources of this process, which has many.
fn attack(gateway: &Gateway, path: &str) -> Wire {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade(path));
    client
}

/// Clients that announce a token in their first message, and send a part of it.
fn hold_first_messages(gateway: &Gateway) -> Vec<Wire> {
    let part = half(Frame::text("a".repeat(9_100)));
    let hold = |_| {
        let mut client = attack(gateway, "/later");
        assert_eq!(client.read_head().status(), 101);
        client.send(&part);
        client
    };
    (0..CONNECTIONS).map(hold).collect()
}

/// Clients of an open route that each send a part of a frame.
fn hold_frames(gateway: &Gateway, upstream: &RawUpstream) -> Vec<(Wire, Wire)> {
    let part = half(Frame::text("a".repeat(16_000)));
    let hold = |_| {
        let mut client = attack(gateway, "/open");
        let (application, _) = upstream.accept_upgrade("");
        assert_eq!(client.read_head().status(), 101);
        client.send(&part);
        (client, application)
    };
    (0..CONNECTIONS).map(hold).collect()
}

fn start(guarded_upstream: &RawUpstream, open: &RawUpstream) -> Gateway {
    let (app, open) = (guarded_upstream.address(), open.address());
    let routes = format!(
        "[jwt.later]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n\
         token_from = [\"message\"]\nmessage_deadline = \"1m\"\n\
         [routes.later]\npath = \"/later\"\nupstream = [\"ws://{app}\"]\nauth = \"later\"\n\
         [routes.open]\npath = \"/open\"\nupstream = [\"ws://{open}\"]\nauth = \"none\"\n\
         [routes.slow]\npath = \"/slow\"\nupstream = [\"ws://{app}\"]\nauth = \"main\"\n\
         limits = {{ messages = \"20/s burst 2\", on_exceed = \"delay\" }}\n"
    );
    guarded(guarded_upstream, "leeway = \"0s\"")
        .plain()
        .server("handshake_timeout = \"10s\"")
        .websocket("ping_interval = \"off\"\nmessage_timeout = \"10m\"")
        .route("refresh = \"framewall\"")
        .more(&routes)
        .start()
}

fn as_user(path: &str) -> Request {
    Request::upgrade(path).and("Authorization", &format!("Bearer {}", token("ada")))
}

fn echo(session: &mut Session, message: &Frame) {
    session.client.say(message.clone());
    session.upstream.expect_frame(message.clone());
    session.upstream.say(message.clone());
    session.client.expect_frame(message.clone());
}

/// Echoes until it is told to stop, and 100 times at least.
fn keep_echoing(session: &mut Session, stop: &AtomicBool) -> usize {
    let mut number = 0;
    while number < 100 || !stop.load(Ordering::Relaxed) {
        echo(session, &Frame::text(format!("message {number} {}", "x".repeat(5_000))));
        number += 1;
    }
    number
}

#[test]
fn clients_without_a_token_do_not_use_up_the_hold_budget() {
    raise_open_files();
    let (upstream, open) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = start(&upstream, &open);
    let mut echoing = Session::open_with(&gateway, &upstream, &as_user("/ws"), "");
    let over = AtomicBool::new(false);
    let mut echoes = 0;
    let held = thread::scope(|scope| {
        let echoing = scope.spawn(|| keep_echoing(&mut echoing, &over));
        let held = (hold_frames(&gateway, &open), hold_first_messages(&gateway));
        over.store(true, Ordering::Relaxed);
        echoes = echoing.join().unwrap();
        held
    });
    println!("{echoes} echoes while {} connections held what they may", 2 * CONNECTIONS);
    let refused = || {
        let records = gateway.log_records();
        let full = |record: &Value| record["reason"] == "capacity" && record["code"] == 1013;
        (records.iter().any(|record| record["event"] == "refused" && full(record))).then_some(())
    };
    eventually(refused).expect("those that announced a token are told that there is no room");

    users_go_on(&gateway, &upstream);
    tokens_are_taken_out(&gateway, &upstream);
    others_come_in(&gateway, &upstream);
    echo(&mut echoing, &Frame::text("still there"));
    drop(held);
}

/// A frame that is refused leaves nothing at the application, and a client above its rate is
/// delayed and no more.
fn users_go_on(gateway: &Gateway, upstream: &RawUpstream) {
    for length in [2_000, 16_000] {
        let mut session = Session::open_with(gateway, upstream, &as_user("/ws"), "");
        let mut payload = vec![b'x'; length];
        payload[length - 1] = 0xff;
        let frame = Frame::text(payload).masked(true).encode();
        let (first, second) = frame.split_at(frame.len() - 1);
        session.client.send(first);
        // What is behind another message was read.
        echo_of_upstream(&mut session);
        session.client.send(second);
        assert_eq!(session.client.expect_close(), (1007, "frame.utf8".to_owned()));
        assert_eq!(session.upstream.expect_close(), (1001, "frame.utf8".to_owned()));
    }
    let mut slow = Session::open_with(gateway, upstream, &as_user("/slow"), "");
    let messages: Vec<_> =
        (0..20).map(|number| Frame::text(format!("{number} {}", "x".repeat(700)))).collect();
    let all: Vec<u8> = messages.iter().flat_map(|one| one.clone().masked(true).encode()).collect();
    slow.client.send(&all);
    for message in messages {
        slow.upstream.expect_frame(message.clone());
        slow.upstream.say(message.clone());
        slow.client.expect_frame(message);
    }
}

/// A message of the application's crosses: the gateway has been at work for this session since.
fn echo_of_upstream(session: &mut Session) {
    session.upstream.say(Frame::text("news"));
    session.client.expect_frame(Frame::text("news"));
}

/// Tokens that are handed in, in two reads, small and large.
fn tokens_are_taken_out(gateway: &Gateway, upstream: &RawUpstream) {
    let mut session = Session::open_with(gateway, upstream, &as_user("/ws"), "");
    for padding in [0, 12_000] {
        let expires = now() + 3600;
        let token =
            sign(&json!({ "sub": "ada", "exp": expires, "padding": "x".repeat(padding * 3 / 8) }));
        let blanks = " ".repeat(padding / 2);
        let message = format!("{blanks}{{\"framewall\": {{\"token\": \"{token}\"}}}}");
        let frame = Frame::text(message).masked(true).encode();
        let (first, second) = frame.split_at(frame.len() - 20);
        session.client.send(first);
        echo_of_upstream(&mut session);
        session.client.send(second);
        let answer: Value = serde_json::from_slice(&session.client.read_frame().payload).unwrap();
        assert_eq!(answer, json!({ "framewall": { "expires": expires } }));
        session.prove_alive();
    }
    let received = session.upstream.received();
    assert!(!received.windows(9).any(|bytes| bytes == b"framewall"), "nothing of it came");
}

/// A token of usual length in a first message.
fn others_come_in(gateway: &Gateway, upstream: &RawUpstream) {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/later"));
    assert_eq!(client.read_head().status(), 101);
    client.say(Frame::text(token("eve")));
    let (mut application, _) = upstream.accept_upgrade("");
    client.say(Frame::text("there"));
    application.expect_frame(Frame::text("there"));
}
