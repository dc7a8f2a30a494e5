//! The pace of a shutdown, and the values of `[websocket]` from which each session draws its own: `"4h jitter 25%"` and
//! `"5s..60s"`.

use std::time::Duration;

use serde_json::Value as Json;

use super::kinds::{Fault, Item, Time, ValueKind, Words, in_bounds, matching};
use super::reader::Place;
use super::units::{TIME_PATTERN, parse_duration, show_duration};

/// How long a shutdown takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownPace {
    /// The time from the first session that is told to end to the last one.
    pub spread: Duration,
    /// The time until sessions that are still open are cut; not less than `spread`.
    pub whole: Duration,
}

/// The longest time that a session takes to end: 5 s to the end of a frame and 5 s for the answer to a Close. The
/// default of `shutdown_spread` leaves it for the last session.
const ENDING: Duration = Duration::from_secs(10);

impl ShutdownPace {
    pub(super) fn new(spread: Option<Duration>, grace: Duration) -> Self {
        let whole = spread.map_or(grace, |spread| spread.saturating_add(grace));
        let spread = spread.unwrap_or_else(|| grace.saturating_sub(ENDING).max(grace / 2));
        Self { spread, whole }
    }
}

/// `[websocket] max_lifetime`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// The longest time of a session.
    pub longest: Duration,
    /// By how much the time of a session may be shorter, in percent of `longest`: 0 to 90.
    pub jitter: u8,
}

impl Lifetime {
    /// The time of a session that drew `draw`: `longest` for 0, `longest` less the whole jitter for `u16::MAX`,
    /// and evenly distributed between the two.
    #[must_use]
    pub fn of(self, draw: u16) -> Duration {
        let parts = u32::from(self.jitter) * u32::from(draw);
        self.longest.saturating_sub(self.longest * parts / (100 * u32::from(u16::MAX)))
    }
}

/// `[websocket] retry_hint`: the range of the seconds that a client is told to wait before it connects again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryHint {
    /// The shortest time, in seconds.
    pub least: u32,
    /// The longest time, in seconds; not less than `least`.
    pub most: u32,
}

impl RetryHint {
    /// The seconds for a session that drew `draw`: every whole second of the range is as likely as any other.
    #[must_use]
    pub fn of(self, draw: u32) -> u32 {
        let choices = u64::from(self.most - self.least) + 1;
        let nth = (u64::from(draw) * choices) >> 32;
        u32::try_from(nth).map_or(self.most, |nth| self.least + nth)
    }
}

/// A [`Lifetime`] whose longest time has these bounds.
pub(super) struct LifetimeOf(pub(super) Time);

/// A [`RetryHint`] from 1 s to 1 h.
pub(super) struct RetryRange;

/// The jitter where the file gives none, in percent.
const JITTER: u8 = 10;
/// The largest jitter, in percent: every session has a tenth of the time at least.
const MOST_JITTER: u8 = 90;

const JITTER_HELP: &str =
    "write a whole number from 0 to 90 and % after one space, such as \"4h jitter 25%\"";
const RANGE_HELP: &str = "write two durations of whole seconds, such as \"5s..60s\"";

const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

impl LifetimeOf {
    /// Reads `DURATION` or `DURATION jitter N%`, with no other separators.
    fn parse(&self, text: &str) -> Result<Lifetime, Fault> {
        let (time, jitter) = match text.split_once(' ') {
            Some((time, jitter)) => (time, parse_jitter(jitter)?),
            None => (text, JITTER),
        };
        let longest = in_bounds(parse_duration(time)?, &self.0.min, &self.0.max, time)?;
        Ok(Lifetime { longest, jitter })
    }
}

fn parse_jitter(text: &str) -> Result<u8, Fault> {
    let fault = || Fault::new(format!("\"{text}\" is not a jitter")).help(JITTER_HELP);
    let number = text.strip_prefix("jitter ").and_then(|text| text.strip_suffix('%'));
    let number = number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let percent: u8 = number.ok_or_else(fault)?.parse().map_err(|_| fault())?;
    if percent > MOST_JITTER {
        return Err(fault());
    }
    Ok(percent)
}

impl Words for LifetimeOf {
    fn words(&self) -> String {
        format!("{}, or with a jitter, such as \"4h jitter 25%\"", self.0.words())
    }

    fn schema(&self) -> Json {
        matching(&format!("^{TIME_PATTERN}( jitter [0-9]+%)?$"))
    }

    fn rewritten(&self, item: &Item<'_>) -> Option<String> {
        self.0.rewritten(item)
    }
}

impl ValueKind for LifetimeOf {
    type Value = Lifetime;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Lifetime> {
        place.text(item, self, |text| self.parse(text))
    }

    fn show(&self, value: &Lifetime) -> String {
        format!("\"{} jitter {}%\"", show_duration(value.longest), value.jitter)
    }
}

/// Reads `DURATION..DURATION`.
fn parse_range(text: &str) -> Result<RetryHint, Fault> {
    let Some((least, most)) = text.split_once("..") else {
        return Err(Fault::new(format!("\"{text}\" is not a range")).help(RANGE_HELP));
    };
    let (least, most) = (parse_seconds(least)?, parse_seconds(most)?);
    if least > most {
        return Err(Fault::new(format!("\"{text}\" ends before it begins")).help(RANGE_HELP));
    }
    Ok(RetryHint { least, most })
}

