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
fn each_place_admits_and_the_token_is_not_forwarded() {
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
fn data_beside_the_token_is_forwarded() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let [_, subprotocol, query, cookie] = carriers(&token("ada"));
    let open = |request| Session::open_with(&gateway, &upstream, request, "");
    assert_eq!(open(&subprotocol).request.only("sec-websocket-protocol"), Some("chat.v1"));
    assert_eq!(open(&query).request.line, "GET /ws?x=1&y=2 HTTP/1.1");
    assert_eq!(open(&cookie).request.only("cookie"), Some("theme=dark"));
}

#[test]
fn a_token_is_forwarded_if_configured() {
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
fn only_clients_with_a_token_as_subprotocol_get_a_subprotocol_from_the_gateway() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, PLACES).route("subprotocols = [\"chat.v1\"]").start();
    let [header, ..] = carriers(&token("ada"));
    let request = header.and("Sec-WebSocket-Protocol", "chat.v1");
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert_eq!(session.request.only("sec-websocket-protocol"), Some("chat.v1"));
    assert_eq!(session.response.only("sec-websocket-protocol"), None);
}

#[test]
fn a_token_without_another_subprotocol_is_refused_with_a_hint() {
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
    let (own, other) = (carriers(&token("ada")), carriers(&token("eve")));
    for [one, another] in [[0, 3], [1, 0], [0, 2]] {
        gateway.expect_refusal(&own[one].merge(&other[another]), 400, "token.multiple");
    }
    let twice = own[0].merge(&other[0]);
    gateway.expect_refusal(&twice, 400, "token.multiple");
    let (good, evil) = (token("ada"), token("eve"));
    let offer = |offer: String| Request::upgrade("/ws").and("Sec-WebSocket-Protocol", &offer);
    let cookie = |line: String| Request::upgrade("/ws").and("Cookie", &line);
    for hidden in [
        offer(format!("access_token, bearer.{good}, {evil}")),
        offer(format!("Bearer, bearer., {evil}")).and("Authorization", &format!("Bearer {good}")),
        cookie(format!("session={good}; SESSION={evil}")),
    ] {
        gateway.expect_refusal(&hidden, 400, "token.multiple");
    }
    upstream.received_nothing();
}

#[test]
fn the_same_token_in_two_places_is_one_and_an_empty_place_is_none() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let token = token("ada");
    let places = carriers(&token);
    for [one, another] in [[0, 3], [1, 0], [0, 2]] {
        let both = places[one].merge(&places[another]);
        let session = Session::open_with(&gateway, &upstream, &both, "");
        assert!(!all_of(&session.request).contains(&token), "{:?}", session.request);
    }
    let empty = Request::upgrade("/ws?access_token=&x=1")
        .and("Cookie", "session=; theme=dark")
        .and("Authorization", "Bearer ");
    gateway.expect_refusal(&empty, 401, "token.missing");
    let with_token = empty.and("Sec-WebSocket-Protocol", &format!("chat.v1, bearer.{token}"));
    let session = Session::open_with(&gateway, &upstream, &with_token, "");
    assert_eq!(session.request.line, "GET /ws?x=1 HTTP/1.1");
    assert_eq!(session.request.only("cookie"), Some("theme=dark"));
    assert_eq!(session.request.only("authorization"), None);
    upstream.received_nothing();
}

#[test]
fn authorization_is_emptied_wherever_the_token_is() {
    let upstream = RawUpstream::bind();
    for forward in ["", "forward_token = true"] {
        let places = "token_from = [\"cookie:session\"]";
        let gateway =
            guarded(&upstream, &format!("{places}\n{forward}")).route("origins = [\"*\"]").start();
        let [.., request] = carriers(&token("ada"));
        for value in ["Bearer other", "Basic YTpi", "other"] {
            let request = request.clone().and("Authorization", value);
            let session = Session::open_with(&gateway, &upstream, &request, "");
            assert_eq!(session.request.only("authorization"), None, "{value}");
        }
    }
}

#[test]
fn a_field_of_any_name_can_carry_the_token() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "token_from = [\"header:X-Auth-Token\"]").start();
    let token = token("ada");
    for value in [token.clone(), format!("Bearer {token}")] {
        let request = Request::upgrade("/ws").and("X-Auth-Token", &value);
        let mut session = Session::open_with(&gateway, &upstream, &request, "");
        session.prove_alive();
        assert!(!all_of(&session.request).contains(&token), "{:?}", session.request);
    }
    let arguments = ["--path", "/ws", "--token", &token];
    gateway.expect_explained(&arguments, &["credential one, from header:x-auth-token"]);
    let bearer = Request::upgrade("/ws").and("Authorization", &format!("Bearer {token}"));
    gateway.expect_refusal(&bearer, 401, "token.missing");
    upstream.received_nothing();
}

/// A browser that offers a pair fails without an answer: it gets the first item, unless the application
/// chooses one.
#[test]
fn a_pair_of_subprotocols_is_answered_without_its_token() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let token = token("ada");
    let pair = |offer: String| Request::upgrade("/ws").and("Sec-WebSocket-Protocol", &offer);
    let chosen = "Sec-WebSocket-Protocol: chat.v1\r\n";
    for (offer, left, answer, got) in [
        (format!("access_token, {token}"), "access_token", "", "access_token"),
        (format!("Bearer, {token}"), "Bearer", "", "Bearer"),
        (format!("Bearer, {token}, chat.v1"), "chat.v1, Bearer", chosen, "chat.v1"),
    ] {
        let session = Session::open_with(&gateway, &upstream, &pair(offer), answer);
        assert_eq!(session.request.only("sec-websocket-protocol"), Some(left));
        assert_eq!(session.response.only("sec-websocket-protocol"), Some(got));
    }
    let forwarded = start(&upstream, "forward_token = true");
    let offer = format!("access_token, {token}");
    let session = Session::open_with(&forwarded, &upstream, &pair(offer.clone()), "");
    assert_eq!(session.request.only("sec-websocket-protocol"), Some(offer.as_str()));
    assert_eq!(session.response.only("sec-websocket-protocol"), None, "the application was asked");
}
