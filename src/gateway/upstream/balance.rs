//! The order in which the servers of a cluster are tried. Pure: loads, hash keys and random numbers are passed in.

use std::cmp::Ordering;

use aws_lc_rs::digest::{Context, SHA256};

use crate::config::Balance;

/// A server that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// The name that the hash sees: the address in the configuration.
    pub(super) name: &'a str,
    /// Its share of the load in thousandths, at least 1.
    pub(super) weight: u32,
    /// Whether it comes after all others.
    pub(super) backup: bool,
    /// Its sessions and requests.
    pub(super) live: usize,
}

/// The indices of all candidates, the one to try first at the front. `key` is the part of the request that is hashed,
/// if the balance is a hash; `dice` gives a random number, if the balance needs one.
pub(super) fn order(
    candidates: &[Candidate<'_>],
    balance: &Balance,
    key: &[u8],
    dice: impl FnOnce() -> u64,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    if candidates.len() < 2 {
        return order;
    }
    let by_load = |one: usize, other: usize| candidates[one].compare_load(&candidates[other]);
    match balance {
        Balance::First => {}
        Balance::Least => {
            let drawn = draw(dice(), candidates.len());
            order.sort_by(|one, other| {
                by_load(*one, *other).then_with(|| drawn[*one].cmp(&drawn[*other]))
            });
        }
        Balance::Random => {
            sort_by_score(&mut order, candidates, &draw(dice(), candidates.len()));
        }
        Balance::Hash(_) => {
            let hashes: Vec<u64> =
                candidates.iter().map(|candidate| hash(candidate.name, key)).collect();
            sort_by_score(&mut order, candidates, &hashes);
        }
    }
    order.sort_by_key(|index| candidates[*index].backup);
    if let (Balance::Random, [first, second, ..]) = (balance, order.as_mut_slice())
        && candidates[*first].backup == candidates[*second].backup
        && by_load(*second, *first) == Ordering::Less
    {
        std::mem::swap(first, second);
    }
    order
}

impl Candidate<'_> {
    /// Compares the loads for each weight that the two would have with one session more.
    fn compare_load(&self, other: &Self) -> Ordering {
        let load =
            |one: &Self, weight: u32| (one.live as u64 + 1).saturating_mul(u64::from(weight));
        load(self, other.weight).cmp(&load(other, self.weight))
    }
}

/// Weighted rendezvous: with a uniform number u for each server, the smallest -ln(u)/weight is the server's in the
/// proportion of its weight. A server that is added or removed changes no score of the others, so that it moves
/// only the keys that it takes or had.
fn sort_by_score(order: &mut [usize], candidates: &[Candidate<'_>], numbers: &[u64]) {
    let score = |index: usize| -unit(numbers[index]).ln() / f64::from(candidates[index].weight);
    let scores: Vec<f64> = (0..candidates.len()).map(score).collect();
    order.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]));
}

