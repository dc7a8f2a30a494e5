//! A foreign page does all that a page can do to the gateway, with a ban at the first strike.

use super::support::{Browser, Gateway, HttpsPort, Peer, RawUpstream, Request, Session, Tool};
use super::*;

const BAN: &str = "[firewall.ban]\nstrikes = 1\n[admin]\nsocket = \"fw.sock\"\n";

const ISSUER: &str = "[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n\
     token_from = [\"subprotocol\", \"cookie:session\", \"query:token\"]\n";

fn secure(peer: &Peer, visited: &RawUpstream) -> Gateway {
    Gateway::to(&[peer.address()])
        .auth("main")
        .prepare(write_secret)
        .websocket("ping_interval = \"off\"")
        .more(&own(visited, "main"))
        .more(ISSUER)
        .more(BAN)
        .start()
}

/// Without TLS, and with routes for any origin.
fn open(peer: &Peer, visited: &RawUpstream) -> Gateway {
    let route = |name, auth| {
        format!(
            "[routes.{name}]\npath = \"/{name}\"\nupstream = [\"ws://{}\"]\nauth = \"{auth}\"\n\
             origins = [\"*\"]\n",
            peer.address()
        )
    };
    let message = "[jwt.first]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n\
                   token_from = [\"message\"]\n";
    Gateway::to(&[peer.address()])
        .plain()
        .prepare(write_secret)
        .route(
            "origins = [\"*\"]\nlimits = { messages = \"100/s burst 200\", on_exceed = \"close\" }",
        )
        .websocket("compression = \"inspect\"\nping_interval = \"off\"")
        .more(&own(visited, "none"))
        .more(ISSUER)
        .more(message)
        .more(&route("any", "main"))
        .more(&route("message", "first"))
        .more("[limits]\nhandshakes_per_ip = \"5/s burst 90\"\n")
        .more(BAN)
        .start()
}

/// The route of the visitor's own session, which must outlive the page.
fn own(visited: &RawUpstream, auth: &str) -> String {
    let address = visited.address();
    format!("[routes.own]\npath = \"/own\"\nupstream = [\"ws://{address}\"]\nauth = \"{auth}\"\n")
}

#[track_caller]
fn expect_refused(gateway: &Gateway, reason: &str) {
    gateway.wait_for_record(|record| record["reason"] == reason);
}

#[test]
#[ignore = "needs chromium and python websockets"]
fn foreign_pages_cause_no_ban_and_end_no_session() {
    let peer = Peer::start(Tool::Python, "echo", &[]);
    let visited = RawUpstream::bind();
    let (secure, open) = (secure(&peer, &visited), open(&peer, &visited));
    let good = Request::upgrade(&format!("/own?token={}", token("ada", 3600)));
    let mut sessions = [
        Session::open_with(&secure, &visited, &good, ""),
        Session::open_with(&open, &visited, &Request::upgrade("/own"), ""),
    ];

    let forged = token("ada", 3600).rsplit_once('.').unwrap().0.to_owned() + ".Zm9yZ2Vk";
    let targets = json!({
        "tls": secure.url("wss", ""),
        "plain": open.url("ws", ""),
        "open": open.url("ws", ""),
        "forged": forged,
    });
    let page = include_str!("../peers/foreign.html").replace("{{targets}}", &targets.to_string());
    let port = HttpsPort::bind();
    let origin = port.origin();
    let (told, outcomes) = channel();
    let handler = move |request: &Response| {
        if request.line.starts_with("POST /outcomes ") {
            told.send(()).ok()?;
            return Some(answer("200 OK", "", ""));
        }
        Some(answer("200 OK", "Content-Type: text/html\r\n", &page))
    };
    let _server = port.serve(secure.folder(), "site0", handler);
    let key = secure.folder().join("site0.key");
    let browser = Browser::open(&format!("{origin}/"), &[&key]);
    outcomes.recv_timeout(8 * TIMEOUT).expect("the page ends");
    drop(browser);

    // The page did what it set out to do.
    for reason in ["handshake.malformed", "origin.denied", "method", "upgrade.required"] {
        expect_refused(&secure, reason);
    }
    for reason in [
        "handshake.malformed",
        "token.invalid",
        "message.too_big",
        "limit.messages",
        "method",
        "limit.handshakes",
    ] {
        expect_refused(&open, reason);
    }
    for (gateway, session) in [&secure, &open].into_iter().zip(&mut sessions) {
        session.prove_alive();
        let records = gateway.log_records();
        assert!(records.iter().all(|record| record["event"] != "banned"), "{records:#?}");
        let (code, listed, _) = gateway.admin(&["bans", "--json"]);
        assert_eq!(code, Some(0));
        assert!(!listed.contains("127.0.0.1"), "{listed}");
    }

    // Bans are on: what no page can have sent is one.
    let mut client = secure.connect();
    client.send(b"GET /ws HTTP/1.1\nHost: localhost\r\n\r\n");
    secure.wait_for_record(|record| record["event"] == "banned");
    assert_eq!(sessions[0].client.expect_close(), (4403, "ban.active".to_owned()));
}
