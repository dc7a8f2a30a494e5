//! Rates: `"100/s"`, `"20/m burst 40"`, `"1MiB/s burst 4MiB"`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value as Json;

use super::kinds::{Fault, Item, ValueKind, Words, in_bounds, matching, whole_number};
use super::reader::Place;
use super::units::{SIZE_PATTERN, parse_size, show_size};
use crate::values::Rate;

/// The unit that a rate counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum RateOf {
    /// Messages, handshakes, frames.
    Events,
    /// Bytes, written as sizes.
    Bytes,
}

/// The range of counts and bursts in events.
const EVENTS: RangeInclusive<u64> = 1..=1_000_000;
/// The range of counts and bursts in bytes.
const BYTES: RangeInclusive<u64> = (1 << 10)..=(10 << 30);

/// The units of time in a rate, in seconds.
const TIMES: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// The longest time, in seconds, in which an exhausted burst must replenish; the gateway keeps the
/// state of an address or a user for this long.
const RESTORED_WITHIN: u64 = 24 * 3600;

impl RateOf {
    /// Reads `COUNT/TIME` or `COUNT/TIME burst COUNT`, with no other separators.
    fn parse(self, text: &str) -> Result<Rate, Fault> {
        let Some((count, rest)) = text.split_once('/') else {
            return Err(self.no_time(text));
        };
        let count = self.number(count)?;
        let (time, burst) = match rest.split_once(' ') {
            Some((time, burst)) => (time, Some(burst)),
            None => (rest, None),
        };
        let Some((_, seconds)) = TIMES.iter().find(|(name, _)| *name == time) else {
            let fault = Fault::new(format!("\"/{time}\" is not a time of a rate"));
            return Err(fault.help(format!("write /s, /m or /h, such as {}", self.example())));
        };
        let burst = burst.map_or(Ok(count), |burst| self.burst(burst))?;
        let rate = Rate { count, per: Duration::from_secs(*seconds), burst };
        self.check_restored(&rate).map(|()| rate)
    }

    fn no_time(self, text: &str) -> Fault {
        match self.number(text) {
            Ok(_) => Fault::new(format!("\"{text}\" has no time"))
                .help(format!("write \"{text}/s\", or /m or /h")),
            Err(_) => Fault::new(format!("\"{text}\" is not a rate"))
                .help(format!("write how many in which time, such as {}", self.example())),
        }
    }

    fn burst(self, text: &str) -> Result<u64, Fault> {
        match text.strip_prefix("burst ") {
            Some(count) => self.number(count),
            None if text.trim_end() == "burst" => Err(Fault::new("the burst has no number")
                .help(format!("write how many may come at once, such as {}", self.example()))),
            None => Err(Fault::new(format!("\"{text}\" is not a burst"))
                .help(format!("write it after one space, such as {}", self.example()))),
        }
    }

    fn number(self, text: &str) -> Result<u64, Fault> {
        let (number, bounds) = match self {
            Self::Events => (parse_count(text)?, EVENTS),
            Self::Bytes => (parse_size(text)?, BYTES),
        };
        in_bounds(number, bounds.start(), bounds.end(), text)
    }

    fn check_restored(self, rate: &Rate) -> Result<(), Fault> {
        let per = rate.per.as_secs();
        if rate.burst * per <= rate.count * RESTORED_WITHIN {
            return Ok(());
        }
        let (burst, slow) = (self.show_number(rate.burst), self.show_rate(rate));
        let most = self.show_number(rate.count * (RESTORED_WITHIN / per));
        let what = format!("at {slow} a burst of {burst} takes more than a day to come back");
        Err(Fault::new(what).help(format!("write burst {most} or less, or a higher rate")))
    }

    fn show_number(self, number: u64) -> String {
        match self {
            Self::Events => number.to_string(),
            Self::Bytes => show_size(number),
        }
    }

    /// Shows the rate without its burst.
    fn show_rate(self, rate: &Rate) -> String {
        let time = TIMES.iter().find(|(_, seconds)| *seconds == rate.per.as_secs());
        format!("{}/{}", self.show_number(rate.count), time.map_or("s", |(name, _)| name))
    }

    fn example(self) -> &'static str {
        match self {
            Self::Events => "\"100/s burst 200\"",
            Self::Bytes => "\"1MiB/s burst 4MiB\"",
        }
    }
}

fn parse_count(text: &str) -> Result<u64, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let fault = Fault::new(format!("\"{text}\" is not a whole number"));
        return Err(fault.help("write digits alone, such as \"100/s\""));
    }
    text.parse().map_err(|_| Fault::new(format!("\"{text}\" is too large")))
}

