//! Several hundred sessions while servers are added, die, hang, and while the configuration is loaded again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::balance::{bind, gateway, listed, open, url, wait_for_live};
use super::support::{Gateway, RawUpstream, Session, eventually, raise_open_files};

/// Sessions, each with the index of its server.
type Placed = Vec<(usize, Session)>;

fn place(gateway: &Gateway, servers: &[RawUpstream], count: usize) -> Placed {
    (0..count).map(|_| open(gateway, servers)).collect()
}

/// How many sessions each of three servers has.
fn counts(sessions: &Placed) -> [usize; 3] {
    [0, 1, 2].map(|server| sessions.iter().filter(|(index, _)| *index == server).count())
}

fn prove_alive(sessions: &mut Placed) {
    for (_, session) in sessions {
        session.prove_alive();
    }
}

/// `status` counts these sessions of each server, and no other one.
#[track_caller]
fn expect_counts(gateway: &Gateway, servers: &[String], wanted: &[u64]) {
    for (server, count) in servers.iter().zip(wanted) {
        wait_for_live(gateway, server, *count);
    }
    assert_eq!(gateway.status("fw.sock")["sessions"], wanted.iter().sum::<u64>());
}

fn records(gateway: &Gateway, event: &str) -> Vec<Value> {
    gateway.log_records().into_iter().filter(|record| record["event"] == event).collect()
}

/// Replaces the list of servers by another one.
fn reload(gateway: &Gateway, from: &str, to: &str) {
    let list = |servers: &str| format!("servers = [{servers}]");
    gateway.rewrite(|text| text.replace(&list(from), &list(to)));
    gateway.hang_up("reloaded");
}

#[test]
fn a_third_server_fills_up_and_the_others_take_over_from_a_dead_one() {
    raise_open_files();
    let mut servers = bind(3);
    let names: Vec<_> = servers.iter().map(url).collect();
    let (two, three) = (listed(&servers[..2]), listed(&servers));
    let gateway = gateway(&two, "least", "none").plain().start();
    let mut sessions = place(&gateway, &servers[..2], 400);
    assert_eq!(counts(&sessions), [200, 200, 0]);

    reload(&gateway, &two, &three);
    sessions.extend(place(&gateway, &servers, 200));
    assert_eq!(counts(&sessions), [200, 200, 200], "the new one gets all until it has as many");
    sessions.extend(place(&gateway, &servers, 30));
    assert_eq!(counts(&sessions), [210, 210, 210]);
    prove_alive(&mut sessions);
    expect_counts(&gateway, &names, &[210, 210, 210]);

    drop(servers.remove(0));
    let (dead, mut living): (Placed, Placed) =
        sessions.into_iter().partition(|(index, _)| *index == 0);
    let mut clients = Vec::new();
    for (_, Session { client, upstream, .. }) in dead {
        drop(upstream);
        clients.push(client);
    }
    for client in &mut clients {
        client.expect_closing(1014, "upstream.lost");
    }
    expect_counts(&gateway, &names, &[0, 210, 210]);
    // The index is that of the servers that are left.
    let new = place(&gateway, &servers, 30);
    assert_eq!(counts(&new), [15, 15, 0]);
    prove_alive(&mut living);
    expect_counts(&gateway, &names, &[0, 225, 225]);
    assert!(records(&gateway, "refused").is_empty());
}

/// A listener that accepts nothing: the kernel completes connections, and nobody reads.
#[test]
fn after_one_failure_a_hung_server_gets_no_session() {
    let servers = bind(3);
    let names: Vec<_> = servers.iter().map(url).collect();
    let gateway = gateway(&listed(&servers), "least", "none")
        .plain()
        .server("handshake_timeout = \"4s\"")
        .start();
    let mut sessions = place(&gateway, &servers, 30);
    assert_eq!(counts(&sessions), [10, 10, 10]);
    // With two sessions less it is the first choice.
    for _ in 0..2 {
        let at = sessions.iter().position(|(index, _)| *index == 0).unwrap();
        sessions.swap_remove(at).1.close(1000, "");
    }
    wait_for_live(&gateway, &names[0], 8);
    sessions.extend(place(&gateway, &servers[1..], 60).into_iter().map(|(at, it)| (at + 1, it)));
    assert_eq!(counts(&sessions), [8, 40, 40]);

    let down = records(&gateway, "upstream.down");
    assert_eq!(down.len(), 1, "{down:?}");
    assert_eq!(down[0]["upstream"], *names[0]);
    assert!(records(&gateway, "refused").is_empty());
    let tried = std::iter::from_fn(|| servers[0].accept_now()).count();
    // One failure, and one more for each time that it was tried again on a slow machine.
    assert!((1..=3).contains(&tried), "{tried} connections");
    prove_alive(&mut sessions);
    expect_counts(&gateway, &names, &[8, 40, 40]);
}

/// An application that echoes until it is told to close.
async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut socket = accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        });
    }
}

type Client = WebSocketStream<TcpStream>;

/// Opens a session that had a message echoed.
async fn connect(gateway: &Gateway) -> Client {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut socket, _) = client_async(gateway.url("ws", "/ws"), stream).await.unwrap();
    let message = Message::text("there and back");
    socket.send(message.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), message);
    socket
}

/// Opens and closes sessions until it is told to stop. Returns how many.
async fn come_and_go(gateway: Arc<Gateway>, stop: Arc<AtomicBool>) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut socket = connect(&gateway).await;
        socket.close(None).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_close());
        count += 1;
    }
    count
}

#[test]
fn reloads_under_load_keep_the_counts_and_mark_no_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let listeners: Vec<_> =
        (0..3).map(|_| runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap()).collect();
    let names: Vec<_> =
        listeners.iter().map(|it| format!("ws://{}", it.local_addr().unwrap())).collect();
    for listener in listeners {
        runtime.spawn(serve(listener));
    }
    let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let gateway = Arc::new(gateway(&list, "least", "none").plain().start());
    let held: Vec<_> = (0..30).map(|_| runtime.block_on(connect(&gateway))).collect();
    let (mut clients, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
    for _ in 0..20 {
        let client = come_and_go(Arc::clone(&gateway), Arc::clone(&stop));
        clients.spawn_on(client, runtime.handle());
    }
    let text = std::fs::read_to_string(gateway.folder().join("framewall.toml")).unwrap();
    for seconds in 1..=10 {
        let table = format!("[upstreams.many]\ndial_timeout = \"{seconds}s\"");
        gateway.rewrite(|_| text.replace("[upstreams.many]", &table));
        gateway.hang_up("reloaded");
    }
    stop.store(true, Ordering::Relaxed);
    let gone: usize = runtime.block_on(clients.join_all()).into_iter().sum();
    assert!(gone >= 20, "{gone} sessions came and went");

    let ended = || Some(gateway.status("fw.sock")).filter(|status| status["sessions"] == 30);
    assert!(eventually(ended).is_some(), "{}", gateway.status("fw.sock"));
    let _more: Vec<_> = (0..60).map(|_| runtime.block_on(connect(&gateway))).collect();
    expect_counts(&gateway, &names, &[30, 30, 30]);
    drop(held);
    for event in ["upstream.down", "refused"] {
        assert!(records(&gateway, event).is_empty(), "{event}");
    }
}
