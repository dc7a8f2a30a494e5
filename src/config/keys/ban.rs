//! `[firewall.ban]`

use std::time::Duration;

use ipnet::IpNet;

use super::DefaultTo::Value;
use super::{DAY, DefaultTo, Entries, Key, ListOf, NETWORK, Omittable, Row, Section, YEAR, secs};
use crate::config::kinds::{File, Integer, Time};
use crate::config::lists::List;

keys! {
    BAN_ROWS;

    STRIKES: Integer, DefaultTo<u32> = Ban "strikes" Integer { min: 1, max: 1000 }, Value(20),
        "The number of offences by an address (IPv6: by its /64) that leads to a ban.";
    WITHIN: Time, DefaultTo<Duration> = Ban "within" Time { min: secs(1), max: DAY },
        Value(secs(60)),
        "The sliding window in which offences are counted.";
    BAN_DURATION: Time, DefaultTo<Duration> = Ban "duration" Time { min: secs(1), max: YEAR },
        Value(secs(15 * 60)),
        "The length of the first ban. Each further ban of the same address is twice as long, up to \
         `max_duration`.";
    MAX_DURATION: Time, DefaultTo<Duration> = Ban "max_duration" Time { min: secs(1), max: YEAR },
        Value(DAY),
        "The longest ban; at least `duration`. An expired ban is remembered for as long.";
    EXEMPT: ListOf<IpNet>, DefaultTo<Entries<IpNet>> = Ban "exempt"
        List { of: NETWORK, never_empty: None },
        Value(Vec::new()),
        "Addresses and networks that are never banned, in addition to `server.trusted_proxies`.";
    BAN_FILE: File, Omittable = Ban "file" File,
        Omittable("in memory only: a restart forgets them"),
        "Where bans are kept across restarts. The folder must exist.";
}
