//! Rows about many connections: what they take of memory, and of time.

use std::sync::Arc;
use std::time::Duration;

use crate::Outcome;
use crate::load::{Client, exchange};
use crate::measure::{kernel_memory, memory};
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
                    Work::Crowd { connections, size, messages } => {
                        self.crowd(peer, connections, size, messages).await?
                    }
                    Work::Idle { connections } => {
                        let (proxy, _clients, grown) = self.idle(peer, connections).await?;
                        drop(proxy);
                        Used { figures: vec![grown.proxy], rate: None }
                    }
                    _ => return Err("it is not about memory".into()),
                });
            }
            measured.push(round);
        }
        Ok(measured)
    }

    /// A proxy of its own, so that no earlier connection left memory behind.
    async fn idle(&self, peer: &Peer, connections: u32) -> Outcome<(Proxy, Vec<Client>, Grown)> {
        let proxy = self.start(peer, BUFFER_SMALL)?;
        let exchange = exchange(64, 1);
        let mut clients = self.open(proxy.address, FIRST, "/echo").await?;
        for client in &mut clients {
            client.check(&exchange).await?;
        }
        tokio::time::sleep(SETTLE_MEMORY).await;
        let before = (memory(proxy.worker)?, kernel_memory()?);
        let more = connections.saturating_sub(FIRST);
        let mut idle = self.open(proxy.address, more, "/echo").await?;
        for client in &mut idle {
            client.check(&exchange).await?;
        }
        tokio::time::sleep(SETTLE_MEMORY).await;
        let kibibytes =
            |after: u64, before: u64| real(after.saturating_sub(before)) / 1024.0 / f64::from(more);
        let grown = Grown {
            proxy: kibibytes(memory(proxy.worker)?, before.0),
            // Half of it is the other ends', in this process.
            kernel: kibibytes(kernel_memory()?, before.1) / 2.0,
        };
        clients.append(&mut idle);
        Ok((proxy, clients, grown))
    }

    async fn crowd(
        &self,
        peer: &Peer,
        connections: u32,
        size: usize,
        messages: u32,
    ) -> Outcome<Used> {
        let (proxy, clients, grown) = self.idle(peer, connections).await?;
        let mut groups: Vec<Vec<Client>> = (0..ACTIVE).map(|_| Vec::new()).collect();
        for (client, group) in clients.into_iter().zip((0..groups.len()).cycle()) {
            groups[group].push(client);
        }
        let times = (messages / connections).max(1);
        let exchange = Arc::new(exchange(size, 1));
        let work = self.metered(&proxy, times * connections, groups, |mut group| {
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
