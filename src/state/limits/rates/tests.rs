use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::nanos::Nanos;

use super::{MOST_KEYS, Rates};
use crate::values::Rate;
use crate::values::{AddressKey, Wait};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn rate(count: u64, per: Duration, burst: u64) -> Rate {
    Rate { count, per, burst }
}

fn rates<K: std::hash::Hash + Eq + Clone>(
    rate: Rate,
) -> (Rates<K, FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let rates = Rates::new(clock.clone());
    rates.set(Some(&rate));
    (rates, clock)
}

fn address(number: u32) -> AddressKey {
    AddressKey::from(IpAddr::from(Ipv4Addr::from_bits(number)))
}

fn allowed<K: std::hash::Hash + Eq + Clone>(
    rates: &Rates<K, FakeRelativeClock>,
    key: &K,
    tries: usize,
) -> usize {
    (0..tries).filter(|_| rates.check(key).is_ok()).count()
}

/// The number of addresses, of `count` with one event each, that are allowed.
fn from(rates: &Rates<AddressKey, FakeRelativeClock>, first: u32, count: u32) -> usize {
    (first..first + count).filter(|number| rates.check(&address(*number)).is_ok()).count()
}

#[test]
fn a_burst_comes_at_once_and_the_rest_one_by_one() {
    let (rates, clock) = rates(rate(20, SECOND, 40));
    assert_eq!(allowed(&rates, &"a", 39), 39);
    assert_eq!(rates.check(&"a"), Ok(()), "the last of the burst");
    assert_eq!(rates.check(&"a"), Err(Wait(Duration::from_millis(50))));
    clock.advance(Duration::from_nanos(49_999_999));
    assert_eq!(rates.check(&"a"), Err(Wait(Duration::from_nanos(1))));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(rates.check(&"a"), Ok(()));
    assert!(rates.check(&"a").is_err(), "one for each interval");
    assert_eq!(rates.check(&"b"), Ok(()), "each key has its own rate");
    clock.advance(HOUR);
    assert_eq!(allowed(&rates, &"a", 100), 40, "never more than the burst");
}

#[test]
fn minutes_and_hours_are_counted_alike() {
    let (by_minute, clock) = rates(rate(6, 60 * SECOND, 1));
    assert_eq!(by_minute.check(&1), Ok(()));
    assert_eq!(by_minute.check(&1), Err(Wait(10 * SECOND)));
    clock.advance(10 * SECOND);
    assert_eq!(by_minute.check(&1), Ok(()));

    let (by_hour, clock) = rates(rate(2, HOUR, 2));
    assert_eq!(allowed(&by_hour, &1, 5), 2);
    assert_eq!(by_hour.check(&1), Err(Wait(HOUR / 2)));
    clock.advance(HOUR / 2);
    assert_eq!(by_hour.check(&1), Ok(()));
}

#[test]
fn over_a_long_time_the_rate_is_exact() {
    for count in [3, 7, 1000, 999_999, 1_000_000] {
        let (rates, clock) = rates(rate(count, SECOND, count));
        let most = usize::try_from(count).unwrap();
        assert_eq!(allowed(&rates, &1, most + 10), most);
        clock.advance(SECOND);
        let came = allowed(&rates, &1, most + most / 50 + 10);
        assert!(came.abs_diff(most) <= most / 100, "{came} instead of {count}");
    }
}

#[test]
fn without_a_rate_all_are_admitted() {
    let rates = Rates::new(FakeRelativeClock::default());
    assert_eq!(allowed(&rates, &"a", 1000), 1000);
    assert_eq!(rates.keys(), 0);
    rates.sweep();
}

#[test]
fn a_changed_rate_starts_anew_and_an_equal_one_keeps_usage() {
    let (rates, _clock) = rates(rate(1, HOUR, 1));
    assert_eq!(allowed(&rates, &"a", 2), 1);
    rates.set(Some(&rate(1, HOUR, 1)));
    assert_eq!(allowed(&rates, &"a", 2), 0);
    rates.set(Some(&rate(1, HOUR, 2)));
    assert_eq!(allowed(&rates, &"a", 3), 2);
    rates.set(None);
    assert_eq!(allowed(&rates, &"a", 3), 3);
}

