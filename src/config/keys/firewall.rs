//! `[firewall]`

use std::path::PathBuf;

use ipnet::IpNet;

use super::{NETWORK, Section, Texts};
use crate::config::firewall::parse_country;
use crate::config::kinds::{Choice, File, Integer, Text};
use crate::config::lists::{ListOf, OneOrMore, Subtable};
use crate::config::protection::Mode;
use crate::firewall::Country;

const COUNTRY: Text<Country> =
    Text::new("a country such as \"DE\" (ISO 3166-1 alpha-2)", "^[A-Z]{2}$", parse_country);

section! {
    /// `[firewall]`, before its files are read.
    pub(in crate::config) struct FirewallKeys {} Firewall firewall_rows;

    ALLOW allow: Vec<IpNet> = Texts<IpNet>,
        ListOf::never_empty(NETWORK, "leave `allow` out to admit every address that is not denied"),
        Omittable("every address that is not denied"),
        "Addresses and networks that may connect. If given, no other address may, except from countries \
         in `allow_countries`.";
    DENY deny: Vec<IpNet> = Texts<IpNet>, ListOf::new(NETWORK), Value(Vec::new()),
        "Addresses and networks that may not connect.";
    DENY_FILES deny_files: Vec<PathBuf> = ListOf<File>, ListOf::new(File), Omittable("none"),
        "Files of addresses and networks that may not connect, one on each line; `#` starts a comment. At \
         most 256 MiB each, and 4,000,000 entries in all lists together.";
    FIREWALL_MODE mode: Mode = Choice<Mode>,
        Choice::of(&[("enforce", Mode::Enforce), ("report", Mode::Report)]),
        Value(Mode::Enforce),
        "`\"report\"`: denials are logged and counted, but the connection is admitted.";
    GEOIP geoip: Vec<PathBuf> = OneOrMore<File>,
        OneOrMore(ListOf::never_empty(File, "leave `geoip` out if no key needs it")),
        Omittable("none"),
        "Databases in the MaxMind DB format, at most 1 GiB each. The first that knows an address decides. \
         Needed by `allow_countries`, `deny_countries` and `deny_asns`, and only with one of them.";
    ALLOW_COUNTRIES allow_countries: Vec<Country> = Texts<Country>,
        ListOf::never_empty(COUNTRY, "leave `allow_countries` out to admit every country"),
        Omittable("every country"),
        "Countries whose addresses may connect. If given, all other addresses, and addresses of unknown \
         country, are denied unless `allow` lists them.";
    DENY_COUNTRIES deny_countries: Vec<Country> = Texts<Country>,
        ListOf::never_empty(COUNTRY, "leave `deny_countries` out to deny no country"),
        Omittable("none"),
        "Countries whose addresses may not connect. Not with `allow` or `allow_countries`, which already \
         deny all others.";
    DENY_ASNS deny_asns: Vec<u32> = ListOf<Integer>,
        ListOf::never_empty(Integer::new(1, u32::MAX),
            "leave `deny_asns` out to deny no autonomous system"),
        Omittable("none"),
        "Numbers of autonomous systems whose addresses may not connect, whatever their country.";
    BAN ban = Subtable, Subtable(Section::Ban), Omittable("only an operator bans"),
        "Automatic bans of addresses that offend repeatedly; see [bans](bans.md).";
}
