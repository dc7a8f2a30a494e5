//! Message rates by user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::values::{Rate, UserKey, UserShare};

/// The number of users without a session that are remembered for their debt.
const MOST_IDLE: usize = 65_536;

/// The message rate of each user across its sessions. Sessions of a user with the same rate share
/// it, even on different routes; sessions with different rates are counted separately. A reload
/// that keeps the rate changes nothing.
///
/// A user's entry stays after its last session until its burst is replenished, so that reconnecting
/// does not clear a debt. Among users without a session, the 65,536 with the largest debt are
/// remembered.
///
/// Sessions of long polling have cells of their own, with the same bound: a client may invent their ids, and must
/// not displace users by them.
#[derive(Debug, Default)]
pub struct Users {
    held: Mutex<UserCells>,
    polling: Mutex<UserCells>,
    /// [`MOST_IDLE`]; smaller in tests.
    most_idle: Option<usize>,
}

#[derive(Debug, Default)]
struct UserCells {
    cells: HashMap<(MessageSource, Option<Arc<str>>, Rate), UserShare>,
    /// The number of entries at which the next sweep runs: twice the number left by the last one.
    sweep_at: usize,
}

/// The sender whose messages are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageSource {
    /// All sessions of a user.
    User(UserKey),
    /// One session, by its number in the registry.
    Session(u32),
    /// A session of long polling, by the id that its requests name.
    Polling(Box<[u8]>),
}

impl Users {
    /// The rate for a session of `sender`. `scope` is the type of messages that it counts; `None`: all messages.
    pub fn share(
        &self,
        sender: MessageSource,
        scope: Option<&Arc<str>>,
        rate: &Rate,
        now: Instant,
    ) -> UserShare {
        let mut held = locked(match sender {
            MessageSource::User(_) | MessageSource::Session(_) => &self.held,
            MessageSource::Polling(_) => &self.polling,
        });
        if held.cells.len() >= held.sweep_at.max(self.most_idle()) {
            held.sweep(now, self.most_idle());
        }
        let cell = held.cells.entry((sender, scope.cloned(), *rate));
        cell.or_insert_with(|| UserShare::new(rate, now)).clone()
    }

    /// Removes fully replenished users without a session. Must be called every few seconds.
    pub fn sweep(&self, now: Instant) {
        locked(&self.held).sweep(now, self.most_idle());
        locked(&self.polling).sweep(now, self.most_idle());
    }

    /// The number of remembered rates.
    #[must_use]
    pub fn count(&self) -> usize {
        locked(&self.held).cells.len() + locked(&self.polling).cells.len()
    }

    fn most_idle(&self) -> usize {
        self.most_idle.unwrap_or(MOST_IDLE)
    }
}

