mod keeping;

use std::fs;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use ipnet::IpNet;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{BanRefused, Bans, Now, Struck};
use crate::config;
use crate::state::store::{Author, Ban, BanError, BanStore, BanTable};
use crate::values::Network;
use crate::values::Reason;
use crate::values::UnixTime;
use crate::values::{Offence, RequestContext, Sender};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const ANN: &str = "192.0.2.7";

/// A ban of 15 minutes for 3 strikes within a minute; at most 40 minutes.
fn terms() -> config::BanRules {
    config::BanRules {
        strikes: NonZeroU32::new(3).unwrap(),
        within: Duration::from_secs(MINUTE),
        duration: Duration::from_secs(15 * MINUTE),
        max_duration: Duration::from_secs(40 * MINUTE),
        exempt: vec!["198.51.100.0/24".parse().unwrap(), "2001:db8:5::5/128".parse().unwrap()],
        file: None,
    }
}

fn trusted() -> Vec<IpNet> {
    vec!["10.0.0.0/8".parse().unwrap()]
}

/// The bans of a gateway, with test clocks.
struct Bench {
    bans: Bans,
    start: Instant,
    seconds: u64,
}

impl Bench {
    fn with(terms: Option<&config::BanRules>) -> Self {
        let start = Instant::now();
        let now = Now { instant: start, moment: moment(0) };
        Self { bans: Bans::open(terms, &trusted(), now).unwrap(), start, seconds: 0 }
    }

    fn new() -> Self {
        Self::with(Some(&terms()))
    }

    fn now(&self) -> Now {
        let instant = self.start + Duration::from_secs(self.seconds);
        Now { instant, moment: moment(self.seconds) }
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
    }

    fn strike(&self, address: &str) -> Struck {
        self.bans.strike(ip(address), offence(), self.now())
    }

    fn strikes(&self, address: &str, count: usize) -> Struck {
        (1..count).for_each(|_| assert_eq!(self.strike(address), Struck::Noted));
        self.strike(address)
    }

    fn is_banned(&self, address: &str) -> bool {
        self.bans.is_banned(ip(address), self.now().moment).is_some()
    }

    fn ban(&self, text: &str, seconds: u64) -> Result<Ban, BanRefused> {
        let now = self.now().moment;
        self.bans.ban(network(text), now.after(Duration::from_secs(seconds)), None, now)
    }

    fn unban(&self, text: &str) -> Result<Ban, BanRefused> {
        self.bans.unban(network(text), self.now().moment)
    }
}

/// A head that no browser writes, from a program.
fn offence() -> Offence {
    Offence::head(RequestContext { sender: Sender::Program, relayed: false }).unwrap()
}