impl Rate {
    /// Shows a rate of messages, handshakes or frames in the configuration's syntax, without quotes.
    #[must_use]
    pub fn of_events(&self) -> String {
        RateOf::Events.show(self).trim_matches('"').to_owned()
    }

    /// Shows a rate of bytes in the configuration's syntax, without quotes.
    #[must_use]
    pub fn of_bytes(&self) -> String {
        RateOf::Bytes.show(self).trim_matches('"').to_owned()
    }
}

impl Words for RateOf {
    fn words(&self) -> String {
        let bounds = match self {
            Self::Events => format!("numbers from {} to {}", EVENTS.start(), EVENTS.end()),
            Self::Bytes => {
                let (min, max) = (show_size(*BYTES.start()), show_size(*BYTES.end()));
                format!("sizes from {min} to {max}")
            }
        };
        format!("a rate in quotes such as {}, {bounds}", self.example())
    }

    fn schema(&self) -> Json {
        let number = match self {
            Self::Events => "[0-9]+",
            Self::Bytes => SIZE_PATTERN,
        };
        matching(&format!("^{number}/(s|m|h)( burst {number})?$"))
    }

    fn rewritten(&self, item: &Item<'_>) -> Option<String> {
        let number = whole_number(item)?;
        Some(match self {
            Self::Events => format!("\"{number}/s\""),
            Self::Bytes => format!("\"{number}B/s\""),
        })
    }
}

impl ValueKind for RateOf {
    type Value = Rate;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Rate> {
        place.text(item, self, |text| self.parse(text))
    }

