//! Exports bans to packet filters, which drop packets of an address before a connection exists.

use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::state::store::Ban;
use crate::values::Network;
use crate::values::UnixTime;

/// The longest timeout in a set of nft, in seconds: nft accepts a year, but not ten.
const NFT_LONGEST: u64 = 365 * 24 * 3600;
/// The longest timeout of an ipset, in seconds.
const IPSET_LONGEST: u64 = 2_147_483;
/// The capacity of an ipset: above the number of bans, because a ban with an exemption takes
/// several entries.
const IPSET_MOST: usize = 262_144;

/// The parts of `network` outside `exempt`, in the order of addresses.
pub(super) fn without(network: Network, exempt: &[Network]) -> Vec<Network> {
    let mut left = Vec::new();
    cut(network.prefix(), exempt, &mut left);
    left
}

/// Halves `prefix` until each half is exempt or contains no exempt network. The recursion is at
/// most as deep as the longest exempt prefix.
fn cut(prefix: IpNet, exempt: &[Network], left: &mut Vec<Network>) {
    if exempt.iter().any(|exempt| exempt.prefix().contains(&prefix)) {
        return;
    }
    let touching: Vec<_> =
        exempt.iter().copied().filter(|exempt| prefix.contains(&exempt.prefix())).collect();
    match prefix.subnets(prefix.prefix_len() + 1) {
        Ok(halves) if !touching.is_empty() => halves.for_each(|half| cut(half, &touching, left)),
        _ => left.push(prefix.into()),
    }
}

/// An entry of a set, with its timeout.
struct Element {
    network: Network,
    seconds: u64,
}

impl Element {
    fn is_v4(&self) -> bool {
        matches!(self.network.prefix(), IpNet::V4(_))
    }

    /// The sort key: by first address, then the wider network first.
    fn place(&self) -> (IpAddr, u8) {
        let prefix = self.network.prefix();
        (prefix.network(), prefix.prefix_len())
    }
}

/// The banned networks, in the order of addresses and without overlap: a network inside another
/// banned one is left out, even if its ban lasts longer, because a set can contain an address only
/// once. The next export includes it.
fn elements(bans: &[Ban], exempt: &[Network], now: UnixTime) -> Vec<Element> {
    let active = bans.iter().filter(|ban| ban.is_active(now));
    let mut elements: Vec<_> = active
        .flat_map(|ban| {
            let seconds = now.age(ban.until).as_secs();
            without(ban.network, exempt)
                .into_iter()
                .map(move |network| Element { network, seconds })
        })
        .collect();
    elements.sort_by_key(Element::place);
    elements.dedup_by(|next, kept| kept.network.prefix().contains(&next.network.prefix()));
    elements
}

/// A script for `nft -f -` that creates the sets `banned4` and `banned6` of the table `inet
/// framewall`, if missing, and replaces their contents in one transaction. `exempt` networks are
/// left out. Without another export an entry stays for at most a year.
#[must_use]
pub fn nft(bans: &[Ban], exempt: &[Network], now: UnixTime) -> String {
    let elements = elements(bans, exempt, now);
    let mut script = "add table inet framewall\n".to_owned();
    let (v4, v6): (Vec<_>, Vec<_>) = elements.into_iter().partition(Element::is_v4);
    for (set, kind, elements) in [("banned4", "ipv4_addr", v4), ("banned6", "ipv6_addr", v6)] {
        // Writing to a String cannot fail.
        let _ = write!(
            script,
            "add set inet framewall {set} {{ type {kind}; flags interval, timeout; }}\n\
             flush set inet framewall {set}\n"
        );
        for Element { network, seconds } in elements {
            let seconds = seconds.min(NFT_LONGEST);
            let _ = writeln!(
                script,
                "add element inet framewall {set} {{ {network} timeout {seconds}s }}"
            );
        }
    }
    script
}

