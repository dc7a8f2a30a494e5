//! The servers of `[upstreams.NAME]`: which one gets a session or a plain request.

use std::collections::BTreeSet;

use serde_json::json;

use super::support::{
    Frame, Gateway, GatewayBuilder as Builder, RawUpstream, Request, Session, Wire, eventually,
    token, valid_answer, write_secret,
};

const TOKENS: &str = "algorithms = [\"HS256\"]\nsecret = \"file:secret\"";

pub(super) fn url(server: &RawUpstream) -> String {
    format!("ws://{}", server.address())
}

pub(super) fn bind(count: usize) -> Vec<RawUpstream> {
    (0..count).map(|_| RawUpstream::bind()).collect()
}

/// The servers as `servers` lists them.
pub(super) fn listed(servers: &[RawUpstream]) -> String {
    servers.iter().map(|server| format!("\"{}\"", url(server))).collect::<Vec<_>>().join(", ")
}

/// A gateway whose route `many` forwards `/ws` and pages to `[upstreams.many]`, with these servers, `balance` and
/// `auth`.
pub(super) fn gateway(servers: &str, balance: &str, auth: &str) -> Builder {
    Gateway::to(&[RawUpstream::unused_address()]).path("/unused").prepare(write_secret).more(
        &format!(
            "[admin]\nsocket = \"fw.sock\"\n\
             [upstreams.many]\nservers = [{servers}]\nbalance = \"{balance}\"\n\
             [routes.many]\npath = \"/ws\"\nserve = [\"websocket\", \"http\"]\nupstream = \"many\"\nauth = \"{auth}\""
        ),
    )
}

/// The next connection to one of the servers, and the index of the server.
pub(super) fn accept(servers: &[RawUpstream]) -> (usize, Wire) {
    let next = || servers.iter().map(RawUpstream::accept_now).enumerate();
    let accepted = eventually(|| next().find_map(|(index, wire)| Some((index, wire?))));
    accepted.expect("the gateway connects to a server")
}

/// Opens a session; returns it with the index of its server.
fn open_with(gateway: &Gateway, servers: &[RawUpstream], request: &Request) -> (usize, Session) {
    let mut client = gateway.connect();
    client.send_request(request);
    let (index, mut upstream) = accept(servers);
    let request = upstream.read_head();
    upstream.send(valid_answer(&request, "").as_bytes());
    let response = client.read_head();
    assert_eq!(response.status(), 101, "{response:?}");
    (index, Session { client, upstream, request, response })
}

pub(super) fn open(gateway: &Gateway, servers: &[RawUpstream]) -> (usize, Session) {
    open_with(gateway, servers, &Request::upgrade("/ws"))
}

/// Opens `count` sessions; returns them with the number that each server got.
pub(super) fn fill(
    gateway: &Gateway,
    servers: &[RawUpstream],
    count: usize,
) -> (Vec<usize>, Vec<Session>) {
    let mut counts = vec![0; servers.len()];
    let mut sessions = Vec::new();
    for _ in 0..count {
        let (index, session) = open(gateway, servers);
        counts[index] += 1;
        sessions.push(session);
    }
    (counts, sessions)
}

/// What `status` says of a server.
fn live(gateway: &Gateway, server: &str) -> u64 {
    let status = gateway.status("fw.sock");
    let upstreams = status["upstreams"].as_array().unwrap();
    upstreams.iter().find(|one| one["upstream"] == server).unwrap()["live"].as_u64().unwrap()
}

#[track_caller]
pub(super) fn wait_for_live(gateway: &Gateway, server: &str, count: u64) {
    let reached = eventually(|| (live(gateway, server) == count).then_some(()));
    assert!(reached.is_some(), "{server} has {} live, not {count}", live(gateway, server));
}

#[test]
fn least_spreads_evenly_and_goes_on_without_a_dead_server() {
    let mut servers = bind(3);
    let gateway = gateway(&listed(&servers), "least", "none").start();
    let (counts, sessions) = fill(&gateway, &servers, 12);
    assert_eq!(counts, [4, 4, 4]);
    let (_, printed, _) = gateway.admin(&["status"]);
    assert!(printed.contains(&format!("{} up, 4 live", url(&servers[1]))), "{printed}");

    let dead = servers.remove(0);
    let name = url(&dead);
    drop(dead);
    let (counts, _more) = fill(&gateway, &servers, 6);
    assert_eq!(counts, [3, 3], "all go to the others");
    drop(sessions);
    wait_for_live(&gateway, &name, 0);
    for server in &servers {
        wait_for_live(&gateway, &url(server), 3);
    }
}

