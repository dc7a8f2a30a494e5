//! Framewall and other proxies in front of the same application, on the same core, in turns:
//! `scripts/bench [OPTIONS]`. What is measured and how: `docs/performance.md`.
//!
//! The proxies get a core of their own; the load and the application behind them share the other
//! one, in this process. Everything is on loopback and bounded in number and time, and what was
//! started is ended by its own process id.

mod alone;
mod app;
mod crowd;
mod load;
mod measure;
#[allow(dead_code, reason = "the benchmark of instructions uses the rest")]
mod messages;
mod options;
mod pace;
mod peers;
mod report;
mod rows;
mod run;
mod token;
mod tool;

use std::error::Error;
use std::process::ExitCode;

use options::Options;
use peers::Peer;
use report::Report;

/// What went wrong, for whoever runs the benchmark.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == alone::ALONE) {
        return outcome(alone::run_alone());
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("proxies: {error}\n\n{}", options::usage());
            return ExitCode::from(2);
        }
    };
    outcome(run(options))
}

fn outcome(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxies: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Outcome<()> {
    let Options { rows, peers, baseline, rounds, write, csv, tools } = options;
    let peers = peers.into_iter().filter_map(installed);
    let peers: Vec<_> = peers.chain(baseline.map(Peer::baseline)).collect();
    let cores = measure::Cores::split()?;
    measure::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut report = Report::new(&peers, cores);
        let bench = run::Bench::prepare(peers, cores, tools).await?;
        let mut rows: Vec<_> = rows.into_iter().map(run::affordable).collect();
        // Two that want more than there may be are one.
        rows.dedup_by_key(|row| {
            (row.wanted(), row.size(), row.lines.first().map(|line| line.title))
        });
        for row in rows {
            let rounds = bench.measure(&row, rounds).await?;
            report.add(&row, &rounds);
        }
        report.finish(write.as_deref(), csv.as_deref())
    })
}

fn installed(kind: peers::Kind) -> Option<Peer> {
    let peer = kind.find();
    if peer.is_none() {
        eprintln!("proxies: {} is not installed and left out", kind.name());
    }
    peer
}
