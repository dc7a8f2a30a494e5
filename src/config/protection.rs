//! The checked settings of the firewall, of bans, and of exceeded limits.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::firewall::Rules;

/// Whether a section enforces its denials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Denials are enforced.
    #[default]
    Enforce,
    /// Denials are logged and counted, but the connection or message passes.
    Report,
}

/// `[firewall]`
#[derive(Debug, Clone, Default)]
pub struct Firewall {
    /// The rules from `allow`, `deny`, `deny_files` and the geolocation databases.
    pub rules: Arc<Rules>,
    /// Whether denied addresses are refused or only reported.
    pub mode: Mode,
    /// `[firewall.ban]`; `None`: only operators ban.
    pub ban: Option<Ban>,
}

/// `[firewall.ban]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// The number of strikes that cause a ban.
    pub strikes: NonZeroU32,
    /// The window in which strikes count.
    pub within: Duration,
    /// The duration of the first ban; each further ban of the same address lasts twice as long.
    pub duration: Duration,
    /// The longest duration of a ban.
    pub max_duration: Duration,
    /// Networks that are never banned, in addition to `trusted_proxies`.
    pub exempt: Vec<IpNet>,
    /// The file that keeps bans across restarts; `None`: they are in memory only.
    pub file: Option<PathBuf>,
}

/// `[limits] on_exceed`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnExceed {
    /// The session is closed with 4429.
    #[default]
    Close,
    /// Reads from the client pause until the rate permits more.
    Delay,
    /// The message is not forwarded.
    Drop,
}
