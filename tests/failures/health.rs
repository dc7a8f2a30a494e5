//! Active health checks: what each kind finds, what it costs a server to fail one, and how it comes back.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tokio_tungstenite::tungstenite::WebSocket;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::support::{
    Frame, Gateway, GatewayBuilder as Builder, RawUpstream, Request, Response, Wire, eventually,
    valid_answer,
};

/// What a server does with the requests of checks, which have a path of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checkup {
    /// It answers as an application does.
    Fine,
    /// It accepts the connection and answers nothing, whoever asks.
    Hung,
    /// The status is 500.
    Error,
    /// A 101 with an Accept that belongs to another key.
    WrongAccept,
    /// Two answers of three have the status 500.
    Flaps,
}

/// An application that echoes messages on every path, and serves checks at `/check`.
struct Server {
    address: SocketAddr,
    state: Arc<ServerState>,
}

struct ServerState {
    checkup: Mutex<Checkup>,
    /// The checks that it got.
    checks: AtomicUsize,
    /// The sessions of clients that it got.
    sessions: AtomicUsize,
    is_over: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Server {
    fn start(checkup: Checkup) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), checkup)
    }

    fn start_at(address: SocketAddr, checkup: Checkup) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(ServerState {
            checkup: Mutex::new(checkup),
            checks: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            while !shared.is_over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    thread::sleep(std::time::Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                shared.streams.lock().unwrap().push(stream.try_clone().unwrap());
                let state = Arc::clone(&shared);
                // A peer that goes away ends the thread.
                thread::spawn(move || state.serve(stream));
            }
        });
        Self { address, state }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    fn set(&self, checkup: Checkup) {
        *self.state.checkup.lock().unwrap() = checkup;
    }

    fn sessions(&self) -> usize {
        self.state.sessions.load(Ordering::Relaxed)
    }

    /// Waits until it got so many checks more.
    fn wait_for_checks(&self, more: usize) {
        let checks = || self.state.checks.load(Ordering::Relaxed);
        let enough = checks() + more;
        eventually(|| (checks() >= enough).then_some(())).expect("the gateway checks it");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        for stream in self.state.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // The listener closes with its thread.
        eventually(|| TcpStream::connect(self.address).err()).expect("it stops listening");
    }
}

