//! A time of the wall clock in whole seconds, written in RFC 3339 in UTC.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The last second that RFC 3339 can express: 9999-12-31T23:59:59Z.
const LAST: u64 = 253_402_300_799;

/// Whole seconds since 1970, up to the end of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

/// The text is not an RFC 3339 time from 1970 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an RFC 3339 time, such as 2026-03-09T08:15:42Z")]
pub struct NotAUnixTime;

impl UnixTime {
    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// The time `seconds` after the beginning of 1970, capped at the end of the year 9999.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        Self(seconds.min(LAST))
    }

    /// Seconds since the beginning of 1970.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// The time `time` later, capped at the end of the year 9999. Fractions of a second are rounded
    /// up.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
        Self(self.0.saturating_add(seconds).min(LAST))
    }

    /// The time since then at `now`; zero if it is in the future.
    #[must_use]
    pub fn age(self, now: Self) -> Duration {
        Duration::from_secs(now.0.saturating_sub(self.0))
    }
}

/// Whether the wall clock is between 1970 and 9999. Outside of this range tokens and certificates
/// cannot be checked, and libraries that write dates, make ids from times or rotate keys panic.
#[must_use]
pub fn clock_is_sound() -> bool {
    SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() <= LAST)
}

impl From<SystemTime> for UnixTime {
    /// Drops fractions of a second; clamps times outside the range.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_secs().min(LAST))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        let time = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| fmt::Error)?;
        f.write_str(&time.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for UnixTime {
    type Err = NotAUnixTime;

    fn from_str(text: &str) -> Result<Self, NotAUnixTime> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotAUnixTime)?;
        let seconds = u64::try_from(time.unix_timestamp()).map_err(|_| NotAUnixTime)?;
        if seconds > LAST { Err(NotAUnixTime) } else { Ok(Self(seconds)) }
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::LAST;
    use super::{NotAUnixTime, UnixTime};

    #[test]
    fn times_are_written_in_utc_and_read_back() {
        let moment = UnixTime(1_773_044_142);
        assert_eq!(moment.to_string(), "2026-03-09T08:15:42Z");
        assert_eq!(moment.to_string().parse(), Ok(moment));
        assert_eq!("2026-03-09T09:15:42.9+01:00".parse(), Ok(moment));
        assert_eq!(UnixTime(LAST).to_string(), "9999-12-31T23:59:59Z");
        for text in ["", "tomorrow", "2026-03-09", "2026-13-09T08:15:42Z", "1969-01-01T00:00:00Z"] {
            assert_eq!(text.parse::<UnixTime>(), Err(NotAUnixTime), "{text}");
        }
    }

    #[test]
    fn times_are_clamped_to_1970_through_9999() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(UnixTime::from(before), UnixTime(0));
        assert_eq!(UnixTime(5).after(Duration::MAX), UnixTime(LAST));
        assert_eq!(UnixTime(5).after(Duration::from_millis(1)), UnixTime(6));
        let far = SystemTime::now() + Duration::from_secs(1 << 40);
        assert_eq!(UnixTime::from(far), UnixTime(LAST));
    }
}
