//! `explain` says what the gateway does: each case is described to the one and sent to the other.

use serde_json::{Value, json};

use super::support::{Gateway, RawUpstream, Request};
use super::{admin, guarded, now, sign, sign_with, token};

struct Case {
    server_name: &'static str,
    target: &'static str,
    host: &'static str,
    origin: Option<&'static str>,
    token: Option<(&'static str, String)>,
}

fn case(target: &'static str, token: Option<(&'static str, String)>) -> Case {
    Case { server_name: "localhost", target, host: "localhost", origin: None, token }
}

/// The exit code and the reason that is explained, "admitted" where there is none.
fn explained(gateway: &Gateway, case: &Case) -> (Option<i32>, String) {
    let mut arguments = vec!["--path", case.target, "--host", case.host];
    arguments.extend(["--server-name", case.server_name]);
    arguments.extend(case.origin.iter().flat_map(|origin| ["--origin", origin]));
    if let Some((place, token)) = &case.token {
        arguments.extend(["--token", token, "--token-from", place]);
    }
    let (code, text) = gateway.explain(&arguments);
    let last = text.lines().last().unwrap_or_default();
    let verdict = match last.strip_prefix("refused") {
        Some(rest) => rest.trim().split([' ', ':']).next().unwrap_or_default(),
        None => "admitted",
    };
    (code, verdict.to_owned())
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
    let mut client = gateway.connect_as(case.server_name);
    client.send_request(&request);
    match upstream.accept_unless(&mut client) {
        Some(_application) => "admitted".to_owned(),
        None => client.read_response().reason(),
    }
}

#[test]
fn explain_agrees_with_the_gateway() {
    let upstream = RawUpstream::bind();
    let places = "[\"header\", \"subprotocol\", \"query:access_token\", \"cookie:session\"]";
    let gateway = guarded(
        &upstream,
        &format!("token_from = {places}\nrequire = {{ scope = \"chat\" }}\nleeway = \"0s\""),
    )
    .certificate(&["chat.example.net"])
    .route(
        "host = [\"localhost\", \"*.example.com\", \"chat.example.net\"]\n\
         origins = [\"https://chat.example.com\"]",
    )
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
        Case { server_name: "chat.example.net", ..case("/ws", Some(("header", good()))) },
        Case {
            server_name: "chat.example.net",
            host: "chat.example.net",
            ..case("/ws", Some(("header", good())))
        },
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
    assert_eq!(admitted, 8, "both answers were seen");
}

/// With one space where there are more.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A gateway with more than one of everything.
fn detailed(upstream: &RawUpstream) -> Gateway {
    let lines = "require = { scope = [\"chat\", \"all\"], team = 7 }\naudience = [\"chat\"]\n\
                 token_from = [\"header\", \"cookie:session\"]";
    guarded(upstream, lines)
        .server("trusted_proxies = [\"10.0.0.0/8\", \"192.0.2.0/24\"]")
        .certificate(&["chat.example.net"])
        .route("host = [\"localhost\", \"*.example.com\", \"127.0.0.1\"]")
        .route("origins = [\"https://a.example\", \"https://b.example\"]\nrequire_origin = true")
        .start()
}

/// A token of ada that [`detailed`] takes, but for these claims.
fn claiming(claims: &Value) -> String {
    let mut whole =
        json!({ "sub": "ada", "exp": now() + 3600, "aud": "chat", "scope": "all", "team": 7 });
    whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    sign(&whole)
}

const FROM_B: [&str; 4] = ["--path", "/ws", "--origin", "https://B.example:443"];

#[test]
fn each_step_that_passes_names_its_key() {
    let upstream = RawUpstream::bind();
    let gateway = detailed(&upstream);
    let token = claiming(&json!({}));
    gateway.expect_explained(
        &[&FROM_B[..], &["--token", &token, "--token-from", "cookie:session"]].concat(),
        &[
            "address 127.0.0.1 is a client, not a trusted proxy (server.trusted_proxies)",
            "head a well-formed handshake for localhost/ws",
            "server name none, which goes with every host (tls.certificates)",
            "route host localhost, path /ws (routes.app)",
            "credential one, from cookie:session (jwt.main.token_from)",
            "origin https://b.example:443 is entry 2 of 2 (routes.app.origins)",
            "token verified: of ada, until 2",
            "claims as required: scope, team (jwt.main.require)",
            "revocation neither the user nor the token is revoked (admin.revocations)",
            &format!("upstream ws://{} (routes.app.upstream)", upstream.address()),
            "admitted as ada",
        ],
    );
}

#[test]
fn the_refusing_step_is_the_last_and_names_its_key() {
    let upstream = RawUpstream::bind();
    let gateway = detailed(&upstream);
    let over = claiming(&json!({ "exp": now() - 100 }));
    let cases = [
        (claiming(&json!({ "scope": "mail" })), "claims the token's scope has no", "require"),
        (claiming(&json!({ "team": 8 })), "claims the token's team has no", "require"),
        (claiming(&json!({ "aud": "mail" })), "token the token is for somebody else", "audience"),
        (claiming(&json!({ "sub": "" })), "token the token's sub says no user", "user_claim"),
        (over, "token the token expired", "leeway"),
        (sign_with(&[b'x'; 64], &json!({})), "token the token's signature is not one", "secret"),
    ];
    for (token, said, key) in cases {
        let (code, text) = gateway.explain(&[&FROM_B[..], &["--token", &token]].concat());
        let steps: Vec<String> = text.lines().map(squeezed).collect();
        let [.., last, verdict] = &steps[..] else { panic!("{text}") };
        assert!(last.starts_with(said) && last.ends_with(&format!("(jwt.main.{key})")), "{text}");
        assert!(verdict.starts_with("refused"), "{text}");
        assert_eq!(code, Some(2));
    }
    let missing = "token none of the places of token_from holds a token (jwt.main.token_from)";
    gateway.expect_explained(&FROM_B, &["credential none (jwt.main.token_from)", missing]);
    let absent = "origin there is no Origin header, and the route requires one \
                  (routes.app.require_origin)";
    gateway.expect_explained(&["--path", "/ws"], &[absent, "refused origin.denied (403)"]);
}

