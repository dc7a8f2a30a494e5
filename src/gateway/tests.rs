use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::Gateway;
use crate::config;
use crate::firewall::MOST_STRUCK;
use crate::limits::MOST_KEYS;
use crate::moment::Moment;
use crate::refusal::{Reason, Refusal};
use crate::store::MAX_BANS;

fn gateway(tables: &str) -> Arc<Gateway> {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[routes.app]\npath = \"/ws\"\n\
         upstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n{tables}"
    );
    let config = config::parse(&text, Path::new("framewall.toml")).unwrap().config;
    Gateway::new(&config).unwrap()
}

/// The first address of a /64 of its own.
fn address(number: u64) -> IpAddr {
    Ipv6Addr::from((0x2001_0db8 << 96) + (u128::from(number) << 64)).into()
}

/// As an accepted connection that ends at once; the reason for which it was dropped, if it was.
fn connect(gateway: &Gateway, address: IpAddr) -> Option<Refusal> {
    let refusal = gateway.enter(address, &gateway.in_force()).err()?;
    gateway.dropped(SocketAddr::new(address, 4711), &refusal);
    Some(refusal)
}

#[test]
fn a_scan_from_a_million_addresses_bans_only_who_offended_and_leaves_little_behind() {
    let gateway = gateway(
        "[limits]\nhandshakes_per_ip = \"1/h burst 1\"\nconnections_per_ip = 1\n\
         [firewall.ban]\nstrikes = 1\n",
    );
    let refusals = (0..1_000_000).filter_map(|number| connect(&gateway, address(number)));
    let refused = refusals.inspect(|refusal| assert!(refusal.blameless, "{refusal:?}")).count();
    assert!(refused > 900_000, "{refused}: there is no room to count so many apart");
    let bans = || gateway.bans.count(Moment::now());
    assert_eq!((bans(), gateway.bans.struck()), (0, 0), "each came once");

    let again = (0..200_000).filter_map(|number| connect(&gateway, address(number)));
    let own = again.filter(|refusal| !refusal.blameless).count();
    assert!((MOST_KEYS / 10 * 9..=MOST_KEYS).contains(&own), "{own} are known to come again");
    assert_eq!(bans(), own);
    assert_eq!(gateway.limiters.open(&address(0).into()), 0);
}

#[test]
fn a_million_offenders_leave_little_behind() {
    let gateway = gateway("[firewall.ban]\nstrikes = 2\n");
    let strike = |number| gateway.strike(address(number), Reason::FrameProtocol);
    (0..1_000_000).for_each(strike);
    assert!(gateway.bans.struck() <= MOST_STRUCK, "{}", gateway.bans.struck());
    (0..200_000).for_each(|number| (0..2).for_each(|_| strike(number)));
    assert_eq!(gateway.bans.count(Moment::now()), MAX_BANS);
    assert!(gateway.bans.struck() <= MOST_STRUCK);
}
