//! Who offers what to whom, and which answers are none.

use super::support::{Frame, Gateway, RawUpstream, Request, Session, packed, valid_answer};
use super::{FIELD, inspecting, offering};

/// The offer that an application gets for a client's `permessage-deflate`.
const OFFERED: &str = "permessage-deflate; client_no_context_takeover";

/// What the upstream is offered and what the client is answered.
fn negotiated(session: &Session) -> (Vec<&str>, Vec<&str>) {
    let field = "sec-websocket-extensions";
    (session.request.all(field), session.response.all(field))
}

#[test]
fn offers_are_rewritten_and_the_answer_is_forwarded() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let request = offering("x-unknown, permessage-deflate;client_max_window_bits")
        .and(FIELD, "permessage-deflate; x=1, permessage-deflate");
    let answer = "permessage-deflate;server_max_window_bits=10;client_max_window_bits=\"9\"";
    let fields = format!("Sec-WebSocket-Extensions: {answer}\r\n");
    let session = Session::open_with(&gateway, &upstream, &request, &fields);
    let offered = "permessage-deflate; client_no_context_takeover; client_max_window_bits, \
                   permessage-deflate; client_no_context_takeover";
    let answered = "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; \
                    client_max_window_bits=9";
    assert_eq!(negotiated(&session), (vec![offered], vec![answered]));
}

#[test]
fn an_upstream_may_decline_and_compressed_frames_are_refused() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let mut session = Session::open_with(&gateway, &upstream, &offering("permessage-deflate"), "");
    assert_eq!(negotiated(&session), (vec![OFFERED], vec![]));
    session.prove_alive();
    session.client.say(packed("Hello"));
    session.client.expect_closing(1002, "frame.protocol");
    session.upstream.expect_closing(1001, "frame.protocol");
}

#[test]
fn without_an_acceptable_offer_none_is_forwarded() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    for offer in
        ["x-unknown", "permessage-deflate; x", "permessage-deflate; server_max_window_bits"]
    {
        let session = Session::open_with(&gateway, &upstream, &offering(offer), "");
        assert_eq!(negotiated(&session), (vec![], vec![]), "{offer}");
    }
    let session = Session::open_with(&gateway, &upstream, &Request::upgrade("/ws"), "");
    assert_eq!(negotiated(&session), (vec![], vec![]));
}

#[test]
fn an_answer_without_an_offer_is_a_bad_gateway() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    for (offer, answer) in [
        ("x", "permessage-deflate"),
        ("permessage-deflate", "x"),
        ("permessage-deflate", "permessage-deflate, permessage-deflate"),
        ("permessage-deflate", "permessage-deflate; client_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=9", "permessage-deflate"),
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=16"),
        ("permessage-deflate", "permessage-deflate;;"),
    ] {
        let mut client = gateway.connect();
        client.send_request(&offering(offer));
        let mut application = upstream.accept();
        let request = application.read_head();
        let fields = format!("Sec-WebSocket-Extensions: {answer}\r\n");
        application.send(valid_answer(&request, &fields).as_bytes());
        gateway.check_refusal(&client.read_response(), 502, "upstream.handshake");
        client.expect_eof();
        assert!(application.expect_gone().is_empty());
    }
}

/// Apple's stack keeps its context although it is told not to: its second message would be refused.
#[test]
fn a_client_that_needs_context_takeover_negotiates_nothing() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 \
                  (KHTML, like Gecko) Version/26.1 Safari/605.1.15";
    let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                  Chrome/156.0.0.0 Safari/537.36";
    for (agent, offers) in [(safari, vec![]), (chrome, vec![OFFERED])] {
        let request = offering("permessage-deflate").and("User-Agent", agent);
        let mut session = Session::open_with(&gateway, &upstream, &request, "");
        assert_eq!(negotiated(&session), (offers, vec![]), "{agent}");
        session.prove_alive();
    }
}

#[test]
fn a_field_that_is_no_list_of_extensions_is_malformed() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    for offer in ["permessage-deflate;", "permessage-deflate; a=\"", "; permessage-deflate", "a b"]
    {
        gateway.expect_refusal(&offering(offer), 400, "handshake.malformed");
    }
    upstream.received_nothing();
}

#[test]
fn a_route_decides_for_itself() {
    let upstream = RawUpstream::bind();
    let offer = offering("permessage-deflate");
    let off = inspecting(&upstream).route("websocket = { compression = \"off\" }").start();
    let session = Session::open_with(&off, &upstream, &offer, "");
    assert_eq!(negotiated(&session), (vec![], vec![]));
    let on = Gateway::to(&[upstream.address()])
        .route("websocket = { compression = \"inspect\" }")
        .start();
    let session = Session::open_with(&on, &upstream, &offer, super::ACCEPTED);
    assert_eq!(negotiated(&session).0, [OFFERED]);
}

/// The client has its answer before there is anybody who could agree.
#[test]
fn a_token_in_the_first_message_disables_compression() {
    let upstream = RawUpstream::bind();
    let gateway = super::handover::guarded(&upstream, "token_from = [\"message\"]").start();
    let mut client = gateway.connect();
    client.send_request(&offering("permessage-deflate"));
    let response = client.read_head();
    assert_eq!(response.status(), 101);
    assert_eq!(response.all("sec-websocket-extensions"), Vec::<&str>::new());
    client.say(Frame::text(super::support::token("ada", 3600)));
    let (mut application, request) = upstream.accept_upgrade("");
    assert_eq!(request.all("sec-websocket-extensions"), Vec::<&str>::new());
    client.say(packed("Hello"));
    client.expect_closing(1002, "frame.protocol");
    application.expect_closing(1001, "frame.protocol");
}
