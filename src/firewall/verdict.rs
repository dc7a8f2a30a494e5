//! The verdict about an address, with the rule that decided.

use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::Country;

/// The action of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The address may connect.
    Allow,
    /// The address may not connect.
    Deny,
}

/// The source of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A list of the configuration, by the full name of its key; entries are numbered from 0.
    Key(&'static str),
    /// A list file, by its resolved path; entries are numbered by their lines, from 1.
    File(PathBuf),
}

/// The verdict about an address. Holds no allocation; its `Display` is for the log and for
/// `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressVerdict<'a> {
    /// Whether the address may connect.
    pub action: Action,
    /// The rule that decided.
    pub why: Why<'a>,
}

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why<'a> {
    /// No rule applies to the address, and unlisted addresses may connect.
    Unlisted,
    /// The longest prefix that covers the address.
    Entry(Entry<'a>),
    /// `allow` is set and does not list the address.
    NotAllowed,
    /// `allow_countries` or `deny_countries` lists the country of the address.
    Country(Country),
    /// `allow_countries` is set and does not list the country of the address; `None`: its country
    /// is not known.
    OtherCountry(Option<Country>),
    /// `deny_asns` lists the autonomous system of the address.
    Asn(u32),
    /// The database's record of the address cannot be read, so that countries and systems decide
    /// nothing.
    Unreadable(&'a Path),
}

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The list that contains the entry.
    pub source: &'a Source,
    /// The place in the list: a position for a key, a line number for a file.
    pub position: u32,
    /// The listed network.
    pub network: IpNet,
}

impl AddressVerdict<'_> {
    /// Whether the address is denied.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.action == Action::Deny
    }
}

impl AddressVerdict<'_> {
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

impl fmt::Display for AddressVerdict<'_> {
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
