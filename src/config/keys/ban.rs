//! `[firewall.ban]`

use std::time::Duration;

use ipnet::IpNet;

use super::{DAY, Entries, Fallback, Key, ListOf, NETWORK, Optional, Row, Section, YEAR, secs};
use crate::config::kinds::{File, Integer, Time};
use crate::config::lists::List;

keys! {
    BAN_ROWS;

    STRIKES: Integer, Fallback<u32> = Ban "strikes" Integer { min: 1, max: 1000 }, Fallback(20),
        "So many offences of an address, in IPv6 of its /64, ban it.";
    WITHIN: Time, Fallback<Duration> = Ban "within" Time { min: secs(1), max: DAY },
        Fallback(secs(60)),
        "The time within which they count. It slides.";
    BAN_DURATION: Time, Fallback<Duration> = Ban "duration" Time { min: secs(1), max: YEAR },
        Fallback(secs(15 * 60)),
        "How long a first ban lasts. Each further one of the same address is twice as long, until it \
         was good for `max_duration`.";
    MAX_DURATION: Time, Fallback<Duration> = Ban "max_duration" Time { min: secs(1), max: YEAR },
        Fallback(DAY),
        "The longest ban, at least `duration`; and how long a ban is remembered after its end.";
    EXEMPT: ListOf<IpNet>, Fallback<Entries<IpNet>> = Ban "exempt"
        List { of: NETWORK, never_empty: None },
        Fallback(Vec::new()),
        "Addresses that neither strike nor are banned, beside `server.trusted_proxies`.";
    BAN_FILE: File, Optional = Ban "file" File,
        Optional("in memory alone: a restart forgets them"),
        "Where bans are kept over a restart. Its folder must exist.";
}
