//! Sizes, durations, and suggestions for misspelt words.

use std::time::Duration;

use super::kinds::Fault;

/// Bytes of each unit of size, in ascending order.
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Milliseconds of each unit of time, in ascending order.
const TIMES: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A regular expression for the texts that [`parse_size`] accepts; it also matches some that are too large.
pub(super) const SIZE_PATTERN: &str = "[0-9]+(B|KiB|MiB|GiB)";
/// A regular expression for the texts that [`parse_duration`] accepts; it also matches some that are
/// too large.
pub(super) const TIME_PATTERN: &str = "[0-9]+(ms|s|m|h|d)";

const SIZE_HELP: &str = "write a whole number and B, KiB, MiB or GiB, such as \"64KiB\"";
const TIME_HELP: &str = "write a whole number and ms, s, m, h or d, such as \"30s\"";

/// Reads a number of bytes: a whole number and `B`, `KiB`, `MiB` or `GiB`, without a space.
pub(super) fn parse_size(text: &str) -> Result<u64, Fault> {
    parse(text, &SIZES, SIZE_HELP)
}

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h` or `d`, without a space.
pub(super) fn parse_duration(text: &str) -> Result<Duration, Fault> {
    parse(text, &TIMES, TIME_HELP).map(Duration::from_millis)
}

/// Reads a duration in the configuration's syntax, for the command line; the error is one line of text.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(Fault::in_a_line)
}

fn parse(text: &str, units: &[(&str, u64)], help: &str) -> Result<u64, Fault> {
    let fault = |what: String| Err(Fault::new(what).help(help));
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return fault(format!("\"{text}\" does not start with a whole number"));
    }
    if unit.is_empty() {
        return fault(format!("\"{text}\" has no unit"));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return fault(format!("\"{unit}\" is not a unit here"));
    };
    let value = number.parse().ok().and_then(|number: u64| number.checked_mul(*factor));
    value.ok_or_else(|| Fault::new(format!("\"{text}\" is too large")))
}

/// Shows a size in the largest unit that divides it, as [`parse_size`] reads it.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

/// Shows a duration in the largest unit that divides it, as [`parse_duration`] reads it; fractions of a
/// millisecond are cut off.
pub(super) fn show_duration(time: Duration) -> String {
    show(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), &TIMES)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let whole = |factor: u64| value >= factor && value.is_multiple_of(factor);
    let unit = units.iter().rev().find(|(_, factor)| whole(*factor));
    let (name, factor) = unit.copied().unwrap_or(units[0]);
    format!("{}{name}", value / factor)
}

/// The word in `words` that `text` probably misspells: the edit distance is at most a third of its
/// length, and no other word is as near.
pub(super) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    let far = |word: &str| strsim::damerau_levenshtein(&text, word);
    // No word is this long, and the distance takes time and memory proportional to the product of both
    // lengths.
    let short = text.len() <= 64;
    let near = words.filter(|_| short).map(|word| (far(word), word));
    let mut near: Vec<_> = near.collect();
    near.sort_by_key(|(distance, _)| *distance);
    let (distance, word) = *near.first()?;
    let tied = near.get(1).is_some_and(|(second, _)| *second == distance);
    (!tied && distance <= (word.len() / 3).max(1)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::{nearest, parse_duration, parse_size, show_duration, show_size};
    use std::time::Duration;

    #[test]
    fn sizes_are_whole_numbers_of_binary_units() {
        assert_eq!(parse_size("0B"), Ok(0));
        assert_eq!(parse_size("125B"), Ok(125));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1MiB"), Ok(1_048_576));
        assert_eq!(parse_size("16GiB"), Ok(16 << 30));
        for text in [
            "",
            "64",
            "64KB",
            "64kib",
            "64 KiB",
            " 64KiB",
            "64KiB ",
            "-1B",
            "+1B",
            "1.5MiB",
            "KiB",
            "1_000B",
            "1MiB1B",
            "99999999999999999999B",
            "18446744073709551615KiB",
            "\u{661}B",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_whole_numbers_of_one_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("3h"), Ok(Duration::from_secs(10_800)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for text in
            ["", "30", "30sec", "30 s", "1h30m", "1.5s", "-1s", "off", "s", "18446744073709551615d"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_wrong_part() {
        let what = |text| parse_size(text).unwrap_err().what;
        assert_eq!(what("64"), "\"64\" has no unit");
        assert_eq!(what("64KB"), "\"KB\" is not a unit here");
        assert_eq!(what("big"), "\"big\" does not start with a whole number");
        assert_eq!(what("18446744073709551615KiB"), "\"18446744073709551615KiB\" is too large");
    }

    #[test]
    fn what_is_shown_reads_back() {
        for size in [0, 1, 125, 1024, 1025, 1 << 20, 3 << 30] {
            assert_eq!(parse_size(&show_size(size)), Ok(size));
        }
        for millis in [0, 10, 1_000, 90_000, 60_000, 86_400_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(parse_duration(&show_duration(time)), Ok(time));
        }
        assert_eq!(show_size(1 << 20), "1MiB");
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
    }

    #[test]
    fn a_suggestion_is_close_to_the_word() {
        let words = || ["max_frame_size", "max_message_size", "host"].into_iter();
        assert_eq!(nearest("max_frme_size", words()), Some("max_frame_size"));
        assert_eq!(nearest("Hosts", words()), Some("host"));
        assert_eq!(nearest("hsot", words()), Some("host"));
        assert_eq!(nearest("of", ["on", "off"].into_iter()), None, "both are as near");
        assert_eq!(nearest("port", words()), None);
        assert_eq!(nearest("metrics", words()), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), words()), None);
    }
}
