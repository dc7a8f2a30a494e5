//! One address floods, and another notices nothing. Only what does not depend on time is asserted;
//! `cargo bench --bench flood` measures the rest.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use super::support::{Frame, Gateway, RawUpstream, Request, Session, Wire, eventually};
use super::{as_user, guarded};

/// Connections of each of the threads that flood.
const CONNECTIONS: usize = 1000;
const THREADS: usize = 2;
/// Messages that are echoed at least.
const ECHOES: usize = 500;

const FLOODER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

/// Connects again and again, and sees each connection end; says how many were dropped unanswered.
fn flood(gateway: &Gateway) -> usize {
    let ends = |_: &usize| Wire::client(gateway.tcp_from(FLOODER)).expect_gone().is_empty();
    (0..CONNECTIONS).filter(ends).count()
}

/// Sends more messages than it may, until it is closed for it.
fn chatter(gateway: &Gateway, upstream: &RawUpstream) {
    let mut client = gateway.connect_from(FLOODER);
    client.send_request(&Request::upgrade("/ws"));
    let (mut application, _) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    (0..12).for_each(|_| client.say(Frame::text("beat")));
    (0..10).for_each(|_| application.expect_frame(Frame::text("beat")));
    assert_eq!(application.expect_close(), (1001, "limit.messages".to_owned()));
    assert_eq!(client.expect_close(), (4429, "limit.messages".to_owned()));
}

/// Echoes numbered messages until it is told to stop, and [`ECHOES`] at least.
fn echo(session: &mut Session, stop: &AtomicBool) -> usize {
    let mut number = 0;
    while number < ECHOES || !stop.load(Ordering::Relaxed) {
        let message = Frame::text(format!("message {number}"));
        session.client.say(message.clone());
        session.upstream.expect_frame(message.clone());
        session.upstream.say(message.clone());
        session.client.expect_frame(message);
        number += 1;
    }
    number
}

/// Dropped connections: how many were told one by one, and how many in all.
fn dropped(gateway: &Gateway) -> (usize, u64) {
    let records = gateway.log_records();
    let of_drops = records.iter().filter(|record| record["event"] == "dropped");
    let told = of_drops.count();
    (told, told as u64 + suppressed(&records, "dropped"))
}

fn suppressed(records: &[Value], event: &str) -> u64 {
    let suppressed = records.iter().filter(|record| record["event"] == "suppressed");
    suppressed.filter_map(|record| record[event].as_u64()).sum()
}

/// Waits until all of so many records of an event are written or counted; says how many are written.
#[track_caller]
fn expect_held(gateway: &Gateway, event: &str, count: u64) -> u64 {
    let written = || {
        let records = gateway.log_records();
        let written = records.iter().filter(|record| record["event"] == event).count() as u64;
        let all = written + suppressed(&records, &event.replace('.', "_"));
        (all == count).then_some(written)
    };
    let written = eventually(written);
    let written = written.unwrap_or_else(|| panic!("{:#?}", gateway.log_records()));
    assert!((100..count).contains(&written), "{written} of {count} {event} are written");
    written
}

#[test]
fn refusals_of_a_flooding_address_are_suppressed_and_others_logged() {
    let upstream = RawUpstream::bind();
    let unlimited = "[limits]\nhandshakes_per_ip = \"off\"\n";
    let gateway = Gateway::to(&[upstream.address()]).plain().more(unlimited).start();
    let nowhere = Request::upgrade("/nowhere").bytes();
    for _ in 0..1000 {
        let mut client = gateway.connect_from(FLOODER);
        client.send(&nowhere);
        assert_eq!(client.read_head().status(), 404);
    }
    gateway.expect_refusal(&Request::upgrade("/elsewhere"), 404, "route.none");
    expect_held(&gateway, "refused", 1001);
    let record = gateway.wait_for_error(|record| record["event"] == "suppressed");
    assert_eq!(record["mostly"], "127.0.0.2", "{record}");
}

#[test]
fn failed_tls_handshakes_of_a_flood_are_suppressed() {
    let upstream = RawUpstream::bind();
    let unlimited = "[limits]\nhandshakes_per_ip = \"off\"\n";
    let gateway = Gateway::to(&[upstream.address()]).more(unlimited).start();
    for _ in 0..1000 {
        let mut client = Wire::client(gateway.tcp_from(FLOODER));
        client.send(b"noise that is no TLS at all\r\n\r\n");
        client.expect_gone();
    }
    expect_held(&gateway, "connection.error", 1000);
}

#[test]
fn token_renewals_of_a_flood_are_suppressed() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream).plain().route("refresh = \"framewall\"").start();
    let mut session = Session::open_with(&gateway, &upstream, &as_user("ada", "member"), "");
    for _ in 0..1000 {
        session.client.say(Frame::text(r#"{"framewall":{"token":"forged"}}"#));
        let answer = session.client.read_frame();
        assert!(answer.payload.ends_with(br#"{"error":"token.invalid"}}"#), "{answer:?}");
    }
    session.prove_alive();
    expect_held(&gateway, "token.renewal", 1000);
}

fn expect_isolation(protection: &str, before: impl Fn(&Gateway)) -> Gateway {
    let upstream = RawUpstream::bind();
    let limits = "[limits]\nhandshakes_per_ip = \"1/h burst 1\"\nconnections_per_ip = 2\n";
    let rates = "limits = { messages = \"1/h burst 10\" }";
    let free = format!(
        "[routes.free]\npath = \"/free\"\nupstream = [\"ws://{}\"]\nauth = \"none\"\n",
        upstream.address()
    );
    let gateway = Gateway::to(&[upstream.address()])
        .plain()
        .route(rates)
        .more(&format!("{limits}{protection}{free}"))
        .start();
    let mut session = Session::open_with(&gateway, &upstream, &Request::upgrade("/free"), "");
    chatter(&gateway, &upstream);
    before(&gateway);
    let (begun, over) = (Instant::now(), AtomicBool::new(false));
    let (flooded, echoed) = thread::scope(|scope| {
        let echoing = scope.spawn(|| echo(&mut session, &over));
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| flood(&gateway))).collect();
        let flooded: usize = threads.into_iter().map(|one| one.join().unwrap()).sum();
        over.store(true, Ordering::Relaxed);
        (flooded, echoing.join().unwrap())
    });
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(echoed >= ECHOES);
    session.close(1000, "");
    assert_eq!(flooded, CONNECTIONS * THREADS, "its one handshake was that of its session");
    let all = eventually(|| Some(dropped(&gateway)).filter(|(_, all)| *all >= flooded as u64));
    let (told, all) = all.unwrap_or_else(|| panic!("{:?} are in the log", dropped(&gateway)));
    assert_eq!(all, flooded as u64);
    assert!(told <= 100 * (seconds + 2), "{told} told in {seconds} s");
    gateway
}

#[test]
fn an_address_that_floods_costs_another_no_message_and_the_log_little() {
    expect_isolation("", |_| ());
}

#[test]
fn an_address_that_is_banned_costs_as_little() {
    let gateway = expect_isolation("[admin]\nsocket = \"fw.sock\"\n", |gateway| {
        assert_eq!(gateway.admin(&["ban", "127.0.0.2", "--for", "1h"]).0, Some(0));
    });
    let record = gateway.wait_for_record(|record| record["event"] == "admin");
    assert_eq!(record["action"], "ban");
    let dropped = Wire::client(gateway.tcp_from(FLOODER)).expect_gone();
    assert_eq!(dropped, b"");
    gateway.wait_for_record(|record| record["reason"] == "ban.active");
}