#[test]
fn server_names_and_hosts_are_distinguished() {
    let upstream = RawUpstream::bind();
    let gateway = detailed(&upstream);
    for (arguments, line) in [
        (&["--server-name", "chat.example.net"][..], "server name TLS was asked for"),
        (&["--server-name", "LOCALHOST"], "server name localhost, the host (tls.certificates)"),
        (
            &["--server-name", "a.example.com"],
            "server name a.example.com has the same certificates as the host localhost",
        ),
        (
            &["--server-name", "localhost", "--host", "127.0.0.1"],
            "server name any goes with 127.0.0.1, which is an address",
        ),
        (&["--host", "a.example.com"], "route host *.example.com, path /ws (routes.app)"),
        (&["--host", "a.b"], "route no route has host a.b and this path (routes)"),
        (&["--ip", "192.0.2.7"], "address 192.0.2.7 is a trusted proxy, of 192.0.2.0/24"),
    ] {
        gateway.expect_explained(&[&["--path", "/ws"], arguments].concat(), &[line]);
    }
}

#[test]
fn origins_that_are_not_listed_are_explained_too() {
    let upstream = RawUpstream::bind();
    let more = |origins: &str| {
        format!(
            "[routes.open]\npath = \"/open\"\nupstream = [\"ws://{}\"]\nauth = \"none\"\n{origins}",
            upstream.address()
        )
    };
    let same = guarded(&upstream, "token_from = [\"message\"]").plain().more(&more("")).start();
    let own = ["--host", "a.example:8080", "--path", "/open", "--origin"];
    let origin = |origin| [&own[..], &[origin]].concat();
    let wanted = "origin http://a.example:8080 is the same origin: scheme, host and port";
    same.expect_explained(
        &origin("http://a.example:8080"),
        &[wanted, "server name none, without TLS"],
    );
    let other = "origin origin https://a.example:8080 is not the same origin, \
                 http://a.example:8080 (routes.open.origins)";
    same.expect_explained(&origin("https://a.example:8080"), &[other]);
    let nobody = "token none is wanted (routes.open.auth)";
    same.expect_explained(
        &own[..4],
        &["origin none, as from a program", nobody, "admitted as anybody"],
    );

    let awaited = "token awaited in the first message (jwt.main.token_from)";
    same.expect_explained(
        &["--path", "/ws", "--token", &token("ada")],
        &[awaited, "token verified: of ada", "admitted as ada"],
    );
    let late = "message no first message with a token came in time (jwt.main.message_deadline)";
    same.expect_explained(&["--path", "/ws"], &[awaited, late, "refused auth.timeout (4408)"]);
    let elsewhere = ["--path", "/ws", "--token", &token("ada"), "--token-from", "header"];
    same.expect_explained(&elsewhere, &[late]);

    let any = guarded(&upstream, "").more(&more("origins = [\"*\"]\n")).start();
    any.expect_explained(
        &origin("https://evil.example"),
        &["origin https://evil.example, as any other"],
    );
}

#[test]
fn explain_reads_revocations_and_writes_nothing() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "")
        .more("[admin]\nsocket = \"fw.sock\"\nrevocations = \"revoked.json\"\n")
        .start();
    let token = token("eve");
    let arguments = ["--path", "/ws", "--token", &token];
    gateway.expect_explained(&arguments, &["revocation neither", "admitted as eve"]);
    assert_eq!(admin(&gateway, &["revoke", "--user", "eve"]).0, Some(0));
    let revoked = "revocation the token or its user was revoked (admin.revocations)";
    gateway.expect_explained(&arguments, &[revoked, "refused token.revoked (403)"]);

    let file = gateway.folder().join("revoked.json");
    std::fs::remove_file(&file).unwrap();
    gateway.expect_explained(&arguments, &["admitted as eve"]);
    assert!(!file.exists(), "explaining starts nothing");
}

#[test]
fn explain_escapes_text_and_refuses_bad_arguments() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "").plain().start();
    let (_, text) = gateway.explain(&["--path", "/ws", "--token", &token("\u{1b}[2Jada")]);
    assert!(text.contains("\\u{1b}[2Jada") && !text.contains('\u{1b}'), "{text:?}");
    for bad in [
        &["--server-name", "localhost"][..],
        &["--server-name", "127.0.0.1"],
        &["--server-name", "[::1]"],
        &["--token", "a.b.c", "--token-from", "headers"],
    ] {
        let (code, _) = gateway.explain(&[&["--path", "/ws"], bad].concat());
        assert_eq!(code, Some(64), "{bad:?}");
    }
}
