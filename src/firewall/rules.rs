//! The rules of `[firewall]`, and their check of an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Error;
use super::geo::Geo;
use super::list::List;
use super::table::{PrefixRow, PrefixTable};
use super::verdict::{Action, AddressVerdict, Entry, Source, Why};
use crate::values::Network;

/// The largest number of prefixes in all lists together, with duplicates.
pub const MAX_PREFIXES: usize = 4_000_000;

/// Allowed and denied networks; the most specific one decides, and deny wins a tie. An address
/// outside all listed networks is decided by its autonomous system, then by its country, then by
/// the default for all other addresses.
#[derive(Default)]
pub struct Rules {
    v4: PrefixTable<u32>,
    v6: PrefixTable<u128>,
    lists: Vec<RuleList>,
    /// `allow` is set: addresses that it does not list are denied.
    closed: bool,
    geo: Option<Geo>,
    files: Vec<PathBuf>,
}

/// A list; its entries are numbered from `first`.
struct RuleList {
    source: Source,
    action: Action,
    first: u32,
}

impl Rules {
    /// Returns an empty builder.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && !self.closed && self.geo.is_none()
    }

    /// The number of distinct prefixes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Bytes of memory that the prefixes take: 13 each for IPv4, 25 for IPv6.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }

    /// All files that the rules were read from: lists and databases.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Returns the verdict about `ip`. An IPv4-mapped IPv6 address is checked as the IPv4 address.
    /// Does not allocate.
    #[must_use]
    pub fn judge(&self, ip: IpAddr) -> AddressVerdict<'_> {
        let ip = ip.to_canonical();
        if let Some((action, entry)) = self.listed(IpNet::from(ip)) {
            return AddressVerdict { action, why: Why::Entry(entry) };
        }
        if let Some(verdict) = self.geo.as_ref().and_then(|geo| geo.judge(ip)) {
            return verdict;
        }
        if self.closed {
            return AddressVerdict { action: Action::Deny, why: Why::NotAllowed };
        }
        AddressVerdict { action: Action::Allow, why: Why::Unlisted }
    }

    /// Returns the longest listed prefix that covers all of `network`.
    #[must_use]
    pub fn listed(&self, network: IpNet) -> Option<(Action, Entry<'_>)> {
        let length = network.prefix_len();
        let (id, network) = match network.addr() {
            IpAddr::V4(address) => {
                let hit = self.v4.find(address.to_bits(), length)?;
                (hit.id, Ipv4Net::new(Ipv4Addr::from_bits(hit.start), hit.length).ok()?.into())
            }
            IpAddr::V6(address) => {
                let hit = self.v6.find(address.to_bits(), length)?;
                (hit.id, Ipv6Net::new(Ipv6Addr::from_bits(hit.start), hit.length).ok()?.into())
            }
        };
        let list = self.lists.partition_point(|list| list.first <= id).checked_sub(1)?;
        let list = &self.lists[list];
        let position = id - list.first;
        Some((list.action, Entry { source: &list.source, position, network }))
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({} prefixes)", self.len())
    }
}

/// Collects the lists of [`Rules`].
#[derive(Default)]
pub struct Builder {
    v4: Vec<PrefixRow<u32>>,
    v6: Vec<PrefixRow<u128>>,
    rules: Rules,
    /// The number of the next entry.
    next: u32,
}

impl Builder {
    /// Adds a list of the configuration. If a list of allowed networks is added, even an empty one,
    /// all other addresses are denied.
    pub fn list(
        &mut self,
        action: Action,
        key: &'static str,
        networks: &[IpNet],
    ) -> Result<(), Error> {
        self.rules.closed |= action == Action::Allow;
        let entries = networks.iter().copied().zip(0..);
        self.add(action, Source::Key(key), networks.len(), entries)
    }

    /// Adds a list file of denied networks.
    pub fn file(&mut self, path: &Path, list: &List) -> Result<(), Error> {
        self.rules.files.push(path.to_owned());
        self.add(Action::Deny, Source::File(path.to_owned()), list.len(), list.iter())
    }

    /// Adds the rules by country and by autonomous system.
    pub fn geo(&mut self, geo: Geo) {
        self.rules.files.extend(geo.files().map(Path::to_owned));
        self.rules.geo = Some(geo);
    }

    /// Builds the rules from everything that was added.
    #[must_use]
    pub fn build(self) -> Rules {
        Rules { v4: PrefixTable::new(self.v4), v6: PrefixTable::new(self.v6), ..self.rules }
    }

    fn add(
        &mut self,
        action: Action,
        source: Source,
        count: usize,
        entries: impl Iterator<Item = (IpNet, u32)>,
    ) -> Result<(), Error> {
        if count > MAX_PREFIXES - self.v4.len() - self.v6.len() {
            return Err(Error::TooLong);
        }
        let first = self.next;
        for (network, position) in entries {
            let id = first.checked_add(position).filter(|id| *id < u32::MAX);
            let id = id.ok_or(Error::TooLong)?;
            self.next = self.next.max(id + 1);
            match Network::canonical(network) {
                IpNet::V4(v4) => {
                    let start = v4.addr().to_bits();
                    self.v4.push(PrefixRow { start, length: v4.prefix_len(), action, id });
                }
                IpNet::V6(v6) => {
                    let start = v6.addr().to_bits();
                    self.v6.push(PrefixRow { start, length: v6.prefix_len(), action, id });
                }
            }
        }
        self.rules.lists.push(RuleList { source, action, first });
        Ok(())
    }
}
