//! The live sessions, each reachable from outside its task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::about::{Description, Identity, Summary};
use super::filter::Filter;
use super::stop::{StopHandle, StopSignal};
use super::terms;
use crate::config::Route;
use crate::gateway::relay::{Amendments, Meter};
use crate::policy::{HandshakeSnapshot, Policy, SessionPrincipal};
use crate::state::limits::Limiters;
use crate::state::store::{Bearer, RevocationStore};
use crate::tls::ClientCertificate;
use crate::values::RequestContext;
use crate::values::UnixTime;
use crate::values::UserKey;
use crate::values::{Reason, Refusal};

/// How long a listing waits for sessions to publish their counters; what a session that is kept
/// from running sent is then told as of the last listing.
const PUBLISH_WITHIN: Duration = Duration::from_millis(100);
/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The registry. Locked for as long as an entry is added or taken out, or all are noted down, never
/// across an await.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<RegistryInner>>);

#[derive(Debug, Default)]
struct RegistryInner {
    next: u64,
    open: usize,
    /// In the order in which they came.
    by_number: BTreeMap<u64, Arc<SessionRecord>>,
    /// When client certificates end, and the number of the session that each opened.
    by_end: BTreeSet<(SystemTime, u64)>,
    /// Set once all are to end: a session that comes now ends at once.
    ending: Option<Reason>,
}

/// What the registry knows of a session.
#[derive(Debug)]
pub(crate) struct SessionRecord {
    pub(super) id: Box<str>,
    pub(super) route: Arc<str>,
    pub(super) subprotocol: Option<Box<str>>,
    /// Empty until the session has one.
    pub(super) upstream: OnceLock<Arc<str>>,
    pub(super) peer: std::net::SocketAddr,
    pub(super) since: UnixTime,
    /// The same as the log reckons with.
    pub(super) began: Instant,
    /// `None`: the session has no token.
    pub(super) identity: Mutex<Option<Box<Identity>>>,
    pub(super) stop: StopHandle,
    pub(super) meter: Meter,
    pub(super) amendments: Amendments,
    /// The facts of its handshake.
    pub(super) snapshot: HandshakeSnapshot,
    /// Its token was not seen yet: it is in the first message.
    awaited: bool,
    /// Who may have chosen what its handshake said.
    pub(super) context: RequestContext,
}

/// A session's place in the registry; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct RegistryEntry {
    sessions: Sessions,
    number: u64,
    record: Arc<SessionRecord>,
}

/// Some of the sessions, as [`Sessions::list`] found them.
#[derive(Debug)]
pub struct Listing {
    /// How many match.
    pub matching: usize,
    /// As many of them as were asked for, the oldest first.
    pub sessions: Vec<Summary>,
}

impl Sessions {
    /// Adds a session. The future resolves to the reason for which the gateway ends it.
    pub(crate) fn enter(&self, description: Description) -> (RegistryEntry, StopSignal) {
        let record = Arc::new(SessionRecord::new(description));
        let mut live = self.locked();
        let number = live.next;
        live.next += 1;
        live.open += 1;
        match live.ending {
            Some(reason) => record.stop.tell(reason),
            None => drop(live.by_number.insert(number, Arc::clone(&record))),
        }
        if let Some(end) = record.ends() {
            live.by_end.insert((end, number));
        }
        drop(live);
        let told = StopSignal::new(Arc::clone(&record));
        (RegistryEntry { sessions: self.clone(), number, record }, told)
    }

