//! The rounds: for each row one proxy, then the next, and again, with the same work.

use std::io;
use std::iter;
use std::net::SocketAddr;
use std::slice;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::load::{Client, Dialer, Exchange, SOURCES, exchange, exchange_of};
use crate::measure::{self, Cores, cpu_time};
use crate::messages;
use crate::options::Tools;
use crate::pace::Clock;
use crate::peers::{Ground, Kind, Peer, Proxy};
use crate::rows::{COMPARED, QUANTILES, Row, Work};
use crate::token;
use crate::tool::Tool;

/// A buffer of an upgraded connection, per direction, where a proxy has to be told: four TLS records.
const BUFFER_FAST: usize = 64 * 1024;
/// Before counters are read: what was asked of a proxy has been done by then.
const SETTLE: Duration = Duration::from_millis(50);
/// Connections that are opened at once.
const OPENING: u32 = 64;

/// The proxies, and what they are measured with.
pub(crate) struct Bench {
    pub(crate) ground: Ground,
    pub(crate) peers: Vec<Peer>,
    dialer: Dialer,
    pub(crate) tools: Tools,
}

/// What one proxy used for the work of one round.
#[derive(Clone)]
pub(crate) struct Used {
    /// One for each line of the row, in its unit.
    pub(crate) figures: Vec<f64>,
    /// Messages or connections per second, where there is a rate and it was not given.
    pub(crate) rate: Option<f64>,
}

/// The same work by each, in the order of the proxies.
pub(crate) type Round = Vec<Used>;

/// The row with as many connections as the limit of open files allows.
pub(crate) fn affordable(row: Row) -> Row {
    let most = measure::affordable(u32::MAX);
    let affordable = row.with_at_most(most);
    if affordable.wanted() != row.wanted() {
        eprintln!("proxies: the limit of open files allows {most} connections to a process");
    }
    affordable
}

