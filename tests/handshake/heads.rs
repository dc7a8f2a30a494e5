//! Sizes of request heads: what applications with large cookies and tokens send passes, what is larger
//! is refused with the bound's name, and waiting heads hold little of what all connections share.

use super::support::{Gateway, RawUpstream, Request, Wire};

fn upgrade() -> Request {
    Request::upgrade("/ws")
}

/// A head of so many bytes, or the beginning of a longer one.
fn head(bytes: usize) -> Vec<u8> {
    let head = upgrade().and("Cookie", "").bytes();
    let filler = "a".repeat(bytes - head.len());
    upgrade().and("Cookie", &filler).bytes()
}

/// The refusal of a head, and that the log names the bound.
#[track_caller]
fn expect_too_large(gateway: &Gateway, head: &[u8], bound: &str) {
    let response = gateway.answer_to(head);
    gateway.check_refusal(&response, 431, "head.too_large");
    let id = response.problem().unwrap()["request_id"].clone();
    let record = gateway.wait_for_record(|record| record["request_id"] == id);
    assert!(record["detail"].as_str().unwrap().contains(bound), "{record}");
}

#[test]
fn large_cookies_and_many_fields_pass_by_default() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    // What oauth2-proxy sends: a session in four cookies. And a token with many groups.
    let mut request = upgrade();
    for number in 0..4 {
        request = request.and("Cookie", &format!("_oauth2_proxy_{number}={}", "a".repeat(4000)));
    }
    request = request.and("X-Token", &"t".repeat(40_000));
    for number in 0..150 {
        request = request.and(&format!("X-Field-{number}"), "1");
    }
    let mut client = gateway.connect();
    client.send_request(&request);
    let (_application, seen) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    assert_eq!(seen.only("x-token").unwrap().len(), 40_000);
    assert_eq!(seen.only("x-field-149"), Some("1"));
}

#[test]
fn a_head_may_come_in_pieces_and_with_the_first_frames() {
    let upstream = RawUpstream::bind();
    for gateway in [
        Gateway::to(&[upstream.address()]).start(),
        Gateway::to(&[upstream.address()]).plain().start(),
    ] {
        let mut client = gateway.connect();
        let head = head(40_000);
        for piece in head[..39_990].chunks(997) {
            client.send(piece);
        }
        for byte in &head[39_990..39_999] {
            client.send(&[*byte]);
        }
        let frame = super::support::Frame::text("early").masked(true).encode();
        client.send(&[&head[39_999..], &frame].concat());
        let (mut application, _) = upstream.accept_upgrade("");
        assert_eq!(client.read_head().status(), 101);
        application.expect_frame(super::support::Frame::text("early"));
    }
}

#[test]
fn heads_above_a_limit_are_refused_to_the_byte() {
    let upstream = RawUpstream::bind();
    for (lines, bytes, fields) in
        [("", 65_536, 200), ("max_head = \"4KiB\"\nmax_fields = 20", 4096, 20)]
    {
        let gateway = Gateway::to(&[upstream.address()]).server(lines).start();
        expect_too_large(&gateway, &head(bytes + 1), "server.max_head");
        let mut many = upgrade();
        for number in 5..fields {
            many = many.and(&format!("X-Field-{number}"), "1");
        }
        let mut client = gateway.connect();
        client.send_request(&many);
        upstream.accept_upgrade("");
        assert_eq!(client.read_head().status(), 101);
        expect_too_large(&gateway, &many.and("X-One", "more").bytes(), "server.max_fields");
        let mut client = gateway.connect();
        client.send(&head(bytes));
        upstream.accept_upgrade("");
        assert_eq!(client.read_head().status(), 101);
        // It is refused as soon as it is known, not when the head ends.
        let endless = head(bytes + 100);
        expect_too_large(&gateway, &endless[..bytes + 10], "server.max_head");
    }
}

#[test]
fn an_address_cannot_use_up_the_budget_of_large_heads() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let long = head(60_000);
    // 8 MiB of what is beyond 16 KiB, and some more.
    let waiting: Vec<Wire> = (0..200)
        .map(|_| {
            let mut client = gateway.connect();
            client.send(&long[..59_000]);
            client
        })
        .collect();
    gateway.wait_for_record(|record| record["reason"] == "capacity");
    let response = gateway.answer_to(&long);
    gateway.check_refusal(&response, 503, "capacity");
    // A head of the usual size needs nothing of it, and another address has its own part.
    let mut client = gateway.connect();
    client.send(&head(16_000));
    upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    let mut other = gateway.connect_from(([127, 0, 0, 2], 0).into());
    other.send(&long);
    upstream.accept_upgrade("");
    assert_eq!(other.read_head().status(), 101);
    drop(waiting);
}
