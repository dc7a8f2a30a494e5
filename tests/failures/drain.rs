//! Servers and routes that an operator drains, and servers that a reload removes.

use serde_json::{Value, json};

use super::balance::{accept, bind, fill, gateway, listed, open, url, wait_for_live};
use super::support::{Gateway, RawUpstream, Request, Response, Session, eventually};

/// The drains in `status`.
fn drains(gateway: &Gateway) -> Value {
    gateway.status("fw.sock")["drains"].clone()
}

#[track_caller]
fn wait_for_drained(gateway: &Gateway) {
    let drained = eventually(|| (drains(gateway)[0]["state"] == "drained").then_some(()));
    assert!(drained.is_some(), "{}", drains(gateway));
    assert_eq!(drains(gateway)[0]["sessions"], 0);
}

#[track_caller]
fn admin(gateway: &Gateway, arguments: &[&str]) -> String {
    let (code, out, err) = gateway.admin(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    out
}

/// The answer to a plain request that no server gets.
fn ask(gateway: &Gateway) -> Response {
    let mut client = gateway.connect();
    client.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_response()
}

#[track_caller]
fn expect_ended(mut session: Session, reason: &str) {
    session.client.expect_closing(1012, reason);
    session.upstream.expect_closing(1001, reason);
}

#[test]
fn a_drained_server_ends_its_sessions_and_gets_no_new_ones_until_it_is_undrained() {
    let servers = bind(2);
    let gateway = gateway(&listed(&servers), "least", "none").start();
    let [first, second] = [&servers[0], &servers[1]].map(url);
    let mut sessions: Vec<_> = (0..4).map(|_| open(&gateway, &servers)).collect();
    let printed =
        admin(&gateway, &["drain", "--upstream", &format!("many/{first}"), "--over", "0s"]);
    assert!(printed.starts_with(&format!("draining {first}: 2 sessions end over 0s")), "{printed}");
    for (index, session) in &mut sessions {
        if *index == 1 {
            session.prove_alive();
        }
    }
    for (_, session) in sessions.drain(..).filter(|(index, _)| *index == 0) {
        expect_ended(session, "session.drained");
    }
    wait_for_live(&gateway, &first, 0);
    wait_for_drained(&gateway);
    let ended = gateway.wait_for_record(|record| record["event"] == "drained");
    assert_eq!((&ended["server"], &ended["sessions"]), (&json!(first), &json!(2)));
    assert!(admin(&gateway, &["status"]).contains(&format!("{first} drained, 0 sessions left")));

    let (counts, _kept) = fill(&gateway, &servers, 3);
    assert_eq!(counts, [0, 3]);
    let mut client = gateway.connect();
    client.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(accept(&servers).0, 1, "nor does it get plain requests");
    gateway.hang_up("reloaded");
    assert_eq!(open(&gateway, &servers).0, 1, "the drain outlives a reload");

    assert_eq!(
        admin(&gateway, &["undrain", "--upstream", &first]),
        format!("undrained {first}: 0 sessions stay\n")
    );
    gateway.wait_for_record(|record| record["event"] == "undrained" && record["server"] == first);
    assert_eq!(drains(&gateway), json!([]));
    let (counts, _more) = fill(&gateway, &servers, 2);
    assert_eq!(counts, [2, 0], "{second} has more");
}

#[test]
fn undrain_keeps_the_sessions_that_were_not_told_to_end() {
    let servers = bind(2);
    let gateway = gateway(&listed(&servers), "first", "none").start();
    let (_, mut session) = open(&gateway, &servers);
    let name = url(&servers[0]);
    admin(&gateway, &["drain", "--upstream", &name, "--over", "1h"]);
    let drain = &drains(&gateway)[0];
    assert_eq!((&drain["state"], &drain["sessions"]), (&json!("draining"), &json!(1)));
    assert_eq!(drain["over_seconds"], 3600);
    assert_eq!(open(&gateway, &servers).0, 1);
    let printed = admin(&gateway, &["undrain", "--upstream", &format!("many/{name}")]);
    assert_eq!(printed, format!("undrained {name}: 1 session stay\n"));
    session.prove_alive();
    assert_eq!(open(&gateway, &servers).0, 0);
}

#[test]
fn a_route_whose_servers_are_all_drained_refuses_new_clients() {
    let servers = bind(2);
    let gateway = gateway(&listed(&servers), "least", "none").start();
    for server in &servers {
        admin(&gateway, &["drain", "--upstream", &url(server)]);
    }
    let refused = gateway.expect_refusal(&Request::upgrade("/ws"), 503, "route.drained");
    assert!(refused.only("retry-after").is_some(), "{refused:?}");
    let refused = ask(&gateway);
    assert_eq!((refused.status(), &*refused.reason()), (503, "route.drained"));
    servers.iter().for_each(RawUpstream::received_nothing);
}

#[test]
fn a_drained_route_refuses_new_clients_and_ends_its_sessions() {
    let servers = bind(1);
    let gateway = gateway(&listed(&servers), "least", "none").start();
    let (_, session) = open(&gateway, &servers);
    let id = session.request_id();
    admin(&gateway, &["drain", "--route", "many", "--over", "0s"]);
    expect_ended(session, "session.drained");
    let ended = gateway.wait_for_reason(&id, "session.drained");
    assert_eq!((&ended["by"], &ended["code"]), (&json!("gateway"), &json!(1012)));
    gateway.wait_for_record(|record| record["event"] == "drained" && record["route"] == "many");
    let refused = gateway.expect_refusal(&Request::upgrade("/ws"), 503, "route.drained");
    assert!(refused.only("retry-after").is_some(), "{refused:?}");
    assert_eq!(ask(&gateway).status(), 503);
    servers[0].received_nothing();
    admin(&gateway, &["undrain", "--route", "many"]);
    open(&gateway, &servers).1.prove_alive();
}

#[test]
fn what_is_not_there_is_not_drained() {
    let servers = bind(1);
    let gateway = gateway(&listed(&servers), "least", "none").start();
    let name = url(&servers[0]);
    let missing = |arguments: &[&str], names: &str| {
        let (code, _, err) = gateway.admin(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {err}");
        assert!(err.contains(names), "{arguments:?}: {err}");
    };
    missing(&["drain", "--upstream", "ws://10.0.0.9:1"], &name);
    missing(&["drain", "--upstream", &format!("other/{name}")], &name);
    missing(&["drain", "--route", "other"], "there is no route other; there are: app, many");
    missing(&["drain", "--route", "many", "--over", "169h"], "7 days");
    missing(&["undrain", "--upstream", &name], "is not drained; drained: nothing is");
    admin(&gateway, &["drain", "--route", "many"]);
    missing(&["undrain", "--upstream", &name], "is not drained; drained: route many");
    let (code, ..) = gateway.admin(&["drain"]);
    assert_eq!(code, Some(64));
}

#[test]
fn a_reload_that_removes_a_server_drains_its_sessions() {
    let servers = bind(2);
    let list = listed(&servers);
    let gateway = gateway(&list, "least", "none").server("shutdown_spread = \"0s\"").start();
    let sessions: Vec<_> = (0..4).map(|_| open(&gateway, &servers)).collect();
    let rest = listed(&servers[1..]);
    gateway.rewrite(|text| text.replace(&list, &rest));
    let reloaded = gateway.hang_up("reloaded");
    assert_eq!((&reloaded["sessions"], &reloaded["draining"]), (&json!(0), &json!(2)));
    for (index, mut session) in sessions {
        if index == 0 {
            expect_ended(session, "upstream.draining");
        } else {
            session.prove_alive();
        }
    }
    let ended = gateway.wait_for_record(|record| record["event"] == "drained");
    assert_eq!((&ended["generation"], &ended["sessions"]), (&json!(1), &json!(2)));
    assert_eq!(drains(&gateway), json!([]));
}