/// Lines for `ipset restore` that create the sets `framewall4` and `framewall6`, if missing, and
/// replace each in one step. `exempt` networks are left out. Without another export an entry stays
/// for at most 24 days, the longest timeout of an ipset.
#[must_use]
pub fn ipset(bans: &[Ban], exempt: &[Network], now: UnixTime) -> String {
    let elements = elements(bans, exempt, now);
    let mut lines = String::new();
    let (v4, v6): (Vec<_>, Vec<_>) = elements.into_iter().partition(Element::is_v4);
    for (set, family, elements) in [("framewall4", "inet", v4), ("framewall6", "inet6", v6)] {
        let options = format!("hash:net family {family} maxelem {IPSET_MOST} timeout 0 -exist");
        // Writing to a String cannot fail.
        let _ =
            write!(lines, "create {set} {options}\ncreate {set}-new {options}\nflush {set}-new\n");
        for Element { network, seconds } in elements {
            let seconds = seconds.min(IPSET_LONGEST);
            let _ = writeln!(lines, "add {set}-new {network} timeout {seconds}");
        }
        let _ = write!(lines, "swap {set} {set}-new\ndestroy {set}-new\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{ipset, nft, without};
    use crate::state::store::{Author, Ban};
    use crate::values::Network;
    use crate::values::UnixTime;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from(UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds))
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ban(text: &str, until: u64) -> Ban {
        let (network, until, at, by) = (network(text), at(until), at(0), Author::Gateway);
        Ban { network, until, at, by, why: None, offences: 1, remembered: None }
    }

    fn bans() -> Vec<Ban> {
        vec![
            ban("203.0.113.0/24", 3600),
            ban("2001:db8:7::/64", 900),
            ban("192.0.2.7", 910),
            ban("203.0.113.9", 7200),
            ban("198.51.100.1", 10),
            ban("198.51.100.2", 3_000_000),
            ban("198.51.100.3", 4_000_000_000),
        ]
    }

    #[test]
    fn nft_gets_sets_with_timeouts_in_one_transaction() {
        let wanted = "\
add table inet framewall
add set inet framewall banned4 { type ipv4_addr; flags interval, timeout; }
flush set inet framewall banned4
add element inet framewall banned4 { 192.0.2.7 timeout 900s }
add element inet framewall banned4 { 198.51.100.2 timeout 2999990s }
add element inet framewall banned4 { 198.51.100.3 timeout 31536000s }
add element inet framewall banned4 { 203.0.113.0/24 timeout 3590s }
add set inet framewall banned6 { type ipv6_addr; flags interval, timeout; }
flush set inet framewall banned6
add element inet framewall banned6 { 2001:db8:7::/64 timeout 890s }
";
        assert_eq!(nft(&bans(), &[], at(10)), wanted);
    }

    #[test]
    fn ipset_gets_sets_that_are_exchanged() {
        let wanted = "\
create framewall4 hash:net family inet maxelem 262144 timeout 0 -exist
create framewall4-new hash:net family inet maxelem 262144 timeout 0 -exist
flush framewall4-new
add framewall4-new 192.0.2.7 timeout 900
add framewall4-new 198.51.100.2 timeout 2147483
add framewall4-new 198.51.100.3 timeout 2147483
add framewall4-new 203.0.113.0/24 timeout 3590
swap framewall4 framewall4-new
destroy framewall4-new
create framewall6 hash:net family inet6 maxelem 262144 timeout 0 -exist
create framewall6-new hash:net family inet6 maxelem 262144 timeout 0 -exist
flush framewall6-new
add framewall6-new 2001:db8:7::/64 timeout 890
swap framewall6 framewall6-new
destroy framewall6-new
";
        assert_eq!(ipset(&bans(), &[], at(10)), wanted);
    }

    #[test]
    fn without_bans_the_sets_are_emptied() {
        let script = nft(&[], &[], at(0));
        assert!(
            script.contains("flush set inet framewall banned4\n") && !script.contains("element")
        );
        assert!(!ipset(&[ban("192.0.2.7", 5)], &[], at(5)).contains("add "));
    }

    #[test]
    fn exempt_networks_are_not_exported() {
        let shown = |from: &str, exempt: &[&str]| {
            let exempt: Vec<_> = exempt.iter().map(|text| network(text)).collect();
            let left = without(network(from), &exempt);
            left.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("192.0.2.0/24", &["10.0.0.0/8"]), "192.0.2.0/24");
        assert_eq!(shown("192.0.2.0/24", &["192.0.0.0/16"]), "");
        assert_eq!(shown("192.0.2.0/24", &["192.0.2.0/25"]), "192.0.2.128/25");
        assert_eq!(shown("192.0.2.0/30", &["192.0.2.1"]), "192.0.2.0 192.0.2.2/31");
        assert_eq!(shown("192.0.2.0/30", &["192.0.2.0", "192.0.2.3"]), "192.0.2.1 192.0.2.2");
        let left = without(network("2001:db8::/64"), &[network("2001:db8::1")]);
        assert_eq!(left.len(), 64);
        assert!(nft(&[ban("192.0.2.0/30", 60)], &[network("192.0.2.1")], at(0)).contains(
            "banned4 { 192.0.2.0 timeout 60s }\nadd element inet framewall banned4 { 192.0.2.2/31"
        ));
    }
}
