//! What one address notices while another floods: `cargo bench --bench flood`. Two minutes.
//!
//! 127.0.0.1 echoes messages at a fixed rate and opens a connection now and then; 127.0.0.2 connects
//! as fast as it can and sends as many messages as it can. All of it is on this machine, the flood
//! at the lowest priority, so that the processors are left to the gateway. The gateway is a process
//! of its own and new in each row; the rows take turns.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod client;
mod flooder;

use std::net::SocketAddr;
use std::time::Duration;

use client::Noticed;
use flooder::Flooded;
use futures_util::{SinkExt, StreamExt};
use support::Gateway;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;

const ROUNDS: usize = 3;
/// How long the flood lasts before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);

const LIMITS: &str = "[limits]\nhandshakes_per_ip = \"100/s burst 100\"\nconnections_per_ip = 50\n\
                      messages = \"1000/s burst 1000\"\n";
/// So that the flooding address can be banned.
const ADMIN: &str = "[admin]\nsocket = \"fw.sock\"\n";

struct Row {
    name: &'static str,
    tables: String,
    flood: bool,
    banned: bool,
}

fn main() {
    support::raise_open_files();
    let row = |name, tables, flood| Row { name, tables, flood, banned: false };
    let rows = [
        row("no flood", String::new(), false),
        row("flood, no limits", String::new(), true),
        row("flood, limits", LIMITS.to_owned(), true),
        Row { banned: true, ..row("flood, limits and a ban", format!("{LIMITS}{ADMIN}"), true) },
    ];
    let application = application();
    let mut outcomes: Vec<Vec<_>> = rows.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (row, outcomes) in rows.iter().zip(&mut outcomes) {
            outcomes.push(measure(row, application));
        }
    }
    println!(
        "| | echo: p50 µs | p99 | p99.9 | most | lost | opening: p50 µs | p99 | failed \
         | connections/s of the flood | handshakes/s | messages/s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (row, outcomes) in rows.iter().zip(&outcomes) {
        print(row, outcomes);
    }
}

fn measure(row: &Row, application: SocketAddr) -> (Noticed, Flooded) {
    let gateway = Gateway::to(&[application]).more(&row.tables).start();
    if row.banned {
        assert_eq!(gateway.admin(&["ban", "127.0.0.2", "--for", "1h"]).0, Some(0));
    }
    let flood = row.flood.then(|| flooder::start(&gateway, WARM_UP + MEASURED));
    std::thread::sleep(WARM_UP);
    let noticed = client::run(&gateway, MEASURED);
    (noticed, flood.map(|flood| flood.join().unwrap()).unwrap_or_default())
}

/// The median of the rounds, and the sum of what failed.
fn print(row: &Row, outcomes: &[(Noticed, Flooded)]) {
    let median = |figure: &dyn Fn(&(Noticed, Flooded)) -> u128| {
        let mut figures: Vec<u128> = outcomes.iter().map(figure).collect();
        figures.sort_unstable();
        figures[figures.len() / 2].to_string()
    };
    let echo = |part| median(&|(noticed, _)| micros(&noticed.echoes, part));
    let opening = |part| median(&|(noticed, _)| micros(&noticed.openings, part));
    let of_flood = |count: fn(&Flooded) -> u64| {
        median(&|(_, flooded)| u128::from(count(flooded) / (WARM_UP + MEASURED).as_secs()))
    };
    let lost: u64 = outcomes.iter().map(|(noticed, _)| noticed.lost).sum();
    let failed: u64 = outcomes.iter().map(|(noticed, _)| noticed.failed).sum();
    let cells = [
        [echo(500), echo(990), echo(999), echo(1000), lost.to_string()].join(" | "),
        [opening(500), opening(990), failed.to_string()].join(" | "),
        [of_flood(|it| it.connections), of_flood(|it| it.handshakes), of_flood(|it| it.messages)]
            .join(" | "),
    ];
    println!("| {} | {} |", row.name, cells.join(" | "));
}

/// The time that so many thousandths of them do not exceed; 0 if there are none.
fn micros(times: &[Duration], thousandths: usize) -> u128 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = times.len().saturating_sub(1) * thousandths / 1000;
    times.get(place).map_or(0, Duration::as_micros)
}

/// An echo in a thread of its own, for as long as the process lives.
fn application() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let Ok(mut socket) = accept_async(stream).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        if message.is_text() && socket.send(message).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    address
}
