//! The command line.

use crate::rows::{ROWS, Row};

/// Rounds, unless said otherwise.
const ROUNDS: usize = 7;
const ROUNDS_QUICK: usize = 3;
/// How much less work a quick run does.
const QUICK: u32 = 5;

/// What to measure, and how to print it.
pub(crate) struct Options {
    pub(crate) rows: Vec<Row>,
    pub(crate) rounds: usize,
    pub(crate) markdown: bool,
    pub(crate) tools: Tools,
}

/// Other programs that look on; what they are is up to whoever runs the benchmark.
#[derive(Default)]
pub(crate) struct Tools {
    /// Framewall is started by this one.
    pub(crate) under: Option<String>,
    /// Runs while messages do, `{pid}` being the proxy's worker; interrupted after them.
    pub(crate) during: Option<String>,
}

/// What the command line takes.
pub(crate) fn usage() -> String {
    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    format!(
        "cargo bench --bench proxies [-- OPTIONS]\n\
         --quick           {ROUNDS_QUICK} rounds of a fifth of the work; idle connections: the smaller row\n\
         --rows NAME,...   only these: {}\n\
         --rounds N        {ROUNDS} if not said\n\
         --markdown        the table as in docs/performance.md\n\
         --under COMMAND   start Framewall by COMMAND\n\
         --during COMMAND  run COMMAND beside each proxy's work, {{pid}} its process id",
        names.join(", ")
    )
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut rounds, mut markdown, mut quick, mut names) = (None, false, false, None);
        let mut tools = Tools::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => quick = true,
                "--markdown" => markdown = true,
                "--rounds" => rounds = Some(whole(&value()?)?),
                "--under" => tools.under = Some(value()?),
                "--during" => tools.during = Some(value()?),
                "--rows" => names = Some(value()?),
                "--help" => return Err("measures Framewall against nginx".to_owned()),
                // What cargo passes on to every benchmark.
                "--bench" => {}
                _ => return Err(format!("{argument} is not an option")),
            }
        }
        let mut rows = match names {
            Some(names) => names.split(',').map(find).collect::<Result<_, _>>()?,
            None => ROWS.to_vec(),
        };
        if quick {
            rows.retain(|row| !row.is_large());
            rows = rows.into_iter().map(|row| row.scaled_down(QUICK)).collect();
        }
        let rounds = rounds.unwrap_or(if quick { ROUNDS_QUICK } else { ROUNDS });
        Ok(Self { rows, rounds, markdown, tools })
    }
}

fn find(name: &str) -> Result<Row, String> {
    let row = ROWS.iter().find(|row| row.name == name);
    row.copied().ok_or_else(|| format!("there is no row {name}"))
}

fn whole(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text} is not a number of rounds")),
    }
}
