//! `max_connections` and `max_handshakes` of `[upstreams.NAME]`: a storm of clients reaches a server at the pace that it
//! can bear.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{
    Frame, Gateway, GatewayBuilder as Builder, RawUpstream, Request, Response, Session, Wire,
    eventually, token, valid_answer, write_secret,
};

/// A gateway without TLS whose route `many` forwards `/ws` and pages to `[upstreams.many]`.
fn gateway(servers: &[SocketAddr], keys: &str) -> Builder {
    let servers: Vec<_> = servers.iter().map(|address| format!("\"ws://{address}\"")).collect();
    let servers = servers.join(", ");
    Gateway::to(&[RawUpstream::unused_address()]).path("/unused").plain().more(&format!(
        "[admin]\nsocket = \"fw.sock\"\n[upstreams.many]\nservers = [{servers}]\n{keys}\n\
         [routes.many]\npath = \"/ws\"\nserve = [\"websocket\", \"http\"]\nupstream = \"many\"\nauth = \"none\""
    ))
}

/// What `status` says of a server.
fn status(gateway: &Gateway, server: SocketAddr) -> Value {
    let (status, name) = (gateway.status("fw.sock"), format!("ws://{server}"));
    let upstreams = status["upstreams"].as_array().unwrap();
    upstreams.iter().find(|one| one["upstream"] == name).unwrap().clone()
}

#[track_caller]
fn wait_for(gateway: &Gateway, server: SocketAddr, member: &str, count: u64) {
    let reached = eventually(|| (status(gateway, server)[member] == count).then_some(()));
    assert!(reached.is_some(), "{member} is not {count}: {}", status(gateway, server));
}

/// A client that has sent its handshake.
fn ask(gateway: &Gateway) -> Wire {
    ask_for(gateway, "/ws")
}

fn ask_for(gateway: &Gateway, target: &str) -> Wire {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade(target));
    client
}

/// Answers the next handshake at `server`, which is that of `client`.
#[track_caller]
fn admit(server: &RawUpstream, mut client: Wire) -> Session {
    let (upstream, request) = server.accept_upgrade("");
    let response = client.read_head();
    assert_eq!(response.status(), 101, "{response:?}");
    Session { client, upstream, request, response }
}

/// The client is refused; returns the seconds of Retry-After.
#[track_caller]
fn refused(client: &mut Wire) -> u64 {
    let response = client.read_response();
    assert_eq!((response.status(), response.reason().as_str()), (503, "upstream.busy"));
    let seconds = response.only("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    seconds
}

/// An application that answers each handshake after `delay`. It counts those that it has not answered, and the most of
/// them at once.
struct SlowServer {
    address: SocketAddr,
    most: Arc<AtomicUsize>,
}

impl SlowServer {
    fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (most, present) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let highest = Arc::clone(&most);
        let open = Arc::<Mutex<Vec<Wire>>>::default();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (open, present) = (Arc::clone(&open), Arc::clone(&present));
                let mut wire = Wire::application(socket.unwrap());
                highest.fetch_max(present.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::spawn(move || {
                    let request = wire.read_head();
                    thread::sleep(delay);
                    present.fetch_sub(1, Ordering::SeqCst);
                    wire.send(valid_answer(&request, "").as_bytes());
                    open.lock().unwrap().push(wire);
                });
            }
        });
        Self { address, most }
    }
}

#[test]
fn a_storm_reaches_a_server_at_its_pace() {
    let server = SlowServer::start(Duration::from_millis(50));
    let gateway = gateway(&[server.address], "max_handshakes = 5")
        .server("handshake_timeout = \"60s\"")
        .start();
    let mut clients: Vec<_> = (0..300).map(|_| ask(&gateway)).collect();
    let (_, printed, _) = gateway.admin(&["status"]);
    assert!(printed.contains(" of 5 handshakes, "), "{printed}");
    for client in &mut clients {
        assert_eq!(client.read_head().status(), 101);
    }
    assert_eq!(server.most.load(Ordering::SeqCst), 5, "never more, and not less");
    let status = status(&gateway, server.address);
    assert_eq!(
        json!([status["live"], status["handshakes"], status["waiting"]]),
        json!([300, 0, 0])
    );
}

