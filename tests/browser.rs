//! A real browser in front of a real application: Chromium, the gateway, Python `websockets`. A page
//! can set no header, so its token comes as a subprotocol or a cookie; and it sends its Origin.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

#[path = "browser/foreign.rs"]
mod foreign;

use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use support::{
    Browser, Gateway, Https, HttpsPort, Peer, Response, TIMEOUT, Tap, Tool, answer, inflated,
    token, write_secret,
};

/// An echo application behind a gateway that lets pages of `origin` in, with a token.
fn protected(origin: &str) -> (Peer, Gateway) {
    let peer = Peer::start(Tool::Python, "echo", &["--subprotocols"]);
    let gateway = Gateway::to(&[peer.address()])
        .auth("main")
        .prepare(write_secret)
        .route(&format!("origins = [\"{origin}\"]"))
        .more(
            "[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n\
             token_from = [\"subprotocol\", \"cookie:session\"]\n\
             forward = { \"X-User-Id\" = \"sub\" }\n",
        )
        .start();
    (peer, gateway)
}

/// What a page tries: a socket with these subprotocols, and what it then says.
fn attempt(gateway: &Gateway, protocols: &[&str], texts: &[&str]) -> Value {
    json!({ "url": gateway.url("wss", "/ws"), "protocols": protocols, "texts": texts })
}

/// A site whose one page makes attempts, and tells what came of them.
struct Site {
    _server: Https,
    outcomes: Receiver<Value>,
}

impl Site {
    /// `cookies` are set before the page's script runs.
    fn serve(port: HttpsPort, gateway: &Gateway, cookies: &[String], attempts: &[Value]) -> Self {
        let page = include_str!("peers/page.html");
        let page = page.replace("{{attempts}}", &json!(attempts).to_string());
        let set = |cookie: &String| {
            format!("Set-Cookie: {cookie}; Path=/; Secure; HttpOnly; SameSite=Strict\r\n")
        };
        let cookies: String = cookies.iter().map(set).collect();
        let (told, outcomes) = channel();
        let handler = move |request: &Response| {
            if request.line.starts_with("POST /outcomes ") {
                told.send(serde_json::from_slice(&request.body).unwrap()).ok()?;
                return Some(answer("200 OK", "", ""));
            }
            if !request.line.starts_with("GET / ") {
                return Some(answer("404 Not Found", "", ""));
            }
            Some(answer("200 OK", &format!("Content-Type: text/html\r\n{cookies}"), &page))
        };
        Self { _server: port.serve(gateway.folder(), "site0", handler), outcomes }
    }

    /// What the page at `origin` saw, in the order of its attempts.
    fn visit(&self, origin: &str, gateway: &Gateway) -> Vec<Value> {
        let _browser = Browser::open(&format!("{origin}/"), &[&gateway.folder().join("site0.key")]);
        // A browser takes longer to start than anything else here.
        let outcomes = self.outcomes.recv_timeout(3 * TIMEOUT).expect("the page ends");
        serde_json::from_value(outcomes).unwrap()
    }
}

/// The attempts of a page of the route's own origin.
fn visit(
    cookies: &[String],
    attempts: impl Fn(&Gateway) -> Vec<Value>,
) -> (Peer, Gateway, Vec<Value>) {
    let port = HttpsPort::bind();
    let origin = port.origin();
    let (peer, gateway) = protected(&origin);
    let site = Site::serve(port, &gateway, cookies, &attempts(&gateway));
    let outcomes = site.visit(&origin, &gateway);
    (peer, gateway, outcomes)
}

/// A handshake that was refused, as a page sees it: it is not told why.
fn refused() -> Value {
    json!({ "opened": false, "answers": [], "code": 1006, "reason": "" })
}

#[track_caller]
fn expect_refusals(gateway: &Gateway, reason: &str, count: usize) {
    let refused = |record: &Value| record["event"] == "refused" && record["reason"] == reason;
    gateway.wait_for_record(refused);
    let records = gateway.log_records();
    assert_eq!(records.iter().filter(|record| refused(record)).count(), count, "{records:#?}");
    assert!(records.iter().all(|record| record["event"] != "session.opened"), "{records:#?}");
}

/// What an application that sends its header fields back sees.
const FIELDS: [&str; 4] =
    ["header Sec-WebSocket-Protocol", "header Cookie", "header X-User-Id", "hello"];