fn parse_seconds(text: &str) -> Result<u32, Fault> {
    let time = in_bounds(parse_duration(text)?, &SHORTEST_RETRY, &LONGEST_RETRY, text)?;
    let seconds = u32::try_from(time.as_secs()).ok().filter(|_| time.subsec_nanos() == 0);
    seconds.ok_or_else(|| {
        Fault::new(format!("\"{text}\" is no number of whole seconds")).help(RANGE_HELP)
    })
}

impl Words for RetryRange {
    fn words(&self) -> String {
        "a range of whole seconds in quotes, from \"1s\" to \"1h\", such as \"5s..60s\"".to_owned()
    }

    fn schema(&self) -> Json {
        matching(&format!(r"^{TIME_PATTERN}\.\.{TIME_PATTERN}$"))
    }
}

impl ValueKind for RetryRange {
    type Value = RetryHint;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<RetryHint> {
        place.text(item, self, parse_range)
    }

    fn show(&self, value: &RetryHint) -> String {
        let show = |seconds| show_duration(Duration::from_secs(u64::from(seconds)));
        format!("\"{}..{}\"", show(value.least), show(value.most))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{
        Lifetime, LifetimeOf, RetryHint, RetryRange, ShutdownPace, Time, ValueKind, parse_range,
    };

    const LIFETIME: LifetimeOf =
        LifetimeOf(Time { min: Duration::from_millis(10), max: Duration::from_secs(365 * 86400) });

    #[test]
    fn a_lifetime_has_a_jitter_of_ten_percent_unless_it_says_otherwise() {
        let hours =
            |hours: u64, jitter| Lifetime { longest: Duration::from_secs(hours * 3600), jitter };
        for (text, wanted) in [
            ("4h", hours(4, 10)),
            ("4h jitter 25%", hours(4, 25)),
            ("4h jitter 0%", hours(4, 0)),
            ("4h jitter 90%", hours(4, 90)),
        ] {
            let lifetime = LIFETIME.parse(text).unwrap();
            assert_eq!(lifetime, wanted);
            let shown = LIFETIME.show(&lifetime);
            assert_eq!(LIFETIME.parse(shown.trim_matches('"')), Ok(lifetime), "{shown}");
        }
        for text in [
            "",
            "off",
            "4",
            "4h ",
            "4h  jitter 25%",
            "4h jitter",
            "4h jitter %",
            "4h jitter 25",
            "4h jitter 25 %",
            "4h jitter 2.5%",
            "4h jitter -5%",
            "4h jitter +5%",
            "4h jitter 91%",
            "4h jitter 300%",
            "4h 25%",
            "9ms jitter 5%",
            "366d jitter 5%",
        ] {
            assert!(LIFETIME.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_shutdown_takes_its_grace_or_the_spread_and_the_grace() {
        let seconds = Duration::from_secs;
        for (spread, grace, wanted, whole) in [
            (None, 30, 20, 30),
            (None, 12, 6, 12),
            (None, 3600, 3590, 3600),
            (Some(0), 30, 0, 30),
            (Some(7200), 30, 7200, 7230),
        ] {
            let pace = ShutdownPace::new(spread.map(seconds), seconds(grace));
            assert_eq!(pace, ShutdownPace { spread: seconds(wanted), whole: seconds(whole) });
        }
    }

    #[test]
    fn a_hint_is_a_range_of_whole_seconds() {
        for (text, least, most) in
            [("5s..60s", 5, 60), ("1s..1s", 1, 1), ("2000ms..1h", 2, 3600), ("90s..2m", 90, 120)]
        {
            let hint = parse_range(text).unwrap();
            assert_eq!(hint, RetryHint { least, most });
            assert_eq!(parse_range(RetryRange.show(&hint).trim_matches('"')), Ok(hint), "{text}");
        }
        for text in [
            "",
            "5s",
            "5s..",
            "..60s",
            "5..60",
            "5s...60s",
            "5s .. 60s",
            "60s..5s",
            "0s..5s",
            "5s..61m",
            "1500ms..5s",
        ] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_second_of_a_hint_is_drawn_equally_often() {
        let hint = RetryHint { least: 5, most: 60 };
        assert_eq!((hint.of(0), hint.of(u32::MAX)), (5, 60));
        let mut counts = [0_u32; 61];
        for draw in (0..=u32::MAX).step_by(1 << 12) {
            counts[hint.of(draw) as usize] += 1;
        }
        let (least, most) = (counts[5..].iter().min(), counts[5..].iter().max());
        assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?}");
    }

    proptest! {
        #[test]
        fn a_drawn_lifetime_is_within_its_bounds(
            millis in 10..=365 * 86_400_000_u64, jitter in 0..=90_u8, draw: u16, larger: u16,
        ) {
            let lifetime = Lifetime { longest: Duration::from_millis(millis), jitter };
            let least = lifetime.longest * (100 - u32::from(jitter)) / 100;
            let drawn = lifetime.of(draw);
            prop_assert!(drawn >= least && drawn <= lifetime.longest, "{drawn:?}");
            prop_assert_eq!(lifetime.of(0), lifetime.longest);
            prop_assert_eq!(lifetime.of(u16::MAX), least);
            prop_assert!(larger < draw || lifetime.of(larger) <= drawn);
        }

        #[test]
        fn a_drawn_hint_is_within_its_range(
            least in 1..=3600_u32, more in 0..=3599_u32, draw: u32,
        ) {
            let hint = RetryHint { least, most: least + more };
            prop_assert!((least..=least + more).contains(&hint.of(draw)));
        }
    }
}