/// A number between 0 and 1, neither of them included.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
fn unit(number: u64) -> f64 {
    ((number >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// The first 8 bytes, big-endian, of the SHA-256 of the server's name, a zero byte and the key. It is the same in all
/// gateways and versions, so that gateways side by side choose the same server.
fn hash(name: &str, key: &[u8]) -> u64 {
    let mut context = Context::new(&SHA256);
    for part in [name.as_bytes(), &[0], key] {
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// So many random numbers from a random seed, by `SplitMix64` (Steele, Lea and Flood, 2014).
fn draw(seed: u64, count: usize) -> Vec<u64> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Candidate, hash, order};
    use crate::config::{Balance, HashKey};

    const HASH: Balance = Balance::Hash(HashKey::User);

    fn candidates(names: &[String]) -> Vec<Candidate<'_>> {
        let candidate = |name| Candidate { name, weight: 1000, backup: false, live: 0 };
        names.iter().map(|name| candidate(name.as_str())).collect()
    }

    fn names(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("ws://10.0.0.{number}:8765")).collect()
    }

    fn hashed<'a>(candidates: &[Candidate<'a>], key: usize) -> &'a str {
        let order = order(candidates, &HASH, format!("main/user-{key}").as_bytes(), || {
            unreachable!("a hash needs no dice")
        });
        candidates[order[0]].name
    }

    /// Places `count` sessions that stay, with the dice 0, 1, 2 ...
    fn place(candidates: &mut [Candidate<'_>], balance: &Balance, count: u64) -> Vec<usize> {
        for seed in 0..count {
            let chosen = order(candidates, balance, &[], || seed)[0];
            candidates[chosen].live += 1;
        }
        candidates.iter().map(|candidate| candidate.live).collect()
    }

    #[test]
    fn the_hash_stays_the_same_in_all_versions() {
        assert_eq!(hash("ws://10.0.0.5:8765", b"main/ann"), HASH_OF_ANN);
    }

    /// By `printf 'ws://10.0.0.5:8765\0main/ann' | sha256sum`.
    const HASH_OF_ANN: u64 = 0xbd27_0eae_7453_73c8;

    #[test]
    fn one_server_more_moves_its_own_share_alone() {
        let names = names(10);
        let all = candidates(&names);
        let keys = 10_000;
        let mut moved = 0;
        for key in 0..keys {
            let (before, after) = (hashed(&all[..9], key), hashed(&all, key));
            if before != after {
                assert_eq!(after, names[9], "a key moves to the new server and to no other");
                moved += 1;
            }
        }
        assert!((900..1100).contains(&moved), "{moved} of {keys} moved to one of ten");
    }

    #[test]
    fn a_removed_server_moves_its_own_keys_to_their_next_server() {
        let names = names(5);
        let all = candidates(&names);
        let less: Vec<_> = all.iter().copied().filter(|one| one.name != names[2]).collect();
        for key in 0..2000 {
            let key_bytes = format!("main/user-{key}");
            let order = order(&all, &HASH, key_bytes.as_bytes(), || 0);
            let expected = order.iter().map(|index| all[*index].name).find(|one| *one != names[2]);
            assert_eq!(hashed(&less, key), expected.unwrap());
        }
    }

    #[test]
    fn weights_divide_keys_and_sessions() {
        let names = names(3);
        let mut all = candidates(&names);
        for (candidate, weight) in all.iter_mut().zip([1, 2, 5]) {
            candidate.weight = weight;
        }
        let mut counts = [0; 3];
        for key in 0..16_000 {
            let chosen = hashed(&all, key);
            counts[names.iter().position(|name| name == chosen).unwrap()] += 1;
        }
        for (count, expected) in counts.into_iter().zip([2000_i32, 4000, 10_000]) {
            assert!((count - expected).abs() < 200, "{counts:?}");
        }
        assert_eq!(place(&mut all.clone(), &Balance::Least, 800), [100, 200, 500]);
        let placed = place(&mut all, &Balance::Random, 16_000);
        for (count, expected) in placed.iter().zip([2000_usize, 4000, 10_000]) {
            assert!(count.abs_diff(expected) < expected / 20, "{placed:?}");
        }
    }

    #[test]
    fn equal_loads_are_decided_by_the_dice() {
        let names = names(3);
        let all = candidates(&names);
        let mut counts = [0_i32; 3];
        for seed in 0..3000 {
            counts[order(&all, &Balance::Least, &[], || seed)[0]] += 1;
        }
        assert!(counts.iter().all(|count| (count - 1000).abs() < 100), "{counts:?}");
    }

    #[test]
    fn the_better_of_two_random_ones_is_chosen() {
        let names = names(4);
        let mut all = candidates(&names);
        all[1].live = 10;
        all[3].live = 20;
        let mut counts = [0_i32; 4];
        for seed in 0..6000 {
            counts[order(&all, &Balance::Random, &[], || seed)[0]] += 1;
        }
        // Of the six pairs, 1 is the better of one, and 3 of none; 0 and 2 share their own pair.
        for (count, expected) in counts.into_iter().zip([2500, 1000, 2500, 0]) {
            assert!((count - expected).abs() < 200, "{counts:?}");
        }
    }

    #[test]
    fn first_keeps_the_order_of_the_file() {
        let names = names(3);
        let mut all = candidates(&names);
        (all[0].backup, all[1].live) = (true, 100);
        assert_eq!(order(&all, &Balance::First, &[], || 0), [1, 2, 0]);
    }

    proptest! {
        #[test]
        fn every_server_is_tried_once_and_backups_last(
            servers in prop::collection::vec((1_u32..=1_000_000, any::<bool>(), 0_usize..100), 0..8),
            kind in 0_usize..4,
            key in prop::collection::vec(any::<u8>(), 0..16),
            seed: u64,
        ) {
            let names = names(servers.len());
            let all: Vec<_> = names.iter().zip(&servers).map(|(name, server)| {
                let (weight, backup, live) = *server;
                Candidate { name, weight, backup, live }
            }).collect();
            let balance = &[Balance::Least, Balance::Random, Balance::First, HASH][kind];
            let order = order(&all, balance, &key, || seed);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..all.len()).collect::<Vec<_>>());
            prop_assert!(order.is_sorted_by_key(|index| all[*index].backup));
        }
    }
}
