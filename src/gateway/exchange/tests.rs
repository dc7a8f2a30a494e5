use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::Exchanges;
use super::connection::KEEP_ALIVE;
use crate::config;
use crate::gateway::listen::Purpose;
use crate::gateway::runtime::{Current, InForce, Runtime};
use crate::gateway::session::{Reporter, SessionStarter, Sessions};
use crate::journal::Journal;
use crate::state::State;
use crate::state::bans::MOST_STRUCK;
use crate::state::store::MAX_BANS;
use crate::values::Refusal;
use crate::values::UnixTime;
use crate::values::{Offence, RequestContext, Sender};

fn exchanges(tables: &str) -> Exchanges {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[routes.app]\npath = \"/ws\"\n\
         upstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n{tables}"
    );
    let config = config::parse(&text, Path::new("framewall.toml")).unwrap().config;
    let state = Arc::new(State::open(&config).unwrap());
    let current = Arc::new(Current::new(InForce::new(&config, &state, None).unwrap()));
    let (runtime, sessions) = (Runtime::default(), Sessions::default());
    let reporter =
        Arc::new(Reporter::new(Arc::clone(&state), sessions.clone(), Journal::default()));
    let starter = SessionStarter::new(
        runtime.clone(),
        Arc::clone(&current),
        Arc::clone(&state),
        sessions,
        Arc::clone(&reporter),
    );
    Exchanges::new(runtime, current, state, Arc::new(starter), reporter)
}

/// The first address of a /64 of its own.
fn address(number: u64) -> IpAddr {
    Ipv6Addr::from((0x2001_0db8 << 96) + (u128::from(number) << 64)).into()
}

/// As an accepted connection that ends at once; the reason for which it was dropped, if it was.
fn connect(exchanges: &Exchanges, address: IpAddr) -> Option<Refusal> {
    let refusal = exchanges.admit_peer(address, &exchanges.current.get()).err()?;
    exchanges.reporter.dropped(SocketAddr::new(address, 4711), &refusal);
    Some(refusal)
}

#[test]
fn a_scan_from_a_million_addresses_bans_none_and_keeps_memory_bounded() {
    let exchanges = exchanges(
        "[limits]\nhandshakes_per_ip = \"1/h burst 1\"\nconnections_per_ip = 1\n\
         [firewall.ban]\nstrikes = 1\n",
    );
    let refused = (0..1_000_000).filter_map(|number| connect(&exchanges, address(number))).count();
    assert!(refused > 900_000, "{refused}: there is no room to count so many apart");
    // Those that are known to come again are refused for themselves, and a page can do that to them.
    (0..200_000).filter_map(|number| connect(&exchanges, address(number))).for_each(drop);
    assert_eq!(
        (exchanges.state.bans().count(UnixTime::now()), exchanges.state.bans().struck()),
        (0, 0)
    );
    assert_eq!(exchanges.state.limiters().open(&address(0).into()), 0);
}

#[test]
fn a_million_offenders_keep_memory_bounded() {
    let exchanges = exchanges("[firewall.ban]\nstrikes = 2\n");
    let context = RequestContext { sender: Sender::Program, relayed: false };
    let strike =
        |number| exchanges.reporter.strike(address(number), Offence::head(context).unwrap());
    (0..1_000_000).for_each(strike);
    assert!(exchanges.state.bans().struck() <= MOST_STRUCK, "{}", exchanges.state.bans().struck());
    (0..200_000).for_each(|number| (0..2).for_each(|_| strike(number)));
    assert_eq!(exchanges.state.bans().count(UnixTime::now()), MAX_BANS);
    assert!(exchanges.state.bans().struck() <= MOST_STRUCK);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_waits_for_its_next_request_and_for_no_longer() {
    let exchanges = Arc::new(exchanges(""));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    exchanges.accept(stream, peer, Purpose::Serve);
    for pause in [Duration::ZERO, KEEP_ALIVE.mul_f32(0.9)] {
        tokio::time::sleep(pause).await;
        client.write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            answer.push(client.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 426 "));
    }
    let answered = Instant::now();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    let waited = answered.elapsed();
    assert!(waited >= KEEP_ALIVE && waited < KEEP_ALIVE + Duration::from_secs(5), "{waited:?}");
    assert_eq!(exchanges.connections(), 0);
}
