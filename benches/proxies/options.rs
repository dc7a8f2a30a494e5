//! The command line.

use std::path::PathBuf;

use crate::peers::{KINDS, Kind};
use crate::rows::{LARGE_ROWS, ROWS, RULES, Row, SCALE};

/// Rounds, unless said otherwise.
const ROUNDS: usize = 7;
const ROUNDS_QUICK: usize = 3;
/// How much less work a quick run does.
const QUICK: u32 = 5;

/// What to measure, and how to print it.
pub(crate) struct Options {
    pub(crate) rows: Vec<Row>,
    pub(crate) peers: Vec<Kind>,
    /// Another Framewall to measure beside.
    pub(crate) baseline: Option<PathBuf>,
    pub(crate) rounds: usize,
    pub(crate) write: Option<PathBuf>,
    pub(crate) csv: Option<PathBuf>,
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
    let names: Vec<_> = all_rows().map(|row| row.name).collect();
    format!(
        "scripts/bench [OPTIONS]\n\
         --quick           {ROUNDS_QUICK} rounds of a fifth of the work, without the largest row\n\
         --rows NAME,...   only these: {}\n\
         --scale           the rows scale-* alone\n\
         --rules           what rules for messages cost: the rows rules-*, idle-no-rules, idle-types\n\
         --peers NAME,...  only these proxies: {}; otherwise all that are installed\n\
         --baseline FILE   another program of Framewall's, beside the proxies\n\
         --rounds N        {ROUNDS} if not said\n\
         --write FILE      put the tables into FILE, between the lines that mark their place\n\
         --csv FILE        write each measured figure to FILE\n\
         --under COMMAND   start Framewall by COMMAND\n\
         --during COMMAND  run COMMAND beside each proxy's work, {{pid}} its process id",
        names.join(", "),
        KINDS.map(Kind::name).join(", "),
    )
}

fn all_rows() -> impl Iterator<Item = Row> {
    ROWS.into_iter().chain(LARGE_ROWS).chain(RULES).chain(SCALE)
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut rounds, mut quick, mut scale, mut rules) = (None, false, false, false);
        let (mut names, mut peers) = (None, KINDS.to_vec());
        let (mut write, mut csv, mut baseline) = (None, None, None);
        let mut tools = Tools::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => quick = true,
                "--scale" => scale = true,
                "--rules" => rules = true,
                "--rounds" => rounds = Some(whole(&value()?)?),
                "--write" => write = Some(value()?.into()),
                "--csv" => csv = Some(value()?.into()),
                "--baseline" => baseline = Some(value()?.into()),
                "--under" => tools.under = Some(value()?),
                "--during" => tools.during = Some(value()?),
                "--rows" => names = Some(value()?),
                "--peers" => peers = value()?.split(',').map(peer).collect::<Result<_, _>>()?,
                "--help" => return Err("measures Framewall against other proxies".to_owned()),
                // What cargo passes on to every benchmark.
                "--bench" => {}
                _ => return Err(format!("{argument} is not an option")),
            }
        }
        let mut rows = match names {
            Some(names) => names.split(',').map(find).collect::<Result<_, _>>()?,
            None if scale => SCALE.to_vec(),
            None if rules => RULES.to_vec(),
            None if quick => ROWS.to_vec(),
            None => ROWS.into_iter().chain(LARGE_ROWS).collect(),
        };
        if quick {
            rows = rows.into_iter().map(|row| row.scaled_down(QUICK)).collect();
        }
        let rounds = rounds.unwrap_or(if quick { ROUNDS_QUICK } else { ROUNDS });
        Ok(Self { rows, peers, baseline, rounds, write, csv, tools })
    }
}

fn find(name: &str) -> Result<Row, String> {
    all_rows().find(|row| row.name == name).ok_or_else(|| format!("there is no row {name}"))
}

fn peer(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| format!("there is no proxy {name}"))
}

fn whole(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text} is not a number of rounds")),
    }
}
