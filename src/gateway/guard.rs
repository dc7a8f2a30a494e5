//! What the gateway does about addresses that misbehave: strikes, bans, and connections that are
//! dropped without an answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Gateway;
use crate::gateway::session::Filter;
use crate::journal::{Event, Subject};
use crate::state::bans::{Now, Struck};
use crate::values::AddressKey;
use crate::values::Network;
use crate::values::Offence;
use crate::values::{Reason, Refusal};

/// How often the log gets the numbers of records that were suppressed.
const TELL_REST: Duration = Duration::from_secs(1);
/// How often it is forgotten who owes nothing.
const SWEEP: Duration = Duration::from_secs(5);

impl Gateway {
    /// A connection is dropped without an answer: nothing was read of it.
    pub(crate) fn dropped(&self, peer: SocketAddr, refusal: &Refusal) {
        let Refusal { reason, detail, .. } = refusal;
        self.journal.record(Event::Dropped { peer, reason: *reason, detail });
    }

    /// A handshake was refused.
    pub(crate) fn refused(&self, subject: &Subject, refusal: &Refusal) {
        let Refusal { reason, detail, .. } = refusal;
        self.journal.record(Event::Refused { subject, reason: *reason, detail });
        self.strike_for(subject.peer.ip(), refusal);
    }

    /// A client that has its 101 was refused.
    pub(crate) fn turned_away(&self, subject: &Subject, refusal: &Refusal) {
        let Refusal { reason, detail, .. } = refusal;
        self.journal.record(Event::RefusedAfterHandshake { subject, reason: *reason, detail });
        self.strike_for(subject.peer.ip(), refusal);
    }

    /// The upstream refused a handshake; `cut`: its body was too long to be passed on whole.
    pub(crate) fn answered(&self, subject: &Subject, status: u16, cut: bool) {
        self.journal.record(Event::Answered { subject, status, cut });
    }

    /// A connection failed.
    pub(crate) fn connection_error(&self, subject: &Subject, reason: Reason, detail: &str) {
        self.journal.record(Event::ConnectionError { subject, reason, detail });
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
        let Refusal { reason, detail, .. } = refusal;
        self.journal.record(Event::WouldRefuse { subject, reason: *reason, detail });
    }

    /// Notes that a client at `address` committed an offence. The last strike bans it, and ends its
    /// sessions.
    pub(crate) fn strike(&self, address: IpAddr, offence: Offence) {
        match self.bans.strike(address, offence, Now::read()) {
            Struck::Noted => {}
            Struck::NoRoom => {
                self.journal.record(Event::BansFull { address, reason: offence.reason() });
            }
            Struck::Banned(ban) => {
                self.journal.record(ban.event());
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

    /// What goes on beside the connections: bans are saved, who owes nothing is forgotten, and the
    /// records that were suppressed are counted in the log.
    pub(super) fn keep_house(self: &Arc<Self>) {
        self.tasks.spawn(Arc::clone(&self.bans).keep(self.journal.clone(), self.stopping.clone()));
        let gateway = Arc::clone(self);
        let sweeping = async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                gateway.limiters.sweep(std::time::Instant::now());
                gateway.records.sweep();
            }
        };
        self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(sweeping));
        let gateway = Arc::clone(self);
        self.tasks.spawn(async move {
            let told = async {
                loop {
                    tokio::time::sleep(TELL_REST).await;
                    gateway.tell_suppressed();
                }
            };
            gateway.stopping.run_until_cancelled(told).await;
            gateway.tell_suppressed();
        });
    }

    fn tell_suppressed(&self) {
        if let Some(suppressed) = self.records.take() {
            self.journal.record(Event::Suppressed(&suppressed));
        }
    }
}
