//! Reads the instruction count of a program that ran under callgrind.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Outcome;

/// Part of the name of every function with which the cryptographic library collects entropy. It
/// does so in the first handshake and measures again where the clock did not vary enough, so that
/// its count is a matter of luck, and fifty times that of all else in a short run. Names, since a
/// release build has no line tables to tell source files by.
const ENTROPY: &str = "jent_";

/// The command line before a program that runs it under callgrind and writes the counts to `file`.
pub(crate) fn words(file: &Path) -> String {
    format!("valgrind --quiet --tool=callgrind --callgrind-out-file={}", file.display())
}

/// All instructions of this program, run with other arguments.
pub(crate) fn count_self(arguments: &[&str]) -> Outcome<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("count");
    let status = Command::new("env")
        .args(words(&file).split_whitespace())
        .arg(std::env::current_exe()?)
        .args(arguments)
        .status()?;
    if !status.success() {
        return Err(format!("{} under valgrind: {status}", arguments.join(" ")).into());
    }
    total(&file)
}

/// All instructions of the program, from its start to its end, in all of its threads.
fn total(file: &Path) -> Outcome<f64> {
    Ok(Sums::read(file)?.all)
}

/// The same without those that collect entropy. An error if the program collected none: then the
/// library names its functions otherwise, and the count would not be stable.
pub(crate) fn total_without_entropy(file: &Path) -> Outcome<f64> {
    let sums = Sums::read(file)?;
    if sums.entropy <= 0.0 {
        return Err(format!("no function named {ENTROPY} was called: how is it named now?").into());
    }
    Ok(sums.all - sums.entropy)
}

/// Instructions of a program.
#[derive(Debug, Default)]
struct Sums {
    all: f64,
    /// Of functions named [`ENTROPY`] and of all that they call.
    entropy: f64,
}

impl Sums {
    fn read(file: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(file).map_err(|error| {
            let file = file.display();
            format!("callgrind left no count in {file}: {error}; is valgrind installed?")
        })?;
        if !text.lines().any(|line| line == "events: Ir") {
            return Err(format!("{} does not count instructions alone", file.display()).into());
        }
        Ok(Self::of(&text))
    }

    /// The format is of the Valgrind manual, section "Callgrind Format Specification": a cost
    /// belongs to the function named last; the one behind `calls=` is of the called function and
    /// all that it called, each of which is counted where it is named itself.
    fn of(text: &str) -> Self {
        let mut names = HashMap::new();
        // Whether the function named last collects entropy, and whether the one that it calls does.
        let mut caller = false;
        let mut target = false;
        let mut is_call = false;
        let mut sums = Self::default();
        for line in text.lines() {
            let (key, value) = line.split_once('=').unwrap_or_default();
            if matches!(key, "fn" | "cfn") {
                // A name is given once, behind its number.
                let (number, name) = value.split_once(' ').unwrap_or((value, ""));
                let entropy = *names.entry(number).or_insert_with(|| name.contains(ENTROPY));
                *(if key == "fn" { &mut caller } else { &mut target }) = entropy;
            } else if key == "calls" {
                is_call = true;
            } else if line
                .starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
            {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<f64>().ok());
                let cost = cost.unwrap_or(0.0);
                if !is_call {
                    sums.all += cost;
                } else if target && !caller {
                    sums.entropy += cost;
                }
                is_call = false;
            }
        }
        sums
    }
}