#[test]
fn weights_divide_the_sessions() {
    let servers = bind(2);
    let list =
        format!("\"{}\", {{ url = \"{}\", weight = 3 }}", url(&servers[0]), url(&servers[1]));
    for (balance, exact) in [("least", true), ("random", false)] {
        let gateway = gateway(&list, balance, "none").start();
        let (counts, _sessions) = fill(&gateway, &servers, 16);
        assert!(!exact || counts == [4, 12], "{balance}: {counts:?}");
        assert!(counts[0] < counts[1], "{balance}: {counts:?}");
    }
}

#[test]
fn a_backup_is_used_when_all_others_are_down() {
    let mut servers = bind(3);
    let list =
        format!("{{ url = \"{}\", backup = true }}, {}", url(&servers[0]), listed(&servers[1..]));
    let gateway = gateway(&list, "least", "none").start();
    let (counts, _sessions) = fill(&gateway, &servers, 6);
    assert_eq!(counts, [0, 3, 3]);
    servers.pop();
    let (counts, _more) = fill(&gateway, &servers, 3);
    assert_eq!(counts, [0, 3], "one of two is left");
    servers.pop();
    let (counts, _backed) = fill(&gateway, &servers, 3);
    assert_eq!(counts, [3]);
}

#[test]
fn first_keeps_to_the_order_of_the_list() {
    let servers = bind(2);
    let gateway = gateway(&listed(&servers), "first", "none").start();
    assert_eq!(fill(&gateway, &servers, 4).0, [4, 0]);
}

/// A request with a token of this user that expires `seconds` from now.
fn bearer(user: usize, seconds: i64) -> Request {
    let token = token(&format!("user{user}"), seconds);
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {token}"))
}

/// Opens a session for each request; returns the servers that they went to.
fn places(gateway: &Gateway, servers: &[RawUpstream], requests: &[Request]) -> Vec<usize> {
    requests.iter().map(|request| open_with(gateway, servers, request).0).collect()
}

/// The server is the same each time, and not all requests have the same.
#[track_caller]
fn expect_sticky(gateway: &Gateway, servers: &[RawUpstream], requests: &[Request]) -> Vec<usize> {
    let first = places(gateway, servers, requests);
    assert_eq!(places(gateway, servers, requests), first);
    assert!(first.iter().collect::<BTreeSet<_>>().len() > 1, "all are at {first:?}");
    first
}

#[test]
fn a_user_stays_with_a_server_over_reconnects_and_reloads() {
    let mut servers = bind(3);
    let gateway = gateway(&listed(&servers), "hash:user", "main")
        .more(&format!("[jwt.main]\n{TOKENS}"))
        .start();
    let requests: Vec<_> = (0..16).map(|user| bearer(user, 600)).collect();
    let before = expect_sticky(&gateway, &servers, &requests);
    gateway.rewrite(|text| {
        text.replace("[upstreams.many]", "[upstreams.many]\ndial_timeout = \"2s\"")
    });
    gateway.hang_up("reloaded");
    assert_eq!(places(&gateway, &servers, &requests), before);
    // A new token of the same user.
    let renewed: Vec<_> = (0..16).map(|user| bearer(user, 500)).collect();
    assert_eq!(places(&gateway, &servers, &renewed), before);

    // Without the last server its users move, and nobody else does.
    servers.pop();
    let after = places(&gateway, &servers, &requests);
    for (after, before) in after.iter().zip(&before) {
        assert!(after == before || *before == 2, "{before} to {after}");
    }
}

#[test]
fn a_user_of_a_first_message_stays_with_a_server_too() {
    let servers = bind(3);
    let gateway = gateway(&listed(&servers), "hash:user", "main")
        .more(&format!("[jwt.main]\n{TOKENS}\ntoken_from = [\"message\"]"))
        .start();
    let place = |user: usize| {
        let mut client = gateway.connect();
        client.send_request(&Request::upgrade("/ws"));
        assert_eq!(client.read_head().status(), 101);
        client.say(Frame::text(token(&format!("user{user}"), 600)));
        let (index, mut upstream) = accept(&servers);
        let request = upstream.read_head();
        upstream.send(valid_answer(&request, "").as_bytes());
        upstream.say(Frame::text("here"));
        client.expect_frame(Frame::text("here"));
        index
    };
    let first: Vec<_> = (0..16).map(place).collect();
    assert_eq!((0..16).map(place).collect::<Vec<_>>(), first);
    assert!(first.iter().collect::<BTreeSet<_>>().len() > 1, "all are at {first:?}");
}

