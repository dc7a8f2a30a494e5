//! What callgrind says of a program that ended.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::Outcome;

/// Where the cryptographic library collects entropy when a program starts: until there is enough,
/// which takes another time each time, and most of a short run.
const ENTROPY: &str = "jitterentropy";

/// The words that start a program under callgrind, which leaves its count in `file`.
pub(crate) fn words(file: &Path) -> String {
    format!("valgrind --quiet --tool=callgrind --callgrind-out-file={}", file.display())
}

/// All instructions of the program, from its start to its end, in all of its threads, but for those
/// that collect entropy.
pub(crate) fn total(file: &Path) -> Outcome<f64> {
    let text = fs::read_to_string(file).map_err(|error| {
        format!("callgrind left no count in {}: {error}; is valgrind installed?", file.display())
    })?;
    if !text.lines().any(|line| line == "events: Ir") {
        return Err(format!("{} does not count instructions alone", file.display()).into());
    }
    Ok(sum(&text))
}

/// Adds up what each line of code cost by itself. The format is of the Valgrind manual, section
/// "Callgrind Format Specification": a cost belongs to the file named last, and the one behind
/// `calls=` is the callee's, counted there.
fn sum(text: &str) -> f64 {
    let mut names = HashMap::new();
    let (mut skipped, mut callee, mut sum) = (false, false, 0.0);
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap_or_default();
        if matches!(key, "fl" | "fi" | "fe" | "cfi" | "cfl") {
            // A name is given once, behind its number.
            let (number, name) = value.split_once(' ').unwrap_or((value, ""));
            let entropy = *names.entry(number).or_insert_with(|| name.contains(ENTROPY));
            skipped = if key.starts_with('c') { skipped } else { entropy };
        } else if line.starts_with("calls=") {
            callee = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<f64>().ok());
            if !callee && !skipped {
                sum += cost.unwrap_or(0.0);
            }
            callee = false;
        }
    }
    sum
}
