//! Rows about many connections: what they take of memory, and of time.

use std::sync::Arc;
use std::time::Duration;

use crate::Outcome;
use crate::alone::Application;
use crate::load::{Client, exchange, exchange_of};
use crate::measure::{kernel_memory, memory};
use crate::messages::{self, Rules};
use crate::peers::{Peer, Proxy};
use crate::rows::{ACTIVE, Work};
use crate::run::{Bench, Round, Used, real};

/// nginx's own default, where it is about memory.
const BUFFER_SMALL: usize = 4 * 1024;
/// Before memory is read.
const SETTLE_MEMORY: Duration = Duration::from_secs(2);
/// Connections before the memory of the others is counted: the first ones set much up.
const FIRST: u32 = 20;
/// Rounds of memory, which hardly differ.
const MEMORY_ROUNDS: usize = 3;

/// As many connections as were asked for, and what they came through.
struct Crowd {
    proxies: Vec<Proxy>,
    clients: Vec<Client>,
    grown: Grown,
    /// Ends last.
    _application: Application,
}

/// KiB that a connection made memory grow by.
struct Grown {
    proxy: f64,
    kernel: f64,
}

impl Bench {
    /// At most three rounds, each proxy in its turn.
    pub(crate) async fn measure_memory(&self, work: Work, rounds: usize) -> Outcome<Vec<Round>> {
        let mut measured = Vec::new();
        for _ in 0..rounds.min(MEMORY_ROUNDS) {
            let mut round = Round::new();
            for peer in &self.peers {
                round.push(match work {
                    Work::Crowd { connections, processes, size, messages } => {
                        let crowd = self.gather(peer, connections, processes, Rules::None).await?;
                        self.let_talk(crowd, size, messages).await?
                    }
                    Work::Idle { connections, rules } => {
                        let crowd = self.gather(peer, connections, 1, rules).await?;
                        Used { figures: vec![crowd.grown.proxy], rate: None }
                    }
                    _ => return Err("it is not about memory".into()),
                });
            }
            measured.push(round);
        }
        Ok(measured)
    }

    /// Proxies of its own, so that no earlier connection left memory behind, and an application in a
    /// process of its own, which can open as many files again.
    async fn gather(
        &self,
        peer: &Peer,
        connections: u32,
        processes: u32,
        rules: Rules,
    ) -> Outcome<Crowd> {
        let application = Application::start()?;
        let mut proxies = Vec::new();
        for _ in 0..processes {
            let under = self.under(peer);
            let start = self.ground.start_before(application.address, peer, BUFFER_SMALL, under);
            proxies.push(start?);
        }
        let mut clients = self.greet(&proxies, FIRST, rules).await?;
        tokio::time::sleep(SETTLE_MEMORY).await;
        let before = (memory_of(&proxies)?, kernel_memory()?);
        let each = (connections / processes).saturating_sub(FIRST);
        clients.append(&mut self.greet(&proxies, each, rules).await?);
        tokio::time::sleep(SETTLE_MEMORY).await;
        let grown = |after: u64, before: u64| {
            real(after.saturating_sub(before)) / 1024.0 / f64::from(each * processes)
        };
        let grown = Grown {
            proxy: grown(memory_of(&proxies)?, before.0),
            // Half of it is the other ends', the clients' and the application's.
            kernel: grown(kernel_memory()?, before.1) / 2.0,
        };
        Ok(Crowd { proxies, clients, grown, _application: application })
    }

    /// So many connections to each, which all had a message echoed.
    async fn greet(&self, proxies: &[Proxy], each: u32, rules: Rules) -> Outcome<Vec<Client>> {
        let exchange = match rules {
            Rules::None => exchange(64, 1),
            _ => exchange_of(&messages::of(200), 1),
        };
        let mut clients = Vec::new();
        for proxy in proxies {
            clients.append(&mut self.open(proxy.address, each, &rules.path("echo")).await?);
        }
        for client in &mut clients {
            client.check(&exchange).await?;
        }
        Ok(clients)
    }

    async fn let_talk(&self, crowd: Crowd, size: usize, messages: u32) -> Outcome<Used> {
        let Crowd { proxies, clients, grown, _application } = crowd;
        let connections = u32::try_from(clients.len())?;
        let mut groups: Vec<Vec<Client>> = (0..ACTIVE).map(|_| Vec::new()).collect();
        for (client, group) in clients.into_iter().zip((0..groups.len()).cycle()) {
            groups[group].push(client);
        }
        let times = (messages / connections).max(1);
        let exchange = Arc::new(exchange(size, 1));
        let work = self.metered(&proxies, times * connections, groups, |mut group| {
            let exchange = Arc::clone(&exchange);
            async move {
                for _ in 0..times {
                    for client in &mut group {
                        client.echo(&exchange, 1).await?;
                    }
                }
                Ok(group)
            }
        });
        let (mut used, done) = work.await?;
        drop(done);
        used.figures.extend([grown.proxy, grown.kernel]);
        Ok(used)
    }
}

fn memory_of(proxies: &[Proxy]) -> Outcome<u64> {
    proxies.iter().map(|proxy| memory(proxy.worker)).sum()
}
