//! Where a token may be; and that nothing of it goes any further.

use super::support::{Gateway, RawUpstream, Request, Session};
use super::{guarded, token};

const PLACES: &str =
    "token_from = [\"header\", \"subprotocol\", \"query:access_token\", \"cookie:session\"]";

fn start(upstream: &RawUpstream, lines: &str) -> Gateway {
    guarded(upstream, &format!("{PLACES}\n{lines}")).route("origins = [\"*\"]").start()
}

/// One request for each place.
fn carriers(token: &str) -> [Request; 4] {
    let plain = || Request::upgrade("/ws");
    [
        plain().and("Authorization", &format!("Bearer {token}")),
        plain().and("Sec-WebSocket-Protocol", &format!("chat.v1, bearer.{token}")),
        Request::upgrade(&format!("/ws?x=1&access_token={token}&y=2")),
        plain().and("Cookie", &format!("theme=dark; session={token}")),
    ]
}

fn all_of(head: &super::support::Response) -> String {
    format!("{} {:?}", head.line, head.fields)
}

#[test]
fn each_place_lets_in_and_the_token_goes_no_further() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let token = token("ada");
    let signature = token.rsplit('.').next().unwrap();
    for request in carriers(&token) {
        let mut session = Session::open_with(&gateway, &upstream, &request, "");
        session.prove_alive();
        assert!(!all_of(&session.request).contains(signature), "{:?}", session.request);
        let id = session.request_id();
        let opened = gateway.wait_for_record(|record| {
            record["event"] == "session.opened" && record["request_id"] == id
        });
        assert_eq!(opened["user"], "ada");
    }
    let log = format!("{:?} {:?}", gateway.log_records(), gateway.output());
    assert!(!log.contains(signature), "{log}");
}

#[test]
fn what_is_beside_the_token_stays() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let [_, subprotocol, query, cookie] = carriers(&token("ada"));
    let open = |request| Session::open_with(&gateway, &upstream, request, "");
    assert_eq!(open(&subprotocol).request.only("sec-websocket-protocol"), Some("chat.v1"));
    assert_eq!(open(&query).request.line, "GET /ws?x=1&y=2 HTTP/1.1");
    assert_eq!(open(&cookie).request.only("cookie"), Some("theme=dark"));
}

#[test]
fn a_token_is_forwarded_where_that_is_said() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "forward_token = true");
    let token = token("ada");
    for request in carriers(&token) {
        let session = Session::open_with(&gateway, &upstream, &request, "");
        assert!(all_of(&session.request).contains(&token), "{:?}", session.request);
    }
}

#[test]
fn a_browser_gets_its_subprotocol_and_never_the_token() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, PLACES).route("subprotocols = [\"chat.v1\"]").start();
    let [_, request, ..] = carriers(&token("ada"));
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert_eq!(session.response.only("sec-websocket-protocol"), Some("chat.v1"));
    let chosen = "Sec-WebSocket-Protocol: chat.v1\r\n";
    let session = Session::open_with(&gateway, &upstream, &request, chosen);
    assert_eq!(session.response.only("sec-websocket-protocol"), Some("chat.v1"));
}

#[test]
fn a_token_alone_as_subprotocol_is_told_so() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let alone = format!("bearer.{}", token("ada"));
    let request = Request::upgrade("/ws").and("Sec-WebSocket-Protocol", &alone);
    gateway.expect_refusal(&request, 400, "handshake.malformed");
    upstream.received_nothing();
}

#[test]
fn more_than_one_credential_is_refused() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let token = token("ada");
    for [one, other] in [[0, 3], [1, 0], [0, 2]] {
        let fields = carriers(&token);
        let more = fields[other].clone();
        let both = fields[one].merge(&more);
        gateway.expect_refusal(&both, 400, "token.multiple");
    }
    let twice = Request::upgrade("/ws")
        .and("Authorization", &format!("Bearer {token}"))
        .and("Authorization", &format!("Bearer {token}"));
    gateway.expect_refusal(&twice, 400, "token.multiple");
    upstream.received_nothing();
}
