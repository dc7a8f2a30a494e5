//! The checked settings of the firewall, of bans, and of exceeded limits.

use std::sync::Arc;

use super::keys::BanRules;
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
    pub ban: Option<BanRules>,
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