/// A part of a request with this number.
type Numbered = fn(usize) -> String;

#[test]
fn cookies_parameters_and_fields_select_a_server() {
    let servers = bind(3);
    let ask = |target: &str| Request::upgrade(target);
    let cases: [(&str, Numbered, Numbered); 3] = [
        ("hash:cookie:sid", |_| "/ws".into(), |number| format!("a=1; sid=\"s{number}\"; b=2")),
        ("hash:query:room", |number| format!("/ws?a=1&room=r{number}&b=2"), |_| "a=1".into()),
        ("hash:header:cookie", |_| "/ws".into(), |number| format!("s{number}")),
    ];
    for (balance, target, cookie) in cases {
        let gateway = gateway(&listed(&servers), balance, "none").start();
        let requests: Vec<_> =
            (0..16).map(|number| ask(&target(number)).and("Cookie", &cookie(number))).collect();
        expect_sticky(&gateway, &servers, &requests);
        // Without it the address decides.
        let without = vec![ask("/ws").and("X-Other", "1"); 4];
        let places = places(&gateway, &servers, &without);
        assert!(places.iter().all(|place| *place == places[0]), "{balance}: {places:?}");
    }
}

#[test]
fn a_credential_is_read_before_it_is_removed() {
    let servers = bind(3);
    let gateway = gateway(&listed(&servers), "hash:cookie:session", "main")
        .more(&format!("[jwt.main]\n{TOKENS}\ntoken_from = [\"cookie:session\"]"))
        .start();
    let requests: Vec<_> = (0..16)
        .map(|user| {
            let token = token(&format!("user{user}"), 600);
            Request::upgrade("/ws").and("Cookie", &format!("session={token}"))
        })
        .collect();
    expect_sticky(&gateway, &servers, &requests);
}

#[test]
fn counts_outlive_reloads() {
    let servers = bind(2);
    let (one, both) = (listed(&servers[..1]), listed(&servers));
    let gateway = gateway(&one, "least", "none").start();
    let reload = |from: &str, to: &str| {
        gateway.rewrite(|text| {
            text.replace(&format!("servers = [{from}]"), &format!("servers = [{to}]"))
        });
        gateway.hang_up("reloaded");
    };
    let (_, _old) = fill(&gateway, &servers[..1], 3);
    reload(&one, &both);
    let (counts, _new) = fill(&gateway, &servers, 3);
    assert_eq!(counts, [0, 3], "the first has three already");
    let other = listed(&servers[1..]);
    reload(&both, &other);
    reload(&other, &both);
    assert_eq!([&servers[0], &servers[1]].map(|server| live(&gateway, &url(server))), [3, 3]);
}

#[test]
fn a_plain_request_counts_until_its_answer_has_ended() {
    let servers = bind(2);
    let gateway = gateway(&listed(&servers), "least", "none").start();
    let ask = || {
        let mut client = gateway.connect();
        client.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (index, mut server) = accept(&servers);
        server.read_head();
        (index, client, server)
    };
    let (first, mut client, mut server) = ask();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    let (second, _waiting, _silent) = ask();
    assert_eq!(second, 1 - first);
    assert_eq!(live(&gateway, &url(&servers[first])), 1, "its answer has not ended");
    server.send(b"lo");
    assert_eq!(client.read_response().body, b"hello");
    wait_for_live(&gateway, &url(&servers[first]), 0);
    wait_for_live(&gateway, &url(&servers[second]), 1);
}

#[test]
fn explain_names_the_balance_and_the_servers() {
    let list = "\"ws://10.0.0.5:8765\", { url = \"ws://10.0.0.6:8765\", weight = 2 }, \
                { url = \"unix:/run/app.sock\", backup = true }";
    let gateway = gateway(list, "hash:ip", "none").start();
    gateway.expect_explained(
        &["--path", "/ws"],
        &["upstream hash:ip of ws://10.0.0.5:8765, ws://10.0.0.6:8765 (weight 2), \
           unix:/run/app.sock (backup) (upstreams.many)"],
    );
    let shown = gateway.status("fw.sock");
    let socket = shown["upstreams"].as_array().unwrap().iter();
    let socket = socket.clone().find(|one| one["upstream"] == "unix:/run/app.sock").unwrap();
    assert_eq!((&socket["live"], &socket["routes"]), (&json!(0), &json!(["many"])));
}