    fn show(&self, rate: &Rate) -> String {
        let slow = self.show_rate(rate);
        if rate.burst == rate.count {
            return format!("\"{slow}\"");
        }
        format!("\"{slow} burst {}\"", self.show_number(rate.burst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{BYTES, EVENTS, RESTORED_WITHIN, RateOf, TIMES};
    use crate::config::kinds::ValueKind;
    use crate::values::Rate;

    fn rate(count: u64, seconds: u64, burst: u64) -> Rate {
        Rate { count, per: Duration::from_secs(seconds), burst }
    }

    fn unquoted(kind: RateOf, rate: &Rate) -> String {
        kind.show(rate).trim_matches('"').to_owned()
    }

    #[test]
    fn rates_are_a_number_a_time_and_perhaps_a_burst() {
        for (text, expected) in [
            ("100/s burst 200", rate(100, 1, 200)),
            ("100/s", rate(100, 1, 100)),
            ("20/m", rate(20, 60, 20)),
            ("5/h", rate(5, 3600, 5)),
            ("100/s burst 1", rate(100, 1, 1)),
            ("1000000/h burst 1000000", rate(1_000_000, 3600, 1_000_000)),
            ("1/h burst 24", rate(1, 3600, 24)),
        ] {
            assert_eq!(RateOf::Events.parse(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("1MiB/s burst 4MiB", rate(1 << 20, 1, 4 << 20)),
            ("10GiB/s", rate(10 << 30, 1, 10 << 30)),
            ("1KiB/h", rate(1 << 10, 3600, 1 << 10)),
            ("1500B/m", rate(1500, 60, 1500)),
        ] {
            assert_eq!(RateOf::Bytes.parse(text), Ok(expected), "{text}");
        }
    }

    /// Each way to write a rate wrong, with the expected error and help text.
    #[test]
    fn an_error_says_how_to_write_the_rate() {
        let events = RateOf::Events;
        let bytes = RateOf::Bytes;
        let such_as = "such as \"100/s burst 200\"";
        let digits = "write digits alone, such as \"100/s\"";
        let which = format!("write how many in which time, {such_as}");
        let times = format!("write /s, /m or /h, {such_as}");
        let at_once = format!("write how many may come at once, {such_as}");
        let space = format!("write it after one space, {such_as}");
        let size = "write a whole number and B, KiB, MiB or GiB, such as \"64KiB\"";
        for (kind, text, what, help) in [
            (events, "", "\"\" is not a rate", which.as_str()),
            (events, "often", "\"often\" is not a rate", &which),
            (events, "100 per second", "\"100 per second\" is not a rate", &which),
            (events, "100", "\"100\" has no time", "write \"100/s\", or /m or /h"),
            (bytes, "1MiB", "\"1MiB\" has no time", "write \"1MiB/s\", or /m or /h"),
            (events, "100/", "\"/\" is not a time of a rate", &times),
            (events, "100/sec", "\"/sec\" is not a time of a rate", &times),
            (events, "100/ms", "\"/ms\" is not a time of a rate", &times),
            (events, "100/d", "\"/d\" is not a time of a rate", &times),
            (events, "100/S", "\"/S\" is not a time of a rate", &times),
            (events, "100/ s", "\"/\" is not a time of a rate", &times),
            (events, "100/10s", "\"/10s\" is not a time of a rate", &times),
            (events, "100/s/s", "\"/s/s\" is not a time of a rate", &times),
            (events, "100 /s", "\"100 \" is not a whole number", digits),
            (events, " 100/s", "\" 100\" is not a whole number", digits),
            (events, "-1/s", "\"-1\" is not a whole number", digits),
            (events, "+1/s", "\"+1\" is not a whole number", digits),
            (events, "1.5/s", "\"1.5\" is not a whole number", digits),
            (events, "1_000/s", "\"1_000\" is not a whole number", digits),
            (events, "\u{661}/s", "\"\u{661}\" is not a whole number", digits),
            (events, "1MiB/s", "\"1MiB\" is not a whole number", digits),
            (events, "/s", "\"\" is not a whole number", digits),
            (events, "0/s", "\"0\" is too small", ""),
            (events, "1000001/s", "\"1000001\" is too large", ""),
            (events, "18446744073709551616/s", "\"18446744073709551616\" is too large", ""),
            (events, "100/s burst", "the burst has no number", &at_once),
            (events, "100/s burst ", "\"\" is not a whole number", digits),
            (events, "100/s ", "\"\" is not a burst", &space),
            (events, "100/s 200", "\"200\" is not a burst", &space),
            (events, "100/s  burst 200", "\" burst 200\" is not a burst", &space),
            (events, "100/s burst  200", "\" 200\" is not a whole number", digits),
            (events, "100/s bursts 200", "\"bursts 200\" is not a burst", &space),
            (events, "100/s burst 200/s", "\"200/s\" is not a whole number", digits),
            (events, "100/s burst 0", "\"0\" is too small", ""),
            (events, "100/s burst 1000001", "\"1000001\" is too large", ""),
            (
                events,
                "1/h burst 25",
                "at 1/h a burst of 25 takes more than a day to come back",
                "write burst 24 or less, or a higher rate",
            ),
            (
                bytes,
                "1KiB/m burst 2MiB",
                "at 1KiB/m a burst of 2MiB takes more than a day to come back",
                "write burst 1440KiB or less, or a higher rate",
            ),
            (bytes, "100/s", "\"100\" has no unit", size),
            (bytes, "1MB/s", "\"MB\" is not a unit here", size),
            (bytes, "1MiB/s burst 4", "\"4\" has no unit", size),
            (bytes, "1023B/s", "\"1023B\" is too small", ""),
            (bytes, "1MiB/s burst 1B", "\"1B\" is too small", ""),
            (bytes, "11GiB/s", "\"11GiB\" is too large", ""),
        ] {
            let fault = kind.parse(text).expect_err(text);
            assert_eq!((fault.what.as_str(), fault.help.as_deref().unwrap_or("")), (what, help));
        }
    }

    fn rates(bounds: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Rate> {
        let number = || bounds.clone();
        (number(), number(), prop::sample::select(TIMES.as_slice()))
            .prop_map(|(count, burst, (_, seconds))| rate(count, seconds, burst))
    }

    /// Whether the shown text parses to the same rate, or is refused because its burst replenishes too
    /// slowly.
    fn round_trips(kind: RateOf, rate: &Rate) -> bool {
        let slow = rate.burst * rate.per.as_secs() > rate.count * RESTORED_WITHIN;
        match kind.parse(&unquoted(kind, rate)) {
            Ok(read) => read == *rate && !slow,
            Err(fault) => fault.what.contains("takes more than a day") && slow,
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(events in rates(EVENTS), bytes in rates(BYTES)) {
            prop_assert!(round_trips(RateOf::Events, &events), "{events:?}");
            prop_assert!(round_trips(RateOf::Bytes, &bytes), "{bytes:?}");
        }

        #[test]
        fn arbitrary_text_never_panics(text in "(?s).{0,40}|[0-9]{0,22}([KMG]i)?B?/?[smh]?( ?burst ?)?[0-9]{0,22}([KMG]iB)?") {
            for (kind, bounds) in [(RateOf::Events, EVENTS), (RateOf::Bytes, BYTES)] {
                if let Ok(rate) = kind.parse(&text) {
                    prop_assert!(bounds.contains(&rate.count) && bounds.contains(&rate.burst));
                    prop_assert_eq!(kind.parse(&unquoted(kind, &rate)), Ok(rate));
                }
            }
        }
    }
}