    /// How many sessions there are, those that are ending included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.locked().open
    }

    /// How many of them each route has.
    #[must_use]
    pub fn by_route(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, record) in self.all() {
            match counts.get_mut(&*record.route) {
                Some(count) => *count += 1,
                None => drop(counts.insert(record.route.to_string(), 1)),
            }
        }
        counts
    }

    /// Whether all sessions are to end.
    #[must_use]
    pub fn are_ending(&self) -> bool {
        self.locked().ending.is_some()
    }

    /// The sessions that match and were not told to end, at most `limit` of them, with what they
    /// sent up to now.
    pub async fn list(&self, filter: &Filter, limit: usize) -> Listing {
        let mut records = self.matching(filter);
        let matching = records.len();
        records.truncate(limit);
        for (_, record) in &records {
            record.meter.ask();
            record.stop.ring();
        }
        let deadline = tokio::time::Instant::now() + PUBLISH_WITHIN;
        while records.iter().any(|(_, record)| record.meter.is_asked())
            && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // One may have been told meanwhile.
        let lasting = records.iter().filter(|(_, record)| !record.stop.is_told());
        let sessions = lasting.map(|(_, record)| record.summary()).collect();
        Listing { matching, sessions }
    }

    /// Tells every session that matches to end. Returns how many there were.
    pub(crate) fn kick(&self, filter: &Filter, reason: Reason) -> usize {
        let mut matching = self.matching(filter);
        let mut live = self.locked();
        // One that ended meanwhile needs no telling.
        matching.retain(|(number, _)| live.by_number.remove(number).is_some());
        drop(live);
        for (_, record) in &matching {
            record.stop.tell(reason);
        }
        matching.len()
    }

    /// Tells the sessions to end whose client certificate has expired at `now`. The wall clock is
    /// asked each time, so that a clock that was set is heeded.
    pub(crate) fn end_expired(&self, now: SystemTime) {
        let mut live = self.locked();
        let over: Vec<u64> = live
            .by_end
            .iter()
            .take_while(|(end, _)| *end <= now)
            .map(|(_, number)| *number)
            .collect();
        // One that is not there was told to end for another reason.
        let over: Vec<_> = over.iter().filter_map(|number| live.by_number.remove(number)).collect();
        drop(live);
        for record in over {
            record.stop.tell(Reason::CertificateExpired);
        }
    }

    /// Tells every session to end, evenly spread over `spread`, so that not all clients come back
    /// in the same moment; a session that enters later is told at once.
    pub async fn end_all(&self, reason: Reason, spread: Duration) {
        let told = {
            let mut live = self.locked();
            live.ending = Some(reason);
            std::mem::take(&mut live.by_number)
        };
        let Ok(count) = u32::try_from(told.len().max(1)) else {
            return;
        };
        let start = tokio::time::Instant::now();
        for (position, record) in (0..count).zip(told.into_values()) {
            tokio::time::sleep_until(start + spread * position / count).await;
            record.stop.tell(reason);
        }
    }

    /// Reviews every session by `policy`: it gets the new terms of its route and its user, or is told to
    /// end. Returns how many were told.
    pub(crate) fn review(&self, policy: &Policy, limiters: &Limiters) -> usize {
        let mut ended = 0;
        for (number, record) in self.all() {
            match record.amend(policy, limiters) {
                Ok(()) => record.stop.ring(),
                Err(reason) => {
                    // One that ended meanwhile needs no telling.
                    if self.locked().by_number.remove(&number).is_some() {
                        record.stop.tell(reason);
                        ended += 1;
                    }
                }
            }
        }
        ended
    }

    fn matching(&self, filter: &Filter) -> Vec<(u64, Arc<SessionRecord>)> {
        let mut records = self.all();
        records.retain(|(_, record)| filter.matches(record));
        records
    }

    /// The sessions that were not told to end. Noted down first: matching them takes longer than
    /// sessions may be kept from coming and going.
    fn all(&self) -> Vec<(u64, Arc<SessionRecord>)> {
        let live = self.locked();
        let lasting = live.by_number.iter().filter(|(_, record)| !record.stop.is_told());
        lasting.map(|(number, record)| (*number, Arc::clone(record))).collect()
    }

    fn locked(&self) -> MutexGuard<'_, RegistryInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionRecord {
    fn new(description: Description) -> Self {
        let Description {
            request_id,
            route,
            subprotocol,
            upstream,
            peer,
            since,
            identity,
            snapshot,
            awaited,
            context,
        } = description;
        Self {
            id: request_id.into_boxed_str(),
            route,
            subprotocol: subprotocol.map(String::into_boxed_str),
            upstream: upstream.map_or_else(OnceLock::new, OnceLock::from),
            peer,
            since: UnixTime::from(since),
            began: Instant::now(),
            identity: Mutex::new(identity.map(Box::new)),
            stop: StopHandle::default(),
            meter: Meter::default(),
            amendments: Amendments::default(),
            snapshot,
            awaited,
            context,
        }
    }

    pub(super) fn identity(&self) -> MutexGuard<'_, Option<Box<Identity>>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionRecord {
    /// When its client certificate ends; `None`: it showed none.
    fn ends(&self) -> Option<SystemTime> {
        self.snapshot.certificate().map(ClientCertificate::ends)
    }

    /// Whether `policy` would admit the session, and by which route.
    pub(crate) fn review(&self, policy: &Policy) -> Result<Arc<Route>, Refusal> {
        self.judge(policy, self.identity().as_deref())
    }

    /// Gives the session the terms of its route by `policy` and of its user, or the reason for which it
    /// may not go on. Holds the identity lock, so that user and terms cannot diverge.
    fn amend(&self, policy: &Policy, limiters: &Limiters) -> Result<(), Reason> {
        let identity = self.identity();
        let route = self.judge(policy, identity.as_deref()).map_err(|refusal| refusal.reason)?;
        let user = identity.as_deref().map(|identity| identity.user.clone());
        self.amendments.amend(terms(&route, user, limiters));
        Ok(())
    }

    fn judge(&self, policy: &Policy, identity: Option<&Identity>) -> Result<Arc<Route>, Refusal> {
        let principal = match identity {
            Some(Identity { user, claims, .. }) => {
                SessionPrincipal::Identified { issuer: user.issuer(), claims }
            }
            None if self.awaited => SessionPrincipal::Awaited,
            None => SessionPrincipal::Anonymous,
        };
        policy.checks(self.peer.ip()).review(&self.snapshot, principal)
    }

    /// Whose session it is, if a token said so.
    pub(crate) fn user(&self) -> Option<UserKey> {
        self.identity().as_deref().map(|identity| identity.user.clone())
    }

    /// Says that the client handed in a newer token of the same user.
    pub(super) fn identify(&self, mut identity: Identity) {
        let mut held = self.identity();
        if let Some(before) = held.take() {
            identity.follow(*before);
        }
        *held = Some(Box::new(identity));
    }

    /// Tells the session to end if its token, or one before it, is revoked. A revocation is stored before sessions are
    /// looked for, and a session is in the registry before it looks here, so none slips through.
    pub(super) fn end_if_revoked(&self, revocations: &dyn RevocationStore, now: UnixTime) {
        let identity = self.identity();
        let revoked = identity.as_ref().is_some_and(|identity| {
            let user = Some(identity.user.user());
            let is_revoked = |token_id| revocations.is_revoked(Bearer { user, token_id }, now);
            is_revoked(None) || identity.token_ids().any(|id| is_revoked(Some(id)))
        });
        drop(identity);
        if revoked {
            self.stop.tell(Reason::TokenRevoked);
        }
    }
}

