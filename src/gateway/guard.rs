//! What the gateway does about addresses that misbehave: strikes, bans, and connections that are
//! dropped without an answer.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::Gateway;
use crate::firewall::{Now, Offence, Struck};
use crate::limits::AddressKey;
use crate::network::Network;
use crate::observe::{self, Subject};
use crate::refusal::{Reason, Refusal};
use crate::session::Filter;

/// Dropped connections that are told in the log a second; of more, only how many there were.
const TOLD_A_SECOND: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");
/// How long it is at most until the log has the number of the others.
const TELL_REST: Duration = Duration::from_secs(1);
/// How often it is forgotten who owes nothing.
const SWEEP: Duration = Duration::from_secs(5);

/// Keeps a flood of connections from becoming a flood of records.
pub(super) struct DropLog {
    limiter: DefaultDirectRateLimiter,
    untold: AtomicU64,
}

impl Default for DropLog {
    fn default() -> Self {
        let limiter = RateLimiter::direct(Quota::per_second(TOLD_A_SECOND));
        Self { limiter, untold: AtomicU64::new(0) }
    }
}

impl DropLog {
    /// Tells of those that nobody was told of, where no other came that could have said it.
    fn tell_rest(&self) {
        let untold = self.untold.swap(0, Ordering::Relaxed);
        if untold > 0 {
            observe::dropped_untold(untold);
        }
    }
}

impl Gateway {
    /// A connection is dropped without an answer: nothing was read of it.
    pub(crate) fn dropped(&self, peer: SocketAddr, refusal: &Refusal) {
        if self.drops.limiter.check().is_ok() {
            let untold = self.drops.untold.swap(0, Ordering::Relaxed);
            observe::dropped(peer, refusal.reason, &refusal.detail, untold);
        } else {
            self.drops.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A handshake was refused.
    pub(crate) fn refused(&self, subject: &Subject, refusal: &Refusal) {
        observe::refused(subject, refusal.reason, &refusal.detail);
        self.strike_for(subject.peer.ip(), refusal);
    }

    /// A client was refused; it is a strike if the refusal says so.
    pub(crate) fn strike_for(&self, address: IpAddr, refusal: &Refusal) {
        if let Some(offence) = refusal.offence {
            self.strike(address, offence);
        }
    }

    /// A section in report mode would have refused; it is told and counted.
    pub(crate) fn let_through(&self, subject: &Subject, refusal: &Refusal) {
        self.reported.fetch_add(1, Ordering::Relaxed);
        observe::would_refuse(subject, refusal.reason, &refusal.detail);
    }

    /// Notes that a client at `address` committed an offence. The last strike bans it, and ends its
    /// sessions.
    pub(crate) fn strike(&self, address: IpAddr, offence: Offence) {
        match self.bans.strike(address, offence, Now::read()) {
            Struck::Noted => {}
            Struck::NoRoom => tracing::error!(
                event = "bans.full",
                %address,
                reason = offence.reason().name(),
                "an address has earned a ban, and there is no room for another"
            ),
            Struck::Banned(ban) => {
                observe::banned(&ban);
                // A flood of offences from everywhere must not look at every session for each.
                if self.limiters.open(&AddressKey::from(address)) > 0 {
                    self.end_banned(ban.ban.network);
                }
            }
        }
    }

    /// Ends the sessions of a network that was banned, but for those of exempt addresses. Returns
    /// how many there were.
    pub(crate) fn end_banned(&self, network: Network) -> usize {
        let end = |network| {
            let filter = Filter { ip: Some(network), ..Filter::default() };
            self.sessions.kick(&filter, Reason::BanActive)
        };
        self.bans.reach(network).into_iter().map(end).sum()
    }

    /// What goes on beside the connections: bans are saved, who owes nothing is forgotten, and what
    /// was dropped untold is told.
    pub(super) fn keep_house(self: &Arc<Self>) {
        self.tasks.spawn(Arc::clone(&self.bans).keep(self.stopping.clone()));
        let gateway = Arc::clone(self);
        let sweeping = async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                gateway.limiters.sweep(std::time::Instant::now());
            }
        };
        self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(sweeping));
        let gateway = Arc::clone(self);
        self.tasks.spawn(async move {
            let told = async {
                loop {
                    tokio::time::sleep(TELL_REST).await;
                    gateway.drops.tell_rest();
                }
            };
            gateway.stopping.run_until_cancelled(told).await;
            gateway.drops.tell_rest();
        });
    }
}