#[test]
fn who_waits_too_long_is_told_when_to_come_back() {
    let server = RawUpstream::bind();
    let gateway = gateway(&[server.address()], "max_handshakes = 2")
        .server("handshake_timeout = \"3s\"")
        .start();
    let _in_flight = [ask(&gateway), ask(&gateway)];
    wait_for(&gateway, server.address(), "handshakes", 2);
    let mut clients: Vec<_> = (0..40).map(|_| ask(&gateway)).collect();
    let seconds: BTreeSet<_> = clients.iter_mut().map(refused).collect();
    assert!(seconds.len() > 1, "all are to come back after {seconds:?}");
    let busy = gateway.wait_for_record(|record| record["event"] == "upstream.busy");
    assert_eq!((&busy["level"], &busy["route"]), (&json!("WARN"), &json!("many")));
    let is_busy = |record: &&Value| record["event"] == "upstream.busy";
    assert_eq!(gateway.log_records().iter().filter(is_busy).count(), 1, "once in 10 s");
}

#[test]
fn a_full_server_is_passed_over_and_its_next_place_goes_to_the_first_that_waits() {
    let servers = [RawUpstream::bind(), RawUpstream::bind()];
    let addresses = [servers[0].address(), servers[1].address()];
    let gateway = gateway(&addresses, "balance = \"first\"\nmax_connections = 10")
        .server("handshake_timeout = \"2s\"")
        .start();
    let mut sessions: Vec<_> = (0..20).map(|at| admit(&servers[at / 10], ask(&gateway))).collect();
    refused(&mut ask(&gateway));
    let (_, printed, _) = gateway.admin(&["status"]);
    assert!(printed.contains("up, 10 of 10 live\n"), "{printed}");

    gateway.rewrite(|text| text.replace("\"2s\"", "\"60s\""));
    gateway.hang_up("reloaded");
    let client = ask(&gateway);
    wait_for(&gateway, addresses[1], "waiting", 1);
    wait_for(&gateway, addresses[0], "waiting", 1);
    sessions.remove(15).close(1000, "bye");
    let _next = admit(&servers[1], client);
    servers[0].received_nothing();
    wait_for(&gateway, addresses[1], "live", 10);
}

/// The position of a client that leaves, and a place that is given to it meanwhile.
#[test]
fn a_client_that_leaves_frees_its_position() {
    let server = RawUpstream::bind();
    let gateway = gateway(&[server.address()], "max_connections = 1")
        .server("handshake_timeout = \"60s\"")
        .start();
    let session = admit(&server, ask(&gateway));
    let gone = ask(&gateway);
    wait_for(&gateway, server.address(), "waiting", 1);
    let client = ask(&gateway);
    wait_for(&gateway, server.address(), "waiting", 2);
    drop(gone);
    wait_for(&gateway, server.address(), "waiting", 1);
    session.close(1000, "bye");
    let _next = admit(&server, client);
}

#[test]
fn plain_requests_count_for_connections_and_not_for_handshakes() {
    let server = RawUpstream::bind();
    let gateway = gateway(&[server.address()], "max_connections = 2\nmax_handshakes = 1")
        .server("handshake_timeout = \"3s\"")
        .start();
    let get = b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let in_flight = ask(&gateway);
    let mut handshake = server.accept();
    let request = handshake.read_head();
    let mut page = gateway.connect();
    page.send(get);
    let mut answering = server.accept();
    answering.read_head();
    // Both places are taken.
    let mut client = gateway.connect();
    client.send(get);
    refused(&mut client);
    handshake.send(valid_answer(&request, "").as_bytes());
    let mut session = in_flight;
    assert_eq!(session.read_head().status(), 101);
    // The refusal left the connection open.
    client.send(get);
    wait_for(&gateway, server.address(), "waiting", 1);
    answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(page.read_response().body, b"ok");
    answering.read_head();
    answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
    assert_eq!(client.read_response().body, b"next");
}

#[test]
fn a_sticky_session_waits_for_its_own_server_while_that_is_up() {
    let mut servers = vec![RawUpstream::bind(), RawUpstream::bind()];
    let addresses = [servers[0].address(), servers[1].address()];
    let gateway = gateway(&addresses, "balance = \"hash:query:room\"\nmax_connections = 1")
        .server("handshake_timeout = \"60s\"")
        .start();
    let mut client = ask_for(&gateway, "/ws?room=1");
    let next = || servers.iter().map(RawUpstream::accept_now).enumerate();
    let accepted = eventually(|| next().find_map(|(own, wire)| Some((own, wire?))));
    let (own, mut upstream) = accepted.expect("one of the servers");
    let request = upstream.read_head();
    upstream.send(valid_answer(&request, "").as_bytes());
    let response = client.read_head();
    let session = Session { client, upstream, request, response };
    let client = ask_for(&gateway, "/ws?room=1");
    wait_for(&gateway, addresses[own], "waiting", 1);
    session.close(1000, "bye");
    let session = admit(&servers[own], client);
    let client = ask_for(&gateway, "/ws?room=1");
    wait_for(&gateway, addresses[own], "waiting", 1);
    // Without its server, it goes to the other.
    drop(servers.remove(own));
    session.close(1000, "bye");
    let _moved = admit(&servers[0], client);
}