fn moment(seconds: u64) -> UnixTime {
    UnixTime::from(UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

#[track_caller]
fn minutes(struck: &Struck) -> u64 {
    let Struck::Banned(new) = struck else {
        panic!("{struck:?} is no ban");
    };
    new.ban.at.age(new.ban.until).as_secs() / MINUTE
}

#[test]
fn the_last_strike_bans_and_the_one_before_does_not() {
    let mut bench = Bench::new();
    bench.strike(ANN);
    bench.strike(ANN);
    assert!(!bench.is_banned(ANN));
    let struck = bench.strike(ANN);
    let Struck::Banned(new) = &struck else {
        panic!("{struck:?}");
    };
    assert_eq!((new.address, new.reason, new.strikes), (ip(ANN), Reason::HandshakeMalformed, 3));
    let wanted = Ban {
        network: network(ANN),
        until: moment(15 * MINUTE),
        at: moment(0),
        by: Author::Gateway,
        why: Some("handshake.malformed".to_owned()),
        offences: 1,
        remembered: Some(moment(55 * MINUTE)),
    };
    assert_eq!(new.ban, wanted);
    assert_eq!(bench.bans.is_banned(ip(ANN), moment(0)), Some(wanted));
    assert!(!bench.is_banned("192.0.2.8"));
    bench.pass(15 * MINUTE - 1);
    assert!(bench.is_banned(ANN) && bench.is_banned("::ffff:192.0.2.7"));
    bench.pass(1);
    assert!(!bench.is_banned(ANN));
}

#[test]
fn each_further_ban_is_twice_as_long_up_to_the_longest() {
    let mut bench = Bench::new();
    for wanted in [15, 30, 40, 40] {
        let struck = bench.strikes(ANN, 3);
        assert_eq!(minutes(&struck), wanted);
        bench.pass(wanted * MINUTE);
    }
    // An offence is forgotten 40 minutes after the end of its ban.
    bench.pass(40 * MINUTE - 1);
    assert_eq!(minutes(&bench.strikes(ANN, 3)), 40);
    bench.pass(80 * MINUTE);
    assert_eq!(minutes(&bench.strikes(ANN, 3)), 15);
}

#[test]
fn the_ban_duration_does_not_overflow() {
    let bench = Bench::new();
    let now = bench.now().moment;
    for offences in [30, 31, 32, 33, u32::MAX] {
        let network = network(ANN);
        let (by, why, until) = (Author::Gateway, None, now.after(Duration::from_secs(1)));
        let remembered = Some(moment(HOUR));
        let ban = Ban { network, until, at: now, by, why, offences, remembered };
        bench.bans.store.put(ban, now).unwrap();
        let sentence = bench.bans.sentence(
            crate::values::AddressKey::from(ip(ANN)),
            Reason::FrameUtf8,
            &terms(),
            now,
        );
        assert_eq!(sentence.until, now.after(Duration::from_secs(40 * MINUTE)));
    }
}

#[test]
fn attempts_while_banned_neither_count_nor_extend() {
    let mut bench = Bench::new();
    bench.strikes(ANN, 3);
    bench.pass(15 * MINUTE - 1);
    for _ in 0..10 {
        assert_eq!(bench.strike(ANN), Struck::Noted);
    }
    bench.pass(1);
    assert!(!bench.is_banned(ANN));
    assert_eq!(
        bench.strike(ANN),
        Struck::Noted,
        "the ban cleared the strikes before it and during it"
    );
    assert_eq!(bench.strike(ANN), Struck::Noted);
    assert_eq!(minutes(&bench.strike(ANN)), 30);
}

#[test]
fn strikes_that_are_too_far_apart_make_no_ban() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        assert_eq!(bench.strike(ANN), Struck::Noted);
        bench.pass(MINUTE / 2);
    }
    bench.strike(ANN);
    assert!(matches!(bench.strike(ANN), Struck::Banned(_)));
}

#[test]
fn ipv6_is_banned_by_its_64_and_the_exempt_address_in_it_is_not() {
    let bench = Bench::new();
    bench.strike("2001:db8:5::1");
    bench.strike("2001:db8:5::2");
    for _ in 0..5 {
        assert_eq!(bench.strike("2001:db8:5::5"), Struck::Noted, "nor do its strikes count");
    }
    let struck = bench.strike("2001:db8:5::3");
    let Struck::Banned(new) = struck else {
        panic!("{struck:?}");
    };
    assert_eq!(new.ban.network.to_string(), "2001:db8:5::/64");
    assert!(bench.is_banned("2001:db8:5::ffff"));
    assert!(!bench.is_banned("2001:db8:5::5") && !bench.is_banned("2001:db8:6::1"));
    let reach = bench.bans.reach(new.ban.network);
    assert_eq!(reach.len(), 64);
    assert!(reach.iter().all(|part| !part.contains(ip("2001:db8:5::5"))));
}

