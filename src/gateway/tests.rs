use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::Gateway;
use crate::config;
use crate::journal::Journal;
use crate::state::bans::MOST_STRUCK;
use crate::state::store::MAX_BANS;
use crate::values::Refusal;
use crate::values::UnixTime;
use crate::values::{Offence, RequestContext, Sender};

fn gateway(tables: &str) -> Arc<Gateway> {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[routes.app]\npath = \"/ws\"\n\
         upstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n{tables}"
    );
    let config = config::parse(&text, Path::new("framewall.toml")).unwrap().config;
    Gateway::new(&config, Journal::default()).unwrap()
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
fn a_scan_from_a_million_addresses_bans_nobody_and_leaves_little_behind() {
    let gateway = gateway(
        "[limits]\nhandshakes_per_ip = \"1/h burst 1\"\nconnections_per_ip = 1\n\
         [firewall.ban]\nstrikes = 1\n",
    );
    let refused = (0..1_000_000).filter_map(|number| connect(&gateway, address(number))).count();
    assert!(refused > 900_000, "{refused}: there is no room to count so many apart");
    // Those that are known to come again are refused for themselves, and a page can do that to them.
    (0..200_000).filter_map(|number| connect(&gateway, address(number))).for_each(drop);
    assert_eq!((gateway.bans.count(UnixTime::now()), gateway.bans.struck()), (0, 0));
    assert_eq!(gateway.limiters.open(&address(0).into()), 0);
}

#[test]
fn a_million_offenders_leave_little_behind() {
    let gateway = gateway("[firewall.ban]\nstrikes = 2\n");
    let context = RequestContext { sender: Sender::Program, relayed: false };
    let strike = |number| gateway.strike(address(number), Offence::head(context).unwrap());
    (0..1_000_000).for_each(strike);
    assert!(gateway.bans.struck() <= MOST_STRUCK, "{}", gateway.bans.struck());
    (0..200_000).for_each(|number| (0..2).for_each(|_| strike(number)));
    assert_eq!(gateway.bans.count(UnixTime::now()), MAX_BANS);
    assert!(gateway.bans.struck() <= MOST_STRUCK);
}
