//! The counts that are committed, and how others compare with them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Outcome;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/counts.toml");
/// How far a count may be from what it was.
const TOLERANCE: f64 = 0.05;

/// Instructions for one of something.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) what: String,
    pub(crate) count: f64,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Another compiler makes other instructions.
    rustc: String,
    instructions: BTreeMap<String, u64>,
}

impl Counts {
    pub(crate) fn read() -> Outcome<Self> {
        Ok(toml::from_str(&fs::read_to_string(FILE)?)?)
    }

    /// What was counted just now.
    pub(crate) fn of(counted: Vec<Counted>) -> Outcome<Self> {
        let instructions = counted.into_iter().map(|Counted { what, count }| {
            println!("{what:<40} {count:>12.0}");
            (what, rounded(count))
        });
        Ok(Self { instructions: instructions.collect(), rustc: rustc()? })
    }

    pub(crate) fn write(&self) -> Outcome<()> {
        let text =
            format!("# Written by scripts/instructions --update.\n{}", toml::to_string(self)?);
        Ok(fs::write(FILE, text)?)
    }

    /// Prints each count beside what it was. `true` if none is worse than it may be, or if another
    /// compiler is to blame.
    pub(crate) fn compare(&self, counted: &[Counted]) -> Outcome<bool> {
        let mut worse = 0;
        for Counted { what, count } in counted {
            let before = self.instructions.get(what).ok_or_else(|| {
                format!("{FILE} does not have \"{what}\"; scripts/instructions --update adds it")
            })?;
            let change = count / real(*before) - 1.0;
            let verdict = match change {
                _ if change > TOLERANCE => "TOO MANY",
                _ if change < -TOLERANCE => "fewer: run scripts/instructions --update",
                _ => "",
            };
            worse += u32::from(change > TOLERANCE);
            println!("{what:<40} {before:>10} {count:>12.0} {:>+7.1} % {verdict}", 100.0 * change);
        }
        let rustc = rustc()?;
        if rustc != self.rustc {
            println!("not compared: {rustc} is not {}, which the counts are of", self.rustc);
            return Ok(true);
        }
        Ok(worse == 0)
    }
}

/// The least and the most of each count.
pub(crate) fn print_spread(rounds: &[Vec<Counted>]) {
    for (at, Counted { what, .. }) in rounds.first().into_iter().flatten().enumerate() {
        let counts = rounds.iter().filter_map(|round| round.get(at)).map(|one| one.count);
        let (least, most) = (counts.clone().fold(f64::MAX, f64::min), counts.fold(0.0, f64::max));
        let apart = 100.0 * (most / least - 1.0);
        println!("{what:<40} {least:>12.0} to {most:>12.0}, {apart:.2} %");
    }
}

fn rustc() -> Outcome<String> {
    let output = Command::new("rustc").arg("--version").output()?;
    let version = String::from_utf8(output.stdout)?;
    Ok(version.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Exact up to four thousand million.
fn real(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// The whole number that is nearest, by its digits: a cast would hide what does not fit.
fn rounded(count: f64) -> u64 {
    format!("{count:.0}").parse().unwrap_or(0)
}
