//! What the configuration says of addresses, bans, rates and quotas, checked.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::firewall::Rules;

/// Whether the denials of a section are enforced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// It is decided, told in the log, counted, and let through.
    Report,
}

/// `[firewall]`
#[derive(Debug, Clone, Default)]
pub struct Firewall {
    /// The addresses of `allow`, `deny` and `deny_files`, and what the database of countries adds.
    pub rules: Arc<Rules>,
    /// What becomes of an address that the rules deny.
    pub mode: Mode,
    /// `[firewall.ban]`; `None`: only operators ban.
    pub ban: Option<Ban>,
}

/// `[firewall.ban]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// So many strikes make a ban.
    pub strikes: NonZeroU32,
    /// The time within which they count.
    pub within: Duration,
    /// How long a first ban lasts; each further one of the same address twice as long.
    pub duration: Duration,
    /// The longest ban.
    pub max_duration: Duration,
    /// Networks that are never banned, beside `trusted_proxies`.
    pub exempt: Vec<IpNet>,
    /// Where bans are kept over a restart; `None`: in memory alone.
    pub file: Option<PathBuf>,
}

/// `[limits] on_exceed`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnExceed {
    /// The session is closed with 4429.
    #[default]
    Close,
    /// The client is not read from until it may go on.
    Delay,
    /// The message is not passed on.
    Drop,
}
