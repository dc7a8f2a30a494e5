//! The time for which a token admits a session, and the message by which a client extends it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::values::Reason;

/// Interval between checks of the wall clock while a token is valid. A token expires by the wall clock,
/// which may be set while a session lives: the session's end moves with it.
const CHECK: Duration = Duration::from_secs(30);

/// A token verification in progress: the new end of the session, or the reason for refusing the token.
pub type Verifying = Pin<Box<dyn Future<Output = Result<SystemTime, Reason>> + Send>>;

/// The expiry and the renewal that a session's token allows.
#[derive(Debug, Default)]
pub struct Lease {
    /// When the session expires, leeway included; `None`: the token does not end it.
    pub expires: Option<SystemTime>,
    /// How a client may hand in a new token; `None`: it may not.
    pub renewal: Option<Renewal>,
}

/// In-band token refresh.
pub struct Renewal {
    /// The member of the JSON message that holds the token.
    pub member: Arc<str>,
    /// Verifies a token that the client handed in; it must name the same user.
    pub verify: Box<dyn Fn(String) -> Verifying + Send>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("member", &self.member).finish_non_exhaustive()
    }
}

/// The expiry of a lease, and the instant of its next check. Boxed, since not every session has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Expiry(Option<Box<Ends>>);

#[derive(Debug, Clone, Copy)]
struct Ends {
    at: SystemTime,
    check: Instant,
}

impl Expiry {
    /// Schedules the next check of a lease that ends at `at`, when the instant is `now` and the wall clock
    /// says `wall`.
    pub(super) fn new(at: Option<SystemTime>, now: Instant, wall: SystemTime) -> Self {
        let left = |at: SystemTime| at.duration_since(wall).unwrap_or_default();
        Self(at.map(|at| Box::new(Ends { at, check: now + left(at).min(CHECK) })))
    }

    /// The instant of the next check.
    pub(super) fn check(&self) -> Option<Instant> {
        self.0.as_ref().map(|ends| ends.check)
    }

    /// Whether the lease has ended when the wall clock says `wall`; schedules the next check.
    pub(super) fn is_over(&mut self, now: Instant, wall: SystemTime) -> bool {
        let at = self.0.as_ref().map(|ends| ends.at);
        *self = Self::new(at, now, wall);
        at.is_some_and(|at| wall >= at)
    }
}

/// The answer to a client that handed in a token: `{"MEMBER":{"expires":SECONDS}}`, seconds since
/// 1970, or `{"MEMBER":{"error":"REASON"}}`.
pub(super) fn answer(member: &str, outcome: Result<SystemTime, Reason>) -> String {
    let outcome = match outcome {
        Ok(at) => {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            serde_json::json!({ "expires": since.as_secs() })
        }
        Err(reason) => serde_json::json!({ "error": reason.name() }),
    };
    serde_json::json!({ member: outcome }).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use tokio::time::Instant;

    use super::{CHECK, Expiry, answer};
    use crate::values::Reason;

    fn wall(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_ends_by_the_wall_clock() {
        let now = Instant::now();
        let mut expiry = Expiry::new(Some(wall(1010)), now, wall(1000));
        assert_eq!(expiry.check(), Some(now + Duration::from_secs(10)));
        assert!(!expiry.is_over(now, wall(1009)));
        assert!(expiry.is_over(now, wall(1010)));
    }

    #[test]
    fn setting_the_clock_back_does_not_end_a_lease_early() {
        let now = Instant::now();
        let mut expiry = Expiry::new(Some(wall(1010)), now, wall(1000));
        let later = now + Duration::from_secs(10);
        assert!(!expiry.is_over(later, wall(990)));
        assert_eq!(expiry.check(), Some(later + Duration::from_secs(20)));
    }

    #[test]
    fn setting_the_clock_forward_ends_an_expired_lease() {
        let now = Instant::now();
        let mut expiry = Expiry::new(Some(wall(5000)), now, wall(1000));
        assert_eq!(expiry.check(), Some(now + CHECK), "looked at again and again");
        assert!(expiry.is_over(now + CHECK, wall(6000)));
    }

    #[test]
    fn a_lease_without_expiry_is_never_checked() {
        assert_eq!(Expiry::new(None, Instant::now(), wall(0)).check(), None);
    }

    #[test]
    fn answers_are_json() {
        assert_eq!(answer("m", Ok(wall(7))), r#"{"m":{"expires":7}}"#);
        assert_eq!(answer("m", Err(Reason::TokenInvalid)), r#"{"m":{"error":"token.invalid"}}"#);
    }
}
