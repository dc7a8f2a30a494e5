//! Several applications of a route: which gets a session, what a failed one costs, and who is told.

use serde_json::Value;

use super::support::{Frame, Gateway, RawUpstream, Request, Session, Silent, Wire, eventually};

fn named(upstream: &RawUpstream) -> String {
    format!("ws://{}", upstream.address())
}

/// The records of an event, in their order.
fn records(gateway: &Gateway, event: &str) -> Vec<Value> {
    gateway.log_records().into_iter().filter(|record| record["event"] == event).collect()
}

/// What `status` says of an upstream.
fn status(gateway: &Gateway, name: &str) -> Value {
    let status = gateway.status("fw.sock");
    let upstreams = status["upstreams"].as_array().unwrap();
    upstreams.iter().find(|one| one["upstream"] == name).unwrap().clone()
}

/// A client has asked for `/ws`.
fn asking(gateway: &Gateway) -> Wire {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    client
}

/// A client asks, `first` reads the request and hangs up, and `next` takes the session.
fn hang_up_on_one(gateway: &Gateway, first: &RawUpstream, next: &RawUpstream) {
    let mut client = asking(gateway);
    let mut application = first.accept();
    application.read_head();
    drop(application);
    let _session = next.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101, "it goes on to the next");
}

#[test]
fn a_hung_application_leaves_time_for_the_next() {
    let (hung, next) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[hung.address(), next.address()])
        .server("handshake_timeout = \"2s\"")
        .more("[admin]\nsocket = \"fw.sock\"")
        .start();
    let mut session = Session::open(&gateway, &next);
    session.prove_alive();
    let mut application = hung.accept();
    application.read_head();
    assert_eq!(application.expect_gone(), b"");

    let id = session.request_id();
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!((&opened["request_id"], &opened["upstream"]), (&id.into(), &named(&next).into()));
    let down = gateway.wait_for_error(|record| record["event"] == "upstream.down");
    assert_eq!(down["upstream"], named(&hung));
    assert_eq!((&down["level"], &down["route"]), (&"ERROR".into(), &"app".into()));
    assert!(down["detail"].as_str().unwrap().contains("no answer"), "{down}");
    assert!(down["retry_ms"].as_u64().unwrap() >= 1500, "{down}");
    assert_eq!(records(&gateway, "upstream.down").len(), 1);
    assert!(records(&gateway, "refused").is_empty());

    let shown = status(&gateway, &named(&hung));
    assert_eq!((&shown["state"], &shown["failures"]), (&"down".into(), &1.into()), "{shown}");
    assert!(shown["error"].as_str().unwrap().contains("no answer"), "{shown}");
    assert_eq!(shown["routes"], serde_json::json!(["app"]));
    assert_eq!(status(&gateway, &named(&next))["state"], "up");
    let (_, printed, _) = gateway.admin(&["status"]);
    assert!(printed.contains(&format!("{} down for ", named(&hung))), "{printed}");
    let (_, printed, _) = gateway.admin(&["sessions"]);
    assert!(printed.contains(&named(&next)), "{printed}");

    session.close(1000, "");
    let ended = gateway.wait_for_record(|record| record["event"] == "session.ended");
    assert_eq!(ended["upstream"], named(&next));
}

/// One that is not told of, since it was not asked of again, cannot have been dialled.
#[test]
fn a_failed_application_is_passed_by() {
    let (failing, next) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[failing.address(), next.address()]).admin("fw.sock").start();
    // The log may lag behind, and the next client would not come to the failing one.
    let down = eventually(|| {
        hang_up_on_one(&gateway, &failing, &next);
        (status(&gateway, &named(&failing))["state"] == "down").then_some(())
    });
    assert!(down.is_some(), "it answers nobody for two seconds");
    gateway.wait_for_error(|record| record["event"] == "upstream.down");
    Session::open(&gateway, &next).prove_alive();
    failing.received_nothing();

    gateway.hang_up("reloaded");
    assert_eq!(status(&gateway, &named(&failing))["state"], "down", "a reload keeps it");
    assert_eq!(records(&gateway, "upstream.down").len(), 1);
}