impl RegistryEntry {
    /// What the registry knows of the session.
    pub(crate) fn record(&self) -> &Arc<SessionRecord> {
        &self.record
    }

    /// Tells the session to end.
    pub(crate) fn end(&self, reason: Reason) {
        self.record.stop.tell(reason);
    }

    /// Says whose session it is, before it runs. Follow it with [`SessionRecord::end_if_revoked`] and with
    /// a review by the policy in force: reloads up to now reviewed a session without a user.
    pub(crate) fn introduce(&self, identity: Identity) {
        let mut held = self.record.identity();
        *held = Some(Box::new(identity));
        self.record.amendments.withdraw();
    }

    /// Says which upstream the session is with, before it runs.
    pub(crate) fn connected(&self, upstream: Option<&Arc<str>>) {
        if let Some(upstream) = upstream {
            // It was said at registration already, unless the first message came before it.
            let _ = self.record.upstream.set(Arc::clone(upstream));
        }
    }

    /// Where the session publishes what it sent.
    pub(crate) fn meter(&self) -> &Meter {
        &self.record.meter
    }

    /// Where the session finds new terms.
    pub(crate) fn amendments(&self) -> &Amendments {
        &self.record.amendments
    }
}

impl Drop for RegistryEntry {
    fn drop(&mut self) {
        let mut live = self.sessions.locked();
        live.open -= 1;
        live.by_number.remove(&self.number);
        if let Some(end) = self.record.ends() {
            live.by_end.remove(&(end, self.number));
        }
    }
}

#[cfg(test)]
mod tests;
