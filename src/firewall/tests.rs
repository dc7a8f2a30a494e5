use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use proptest::prelude::*;

use super::{Action, Error, List, MAX_PREFIXES, Rules, Source, Why};
use crate::values::Network;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| Network::parse(text).unwrap().prefix()).collect()
}

fn rules(allow: Option<&[&str]>, deny: &[&str]) -> Rules {
    let mut builder = Rules::builder();
    if let Some(allow) = allow {
        builder.list(Action::Allow, "firewall.allow", &nets(allow)).unwrap();
    }
    builder.list(Action::Deny, "firewall.deny", &nets(deny)).unwrap();
    builder.build()
}

/// Whether `ip` is denied, and by which rule.
pub(super) fn decision(rules: &Rules, ip: &str) -> (bool, String) {
    let verdict = rules.judge(ip.parse().unwrap());
    (verdict.is_denied(), verdict.to_string())
}

#[test]
fn without_rules_every_address_may_connect() {
    let rules = Rules::default();
    assert!(rules.is_empty() && rules.files().is_empty());
    for ip in ["192.0.2.1", "::1", "::ffff:192.0.2.1"] {
        assert_eq!(decision(&rules, ip), (false, "no rule of [firewall] lists it".to_owned()));
    }
}

#[test]
fn the_longest_prefix_decides_and_is_reported() {
    let rules = rules(None, &["10.0.0.0/8", "10.1.2.3", "2001:db8::/32"]);
    assert_eq!(decision(&rules, "10.1.2.3"), (true, "firewall.deny: 10.1.2.3".to_owned()));
    assert_eq!(decision(&rules, "10.1.2.4"), (true, "firewall.deny: 10.0.0.0/8".to_owned()));
    assert_eq!(decision(&rules, "2001:db8::1"), (true, "firewall.deny: 2001:db8::/32".to_owned()));
    for ip in ["9.255.255.255", "11.0.0.0", "2001:db9::", "::"] {
        assert!(!decision(&rules, ip).0, "{ip}");
    }
}

#[test]
fn a_longer_prefix_makes_an_exception_either_way() {
    let rules = rules(Some(&["10.0.0.0/8", "10.1.1.1"]), &["10.1.0.0/16"]);
    assert_eq!(decision(&rules, "10.2.0.1"), (false, "firewall.allow: 10.0.0.0/8".to_owned()));
    assert_eq!(decision(&rules, "10.1.0.1"), (true, "firewall.deny: 10.1.0.0/16".to_owned()));
    assert_eq!(decision(&rules, "10.1.1.1"), (false, "firewall.allow: 10.1.1.1".to_owned()));
}

#[test]
fn deny_wins_a_tie() {
    let rules = rules(Some(&["10.0.0.0/8"]), &["10.0.0.0/8"]);
    assert_eq!(decision(&rules, "10.0.0.1"), (true, "firewall.deny: 10.0.0.0/8".to_owned()));
    assert_eq!(rules.len(), 1);
}

#[test]
fn an_allow_list_denies_every_other_address() {
    let unlisted = (true, "firewall.allow does not list it".to_owned());
    let some = rules(Some(&["192.0.2.0/24"]), &[]);
    assert!(!decision(&some, "192.0.2.255").0);
    assert_eq!(decision(&some, "192.0.3.0"), unlisted);
    assert_eq!(decision(&some, "::1"), unlisted, "also of the other family");
    assert_eq!(
        decision(&rules(Some(&[]), &[]), "192.0.2.1"),
        unlisted,
        "an empty list allows no address"
    );
    assert!(!rules(Some(&[]), &[]).is_empty());
}

#[test]
fn mapped_addresses_are_ipv4() {
    let plain = rules(None, &["192.0.2.0/24"]);
    assert!(decision(&plain, "::ffff:192.0.2.1").0);
    let mapped = ["::ffff:203.0.113.9/124".parse::<IpNet>().unwrap()];
    let mut builder = Rules::builder();
    builder.list(Action::Deny, "firewall.deny", &mapped).unwrap();
    let mapped = builder.build();
    assert_eq!(
        decision(&mapped, "203.0.113.1"),
        (true, "firewall.deny: 203.0.113.0/28".to_owned())
    );
    assert!(!decision(&rules(None, &["::/0"]), "::ffff:192.0.2.1").0, "::/0 is IPv6 alone");
    assert!(decision(&rules(None, &["::/0"]), "::").0);
    assert!(decision(&rules(None, &["0.0.0.0/0"]), "255.255.255.255").0);
}

#[test]
fn a_verdict_names_the_line_of_the_list() {
    let list = List::parse(b"# bad\n192.0.2.0/24\n\n203.0.113.7 # worse\n192.0.2.0/24").unwrap();
    let mut builder = Rules::builder();
    builder.list(Action::Deny, "firewall.deny", &nets(&["198.51.100.1", "198.51.100.2"])).unwrap();
    builder.file(Path::new("lists/a.txt"), &List::default()).unwrap();
    builder.file(Path::new("lists/b.txt"), &list).unwrap();
    builder.file(Path::new("lists/c.txt"), &list).unwrap();
    let rules = builder.build();
    let denied = |ip| decision(&rules, ip);
    assert_eq!(denied("203.0.113.7"), (true, "lists/b.txt line 4: 203.0.113.7".to_owned()));
    assert_eq!(denied("192.0.2.9"), (true, "lists/b.txt line 2: 192.0.2.0/24".to_owned()));
    assert_eq!(denied("198.51.100.2"), (true, "firewall.deny: 198.51.100.2".to_owned()));
    let Why::Entry(entry) = rules.judge("198.51.100.2".parse().unwrap()).why else { panic!() };
    assert_eq!((entry.source, entry.position), (&Source::Key("firewall.deny"), 1));
    let files = ["lists/a.txt", "lists/b.txt", "lists/c.txt"].map(Path::new);
    assert_eq!(rules.files(), files);
    assert_eq!(rules.len(), 4, "duplicate prefixes are kept once");
}