impl ServerState {
    fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        let request = Response::parse(&head);
        let is_check = head.starts_with(b"GET /check ");
        let checkup = *self.checkup.lock().unwrap();
        let number = if is_check { self.checks.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let error = checkup == Checkup::Error || checkup == Checkup::Flaps && number % 3 != 2;
        match checkup {
            Checkup::Hung => drop(stream.read_to_end(&mut Vec::new())),
            _ if is_check && error => {
                let _ = stream.write_all(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n");
            }
            _ if request.only("upgrade").is_none() => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
            _ => {
                let mut answer = valid_answer(&request, "");
                if is_check && checkup == Checkup::WrongAccept {
                    answer = answer.replace("Accept: ", "Accept: AAAA");
                }
                let _ = stream.write_all(answer.as_bytes());
                if !is_check {
                    self.sessions.fetch_add(1, Ordering::Relaxed);
                }
                let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
                while let Ok(message) = socket.read() {
                    if message.is_text() && socket.send(message).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// A gateway with these servers in `[upstreams.many]`, and these lines there.
fn gateway(servers: &[&Server], lines: &str) -> Builder {
    let urls: Vec<_> = servers.iter().map(|server| format!("{:?}", server.url())).collect();
    Gateway::to(&[RawUpstream::unused_address()]).path("/unused").plain().more(&format!(
        "[admin]\nsocket = \"fw.sock\"\n\
         [upstreams.many]\nservers = [{}]\n{lines}\n\
         [routes.many]\npath = \"/ws\"\nserve = [\"websocket\", \"http\"]\nupstream = \"many\"\nauth = \"none\"",
        urls.join(", ")
    ))
}

/// `health` with a short interval. The timeout only matters for a server that hangs.
fn health(check: &str, timeout: &str) -> String {
    let path = if check == "tcp" { "" } else { "path = \"/check\", " };
    format!(
        "health = {{ check = \"{check}\", {path}interval = \"100ms\", timeout = \"{timeout}\" }}"
    )
}

/// What `status` says of a server.
fn status(gateway: &Gateway, server: &Server) -> Value {
    let status = gateway.status("fw.sock");
    let upstreams = status["upstreams"].as_array().unwrap();
    upstreams.iter().find(|one| one["upstream"] == server.url()).unwrap().clone()
}

#[track_caller]
fn wait_for(gateway: &Gateway, server: &Server, state: &str) -> Value {
    let reached = eventually(|| Some(status(gateway, server)).filter(|one| one["state"] == state));
    reached.unwrap_or_else(|| panic!("it is not {state}: {}", status(gateway, server)))
}

/// An open session that echoes.
fn open(gateway: &Gateway) -> Wire {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    let answer = client.read_head();
    assert_eq!(answer.status(), 101, "{answer:?}");
    prove_alive(&mut client);
    client
}

fn prove_alive(client: &mut Wire) {
    client.say(Frame::text("still there"));
    client.expect_frame(Frame::text("still there"));
}

/// Opens `count` sessions. Returns them with the number that each server got.
fn fill(gateway: &Gateway, servers: &[&Server], count: usize) -> (Vec<usize>, Vec<Wire>) {
    let before: Vec<_> = servers.iter().map(|server| server.sessions()).collect();
    let clients = (0..count).map(|_| open(gateway)).collect();
    let counts = servers.iter().zip(before).map(|(server, before)| server.sessions() - before);
    (counts.collect(), clients)
}

fn records(gateway: &Gateway, event: &str) -> Vec<Value> {
    gateway.log_records().into_iter().filter(|record| record["event"] == event).collect()
}

#[test]
fn a_killed_server_is_found_without_a_client_and_comes_back_by_its_check() {
    let (killed, other) = (Server::start(Checkup::Fine), Server::start(Checkup::Fine));
    let gateway = gateway(&[&killed, &other], &health("http", "2s")).start();
    wait_for(&gateway, &killed, "up");
    let shown = wait_for(&gateway, &other, "up");
    assert_eq!(shown["health"]["check"], "http");
    assert_eq!(shown["health"]["result"], "passed");
    assert!(shown["health"]["seconds"].is_u64(), "{shown}");

    let (address, url) = (killed.address, killed.url());
    drop(killed);
    let down = gateway.wait_for_error(|record| record["event"] == "upstream.down");
    assert_eq!((&down["upstream"], &down["check"]), (&url.into(), &"http".into()));
    assert!(down["detail"].as_str().unwrap().contains("refused"), "{down}");
    assert!(down["route"].is_null() && down["retry_ms"].is_null(), "{down}");
    let (_, printed, _) = gateway.admin(&["status"]);
    assert!(printed.contains("until its check passes: "), "{printed}");
    assert!(printed.contains("http check failed for "), "{printed}");
    let (counts, _sessions) = fill(&gateway, &[&other], 4);
    assert_eq!(counts, [4]);

    let killed = Server::start_at(address, Checkup::Fine);
    wait_for(&gateway, &killed, "up");
    let up = gateway.wait_for_record(|record| record["event"] == "upstream.up");
    assert_eq!(up["check"], "http");
    assert!(up["failures"].as_u64().unwrap() >= 3, "{up}");
    let (counts, _more) = fill(&gateway, &[&killed, &other], 4);
    assert_eq!(counts, [4, 0], "it fills up");
}

#[test]
fn only_a_websocket_check_finds_a_server_that_hangs() {
    let (hung, other) = (Server::start(Checkup::Hung), Server::start(Checkup::Fine));
    let blind = gateway(&[&hung, &other], &health("tcp", "300ms")).start();
    let sees = gateway(&[&hung, &other], &health("websocket", "300ms")).start();
    let shown = wait_for(&sees, &hung, "down");
    assert_eq!(shown["error"], "no answer to the handshake in time");
    assert_eq!(wait_for(&blind, &hung, "up")["health"]["result"], "passed");
    let (counts, _sessions) = fill(&sees, &[&hung, &other], 6);
    assert_eq!(counts, [0, 6]);
    assert_eq!(records(&sees, "upstream.down").len(), 1, "no client was needed");

    hung.set(Checkup::Fine);
    wait_for(&sees, &hung, "up");
    let (counts, _more) = fill(&sees, &[&hung, &other], 6);
    assert_eq!(counts, [6, 0], "it has none yet");
}

#[test]
fn a_wrong_accept_and_an_error_fail_their_checks() {
    let other = Server::start(Checkup::Fine);
    for (checkup, check, error) in [
        (Checkup::WrongAccept, "websocket", "Sec-WebSocket-Accept does not belong to the key"),
        (Checkup::Error, "websocket", "the answer to the handshake is 500"),
        (Checkup::Error, "http", "the status is 500"),
    ] {
        let failing = Server::start(checkup);
        let gateway = gateway(&[&failing, &other], &health(check, "2s")).start();
        let shown = wait_for(&gateway, &failing, "down");
        assert!(shown["error"].as_str().unwrap().starts_with(error), "{shown}");
        wait_for(&gateway, &other, "up");
        let (counts, _sessions) = fill(&gateway, &[&failing, &other], 4);
        assert_eq!(counts, [0, 4], "{checkup:?}");
    }
}

#[test]
fn a_server_that_flaps_below_the_threshold_stays_up() {
    let (flapping, other) = (Server::start(Checkup::Flaps), Server::start(Checkup::Fine));
    let gateway = gateway(&[&flapping, &other], &health("http", "2s")).start();
    wait_for(&gateway, &flapping, "up");
    flapping.wait_for_checks(12);
    assert_eq!(status(&gateway, &flapping)["state"], "up");
    assert_eq!(records(&gateway, "upstream.down"), [] as [Value; 0]);
    let (counts, _sessions) = fill(&gateway, &[&flapping, &other], 4);
    assert_eq!(counts, [2, 2]);
}

/// A check that asks for the wrong path, say.
#[test]
fn a_check_that_fails_everywhere_takes_half_of_the_servers_out() {
    let servers: Vec<_> = (0..4).map(|_| Server::start(Checkup::Error)).collect();
    let servers: Vec<&Server> = servers.iter().collect();
    let gateway = gateway(&servers, &health("http", "2s")).start();
    for server in &servers {
        wait_for(&gateway, server, "down");
    }
    let (mut counts, _sessions) = fill(&gateway, &servers, 8);
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 4, 4]);
    servers[0].set(Checkup::Fine);
    servers[1].set(Checkup::Fine);
    wait_for(&gateway, servers[0], "up");
    wait_for(&gateway, servers[1], "up");
    let (counts, _more) = fill(&gateway, &servers, 8);
    assert_eq!(counts[2..], [0, 0], "the two that fail are passed over: {counts:?}");
}

#[test]
fn a_reload_keeps_the_results_and_ends_the_checks_of_removed_servers() {
    let (failing, other) = (Server::start(Checkup::Error), Server::start(Checkup::Fine));
    let removed = Server::start(Checkup::Fine);
    let gateway = gateway(&[&failing, &other, &removed], &health("http", "2s")).start();
    wait_for(&gateway, &failing, "down");
    wait_for(&gateway, &removed, "up");
    let before = status(&gateway, &failing)["failures"].as_u64().unwrap();
    gateway.rewrite(|text| text.replace(&format!(", {:?}", removed.url()), ""));
    gateway.hang_up("reloaded");
    let shown = status(&gateway, &failing);
    assert_eq!(shown["state"], "down");
    assert!(shown["failures"].as_u64().unwrap() >= before, "{shown}");
    // A check that was under way ends first.
    failing.wait_for_checks(2);
    let checks = removed.state.checks.load(Ordering::Relaxed);
    failing.wait_for_checks(5);
    assert_eq!(removed.state.checks.load(Ordering::Relaxed), checks);
    assert_eq!(records(&gateway, "upstream.down").len(), 1);
}

#[test]
fn a_server_that_is_added_gets_a_small_share_at_first() {
    let (old, added) = (Server::start(Checkup::Fine), Server::start(Checkup::Fine));
    let gateway = gateway(&[&old], "slow_start = \"1h\"").start();
    let (_, _sessions) = fill(&gateway, &[&old], 10);
    let list = format!("[{:?}]", old.url());
    let longer = format!("[{:?}, {:?}]", old.url(), added.url());
    gateway.rewrite(|text| text.replace(&list, &longer));
    gateway.hang_up("reloaded");
    let (counts, _more) = fill(&gateway, &[&old, &added], 8);
    assert_eq!(counts, [7, 1], "a tenth of the whole");
}

/// Opens `count` sessions at each of two servers.
fn fill_both(gateway: &Gateway, servers: &[&Server; 2], count: usize) -> [Vec<Wire>; 2] {
    let mut sessions = [Vec::new(), Vec::new()];
    for _ in 0..count * 2 {
        let (counts, clients) = fill(gateway, &servers[..], 1);
        sessions[usize::from(counts[1] == 1)].extend(clients);
    }
    assert_eq!(sessions.each_ref().map(Vec::len), [count, count]);
    sessions
}

#[test]
fn drain_ends_the_sessions_of_a_server_that_fails_its_check_and_stop_leaves_them() {
    for unhealthy in ["drain", "stop"] {
        let servers = [Server::start(Checkup::Fine), Server::start(Checkup::Fine)];
        let servers = servers.each_ref();
        let lines = format!("{}\nunhealthy = \"{unhealthy}\"", health("http", "2s"));
        let gateway = gateway(&servers, &lines).server("shutdown_spread = \"100ms\"").start();
        let [mut failing, mut others] = fill_both(&gateway, &servers, 2);
        servers[0].set(Checkup::Error);
        wait_for(&gateway, servers[0], "down");
        for client in &mut failing {
            if unhealthy == "drain" {
                client.expect_closing(1012, "upstream.draining");
            } else {
                prove_alive(client);
            }
        }
        others.iter_mut().for_each(prove_alive);
        let (counts, _more) = fill(&gateway, &servers, 2);
        assert_eq!(counts, [0, 2], "{unhealthy}");
    }
}

#[test]
fn a_drain_stops_when_the_server_is_up_again() {
    let servers = [Server::start(Checkup::Fine), Server::start(Checkup::Fine)];
    let servers = servers.each_ref();
    let lines = format!("{}\nunhealthy = \"drain\"", health("http", "2s"));
    let gateway = gateway(&servers, &lines).server("shutdown_spread = \"4s\"").start();
    let [mut failing, _others] = fill_both(&gateway, &servers, 2);
    servers[0].set(Checkup::Error);
    // The first session is told at once, the second one after half of the time.
    failing.remove(0).expect_closing(1012, "upstream.draining");
    servers[0].set(Checkup::Fine);
    wait_for(&gateway, servers[0], "up");
    servers[0].wait_for_checks(40);
    prove_alive(&mut failing[0]);
}

/// The other half stays: a check that is wrong ends no more sessions.
#[test]
fn at_most_half_of_the_servers_are_drained() {
    let servers = [Server::start(Checkup::Fine), Server::start(Checkup::Fine)];
    let servers = servers.each_ref();
    let lines = format!("{}\nunhealthy = \"drain\"", health("http", "2s"));
    let gateway = gateway(&servers, &lines).server("shutdown_spread = \"10ms\"").start();
    let mut sessions = fill_both(&gateway, &servers, 2);
    for server in servers {
        server.set(Checkup::Error);
    }
    for server in servers {
        wait_for(&gateway, server, "down");
    }
    servers[0].wait_for_checks(5);
    let alive = |clients: &mut Vec<Wire>| {
        clients.iter_mut().map(Wire::has_something).filter(|is_told| !is_told).count()
    };
    let kept = sessions.each_mut().map(alive);
    assert!(kept == [0, 2] || kept == [2, 0], "{kept:?}");
}