#[test]
fn a_recovered_upstream_is_used_again() {
    let next = RawUpstream::bind();
    let first = RawUpstream::unused_address();
    let gateway = Gateway::to(&[first, next.address()]).admin("fw.sock").start();
    Session::open(&gateway, &next).prove_alive();
    let first = RawUpstream::bind_at(first);
    let came = eventually(|| {
        let mut client = asking(&gateway);
        eventually(|| {
            if let Some(mut wire) = first.accept_now() {
                let request = wire.read_head();
                wire.send(super::support::valid_answer(&request, "").as_bytes());
                return Some(true);
            }
            next.accept_now().map(|mut wire| {
                let request = wire.read_head();
                wire.send(super::support::valid_answer(&request, "").as_bytes());
                false
            })
        })
        .filter(|came| {
            assert_eq!(client.read_head().status(), 101);
            *came
        })
    });
    assert!(came.is_some(), "the first is tried again once it has rested");
    let up = gateway.wait_for_record(|record| record["event"] == "upstream.up");
    assert_eq!(up["upstream"], named(&first));
    assert_eq!((&up["level"], &up["failures"]), (&"INFO".into(), &1.into()), "{up}");
    assert!(up["down_ms"].is_u64(), "{up}");
    assert_eq!(status(&gateway, &named(&first))["state"], "up");
    Session::open(&gateway, &first).prove_alive();
    assert_eq!(records(&gateway, "upstream.up").len(), 1);
}

#[test]
fn two_silent_upstreams_of_three_are_passed_by() {
    let (silent, hung, live) = (Silent::bind(), RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[silent.address(), hung.address(), live.address()])
        .server("handshake_timeout = \"3s\"")
        .start();
    Session::open(&gateway, &live).prove_alive();
    let down = |name: String| {
        gateway.wait_for_record(|record| {
            record["event"] == "upstream.down" && record["upstream"] == name
        })
    };
    let silence = down(format!("ws://{}", silent.address()));
    assert!(silence["detail"].as_str().unwrap().contains("no connection"), "{silence}");
    down(named(&hung));
}

/// With so long a deadline, a share of it is longer than the test's patience.
#[test]
fn each_dial_has_a_deadline() {
    let (silent, live) = (Silent::bind(), RawUpstream::bind());
    for lines in ["", "dial_timeout = \"50ms\""] {
        let gateway = Gateway::to(&[silent.address(), live.address()])
            .server("handshake_timeout = \"600s\"")
            .route(lines)
            .start();
        Session::open(&gateway, &live).prove_alive();
        gateway.wait_for_record(|record| record["event"] == "upstream.down");
    }
}

#[test]
fn the_last_dial_has_a_deadline_too() {
    let silent = Silent::bind();
    let gateway = Gateway::to(&[silent.address()])
        .server("handshake_timeout = \"600s\"")
        .route("dial_timeout = \"50ms\"")
        .start();
    gateway.expect_refusal(&Request::upgrade("/ws"), 504, "upstream.timeout");
}

#[test]
fn all_failed_upstreams_are_tried_and_logged_once() {
    let (first, second) = (RawUpstream::unused_address(), RawUpstream::unused_address());
    let gateway = Gateway::to(&[first, second]).start();
    for _ in 0..3 {
        let response = gateway.answer_to(&Request::upgrade("/ws").bytes());
        gateway.check_refusal(&response, 503, "upstream.unavailable");
        let id = &response.problem().unwrap()["request_id"];
        let record = gateway.wait_for_record(|record| record["request_id"] == *id);
        let detail = record["detail"].as_str().unwrap();
        for tried in [first, second] {
            assert!(detail.contains(&format!("ws://{tried}: ")), "{record}");
        }
        assert!(record["upstream"].as_str().unwrap().starts_with("ws://127.0.0.1:"), "{record}");
    }
    let down = records(&gateway, "upstream.down");
    assert_eq!(down.len(), 2, "{down:?}");
    let back = RawUpstream::bind_at(second);
    Session::open(&gateway, &back).prove_alive();
}