impl Bench {
    pub(crate) async fn prepare(peers: Vec<Peer>, cores: Cores, tools: Tools) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let application = listener.local_addr()?;
        tokio::spawn(crate::app::serve(listener));
        let (ground, root) = Ground::new(application, cores.proxy)?;
        let dialer = Dialer::new(root, token::mint(ground.folder(), SOURCES)?)?;
        Ok(Self { ground, peers, dialer, tools })
    }

    pub(crate) async fn measure(&self, row: &Row, rounds: usize) -> Outcome<Vec<Round>> {
        if let Work::Idle { .. } | Work::Crowd { .. } = row.work {
            return self.measure_memory(row.work, rounds).await;
        }
        let mut proxies = Vec::new();
        for peer in &self.peers {
            proxies.push(self.start(peer, BUFFER_FAST)?);
        }
        let mut measured = Vec::new();
        for number in 0..rounds {
            let mut round = vec![None; proxies.len()];
            // Each is the first in its turn: the first one finds the machine at rest.
            for place in (0..proxies.len()).map(|place| (place + number) % proxies.len()) {
                round[place] = Some(self.work(&proxies[place], row.work).await?);
            }
            measured.push(round.into_iter().flatten().collect());
        }
        Ok(measured)
    }

    fn start(&self, peer: &Peer, buffer: usize) -> Outcome<Proxy> {
        self.ground.start(peer, buffer, self.under(peer))
    }

    /// The program that starts a proxy.
    pub(crate) fn under(&self, peer: &Peer) -> Option<&str> {
        self.tools.under.as_deref().filter(|_| peer.kind == Kind::Framewall)
    }

    async fn work(&self, proxy: &Proxy, work: Work) -> Outcome<Used> {
        match work {
            Work::Echo { connections, size, pipeline, messages } => {
                let exchange = exchange(size, pipeline);
                let times = (messages / connections / pipeline).max(1);
                self.echo(proxy, connections, "/echo", &exchange, (times, pipeline)).await
            }
            Work::Judged { connections, size, messages } => {
                self.judged(proxy, connections, size, messages).await
            }
            Work::Paced { connections, size, interval, messages } => {
                self.paced(proxy, (connections, interval), size, messages).await
            }
            Work::Push { connections, size, messages } => {
                self.push(proxy, connections, size, messages).await
            }
            Work::Get { connections, size, requests } => {
                self.get(proxy, connections, size, requests).await
            }
            Work::Handshakes { count, concurrency, resumed } => {
                self.handshakes(proxy, count, concurrency, resumed).await
            }
            Work::Idle { .. } | Work::Crowd { .. } => Err("memory is measured by itself".into()),
        }
    }

    /// Each client sends the exchange, of `pipeline` messages, `times` times.
    async fn echo(
        &self,
        proxy: &Proxy,
        connections: u32,
        path: &str,
        exchange: &Exchange,
        (times, pipeline): (u32, u32),
    ) -> Outcome<Used> {
        let mut clients = self.open(proxy.address, connections, path).await?;
        for client in &mut clients {
            client.check(exchange).await?;
        }
        let count = times * connections * pipeline;
        let work = self.metered(slice::from_ref(proxy), count, clients, |mut client| {
            let exchange = exchange.clone();
            async move {
                client.echo(&exchange, times).await?;
                Ok(client)
            }
        });
        Ok(work.await?.0)
    }

    async fn judged(
        &self,
        proxy: &Proxy,
        connections: u32,
        size: usize,
        messages: u32,
    ) -> Outcome<Used> {
        let exchange = exchange_of(&messages::of(size), 1);
        let times = (messages / connections / 2).max(1);
        let (mut costs, mut rates) = ([0.0; COMPARED.len()], [0.0; COMPARED.len()]);
        for place in (0..COMPARED.len()).chain((0..COMPARED.len()).rev()) {
            let path = COMPARED[place].path("echo");
            let used = self.echo(proxy, connections, &path, &exchange, (times, 1)).await?;
            costs[place] += used.figures.first().copied().unwrap_or(f64::NAN) / 2.0;
            rates[place] += used.rate.unwrap_or(f64::NAN) / 2.0;
        }
        let ratios = costs.iter().skip(1).map(|cost| cost / costs[0]);
        let figures = costs.iter().copied().chain(ratios).chain(rates).collect();
        Ok(Used { figures, rate: None })
    }

    async fn paced(
        &self,
        proxy: &Proxy,
        (connections, interval): (u32, Duration),
        size: usize,
        messages: u32,
    ) -> Outcome<Used> {
        let exchange = exchange(size, 1);
        let mut clients = self.open(proxy.address, connections, "/echo").await?;
        for client in &mut clients {
            client.check(&exchange).await?;
        }
        let each = (messages / connections).max(1);
        let (clock, times) = Clock::new(connections, interval, each);
        // The first client starts it.
        let clock = iter::once(Some(clock)).chain(iter::repeat_with(|| None));
        let clients = clients.into_iter().zip(times.into_iter().zip(clock)).collect();
        let work = self.metered(
            slice::from_ref(proxy),
            each * connections,
            clients,
            |(mut client, heard)| {
                let (exchange, (times, clock)) = (exchange.clone(), heard);
                async move {
                    if let Some(clock) = clock {
                        Clock::start(clock);
                    }
                    let taken = client.paced(&exchange, times).await?;
                    Ok((client, taken))
                }
            },
        );
        let (mut used, done) = work.await?;
        let mut taken: Vec<_> = done.into_iter().flat_map(|(_, taken)| taken).collect();
        taken.sort_unstable();
        used.figures.extend(QUANTILES.map(|quantile| microseconds(at(&taken, quantile))));
        // It was given.
        used.rate = None;
        Ok(used)
    }

    async fn push(
        &self,
        proxy: &Proxy,
        connections: u32,
        size: usize,
        messages: u32,
    ) -> Outcome<Used> {
        let mut clients = self.open(proxy.address, connections, "/push").await?;
        for client in &mut clients {
            client.pushed(size, 1).await?;
        }
        let each = (messages / connections).max(1);
        let work = self.metered(
            slice::from_ref(proxy),
            each * connections,
            clients,
            |mut client| async move {
                client.pushed(size, each).await?;
                Ok(client)
            },
        );
        // The application's clock makes the rate.
        Ok(Used { rate: None, ..work.await?.0 })
    }

    async fn get(
        &self,
        proxy: &Proxy,
        connections: u32,
        size: usize,
        requests: u32,
    ) -> Outcome<Used> {
        let mut browsers = Vec::new();
        for number in 0..connections {
            let mut browser = self.dialer.browse(proxy.address, number, size).await?;
            browser.check().await?;
            browsers.push(browser);
        }
        let each = (requests / connections).max(1);
        let work = self.metered(
            slice::from_ref(proxy),
            each * connections,
            browsers,
            |mut browser| async move {
                browser.load(each).await?;
                Ok(browser)
            },
        );
        Ok(work.await?.0)
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
        let work = self.metered(
            slice::from_ref(proxy),
            each * concurrency,
            dialers,
            |dialer| async move {
                for number in 1..=each {
                    dialer.open_and_close(address, number).await?;
                }
                Ok(dialer)
            },
        );
        Ok(work.await?.0)
    }

    /// Lets every client do its part of `count` at the same time, and reads the CPU time of the proxy's
    /// processes before and after. A tool looks at the first. The clients are given back open.
    pub(crate) async fn metered<C, D, F>(
        &self,
        proxies: &[Proxy],
        count: u32,
        clients: Vec<C>,
        part: impl Fn(C) -> F,
    ) -> Outcome<(Used, Vec<D>)>
    where
        D: Send + 'static,
        F: Future<Output = io::Result<D>> + Send + 'static,
    {
        tokio::time::sleep(SETTLE).await;
        let tool = match (&self.tools.during, proxies.first()) {
            (Some(command), Some(proxy)) => Some(Tool::start(command, proxy.worker).await?),
            _ => None,
        };
        let cpu_time = || proxies.iter().map(|proxy| cpu_time(proxy.worker)).sum::<Outcome<_>>();
        let before: Duration = cpu_time()?;
        let start = Instant::now();
        let mut parts = JoinSet::new();
        for client in clients {
            parts.spawn(part(client));
        }
        let done = parts.join_all().await.into_iter().collect::<io::Result<Vec<_>>>()?;
        let elapsed = start.elapsed();
        tokio::time::sleep(SETTLE).await;
        let used = cpu_time()?.saturating_sub(before);
        if let Some(tool) = tool {
            tool.stop().await?;
        }
        let figures = vec![microseconds(used) / f64::from(count)];
        Ok((Used { figures, rate: Some(f64::from(count) / elapsed.as_secs_f64()) }, done))
    }

    pub(crate) async fn open(
        &self,
        to: SocketAddr,
        count: u32,
        path: &str,
    ) -> Outcome<Vec<Client>> {
        let mut clients = Vec::new();
        let mut opening = JoinSet::new();
        for number in 0..count {
            if number >= OPENING
                && let Some(opened) = opening.join_next().await
            {
                clients.push(opened??);
            }
            let (dialer, path) = (self.dialer.clone(), path.to_owned());
            opening.spawn(async move { dialer.open(to, number, &path).await });
        }
        while let Some(opened) = opening.join_next().await {
            clients.push(opened??);
        }
        Ok(clients)
    }
}

/// The value that this part of the sorted ones does not exceed.
fn at(sorted: &[Duration], part: f64) -> Duration {
    let place = part * real(sorted.len() as u64 * 1024) / 1024.0;
    let below = sorted.iter().zip(1_u32..).find(|(_, number)| f64::from(*number) >= place);
    below.map_or(Duration::ZERO, |(value, _)| *value)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Exact for every size of memory there is.
pub(crate) fn real(bytes: u64) -> f64 {
    u32::try_from(bytes / 1024).map_or(f64::INFINITY, |kibibytes| f64::from(kibibytes) * 1024.0)
}