#[test]
fn exempt_networks_and_trusted_proxies_are_never_banned() {
    let bench = Bench::new();
    for address in ["198.51.100.9", "10.1.2.3", "::ffff:10.1.2.3"] {
        for _ in 0..10 {
            assert_eq!(bench.strike(address), Struck::Noted);
        }
        assert!(!bench.is_banned(address));
        let refused = bench.ban(address, HOUR).unwrap_err();
        assert!(matches!(refused, BanRefused::Exempt { .. }), "{refused}");
    }
    let refused = bench.ban("198.51.100.64/26", HOUR).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "198.51.100.64/26 is exempt: it is in 198.51.100.0/24 of [firewall.ban] exempt or [server] \
         trusted_proxies; take that out first if you mean it"
    );
    bench.ban("198.51.0.0/16", HOUR).unwrap();
    assert!(bench.is_banned("198.51.99.1") && !bench.is_banned("198.51.100.1"));
}

#[test]
fn an_operator_bans_without_firewall_ban() {
    let bench = Bench::with(None);
    assert_eq!(bench.strikes(ANN, 100), Struck::Noted);
    let ban = bench.ban(ANN, HOUR).unwrap();
    assert_eq!((ban.by, ban.until), (Author::Operator, moment(HOUR)));
    assert!(bench.is_banned(ANN));
    assert_eq!(bench.bans.count(moment(0)), 1);
    let refused = bench.ban("10.0.0.1", HOUR).unwrap_err();
    assert!(
        matches!(refused, BanRefused::Exempt { .. }),
        "trusted proxies are exempt all the same"
    );
}

#[test]
fn an_operators_ban_replaces_a_ban_and_keeps_its_offences() {
    let mut bench = Bench::new();
    bench.strikes(ANN, 3);
    let ban = bench.ban(ANN, MINUTE).unwrap();
    assert_eq!((ban.offences, ban.remembered), (1, Some(moment(55 * MINUTE))));
    bench.pass(MINUTE);
    assert!(!bench.is_banned(ANN));
    assert_eq!(minutes(&bench.strikes(ANN, 3)), 30);
}

#[test]
fn an_unbanned_address_begins_anew() {
    let bench = Bench::new();
    bench.strikes(ANN, 3);
    bench.unban(ANN).unwrap();
    assert!(!bench.is_banned(ANN));
    assert_eq!(minutes(&bench.strikes(ANN, 3)), 15, "its offences are forgotten");
    bench.unban(ANN).unwrap();
    bench.ban("2001:db8::1", HOUR).unwrap();
    bench.unban("2001:db8::2").unwrap();
    assert!(!bench.is_banned("2001:db8::1"), "the address is in the same /64");
}

#[test]
fn a_ban_clears_the_strikes_of_its_network() {
    let mut bench = Bench::new();
    for address in ["203.0.113.1", "203.0.114.1"] {
        bench.strike(address);
        bench.strike(address);
    }
    bench.ban("203.0.113.0/24", 1).unwrap();
    bench.pass(1);
    assert_eq!(bench.strike("203.0.113.1"), Struck::Noted);
    assert!(matches!(bench.strike("203.0.114.1"), Struck::Banned(_)));
}

#[test]
fn concurrent_offences_cause_one_ban() {
    let terms = config::BanRules { strikes: NonZeroU32::MIN, ..terms() };
    let bench = Bench::with(Some(&terms));
    let (now, together) = (bench.now(), std::sync::Barrier::new(4));
    let offend = |number: u32| {
        together.wait();
        let address = std::net::Ipv4Addr::from_bits(0x3000_0000 + number).into();
        matches!(bench.bans.strike(address, offence(), now), Struck::Banned(_))
    };
    let banned = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..3000).filter(|number| offend(*number)).count()))
            .collect();
        threads.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
    });
    assert_eq!(banned, 3000, "one ban for each address");
    let offences: Vec<_> = bench.bans.list(now.moment).iter().map(|ban| ban.offences).collect();
    assert!(offences.len() == 3000 && offences.iter().all(|count| *count == 1));
}

