//! The prefixes of one address family, with a search for the longest one that covers an address.
//!
//! A sorted table in which each prefix refers to the one that encloses it. It takes 13 bytes a
//! prefix for IPv4 and 25 for IPv6, independent of the prefixes, so that a million of either is far
//! below 64 MiB. Among the trie crates, prefix-trie takes 68 and 269 bytes, `ip_network_table` 38
//! and 228, and iptrie up to 25 and 65, with unsafe code that reads past the references it is
//! given.

use super::verdict::Action;

/// An address as a number.
pub(super) trait Bits: Copy + Ord {
    /// The number of leading bits that both have in common.
    fn shared(self, other: Self) -> u32;
}

impl Bits for u32 {
    fn shared(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }
}

impl Bits for u128 {
    fn shared(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }
}

/// A prefix with its action.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrefixRow<A> {
    /// The first address of the prefix.
    pub(super) start: A,
    pub(super) length: u8,
    pub(super) action: Action,
    /// The number of the list entry.
    pub(super) id: u32,
}

/// The prefix that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit<A> {
    pub(super) start: A,
    pub(super) length: u8,
    pub(super) id: u32,
}

/// Marks a prefix that no other encloses.
const TOP: u32 = u32::MAX;

/// Sorted by first address and length; all columns have the same number of rows.
pub(super) struct PrefixTable<A> {
    starts: Box<[A]>,
    lengths: Box<[u8]>,
    ids: Box<[u32]>,
    /// For each prefix, the row of the longest one that encloses it.
    around: Box<[u32]>,
}

impl<A> Default for PrefixTable<A> {
    fn default() -> Self {
        Self {
            starts: Box::default(),
            lengths: Box::default(),
            ids: Box::default(),
            around: Box::default(),
        }
    }
}

impl<A: Bits> PrefixTable<A> {
    /// Builds the table. Of several rows with the same prefix it keeps one that denies, else the
    /// first. Takes at most 2^32 - 1 rows.
    pub(super) fn new(mut rows: Vec<PrefixRow<A>>) -> Self {
        let deny_first = |row: &PrefixRow<A>| row.action == Action::Allow;
        rows.sort_unstable_by_key(|row| (row.start, row.length, deny_first(row), row.id));
        rows.dedup_by_key(|row| (row.start, row.length));
        Self {
            starts: rows.iter().map(|row| row.start).collect(),
            lengths: rows.iter().map(|row| row.length).collect(),
            ids: rows.iter().map(|row| row.id).collect(),
            around: nesting(&rows),
        }
    }

    /// The number of distinct prefixes.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.len() * (size_of::<A>() + size_of::<u8>() + 2 * size_of::<u32>())
    }

    /// Returns the longest prefix that covers the first `length` bits of `address`.
    ///
    /// Let R be the last row that does not start after the address. R starts within every prefix
    /// that covers the address, so the wanted prefix is R or encloses R.
    pub(super) fn find(&self, address: A, length: u8) -> Option<Hit<A>> {
        let behind = self.starts.partition_point(|start| *start <= address);
        let mut row = behind.checked_sub(1)?;
        while self.lengths[row] > length
            || self.starts[row].shared(address) < u32::from(self.lengths[row])
        {
            row = match self.around[row] {
                TOP => return None,
                around => around as usize,
            };
        }
        Some(Hit { start: self.starts[row], length: self.lengths[row], id: self.ids[row] })
    }
}

/// For each row of a sorted table, the row that encloses it.
fn nesting<A: Bits>(rows: &[PrefixRow<A>]) -> Box<[u32]> {
    let mut open: Vec<u32> = Vec::new();
    let covers = |outer: &PrefixRow<A>, inner: &PrefixRow<A>| {
        outer.start.shared(inner.start) >= u32::from(outer.length)
    };
    let around = |(index, row): (u32, &PrefixRow<A>)| {
        while open.last().is_some_and(|last| !covers(&rows[*last as usize], row)) {
            open.pop();
        }
        let outer = open.last().copied().unwrap_or(TOP);
        open.push(index);
        outer
    };
    (0..TOP).zip(rows).map(around).collect()
}

#[cfg(test)]
mod tests {
    use super::{Bits, PrefixRow, PrefixTable};
    use crate::firewall::Action;

    fn million<A: Bits>(start: impl Fn(u32) -> A, length: u8) -> PrefixTable<A> {
        let row = |id| PrefixRow { start: start(id), length, action: Action::Deny, id };
        PrefixTable::new((0..1_000_000).map(row).collect())
    }

    fn column_bytes<A>(table: &PrefixTable<A>) -> usize {
        let ids = size_of_val(&*table.ids) + size_of_val(&*table.around);
        size_of_val(&*table.starts) + size_of_val(&*table.lengths) + ids
    }

    #[test]
    fn a_million_prefixes_take_less_than_64_mib() {
        let v4 = million(|id| id.wrapping_mul(0x9e37_79b1), 32);
        let v6 = million(|id| u128::from(id).wrapping_mul(0x9e37_79b1_9e37_79b1 << 64), 128);
        assert_eq!((v4.len(), v6.len()), (1_000_000, 1_000_000));
        assert_eq!((v4.bytes(), v6.bytes()), (13_000_000, 25_000_000));
        assert_eq!((column_bytes(&v4), column_bytes(&v6)), (v4.bytes(), v6.bytes()));
        let hit = v4.find(0x9e37_79b1, 32).unwrap();
        assert_eq!((hit.start, hit.length, hit.id), (0x9e37_79b1, 32, 1));
    }

    #[test]
    fn of_equal_prefixes_the_first_that_denies_stays() {
        let row = |id: u32| {
            let action = if id < 400 { Action::Allow } else { Action::Deny };
            PrefixRow { start: 7_u32, length: 32, action, id }
        };
        let table = PrefixTable::new((0..1000).rev().map(row).collect());
        assert_eq!((table.len(), table.find(7, 32).unwrap().id), (1, 400));
    }

    #[test]
    fn prefixes_nest_as_deep_as_they_can() {
        let row =
            |length| PrefixRow { start: 0_u128, length, action: Action::Deny, id: length.into() };
        let table = PrefixTable::new((0..=128).map(row).collect());
        for bit in 0..128 {
            let hit = table.find(1 << bit, 128).unwrap();
            assert_eq!(u32::from(hit.length), 127 - bit);
        }
        assert_eq!(table.find(0, 128).unwrap().length, 128);
    }
}
