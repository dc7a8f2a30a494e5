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
        "So many offences of an address, in IPv6 of its /64, ban it.";
    WITHIN: Time, DefaultTo<Duration> = Ban "within" Time { min: secs(1), max: DAY },
        Value(secs(60)),
        "The time within which they count. It slides.";
    BAN_DURATION: Time, DefaultTo<Duration> = Ban "duration" Time { min: secs(1), max: YEAR },
        Value(secs(15 * 60)),
        "How long a first ban lasts. Each further one of the same address is twice as long, until it \
         was good for `max_duration`.";
    MAX_DURATION: Time, DefaultTo<Duration> = Ban "max_duration" Time { min: secs(1), max: YEAR },
        Value(DAY),
        "The longest ban, at least `duration`; and how long a ban is remembered after its end.";
    EXEMPT: ListOf<IpNet>, DefaultTo<Entries<IpNet>> = Ban "exempt"
        List { of: NETWORK, never_empty: None },
        Value(Vec::new()),
        "Addresses that neither strike nor are banned, beside `server.trusted_proxies`.";
    BAN_FILE: File, Omittable = Ban "file" File,
        Omittable("in memory alone: a restart forgets them"),
        "Where bans are kept over a restart. Its folder must exist.";
}
