//! Reactions to clients that misbehave: events, strikes, and bans that end sessions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Filter, Sessions};
use crate::journal::{Event, Journal, Subject};
use crate::state::State;
use crate::state::bans::{Now, Struck};
use crate::state::limits::RecordRate;
use crate::values::{AddressKey, Endpoint, Network, Offence, Reason, Refusal};
use crate::wire::Judgement;

/// Records the events that clients cause, and counts their offences. Clients can cause some events as often
/// as they like, so the log takes them at a limited rate.
#[derive(Debug)]
pub(crate) struct Reporter {
    state: Arc<State>,
    sessions: Sessions,
    journal: Journal,
    rate: Arc<RecordRate>,
    /// How often sections in report mode did not enforce a refusal.
    let_through: AtomicU64,
}

impl Reporter {
    pub(crate) fn new(state: Arc<State>, sessions: Sessions, journal: Journal) -> Self {
        let rate = Arc::new(RecordRate::default());
        let journal = journal.limited_by(Arc::<RecordRate>::clone(&rate));
        Self { state, sessions, journal, rate, let_through: AtomicU64::new(0) }
    }

    /// The journal of the gateway, with the rate limit.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Records a connection that is dropped before anything was read from it.
    pub(crate) fn dropped(&self, peer: SocketAddr, refusal: &Refusal) {
        let Refusal { reason, detail, .. } = refusal;
        self.journal.record(Event::Dropped { peer, reason: *reason, detail });
    }

    /// Records a refused request; a strike, if it was an offence.
    pub(crate) fn refused(&self, subject: &Subject, refusal: &Refusal) {
        let Refusal { reason, detail, .. } = refusal;
        self.journal.record(Event::Refused { subject, reason: *reason, detail });
        self.strike_for(subject.peer.ip(), refusal);
    }

    /// Records a client that is refused after its 101; a strike, if it was an offence.
    pub(crate) fn refused_after_handshake(&self, subject: &Subject, refusal: &Refusal) {
        let Refusal { reason, detail, .. } = refusal;
        self.journal.record(Event::RefusedAfterHandshake { subject, reason: *reason, detail });
        self.strike_for(subject.peer.ip(), refusal);
    }

    /// Records a handshake that the upstream refused; `cut`: its body was too long to be forwarded whole.
    pub(crate) fn answered(&self, subject: &Subject, status: u16, cut: bool) {
        self.journal.record(Event::Answered { subject, status, cut });
    }

    /// Records a connection that failed.
    pub(crate) fn connection_error(&self, subject: &Subject, reason: Reason, detail: &str) {
        self.journal.record(Event::ConnectionError { subject, reason, detail });
    }

    /// Records and counts a refusal that a section in report mode did not enforce.
    pub(crate) fn let_through(&self, subject: &Subject, refusal: &Refusal) {
        self.count_let_through(1);
        let Refusal { reason, detail, .. } = refusal;
        self.journal.record(Event::WouldRefuse { subject, reason: *reason, detail });
    }

    /// Records a message of a polling request that is discarded.
    pub(crate) fn message_refused(&self, subject: &Subject, judgement: &Judgement) {
        let Judgement { reason, detail, outcome } = judgement;
        let (reason, outcome, from) = (*reason, outcome.name(), Endpoint::Client);
        self.journal.record(Event::MessageRefused { subject, from, reason, outcome, detail });
    }

    /// Records a message of a polling request that breaks a rule in report mode.
    pub(crate) fn would_refuse_message(&self, subject: &Subject, judgement: &Judgement) {
        let Judgement { reason, detail, .. } = judgement;
        self.journal.record(Event::WouldRefuse { subject, reason: *reason, detail });
    }

    /// Counts refusals that a session's limits in report mode did not enforce.
    pub(crate) fn count_let_through(&self, more: u64) {
        self.let_through.fetch_add(more, Ordering::Relaxed);
    }

    /// How often a section in report mode did not enforce a refusal.
    pub(crate) fn total_let_through(&self) -> u64 {
        self.let_through.load(Ordering::Relaxed)
    }

    /// Counts the offence of a refused client, if the refusal is one.
    fn strike_for(&self, address: IpAddr, refusal: &Refusal) {
        if let Some(offence) = refusal.offence {
            self.strike(address, offence);
        }
    }

    /// Counts an offence of a client at `address`. The last strike bans the address and ends its
    /// sessions.
    pub(crate) fn strike(&self, address: IpAddr, offence: Offence) {
        match self.state.bans().strike(address, offence, Now::read()) {
            Struck::Noted => {}
            Struck::NoRoom => {
                self.journal.record(Event::BansFull { address, reason: offence.reason() });
            }
            Struck::Banned(ban) => {
                self.journal.record(ban.event());
                // A flood of offences from many addresses must not scan all sessions for each of them.
                if self.state.limiters().open(&AddressKey::from(address)) > 0 {
                    self.end_banned(ban.ban.network);
                }
            }
        }
    }

    /// Ends the sessions of a banned network, except those of exempt addresses. Returns their number.
    pub(crate) fn end_banned(&self, network: Network) -> usize {
        let end = |network| {
            let filter = Filter { ip: Some(network), ..Filter::default() };
            self.sessions.kick(&filter, Reason::BanActive)
        };
        self.state.bans().reach(network).into_iter().map(end).sum()
    }

    /// Removes rate-limit entries that are fully replenished.
    pub(crate) fn sweep(&self) {
        self.rate.sweep();
    }

    /// Records the number of events that the log did not take since the last call, if there were any.
    pub(crate) fn record_suppressed(&self) {
        if let Some(suppressed) = self.rate.take() {
            self.journal.record(Event::Suppressed(&suppressed));
        }
    }
}
