//! Framewall and nginx in front of the same application, on the same core, in turns:
//! `cargo bench --bench proxies [-- OPTIONS]`. What is measured and how: `docs/performance.md`.
//!
//! The proxies get a core of their own; the load and the application behind them share the other
//! one, in this process. Everything is on loopback and bounded in number and time, and what was
//! started is ended by its own process id.

mod app;
mod load;
mod measure;
mod options;
mod peers;
mod report;
mod rows;
mod run;
mod tool;

use std::error::Error;
use std::process::ExitCode;

use options::Options;

/// What went wrong, for whoever runs the benchmark.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("proxies: {error}\n\n{}", options::usage());
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxies: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Outcome<()> {
    let nginx = peers::find_nginx()?;
    let cores = measure::Cores::split()?;
    measure::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bench = run::Bench::prepare(nginx, cores, options.tools).await?;
        report::machine(&bench);
        report::head(options.markdown);
        for row in &options.rows {
            let rounds = bench.measure(row, options.rounds).await?;
            report::row(row, &rounds, options.markdown);
        }
        Ok(())
    })
}
