//! Formats times for people.

use std::time::{Duration, SystemTime};

/// Formats a time from 1970 to 9999 as `2026-03-09 08:15:42 UTC`.
pub(super) fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The date of a day, counted from 1970-01-01. Years begin in March here, so that the leap day is
/// the last day of a year.
fn date(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

/// Formats a time relative to `now`: `in 12 minutes` or `3 days ago`.
pub(super) fn from_now(time: SystemTime, now: SystemTime) -> String {
    match time.duration_since(now) {
        Ok(wait) => format!("in {}", words(wait)),
        Err(error) => format!("{} ago", words(error.duration())),
    }
}

fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds >= *size).unwrap_or(units[3]);
    let count = seconds / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{from_now, utc};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times_are_the_calendars() {
        assert_eq!(utc(at(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(at(951_782_399)), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(at(951_782_400)), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(at(1_709_251_199)), "2024-02-29 23:59:59 UTC");
        assert_eq!(utc(at(4_107_542_400)), "2100-03-01 00:00:00 UTC");
        assert_eq!(utc(at(253_402_300_799)), "9999-12-31 23:59:59 UTC");
    }

    #[test]
    fn distances_are_in_words() {
        let now = at(1_000_000);
        let cases = [
            (1_000_000, "in 0 seconds"),
            (1_000_001, "in 1 second"),
            (1_000_059, "in 59 seconds"),
            (1_000_720, "in 12 minutes"),
            (996_400, "1 hour ago"),
            (740_800, "3 days ago"),
        ];
        for (time, expected) in cases {
            assert_eq!(from_now(at(time), now), expected);
        }
    }
}
