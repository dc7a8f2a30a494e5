//! What it costs each connection that there are bans: `cargo bench --bench bans`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use framewall::state::bans::{Bans, Now};
use framewall::state::limits::{MOST_KEYS, MessageSource, Rates, Users};
use framewall::values::Network;
use framewall::values::Rate;
use framewall::values::{AddressKey, KeyedCounter, UserKey};

fn main() {
    divan::main();
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x1000_0000 + number.wrapping_mul(257)).into()
}

fn v6(number: u32) -> IpAddr {
    Ipv6Addr::from_bits((0x2001_0db8 << 96) + (u128::from(number) << 64)).into()
}

/// 100,000 bans: half of them of IPv4 addresses and networks, half of IPv6.
fn full() -> (Bans, Now) {
    let now = Now::read();
    let bans = Bans::open(None, &[], now).unwrap();
    let until = now.moment.after(Duration::from_secs(3600));
    let ban = |network: Network| bans.ban(network, until, None, now.moment).map(drop);
    for number in 0..49_990 {
        ban(v4(number).into()).unwrap();
        ban(v6(number).into()).unwrap();
    }
    for length in 12..32 {
        let network: Network = format!("203.0.113.0/{length}").parse().unwrap();
        ban(network.trunc()).unwrap();
    }
    (bans, now)
}

#[divan::bench]
fn an_address_that_is_not_banned_v4(bencher: Bencher<'_, '_>) {
    let (bans, now) = full();
    let address = "192.0.2.7".parse().unwrap();
    bencher.bench_local(|| bans.is_banned(black_box(address), now.moment));
}

#[divan::bench]
fn an_address_that_is_not_banned_v6(bencher: Bencher<'_, '_>) {
    let (bans, now) = full();
    let address = "2001:db9::7".parse().unwrap();
    bencher.bench_local(|| bans.is_banned(black_box(address), now.moment));
}

#[divan::bench]
fn an_address_that_is_banned(bencher: Bencher<'_, '_>) {
    let (bans, now) = full();
    let mut number = 0;
    bencher.bench_local(|| {
        number = (number + 1) % 49_990;
        bans.is_banned(black_box(v4(number)), now.moment)
    });
}

#[divan::bench]
fn a_permit_is_taken_and_given_back(bencher: Bencher<'_, '_>) {
    let counts = KeyedCounter::default();
    let held: Vec<_> =
        (0..100_000).map(|n| counts.take(AddressKey::from(v4(n)), u32::MAX).unwrap()).collect();
    let key = AddressKey::from(v4(7));
    bencher.bench_local(|| counts.take(black_box(key), u32::MAX).is_ok());
    drop(held);
}

fn rate() -> Rate {
    Rate { count: 20, per: Duration::from_secs(1), burst: 40 }
}

/// A rate with as many keys as it keeps, and how many came.
fn full_rates() -> (Rates<AddressKey>, u32) {
    let rates = Rates::default();
    rates.set(Some(&Rate { per: Duration::from_secs(3600), ..rate() }));
    let most = u32::try_from(MOST_KEYS).unwrap();
    assert!((0..most).all(|number| rates.check(&AddressKey::from(v4(number))).is_ok()));
    (rates, most)
}

#[divan::bench]
fn a_handshake_is_counted(bencher: Bencher<'_, '_>) {
    let (rates, most) = full_rates();
    let mut number = 0;
    bencher.bench_local(|| {
        number = (number + 1) % most;
        rates.check(&AddressKey::from(v4(number))).is_ok()
    });
}

#[divan::bench]
fn all_keys_are_swept(bencher: Bencher<'_, '_>) {
    let (rates, _) = full_rates();
    bencher.bench_local(|| rates.sweep());
}

#[divan::bench]
fn a_users_message_is_counted(bencher: Bencher<'_, '_>) {
    let (users, now) = (Users::default(), Instant::now());
    let share = users.share(MessageSource::User(UserKey::new("main", "ann")), None, &rate(), now);
    let mut later = now;
    bencher.bench_local(|| {
        later += Duration::from_millis(60);
        share.take(black_box(later))
    });
}
