//! Which servers of a cluster are passed over. Evidence that could be wrong never takes more than half of them out of
//! their places: a check that fails for a reason of its own must not send all clients to one server. Pure.

use std::time::Instant;

/// What is known against a server, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::gateway::upstream) enum Standing {
    /// Nothing.
    Up,
    /// Its check fails, or requests that could be the cause themselves. Since then.
    Doubted(Instant),
    /// It accepts no connection, or lets handshakes wait.
    Failing,
}

/// A server of a cluster.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway::upstream) struct Member {
    pub(in crate::gateway::upstream) standing: Standing,
    pub(in crate::gateway::upstream) backup: bool,
}

/// For each server whether it is passed over while others are left. A failing one always is. Doubted ones are, those
/// that are doubted for the longest time first, as long as at most half of the servers that are no backups are
/// passed over in all. A doubted backup server always is: it comes after the others anyway.
pub(in crate::gateway::upstream) fn ejected(members: &[Member]) -> Vec<bool> {
    let mut ejected: Vec<bool> = members.iter().map(Member::is_ejected_alone).collect();
    let mut doubted: Vec<(Instant, usize)> = Vec::new();
    for (index, member) in members.iter().enumerate() {
        if let (Standing::Doubted(since), false) = (member.standing, member.backup) {
            doubted.push((since, index));
        }
    }
    doubted.sort_unstable();
    let room = half(members).saturating_sub(count(members, &ejected));
    for (_, index) in doubted.into_iter().take(room) {
        ejected[index] = true;
    }
    ejected
}

/// Whether enough servers are left for the sessions of those that are passed over.
pub(in crate::gateway::upstream) fn can_take_over(members: &[Member], ejected: &[bool]) -> bool {
    count(members, ejected) <= half(members)
}

/// Half of the servers that are no backups, rounded down.
fn half(members: &[Member]) -> usize {
    members.iter().filter(|member| !member.backup).count() / 2
}

/// The number of servers that are passed over, without backups.
fn count(members: &[Member], ejected: &[bool]) -> usize {
    members.iter().zip(ejected).filter(|(member, ejected)| !member.backup && **ejected).count()
}

impl Member {
    fn is_ejected_alone(&self) -> bool {
        match self.standing {
            Standing::Up => false,
            Standing::Doubted(_) => self.backup,
            Standing::Failing => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Member, Standing, can_take_over, ejected};

    /// `u`p, `f`ailing, doubted for so many seconds; in upper case, or after `b`, a backup server.
    fn members(text: &str) -> Vec<Member> {
        let start = Instant::now();
        let member = |letter: char| Member {
            standing: match letter.to_ascii_lowercase() {
                'u' => Standing::Up,
                'f' => Standing::Failing,
                digit => {
                    let seconds = digit.to_digit(36).unwrap() % 10;
                    Standing::Doubted(start + Duration::from_secs((10 - seconds).into()))
                }
            },
            backup: letter.is_ascii_uppercase(),
        };
        text.chars().map(member).collect()
    }

    fn shown(text: &str) -> String {
        let members = members(text);
        let ejected = ejected(&members);
        text.chars()
            .zip(ejected)
            .map(|(letter, ejected)| if ejected { '-' } else { letter })
            .collect()
    }

    #[test]
    fn at_most_half_are_passed_over_while_they_are_only_doubted() {
        for (text, expected) in [
            ("1", "1"),
            ("u1", "u-"),
            ("11", "-1"),
            ("12", "1-"),
            ("u12", "u1-"),
            ("4321", "--21"),
            ("1234", "12--"),
            ("uuuu", "uuuu"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn failing_ones_are_always_passed_over_and_count_for_the_half() {
        for (text, expected) in [
            ("f", "-"),
            ("ff", "--"),
            ("f1", "-1"),
            ("uf12", "u-1-"),
            ("fff1", "---1"),
            ("ff12", "--12"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    /// `Z` is a backup server that is doubted.
    #[test]
    fn backup_servers_neither_count_nor_are_kept() {
        for (text, expected) in [("uZZ", "u--"), ("1U", "1U"), ("1F", "1-"), ("12UUUU", "1-UUUU")] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn sessions_move_only_to_servers_that_are_left() {
        for (text, expected) in
            [("u1", true), ("f1", true), ("ff", false), ("fff1", false), ("f", false)]
        {
            let members = members(text);
            assert_eq!(can_take_over(&members, &ejected(&members)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn doubt_alone_never_takes_more_than_half(text in "[u0-9]{0,12}") {
            let gone = shown(&text).matches('-').count();
            let doubted = text.chars().filter(char::is_ascii_digit).count();
            prop_assert_eq!(gone, doubted.min(text.len() / 2));
        }
    }
}