#[test]
fn addresses_without_debt_are_removed() {
    let (rates, clock) = rates(rate(1, SECOND, 2));
    (0..100).for_each(|number| rates.check(&address(number)).unwrap());
    rates.check(&address(0)).unwrap();
    rates.sweep();
    assert_eq!(rates.keys(), 100);
    clock.advance(SECOND);
    rates.sweep();
    assert_eq!(rates.keys(), 1, "the key with two events is still in debt");
    assert_eq!(allowed(&rates, &address(0), 2), 1);
    clock.advance(2 * SECOND);
    rates.sweep();
    assert_eq!(rates.keys(), 0);
}

#[test]
fn a_million_addresses_take_bounded_memory_and_lock_none_out() {
    let (rates, clock) = rates(rate(20, SECOND, 40));
    let known = address(u32::MAX);
    assert_eq!(allowed(&rates, &known, 39), 39);
    let came = from(&rates, 0, 1_000_000);
    assert!(rates.keys() <= MOST_KEYS, "{} keys", rates.keys());
    assert!(rates.keys() > MOST_KEYS / 10 * 9, "the shards fill evenly: {}", rates.keys());
    // A map has a power of two of buckets, keeps an eighth of them free, and adds a byte to each.
    let buckets = (MOST_KEYS * 8 / 7).next_power_of_two();
    let bytes = buckets * (size_of::<(AddressKey, Nanos)>() + 1);
    assert!(bytes <= 50 * MOST_KEYS, "{bytes} bytes");
    assert!(came <= MOST_KEYS + 1024 * 40, "{came} allowed: overflow cells have a rate, too");

    assert_eq!(allowed(&rates, &known, 2), 1, "a known key keeps its own cell");
    let newcomers = || from(&rates, 2_000_000, 1000);
    assert_eq!(newcomers(), 0, "the attack uses all overflow cells");
    clock.advance(Duration::from_millis(50));
    // Each overflow cell now has room for one event.
    let came = newcomers();
    assert!((500..=1000).contains(&came), "{came}");
    clock.advance(2 * SECOND);
    assert_eq!(newcomers(), 1000, "the debts of the attack are over, and are swept for room");
    assert!(rates.keys() <= MOST_KEYS);
}

#[test]
fn a_full_shard_is_not_swept_for_each_newcomer() {
    let (rates, clock) = rates(rate(1, HOUR, 1));
    from(&rates, 0, 200_000);
    // The sweep for the first newcomer found no expired debt. The next sweep waits for SWEEP_EVERY.
    clock.advance(Duration::from_millis(3_599_999));
    from(&rates, 1_000_000, 20_000);
    let full = rates.keys();
    clock.advance(Duration::from_millis(1));
    from(&rates, 2_000_000, 20_000);
    assert_eq!(rates.keys(), full, "all debts are over, but not swept yet");
    clock.advance(Duration::from_millis(99));
    from(&rates, 3_000_000, 20_000);
    assert!(rates.keys() <= 20_000, "{}", rates.keys());
}

fn quota_of(count: u64, seconds: u64, burst: u64) -> (u64, u64) {
    let quota = super::quota(&Rate { count, per: Duration::from_secs(seconds), burst });
    let interval = u64::try_from(quota.replenish_interval().as_nanos()).unwrap();
    (interval, u64::from(quota.burst_size().get()))
}

#[test]
fn a_quota_is_exact_or_at_most_half_a_percent_higher() {
    for seconds in [1, 60, 3600] {
        for count in [1, 3, 7, 100, 999, 1_000_000, 1_234_567, 4_975_125, 5_000_000] {
            let (interval, whole) = (quota_of(count, seconds, 1).0, seconds * 1_000_000_000);
            let time = interval * count;
            assert!(time <= whole, "{count} in {seconds} s take {time} ns");
            assert!((whole - time) * 200 <= whole, "{count} in {seconds} s take {time} ns");
        }
    }
    assert_eq!(quota_of(1, 3600, 1).0, 3_600_000_000_000);
    assert_eq!(quota_of(1_000_000, 1, 1).0, 1000);
}

#[test]
fn rates_above_the_largest_quota_are_clamped() {
    use super::{LONGEST, SHORTEST};
    assert_eq!(quota_of(10_000_000, 1, 1).0, SHORTEST);
    assert_eq!(quota_of(u64::MAX, 1, u64::MAX), (SHORTEST, u64::from(u32::MAX)));
    let (interval, burst) = quota_of(1, 3600, u64::MAX);
    assert!(interval * (burst - 1) <= LONGEST);
    assert_eq!(burst, LONGEST / interval);
    assert_eq!(quota_of(1, 1, 0).1, 1);
}