#[test]
#[ignore = "needs chromium and python websockets"]
fn a_token_comes_as_a_subprotocol() {
    let item = format!("bearer.{}", token("ada", 3600));
    let (mut peer, gateway, outcomes) =
        visit(&[], |gateway| vec![attempt(gateway, &["chat.v1", &item], &FIELDS)]);
    let seen = &outcomes[0];
    assert_eq!(seen["protocol"], "chat.v1", "{seen}");
    assert_eq!(seen["answers"], json!(["[\"chat.v1\"]", "[]", "[\"ada\"]", "hello"]), "{seen}");
    assert_eq!((&seen["code"], &seen["reason"]), (&json!(1000), &json!("seen")));
    assert_eq!(peer.says(), json!({ "code": 1000, "reason": "seen" }));
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!((&opened["user"], &opened["subprotocol"]), (&json!("ada"), &json!("chat.v1")));
}

#[test]
#[ignore = "needs chromium and python websockets"]
fn a_token_comes_as_a_cookie() {
    let cookies = ["theme=dark".to_owned(), format!("session={}", token("ada", 3600))];
    let (_peer, gateway, outcomes) =
        visit(&cookies, |gateway| vec![attempt(gateway, &["chat.v1"], &FIELDS)]);
    let seen = &outcomes[0];
    let answers = json!(["[\"chat.v1\"]", "[\"theme=dark\"]", "[\"ada\"]", "hello"]);
    assert_eq!(seen["answers"], answers, "{seen}");
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!(opened["user"], "ada");
}

#[test]
#[ignore = "needs chromium and python websockets"]
fn an_expired_token_is_refused_in_a_browser() {
    let expired = token("ada", -3600);
    let item = format!("bearer.{expired}");
    let (_peer, gateway, outcomes) =
        visit(&[], |gateway| vec![attempt(gateway, &["chat.v1", &item], &["hello"])]);
    assert_eq!(outcomes, [refused()]);
    expect_refusals(&gateway, "token.expired", 1);
    let cookies = [format!("session={expired}")];
    let (_peer, gateway, outcomes) =
        visit(&cookies, |gateway| vec![attempt(gateway, &["chat.v1"], &["hello"])]);
    assert_eq!(outcomes, [refused()]);
    expect_refusals(&gateway, "token.expired", 1);
}

/// Cookies know no ports: a page at another port of the same host is of the same site, has the
/// cookie sent along, and is stopped by its Origin alone.
#[test]
#[ignore = "needs chromium and python websockets"]
fn a_page_of_another_origin_is_refused() {
    let own = HttpsPort::bind();
    let (_peer, gateway) = protected(&own.origin());
    let good = token("ada", 3600);
    let (cookie, item) = (format!("session={good}"), format!("bearer.{good}"));
    for (cookies, protocols) in
        [(vec![cookie], vec!["chat.v1"]), (Vec::new(), vec!["chat.v1", item.as_str()])]
    {
        let port = HttpsPort::bind();
        let evil = port.origin();
        let attempts = [attempt(&gateway, &protocols, &["hello"])];
        let site = Site::serve(port, &gateway, &cookies, &attempts);
        assert_eq!(site.visit(&evil, &gateway), [refused()]);
        let named = |record: &Value| record["detail"].as_str().is_some_and(|d| d.contains(&evil));
        assert_eq!(gateway.wait_for_record(named)["reason"], "origin.denied");
    }
    expect_refusals(&gateway, "origin.denied", 2);
}

/// Browsers always offer permessage-deflate, and compress what they send once it was accepted.
#[test]
#[ignore = "needs chromium and python websockets"]
fn messages_of_a_page_are_compressed() {
    let port = HttpsPort::bind();
    let origin = port.origin();
    let peer = Peer::start(Tool::Python, "echo", &[]);
    let tap = Tap::on(peer.address());
    let gateway = Gateway::to(&[tap.address()])
        .route(&format!("origins = [\"{origin}\"]"))
        .websocket("compression = \"inspect\"")
        .start();
    let text = "Grüße von der Seite. ".repeat(50);
    let texts = ["extensions", text.as_str(), text.as_str()];
    let site = Site::serve(port, &gateway, &[], &[attempt(&gateway, &[], &texts)]);
    let outcomes = site.visit(&origin, &gateway);
    let answers = json!(["[\"permessage-deflate\"]", text, text]);
    assert_eq!((&outcomes[0]["answers"], &outcomes[0]["code"]), (&answers, &json!(1000)));
    let (there, back) = tap.frames();
    let said: Vec<_> = there.iter().filter(|frame| frame.opcode == 1).collect();
    assert_eq!(said.len(), texts.len());
    for (frame, text) in said.into_iter().zip(texts) {
        assert_eq!(frame.rsv, 4);
        assert_eq!(inflated(&frame.payload), text.as_bytes(), "each stands for itself");
    }
    assert!(back.iter().filter(|frame| frame.opcode == 1).all(|frame| frame.rsv == 4));
}