#[test]
fn an_answer_is_final() {
    let (first, second) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[first.address(), second.address()]).admin("fw.sock").start();
    for (answer, code) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", 502),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", 502),
        ("HTTP/1.1 401 No\r\nBad\0Name: x\r\n\r\n", 502),
    ] {
        let mut client = asking(&gateway);
        let mut application = first.accept();
        application.read_head();
        application.send(answer.as_bytes());
        assert_eq!(client.read_response().status(), code, "{answer}");
    }
    let record = gateway.wait_for_record(|record| record["event"] == "answered");
    assert_eq!(record["upstream"], named(&first));
    second.received_nothing();
    assert!(records(&gateway, "upstream.down").is_empty());
    assert_eq!(status(&gateway, &named(&first))["state"], "up");
}

/// What one client's request does to an application that answers the others is no failure of it.
#[test]
fn one_client_cannot_mark_an_upstream_that_answers_others() {
    let (first, second) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[first.address(), second.address()])
        .server("handshake_timeout = \"4s\"")
        .start();
    let mut hanging = asking(&gateway);
    let mut held = first.accept();
    held.read_head();
    Session::open(&gateway, &first).prove_alive();
    let (_wire, _request) = second.accept_upgrade("");
    assert_eq!(hanging.read_head().status(), 101, "it goes on to the next");
    Session::open(&gateway, &first).prove_alive();
    assert!(records(&gateway, "upstream.down").is_empty());
}

/// Such a request reaches an application that hangs up on some path.
#[test]
fn failed_requests_of_one_client_mark_nothing_and_are_logged_once() {
    let (first, second) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[first.address(), second.address()]).admin("fw.sock").start();
    for _ in 0..60 {
        hang_up_on_one(&gateway, &first, &second);
        Session::open(&gateway, &first).prove_alive();
    }
    assert_eq!(status(&gateway, &named(&first))["state"], "up");
    for event in ["upstream.down", "upstream.up"] {
        assert!(records(&gateway, event).is_empty(), "{event}");
    }
}

#[test]
fn an_unstable_upstream_does_not_flood_the_log() {
    let address = RawUpstream::unused_address();
    let gateway = Gateway::to(&[address]).admin("fw.sock").start();
    for _ in 0..20 {
        let response = gateway.answer_to(&Request::upgrade("/ws").bytes());
        gateway.check_refusal(&response, 503, "upstream.unavailable");
        assert_eq!(status(&gateway, &format!("ws://{address}"))["state"], "down");
        Session::open(&gateway, &RawUpstream::bind_at(address)).prove_alive();
    }
    gateway.wait_for_record(|record| record["event"] == "upstream.up");
    let (down, up) = (records(&gateway, "upstream.down"), records(&gateway, "upstream.up"));
    assert_eq!(down.len(), up.len(), "{down:?} {up:?}");
    assert!(down.len() < 10, "{down:?}");
}

#[test]
fn an_upstream_that_speaks_no_http_is_passed_by() {
    let next = RawUpstream::bind();
    for (bytes, words) in [
        (b"\x15\x03\x03\x00\x02\x02\x46".as_slice(), "write wss://"),
        (b"\0\0\x12\x04\0\0\0\0\0", "HTTP/2"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"", "no answer"),
    ] {
        let first = RawUpstream::bind();
        let gateway = Gateway::to(&[first.address(), next.address()]).start();
        let asked = || {
            let client = asking(&gateway);
            let mut application = first.accept();
            application.read_head();
            application.send(bytes);
            client
        };
        let mut client = asked();
        let (mut wire, _) = next.accept_upgrade("");
        assert_eq!(client.read_head().status(), 101);
        client.say(Frame::text("through"));
        wire.expect_frame(Frame::text("through"));
        let mut client = asked();
        drop(next.accept());
        assert_eq!(client.read_response().status(), 502);
        let refused = gateway.wait_for_record(|record| record["event"] == "refused");
        assert!(refused["detail"].as_str().unwrap().contains(words), "{refused}");
        assert!(records(&gateway, "upstream.down").is_empty());
    }
}
