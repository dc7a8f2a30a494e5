//! `explain` says what the gateway does: each case is described to the one and sent to the other.

use std::process::Command;

use serde_json::json;

use super::support::{Gateway, RawUpstream, Request};
use super::{guarded, now, sign, token};

struct Case {
    target: &'static str,
    host: &'static str,
    origin: Option<&'static str>,
    token: Option<(&'static str, String)>,
}

fn case(target: &'static str, token: Option<(&'static str, String)>) -> Case {
    Case { target, host: "localhost", origin: None, token }
}

/// The exit code and the reason that is explained, "admitted" where there is none.
fn explained(gateway: &Gateway, case: &Case) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framewall"));
    command
        .current_dir(gateway.folder())
        .args(["explain", "--config", "framewall.toml", "--ip", "127.0.0.1"])
        .args(["--path", case.target, "--host", case.host]);
    if let Some(origin) = case.origin {
        command.args(["--origin", origin]);
    }
    if let Some((place, token)) = &case.token {
        command.args(["--token", token, "--token-from", place]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap_or_default();
    let verdict = match last.strip_prefix("refused") {
        Some(rest) => rest.trim().split([' ', ':']).next().unwrap_or_default(),
        None => "admitted",
    };
    (output.status.code(), verdict.to_owned())
}

/// What the gateway does: the reason that it refuses for, "admitted" where there is none.
fn done(gateway: &Gateway, upstream: &RawUpstream, case: &Case) -> String {
    let mut target = case.target.to_owned();
    let mut fields = Vec::new();
    match &case.token {
        Some(("header", token)) => fields.push(("Authorization", format!("Bearer {token}"))),
        Some(("cookie:session", token)) => fields.push(("Cookie", format!("session={token}"))),
        Some(("subprotocol", token)) => {
            fields.push(("Sec-WebSocket-Protocol", format!("explained, bearer.{token}")));
        }
        Some((_, token)) => target = format!("{target}?access_token={token}"),
        None => {}
    }
    let mut request = Request::upgrade(&target).set("Host", case.host);
    for (name, value) in &fields {
        request = request.and(name, value);
    }
    if let Some(origin) = case.origin {
        request = request.and("Origin", origin);
    }
    let mut client = gateway.connect();
    client.send_request(&request);
    match upstream.accept_unless(&mut client) {
        Some(_application) => "admitted".to_owned(),
        None => client.read_response().reason(),
    }
}

#[test]
fn what_is_explained_is_what_is_done() {
    let upstream = RawUpstream::bind();
    let places = "[\"header\", \"subprotocol\", \"query:access_token\", \"cookie:session\"]";
    let gateway = guarded(
        &upstream,
        &format!("token_from = {places}\nrequire = {{ scope = \"chat\" }}\nleeway = \"0s\""),
    )
    .route("host = [\"localhost\", \"*.example.com\"]\norigins = [\"https://chat.example.com\"]")
    .more(&format!(
        "[routes.open]\npath = \"/open/*\"\nupstream = [\"ws://{}\"]\nauth = \"none\"\n",
        upstream.address()
    ))
    .start();
    let good = || sign(&json!({ "sub": "ada", "exp": now() + 3600, "scope": "chat" }));
    let over = sign(&json!({ "sub": "ada", "exp": now() - 100, "scope": "chat" }));
    let endless = sign(&json!({ "sub": "ada", "scope": "chat" }));
    let from = |origin, token| Case { origin: Some(origin), ..case("/ws", token) };
    let cases = [
        case("/ws", Some(("header", good()))),
        case("/ws", Some(("subprotocol", good()))),
        case("/ws", Some(("query:access_token", good()))),
        case("/ws", Some(("cookie:session", good()))),
        case("/ws", None),
        case("/ws", Some(("header", over))),
        case("/ws", Some(("header", endless))),
        case("/ws", Some(("header", "a.b.c".to_owned()))),
        case("/ws", Some(("header", token("ada")))),
        case("/open/a", None),
        case("/open", None),
        case("/open/%2e%2e/ws", None),
        case("/nowhere", None),
        Case { host: "a.example.com", ..case("/ws", Some(("header", good()))) },
        Case { host: "a.b.example.com", ..case("/ws", Some(("header", good()))) },
        from("https://chat.example.com", Some(("header", good()))),
        from("https://evil.example.com", Some(("header", good()))),
        from("null", None),
    ];
    let mut admitted = 0;
    for case in &cases {
        let (code, explained) = explained(&gateway, case);
        let done = done(&gateway, &upstream, case);
        let about = format!("{} {} {:?}", case.host, case.target, case.origin);
        assert_eq!(explained, done, "{about}");
        assert_eq!(code, Some(if done == "admitted" { 0 } else { 2 }), "{about}");
        admitted += usize::from(done == "admitted");
    }
    assert_eq!(admitted, 7, "both answers were seen");
}