fn locked(cells: &Mutex<UserCells>) -> MutexGuard<'_, UserCells> {
    cells.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UserCells {
    fn sweep(&mut self, now: Instant, most_idle: usize) {
        // Handles are created only under the lock that is held here.
        self.cells.retain(|(source, ..), cell| {
            // An ended session does not come back, and a polling one is between two requests.
            let may_return = !matches!(source, MessageSource::Session(_));
            !cell.is_only_one() || (may_return && cell.owes(now) > 0)
        });
        let idle = self.cells.values().filter(|cell| cell.is_only_one());
        let mut debts: Vec<_> = idle.map(|cell| cell.owes(now)).collect();
        if let Some(over) = debts.len().checked_sub(most_idle).filter(|over| *over > 0) {
            let (_, least, _) = debts.select_nth_unstable(over - 1);
            let least = *least;
            self.cells.retain(|_, cell| !cell.is_only_one() || cell.owes(now) > least);
        }
        if self.cells.capacity() / 4 > self.cells.len() {
            self.cells.shrink_to(self.cells.len() * 2);
        }
        self.sweep_at = self.cells.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{MessageSource, Users};
    use crate::values::{Rate, UserKey, UserShare, Wait};

    const SECOND: Duration = Duration::from_secs(1);
    const RATE: Rate = Rate { count: 10, per: SECOND, burst: 20 };

    fn ann() -> UserKey {
        UserKey::new("main", "ann")
    }

    fn taken(share: &UserShare, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| share.take(now).is_ok()).count()
    }

    #[test]
    fn sessions_of_a_user_share_one_rate() {
        let (users, now) = (Users::default(), Instant::now());
        let first = users.share(MessageSource::User(ann()), None, &RATE, now);
        let second = users.share(MessageSource::User(ann()), None, &RATE, now);
        let other =
            users.share(MessageSource::User(UserKey::new("other", "ann")), None, &RATE, now);
        assert_eq!(taken(&first, 19, now), 19);
        assert_eq!(second.take(now), Ok(()), "the last of the burst");
        let wait = Wait(SECOND / 10);
        assert_eq!((first.take(now), second.take(now)), (Err(wait), Err(wait)));
        assert_eq!(taken(&other, 30, now), 20, "the user of another issuer is a different user");
        let almost = now + Duration::from_nanos(99_999_999);
        assert_eq!(first.take(almost), Err(Wait(Duration::from_nanos(1))));
        assert_eq!(taken(&second, 2, now + SECOND / 10), 1);
        assert_eq!(taken(&first, 100, now + 3600 * SECOND), 20);
    }

    #[test]
    fn each_rate_of_a_user_is_counted_apart() {
        let (users, now) = (Users::default(), Instant::now());
        let rate = Rate { burst: 5, ..RATE };
        let (default, route) = (
            users.share(MessageSource::User(ann()), None, &RATE, now),
            users.share(MessageSource::User(ann()), None, &rate, now),
        );
        assert_eq!((taken(&default, 50, now), taken(&route, 50, now)), (20, 5));
    }

    #[test]
    fn reconnecting_does_not_clear_a_debt() {
        let (users, now) = (Users::default(), Instant::now());
        let share = users.share(MessageSource::User(ann()), None, &RATE, now);
        assert_eq!(taken(&share, 50, now), 20);
        drop(share);
        users.sweep(now + SECOND);
        assert_eq!(
            taken(&users.share(MessageSource::User(ann()), None, &RATE, now), 50, now + SECOND),
            10
        );
        users.sweep(now + Duration::from_nanos(2_999_999_999));
        assert_eq!(users.count(), 1);
        users.sweep(now + 3 * SECOND);
        assert_eq!(users.count(), 0, "its burst is replenished");
    }

    #[test]
    fn a_live_session_keeps_its_cell() {
        let (users, now) = (Users::default(), Instant::now());
        let share = users.share(MessageSource::User(ann()), None, &RATE, now);
        users.sweep(now + 3600 * SECOND);
        assert_eq!(users.count(), 1);
        let later = now + 3600 * SECOND;
        assert_eq!(
            taken(&users.share(MessageSource::User(ann()), None, &RATE, later), 50, later),
            20
        );
        assert!(share.take(later).is_err(), "both still share one rate");
    }

    #[test]
    fn users_with_the_largest_debt_are_kept_after_they_leave() {
        let users = Users { most_idle: Some(100), ..Users::default() };
        let now = Instant::now();
        let user = |number: usize| UserKey::new("main", &number.to_string());
        for number in 0..10_000 {
            let share = users.share(MessageSource::User(user(number)), None, &RATE, now);
            taken(&share, if number == 5 { 20 } else { 1 }, now);
            assert!(users.count() <= 200, "{number}: {}", users.count());
        }
        users.sweep(now);
        assert!(users.count() <= 100);
        assert_eq!(taken(&users.share(MessageSource::User(user(5)), None, &RATE, now), 20, now), 0);
    }

    #[test]
    fn polling_sessions_displace_no_user() {
        let users = Users { most_idle: Some(100), ..Users::default() };
        let now = Instant::now();
        taken(&users.share(MessageSource::User(ann()), None, &RATE, now), 20, now);
        let later = now + SECOND;
        let mut polling = Vec::new();
        for number in 0..10_000_usize {
            let sid = MessageSource::Polling(number.to_string().into_bytes().into());
            taken(&users.share(sid.clone(), None, &RATE, later), 20, later);
            polling.push(sid);
            assert!(users.count() <= 201, "{number}: {}", users.count());
        }
        users.sweep(later);
        assert!(users.count() <= 101);
        let share = users.share(MessageSource::User(ann()), None, &RATE, later);
        assert_eq!(taken(&share, 20, later), 10, "the debt of before is remembered");
        let sid = polling.swap_remove(9_999);
        taken(&users.share(sid.clone(), None, &RATE, later), 5, later);
        users.sweep(later);
        let again = users.share(sid, None, &RATE, later);
        assert_eq!(taken(&again, 20, later), 15, "a polling session keeps its debt, too");
    }

    #[test]
    fn concurrent_takes_never_exceed_the_rate() {
        let (users, now) = (Users::default(), Instant::now());
        let rate = Rate { burst: 1000, ..RATE };
        let share = users.share(MessageSource::User(ann()), None, &rate, now);
        let taken = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| taken(&share.clone(), 500, now))).collect();
            threads.into_iter().map(|one| one.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 1000);
    }
}
