//! The rounds: for each row one proxy, then the other, and again, with the same work.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::load::{Client, Dialer, exchange};
use crate::measure::{Cores, affordable, cpu_time, memory};
use crate::options::Tools;
use crate::peers::{Ground, Kind, Proxy};
use crate::rows::{Row, Work};
use crate::tool::Tool;

/// nginx's buffer of an upgraded connection, per direction: a TLS record where it is about speed,
/// its own default where it is about memory.
const BUFFER_FAST: usize = 16 * 1024;
const BUFFER_SMALL: usize = 4 * 1024;
/// Before counters are read: what was asked of a proxy has been done by then.
const SETTLE: Duration = Duration::from_millis(50);
/// Before memory is read.
const SETTLE_MEMORY: Duration = Duration::from_secs(2);
/// Connections that are opened at once.
const OPENING: u32 = 64;
/// Connections before the memory of the others is counted: the first ones set much up.
const FIRST: u32 = 20;
/// Rounds of a memory row, which hardly differ.
const MEMORY_ROUNDS: usize = 3;

/// Both proxies, and what they are measured with.
pub(crate) struct Bench {
    pub(crate) ground: Ground,
    pub(crate) cores: Cores,
    dialer: Dialer,
    tools: Tools,
}

/// What one proxy used for the work of one round.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    /// Microseconds of CPU per message or connection; for memory, KiB per connection.
    pub(crate) cost: f64,
    /// Messages or connections per second; for memory, how many connections there were.
    pub(crate) rate: f64,
}

/// The same work by both.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) framewall: Used,
    pub(crate) nginx: Used,
}

