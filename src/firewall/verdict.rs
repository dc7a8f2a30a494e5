//! What becomes of an address, and which rule says so.

use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::Country;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The address may connect.
    Allow,
    /// It may not.
    Deny,
}

/// Where entries come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A list of the configuration, by the full name of its key; entries are counted from 0.
    Key(&'static str),
    /// A list file, as the configuration resolved it; entries are counted by their lines, from 1.
    File(PathBuf),
}

/// The verdict about an address. Nothing of it is allocated; its `Display` is for the log and for
/// `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What becomes of it.
    pub action: Action,
    /// The rule that decided.
    pub why: Why<'a>,
}

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why<'a> {
    /// No rule says anything of the address, and none has to.
    Unlisted,
    /// The longest prefix that covers it.
    Entry(Entry<'a>),
    /// `allow` is given and does not list it.
    NotAllowed,
    /// Its country is listed in `allow_countries` or `deny_countries`.
    Country(Country),
    /// `allow_countries` is given and does not list its country; `None`: which is not known.
    OtherCountry(Option<Country>),
    /// The autonomous system that it belongs to is listed in `deny_asns`.
    Asn(u32),
    /// What a GeoIP database has of it cannot be read, so that countries and systems decide nothing.
    Unreadable(&'a Path),
}

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The list.
    pub source: &'a Source,
    /// Which of the list: its position for a key, its line for a file.
    pub position: u32,
    /// What it lists.
    pub network: IpNet,
}

impl Verdict<'_> {
    /// Whether the address may not connect.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.action == Action::Deny
    }
}

impl Verdict<'_> {
    /// The key of `[firewall]` that decided.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self.why {
            Why::Unlisted => "deny",
            Why::Entry(Entry { source: Source::Key(key), .. }) => {
                key.strip_prefix("firewall.").unwrap_or(key)
            }
            Why::Entry(Entry { source: Source::File(_), .. }) => "deny_files",
            Why::NotAllowed => "allow",
            Why::Country(_) if self.is_denied() => "deny_countries",
            Why::Country(_) | Why::OtherCountry(_) => "allow_countries",
            Why::Asn(_) => "deny_asns",
            Why::Unreadable(_) => "geoip",
        }
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Key(key) => f.write_str(key)?,
            Source::File(path) => write!(f, "{} line {}", path.display(), self.position)?,
        }
        let network = &self.network;
        if network.prefix_len() == network.max_prefix_len() {
            write!(f, ": {}", network.addr())
        } else {
            write!(f, ": {network}")
        }
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::Unlisted => f.write_str("no rule of [firewall] lists it"),
            Why::Entry(entry) => entry.fmt(f),
            Why::NotAllowed => f.write_str("firewall.allow does not list it"),
            Why::Country(country) => write!(f, "firewall.{}: {country}", self.key()),
            Why::OtherCountry(Some(country)) => {
                write!(f, "firewall.allow_countries does not list country {country}")
            }
            Why::OtherCountry(None) => {
                f.write_str("firewall.allow_countries is given, and no country is known of it")
            }
            Why::Asn(asn) => write!(f, "firewall.{}: AS{asn}", self.key()),
            Why::Unreadable(path) => write!(f, "{} cannot be read for it", path.display()),
        }
    }
}