#[test]
fn unban_of_an_unbanned_network_is_refused() {
    let mut bench = Bench::new();
    let told = |bench: &Bench, text| bench.unban(text).unwrap_err().to_string();
    assert_eq!(told(&bench, ANN), "192.0.2.7 is not banned");
    bench.ban("192.0.2.0/24", HOUR).unwrap();
    assert_eq!(
        told(&bench, ANN),
        "192.0.2.7 is not banned by itself, but as part of 192.0.2.0/24: unban that"
    );
    assert_eq!(told(&bench, "192.0.0.0/16"), "192.0.0.0/16 is not banned");
    bench.strikes("192.0.3.1", 3);
    bench.pass(15 * MINUTE);
    assert_eq!(
        told(&bench, "192.0.3.1"),
        "192.0.3.1 is not banned",
        "it has expired and is only remembered"
    );
    assert!(bench.unban("0.0.0.0/0").is_err());
}

#[test]
fn a_full_table_reports_strikes_and_refuses_operators() {
    let bench = Bench::new();
    let until = bench.now().moment.after(Duration::from_secs(HOUR));
    for number in 0..100_000_u32 {
        let address = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0b00_0000 + number));
        bench.bans.ban(address.into(), until, None, bench.now().moment).unwrap();
    }
    assert_eq!(bench.strikes(ANN, 3), Struck::NoRoom);
    assert!(!bench.is_banned(ANN));
    assert_eq!(bench.ban(ANN, HOUR), Err(BanRefused::Ban(BanError::Full)));
    bench.unban("11.0.0.0").unwrap();
    assert!(
        matches!(bench.strikes(ANN, 3), Struck::Banned(_)),
        "its earlier strikes were forgotten"
    );
}

#[test]
fn changed_ban_terms_apply_at_once_and_keep_strikes() {
    let bench = Bench::new();
    bench.strike(ANN);
    bench.strikes("192.0.2.9", 3);
    let stricter = config::BanRules {
        strikes: NonZeroU32::new(2).unwrap(),
        exempt: vec!["192.0.2.9/32".parse().unwrap()],
        ..terms()
    };
    bench.bans.set(Some(&stricter), &[]);
    assert!(matches!(bench.strike(ANN), Struck::Banned(_)));
    assert!(!bench.is_banned("192.0.2.9"), "it is exempt now");
    assert!(matches!(bench.strikes("10.0.0.1", 2), Struck::Banned(_)));
    bench.bans.set(None, &trusted());
    assert!(bench.is_banned("192.0.2.9") && !bench.is_banned("10.0.0.1"));
    assert_eq!(bench.strikes("192.0.2.10", 100), Struck::Noted);
}

/// Two generations that banned one network at the same time settle on one ban, and do not pass them on for ever.
#[test]
fn two_generations_keep_the_same_ban() {
    let generations = [Bench::new(), Bench::new()];
    let ban = |until: u64, why: &str| Ban {
        network: "192.0.2.7/32".parse().unwrap(),
        until: moment(until),
        at: moment(0),
        by: Author::Gateway,
        why: Some(why.to_owned()),
        offences: 1,
        remembered: None,
    };
    let (first, second) = (ban(900, "frame.protocol"), ban(900, "handshake.malformed"));
    for (own, other, learns) in
        [(&first, &second, [true, false]), (&second, &first, [false, false])]
    {
        let [one, two] = &generations;
        for (bench, ban) in [(one, own), (two, other)] {
            bench.bans.learn(ban, moment(0));
        }
        let learned = [one.bans.learn(&second, moment(0)), two.bans.learn(&first, moment(0))];
        assert_eq!(learned, learns);
        assert_eq!(one.bans.list(moment(0)), std::slice::from_ref(&second));
        assert_eq!(two.bans.list(moment(0)), std::slice::from_ref(&second));
    }
    assert!(generations[0].bans.learn(&ban(901, "a"), moment(0)), "it ends later");
}
