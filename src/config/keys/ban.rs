//! `[firewall.ban]`

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{DAY, NETWORK, Texts, YEAR, secs};
use crate::config::kinds::{File, Integer, Time};
use crate::config::lists::ListOf;

section! {
    /// `[firewall.ban]`
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct BanRules {} Ban ban_rows;

    STRIKES strikes: NonZeroU32 = Integer<NonZeroU32>, Integer::new(1, 1000), Value(NonZeroU32::MIN.saturating_add(19)),
        "The number of offences by an address (IPv6: by its /64) that leads to a ban.";
    WITHIN within: Duration = Time, Time { min: secs(1), max: DAY }, Value(secs(60)),
        "The sliding window in which offences are counted.";
    BAN_DURATION duration: Duration = Time, Time { min: secs(1), max: YEAR }, Value(secs(15 * 60)),
        "The length of the first ban. Each further ban of the same address is twice as long, up to \
         `max_duration`.";
    MAX_DURATION max_duration: Duration = Time, Time { min: secs(1), max: YEAR }, Value(DAY),
        "The longest ban; at least `duration`. An expired ban is remembered for as long.";
    EXEMPT exempt: Vec<IpNet> = Texts<IpNet>, ListOf::new(NETWORK), Value(Vec::new()),
        "Addresses and networks that are never banned, in addition to `server.trusted_proxies`.";
    BAN_FILE file: Option<PathBuf> = File, File, Omittable("in memory only: a restart forgets them"),
        "Where bans are kept across restarts. The folder must exist.";
}