#[test]
fn a_network_is_listed_when_all_of_it_is() {
    let rules = rules(None, &["10.0.0.0/8", "10.1.0.0/16"]);
    let listed = |text| rules.listed(nets(&[text])[0]).map(|(_, entry)| entry.to_string());
    assert_eq!(listed("10.1.2.0/24").unwrap(), "firewall.deny: 10.1.0.0/16");
    assert_eq!(listed("10.1.0.0/16").unwrap(), "firewall.deny: 10.1.0.0/16");
    assert_eq!(listed("10.0.0.0/15").unwrap(), "firewall.deny: 10.0.0.0/8");
    assert_eq!(listed("10.0.0.0/7"), None);
}

#[test]
fn the_lists_have_a_bound() {
    let network = nets(&["192.0.2.1"])[0];
    let most = List(vec![(network, 1); MAX_PREFIXES]);
    let mut builder = Rules::builder();
    builder.file(Path::new("a.txt"), &most).unwrap();
    let one = builder.list(Action::Deny, "firewall.deny", &[network]);
    assert!(matches!(one, Err(Error::TooLong)));
    assert_eq!(builder.build().len(), 1);
    let mut builder = Rules::builder();
    builder.file(Path::new("a.txt"), &List(vec![(network, u32::MAX - 1)])).unwrap();
    let overflow = builder.file(Path::new("b.txt"), &List(vec![(network, 1)]));
    assert!(matches!(overflow, Err(Error::TooLong)));
}

/// Generates addresses that are close together, so that prefixes nest, touch and repeat.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop::sample::select(vec![0_u32, 0x0a00_0000, 0xc000_0200, u32::MAX]);
    let v4 = (v4, any::<u32>(), 0_u32..33).prop_map(|(near, noise, keep)| {
        IpAddr::V4((near ^ noise.checked_shr(keep).unwrap_or(0)).into())
    });
    let v6 = prop::sample::select(vec![0_u128, 0x2001_0db8 << 96, 0xffff << 32, u128::MAX]);
    let v6 = (v6, any::<u128>(), 0_u32..129).prop_map(|(near, noise, keep)| {
        IpAddr::V6((near ^ noise.checked_shr(keep).unwrap_or(0)).into())
    });
    prop_oneof![v4, v6]
}

fn network() -> impl Strategy<Value = IpNet> {
    (address(), any::<prop::sample::Index>()).prop_map(|(address, length)| {
        let longest = if address.is_ipv4() { 33 } else { 129 };
        let length = u8::try_from(length.index(longest)).unwrap();
        IpNet::new(address, length).unwrap().trunc()
    })
}

/// The longest of `entries` that covers `ip`, found by a linear scan; of several with the same
/// prefix one that denies, else the first.
fn scan(entries: &[(Action, IpNet)], ip: IpAddr) -> Option<(Action, IpNet)> {
    let ip = ip.to_canonical();
    let entries = entries.iter().map(|(action, network)| match network {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() >= 96 => {
            let v4 = v6.addr().to_ipv4_mapped().unwrap();
            (*action, IpNet::new(v4.into(), v6.prefix_len() - 96).unwrap().trunc())
        }
        other => (*action, *other),
    });
    let covering = entries.filter(|(_, network)| network.contains(&ip));
    covering.max_by_key(|(action, network)| (network.prefix_len(), *action == Action::Deny))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_agrees_with_a_linear_scan(
        allow in prop::collection::vec(network(), 0..40),
        deny in prop::collection::vec(network(), 0..40),
        listed in prop::collection::vec(network(), 0..20),
        common in prop::collection::vec(network(), 0..5),
        ips in prop::collection::vec(address(), 40),
    ) {
        let allow: Vec<_> = allow.into_iter().chain(common.clone()).collect();
        let deny: Vec<_> = deny.into_iter().chain(common).collect();
        let file = listed.iter().map(IpNet::to_string).collect::<Vec<_>>().join("\n");
        let mut builder = Rules::builder();
        builder.list(Action::Allow, "allow", &allow).unwrap();
        builder.list(Action::Deny, "deny", &deny).unwrap();
        builder.file(Path::new("file"), &List::parse(file.as_bytes()).unwrap()).unwrap();
        let rules = builder.build();
        let entries: Vec<_> = allow.iter().map(|network| (Action::Allow, *network))
            .chain(deny.iter().chain(&listed).map(|network| (Action::Deny, *network)))
            .collect();
        let edges = entries.iter().flat_map(|(_, net)| [net.network(), net.broadcast()]);
        for ip in ips.into_iter().chain(edges) {
            let verdict = rules.judge(ip);
            let decided = match verdict.why {
                Why::Entry(entry) => {
                    let said = match entry.source {
                        Source::Key("allow") => allow[entry.position as usize],
                        Source::Key(_) => deny[entry.position as usize],
                        Source::File(_) => listed[entry.position as usize - 1],
                    };
                    prop_assert!(said == entry.network || said.addr().is_ipv6());
                    prop_assert!(entry.network.contains(&ip.to_canonical()));
                    Some((verdict.action, entry.network))
                }
                Why::NotAllowed => None,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(decided, scan(&entries, ip), "{}", ip);
        }
    }

    #[test]
    fn arbitrary_lists_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = List::parse(&bytes);
    }
}