impl Bench {
    pub(crate) async fn prepare(nginx: PathBuf, cores: Cores, tools: Tools) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let application = listener.local_addr()?;
        tokio::spawn(crate::app::serve(listener));
        let (ground, root) = Ground::new(nginx, application, cores.proxy)?;
        Ok(Self { ground, cores, dialer: Dialer::new(root)?, tools })
    }

    pub(crate) async fn measure(&self, row: &Row, rounds: usize) -> Outcome<Vec<Round>> {
        if let Work::Idle { connections } = row.work {
            return self.measure_memory(connections, rounds.min(MEMORY_ROUNDS)).await;
        }
        let framewall = self.start(Kind::Framewall, BUFFER_FAST)?;
        let nginx = self.start(Kind::Nginx, BUFFER_FAST)?;
        let mut measured = Vec::new();
        for _ in 0..rounds {
            measured.push(Round {
                framewall: self.work(&framewall, row.work).await?,
                nginx: self.work(&nginx, row.work).await?,
            });
        }
        Ok(measured)
    }

    fn start(&self, kind: Kind, buffer: usize) -> Outcome<Proxy> {
        let under = self.tools.under.as_deref().filter(|_| kind == Kind::Framewall);
        self.ground.start(kind, buffer, under)
    }

    async fn work(&self, proxy: &Proxy, work: Work) -> Outcome<Used> {
        match work {
            Work::Echo { connections, size, pipeline, messages } => {
                let exchange = exchange(size, pipeline);
                let mut clients = self.open(proxy.address, connections, "/echo").await?;
                for client in &mut clients {
                    client.check(&exchange).await?;
                }
                let times = messages / connections / pipeline;
                let count = times * connections * pipeline;
                self.metered(proxy, count, clients, |mut client| {
                    let exchange = exchange.clone();
                    async move {
                        client.echo(&exchange, times).await?;
                        Ok(client)
                    }
                })
                .await
            }
            Work::Push { connections, size, messages } => {
                let mut clients = self.open(proxy.address, connections, "/push").await?;
                for client in &mut clients {
                    client.pushed(size, 1).await?;
                }
                let each = messages / connections;
                self.metered(proxy, each * connections, clients, move |mut client| async move {
                    client.pushed(size, each).await?;
                    Ok(client)
                })
                .await
            }
            Work::Handshakes { count, concurrency, resumed } => {
                self.handshakes(proxy, count, concurrency, resumed).await
            }
            Work::Idle { .. } => Err("memory is measured by itself".into()),
        }
    }

    async fn handshakes(
        &self,
        proxy: &Proxy,
        count: u32,
        concurrency: u32,
        resumed: bool,
    ) -> Outcome<Used> {
        let mut dialers = Vec::new();
        for _ in 0..concurrency {
            let dialer = if resumed { self.dialer.resuming() } else { self.dialer.clone() };
            dialer.open_and_close(proxy.address, 0).await?;
            dialers.push(dialer);
        }
        let (each, address) = (count / concurrency, proxy.address);
        self.metered(proxy, each * concurrency, dialers, move |dialer| async move {
            for number in 1..=each {
                dialer.open_and_close(address, number).await?;
            }
            Ok(dialer)
        })
        .await
    }

    async fn measure_memory(&self, wanted: u32, rounds: usize) -> Outcome<Vec<Round>> {
        let connections = affordable(wanted);
        if connections < wanted {
            eprintln!("proxies: the limit of open files allows {connections} connections");
        }
        let mut measured = Vec::new();
        for _ in 0..rounds {
            measured.push(Round {
                framewall: self.idle(Kind::Framewall, connections).await?,
                nginx: self.idle(Kind::Nginx, connections).await?,
            });
        }
        Ok(measured)
    }

    /// A proxy of its own, so that no earlier connection left memory behind.
    async fn idle(&self, kind: Kind, connections: u32) -> Outcome<Used> {
        let proxy = self.start(kind, BUFFER_SMALL)?;
        let exchange = exchange(64, 1);
        let mut clients = self.open(proxy.address, FIRST, "/echo").await?;
        for client in &mut clients {
            client.check(&exchange).await?;
        }
        tokio::time::sleep(SETTLE_MEMORY).await;
        let before = memory(proxy.worker)?;
        let mut idle = self.open(proxy.address, connections, "/echo").await?;
        for client in &mut idle {
            client.check(&exchange).await?;
        }
        tokio::time::sleep(SETTLE_MEMORY).await;
        let grown = memory(proxy.worker)?.saturating_sub(before);
        Ok(Used {
            cost: real(grown) / 1024.0 / f64::from(connections),
            rate: f64::from(connections),
        })
    }

    /// Lets every client do its part of `count` at the same time, and reads the proxy's CPU time before
    /// and after. The clients are closed when it was read.
    async fn metered<C: Send + 'static, F>(
        &self,
        proxy: &Proxy,
        count: u32,
        clients: Vec<C>,
        part: impl Fn(C) -> F,
    ) -> Outcome<Used>
    where
        F: Future<Output = io::Result<C>> + Send + 'static,
    {
        tokio::time::sleep(SETTLE).await;
        let tool = match &self.tools.during {
            Some(command) => Some(Tool::start(command, proxy.worker).await?),
            None => None,
        };
        let before = cpu_time(proxy.worker)?;
        let start = Instant::now();
        let mut parts = JoinSet::new();
        for client in clients {
            parts.spawn(part(client));
        }
        let done = parts.join_all().await.into_iter().collect::<io::Result<Vec<_>>>()?;
        let elapsed = start.elapsed();
        tokio::time::sleep(SETTLE).await;
        let used = cpu_time(proxy.worker)?.saturating_sub(before);
        if let Some(tool) = tool {
            tool.stop().await?;
        }
        drop(done);
        let count = f64::from(count);
        Ok(Used { cost: used.as_secs_f64() * 1e6 / count, rate: count / elapsed.as_secs_f64() })
    }

    async fn open(&self, to: SocketAddr, count: u32, path: &'static str) -> Outcome<Vec<Client>> {
        let mut clients = Vec::new();
        let mut opening = JoinSet::new();
        for number in 0..count {
            if number >= OPENING
                && let Some(opened) = opening.join_next().await
            {
                clients.push(opened??);
            }
            let dialer = self.dialer.clone();
            opening.spawn(async move { dialer.open(to, number, path).await });
        }
        while let Some(opened) = opening.join_next().await {
            clients.push(opened??);
        }
        Ok(clients)
    }
}

/// Exact for every size of memory there is.
fn real(bytes: u64) -> f64 {
    u32::try_from(bytes / 1024).map_or(f64::INFINITY, |kibibytes| f64::from(kibibytes) * 1024.0)
}