#[test]
fn a_reload_changes_the_numbers_at_once_and_ends_the_wait_for_a_removed_server() {
    let servers = [RawUpstream::bind(), RawUpstream::bind()];
    let gateway = gateway(&[servers[0].address()], "max_connections = 1")
        .server("handshake_timeout = \"60s\"")
        .start();
    let reload = |from: &str, to: &str| {
        gateway.rewrite(|text| text.replace(from, to));
        gateway.hang_up("reloaded");
    };
    let mut sessions = vec![admit(&servers[0], ask(&gateway))];
    let waiting = ask(&gateway);
    wait_for(&gateway, servers[0].address(), "waiting", 1);
    reload("max_connections = 1", "max_connections = 2");
    sessions.push(admit(&servers[0], waiting));
    reload("max_connections = 2", "max_connections = 1");
    let mut waiting = ask(&gateway);
    wait_for(&gateway, servers[0].address(), "waiting", 1);
    sessions.remove(0).close(1000, "bye");
    wait_for(&gateway, servers[0].address(), "live", 1);
    servers[0].received_nothing();
    reload(&servers[0].address().to_string(), &servers[1].address().to_string());
    refused(&mut waiting);
    let _next = admit(&servers[1], ask(&gateway));
}

/// The limits belong to the address, whatever names it.
#[test]
fn all_routes_of_a_server_share_its_limits() {
    let server = RawUpstream::bind();
    let address = server.address();
    let gateway = gateway(&[address], "max_connections = 5\nmax_handshakes = 3")
        .server("handshake_timeout = \"2s\"")
        .more(&format!(
            "[upstreams.few]\nservers = [\"ws://{address}\"]\nmax_connections = 1\n\
             [routes.few]\npath = \"/few\"\nupstream = \"few\"\nauth = \"none\"\n\
             [routes.listed]\npath = \"/listed\"\nupstream = [\"ws://{address}\"]\nauth = \"none\""
        ))
        .start();
    let shown = status(&gateway, address);
    assert_eq!(json!([shown["max_connections"], shown["max_handshakes"]]), json!([1, 3]));
    let _session = admit(&server, ask_for(&gateway, "/listed"));
    for target in ["/listed", "/few", "/ws"] {
        refused(&mut ask_for(&gateway, target));
    }
}

#[test]
fn a_shutdown_ends_the_wait() {
    let server = RawUpstream::bind();
    let gateway = gateway(&[server.address()], "max_connections = 1")
        .server("handshake_timeout = \"60s\"")
        .start();
    let _session = admit(&server, ask(&gateway));
    let mut waiting = ask(&gateway);
    wait_for(&gateway, server.address(), "waiting", 1);
    gateway.terminate();
    let response: Response = waiting.read_response();
    assert_eq!((response.status(), response.reason().as_str()), (503, "shutdown"));
}

#[test]
fn a_token_in_the_first_message_waits_too() {
    let server = RawUpstream::bind();
    let gateway = gateway(&[server.address()], "max_connections = 1")
        .prepare(write_secret)
        .server("handshake_timeout = \"2s\"")
        .more(
            "[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\ntoken_from = [\"message\"]\n\
             [routes.told]\npath = \"/told\"\nupstream = \"many\"\nauth = \"main\"",
        )
        .start();
    let session = admit(&server, ask(&gateway));
    let tell = || {
        let mut client = ask_for(&gateway, "/told");
        assert_eq!(client.read_head().status(), 101);
        client.say(Frame::text(token("ann", 600)));
        client
    };
    tell().expect_closing(1013, "upstream.busy");
    let leaving = tell();
    wait_for(&gateway, server.address(), "waiting", 1);
    drop(leaving);
    wait_for(&gateway, server.address(), "waiting", 0);
    drop(session);
}
