//! The live sessions, and the plain requests that last, each reachable from outside its task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::about::{Description, SessionTokens, Summary};
use super::filter::Filter;
use super::observed::{Observed, ObservedRoute};
use super::terms::terms;
use crate::config::Route;
use crate::gateway::relay::{Mailbox, Observers, Terms};
use crate::gateway::runtime::InForce;
use crate::gateway::upstream::configured_server;
use crate::journal::RouteCounters;
use crate::message::Observation;
use crate::policy::{HandshakeSnapshot, Policy, SessionAuthentication};
use crate::state::State;
use crate::state::limits::Limiters;
use crate::state::store::{Kind, RevocationStore};
use crate::tls::ClientCertificate;
use crate::values::Endpoint;
use crate::values::RequestContext;
use crate::values::UnixTime;
use crate::values::UserKey;
use crate::values::{Reason, Refusal, RequestKind};

/// How long a listing waits for sessions to publish their counters. A session that did not run in that time
/// is listed with the counters of an earlier listing.
const PUBLISH_WITHIN: Duration = Duration::from_millis(100);
/// Interval at which a listing checks whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The registry of sessions. Its lock is held only while an entry is added or removed, or the list is
/// copied, never across an await.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<RegistryInner>>);

#[derive(Debug, Default)]
struct RegistryInner {
    next: u64,
    /// The numbers of sessions and of plain requests.
    open: [usize; 2],
    /// In the order in which they entered.
    by_number: BTreeMap<u64, Arc<SessionRecord>>,
    /// The expiry of client certificates, and the number of the session that each opened.
    by_end: BTreeSet<(SystemTime, u64)>,
    /// Set once all sessions are to end: a session that enters later ends at once.
    ending: Option<Reason>,
    /// The routes whose messages are observed.
    observed: Vec<Observed>,
}

/// The serial number of the next record.
static SERIALS: AtomicU32 = AtomicU32::new(0);

/// The registry's record of a session, or of a plain request that lasts.
#[derive(Debug)]
pub(crate) struct SessionRecord {
    /// Different for each record; the id may be a client's own.
    serial: u32,
    pub(super) id: Box<str>,
    pub(super) route: Arc<str>,
    pub(super) subprotocol: Option<Box<str>>,
    /// Empty until an upstream is chosen.
    pub(super) upstream: OnceLock<Arc<str>>,
    /// Whether it is a session or a plain request.
    pub(super) kind: RequestKind,
    pub(super) peer: std::net::SocketAddr,
    pub(super) since: UnixTime,
    /// When the session began; the log computes its duration from this.
    pub(super) began: Instant,
    /// `None`: the session has no token.
    pub(super) tokens: Mutex<Option<Box<SessionTokens>>>,
    pub(super) mailbox: Mailbox,
    /// The facts of its handshake that a review needs.
    pub(super) snapshot: HandshakeSnapshot,
    /// The token is not in the handshake but in the first message.
    awaited: bool,
    /// Whether a program or a page caused the handshake, and whether a proxy rewrote it.
    pub(super) context: RequestContext,
    /// The generation whose reload took its server from its route; 0: it is a server of its route.
    removed_by: AtomicU32,
}

/// A session's entry in the registry; removed when dropped.
#[derive(Debug)]
pub(crate) struct RegistryEntry {
    sessions: Sessions,
    number: u64,
    record: Arc<SessionRecord>,
}

/// The outcome of [`Sessions::review`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reviewed {
    /// The number of sessions that were told to end.
    pub(crate) ended: usize,
    /// The number of sessions whose server left their route, and which were not marked before.
    pub(crate) removed: usize,
}

/// Sessions that match a filter, as [`Sessions::list`] found them.
#[derive(Debug)]
pub struct Listing {
    /// The number of matching sessions.
    pub matching: usize,
    /// The oldest of them, at most as many as requested.
    pub sessions: Vec<Summary>,
}

impl Sessions {
    /// Adds a session. Its mailbox gets the reason for which the gateway ends it.
    pub(crate) fn enter(&self, description: Description) -> RegistryEntry {
        let record = Arc::new(SessionRecord::new(description));
        let mut live = self.locked();
        let number = live.next;
        live.next += 1;
        live.open[record.kind as usize] += 1;
        match live.ending {
            Some(reason) if record.kind == RequestKind::WebSocket => record.mailbox.stop(reason),
            _ => drop(live.by_number.insert(number, Arc::clone(&record))),
        }
        if let Some(end) = record.ends() {
            live.by_end.insert((end, number));
        }
        if let Some(observed) = live.observed.iter().find(|observed| observed.has(&record)) {
            observed.show(&record);
        }
        drop(live);
        RegistryEntry { sessions: self.clone(), number, record }
    }

    /// The number of sessions, including those that are ending.
    #[must_use]
    pub fn count(&self) -> usize {
        self.locked().open[RequestKind::WebSocket as usize]
    }

    /// The number of plain requests in the registry, including those that are ending.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.locked().open[RequestKind::Http as usize]
    }

    /// The number of sessions on each route, without those that were told to end.
    #[must_use]
    pub fn by_route(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, record) in self.all_of(RequestKind::WebSocket) {
            match counts.get_mut(&*record.route) {
                Some(count) => *count += 1,
                None => drop(counts.insert(record.route.to_string(), 1)),
            }
        }
        counts
    }

    /// The counters of each route's sessions, without those that were told to end. Wakes every session.
    pub(crate) async fn counters(&self) -> BTreeMap<Arc<str>, RouteCounters> {
        let records = self.all_of(RequestKind::WebSocket);
        publish(&records).await;
        let mut routes = BTreeMap::<_, RouteCounters>::new();
        for (_, record) in records {
            let route = routes.entry(Arc::clone(&record.route)).or_default();
            let (client, upstream) = record.mailbox.counters();
            route.sessions += 1;
            route.client += client;
            route.upstream += upstream;
        }
        routes
    }

    /// Whether all sessions are to end.
    #[must_use]
    pub fn are_ending(&self) -> bool {
        self.locked().ending.is_some()
    }

    /// Lists the matching sessions that were not told to end, at most `limit` of them, with their present
    /// counters.
    pub async fn list(&self, filter: &Filter, limit: usize) -> Listing {
        let mut records = self.matching(filter);
        let matching = records.len();
        records.truncate(limit);
        publish(&records).await;
        // A session may have been told to end in the meantime.
        let lasting = records.iter().filter(|(_, record)| !record.mailbox.is_stopped());
        let sessions = lasting.map(|(_, record)| record.summary()).collect();
        Listing { matching, sessions }
    }

    /// Tells every matching session to end. Returns their number.
    pub(crate) fn kick(&self, filter: &Filter, reason: Reason) -> usize {
        let mut matching = self.matching(filter);
        let mut live = self.locked();
        // A session that ended in the meantime has no entry any more.
        matching.retain(|(number, _)| live.by_number.remove(number).is_some());
        drop(live);
        for (_, record) in &matching {
            record.mailbox.stop(reason);
        }
        matching.len()
    }

    /// Ends the sessions with a client certificate that has expired at `now`. The caller reads the wall
    /// clock for each call, so that a change of the clock takes effect.
    pub(crate) fn end_expired(&self, now: SystemTime) {
        let mut live = self.locked();
        let over: Vec<u64> = live
            .by_end
            .iter()
            .take_while(|(end, _)| *end <= now)
            .map(|(_, number)| *number)
            .collect();
        // A session without an entry was told to end for another reason.
        let over: Vec<_> = over.iter().filter_map(|number| live.by_number.remove(number)).collect();
        drop(live);
        for record in over {
            record.mailbox.stop(Reason::CertificateExpired);
        }
    }

    /// Tells every session to end, evenly spread over `spread`, so that not all clients reconnect in the
    /// same moment; a session that enters later is told at once. Until its turn a session stays in the registry, where
    /// a ban, a kick or a review finds it.
    pub async fn end_all(&self, reason: Reason, spread: Duration) {
        let numbers: Vec<u64> = {
            let mut live = self.locked();
            live.ending = Some(reason);
            let sessions =
                live.by_number.iter().filter(|(_, record)| record.kind == RequestKind::WebSocket);
            sessions.map(|(number, _)| *number).collect()
        };
        let Ok(count) = u32::try_from(numbers.len().max(1)) else {
            return;
        };
        let start = tokio::time::Instant::now();
        for (position, number) in (0..count).zip(numbers) {
            tokio::time::sleep_until(start + spread * position / count).await;
            // A session that ended in the meantime has no entry any more.
            let record = self.locked().by_number.remove(&number);
            if let Some(record) = record {
                record.mailbox.stop(reason);
            }
        }
    }

    /// Tells every matching session to end, evenly spread over `over`, and at the end of that time those that
    /// entered meanwhile. Dropping the future stops the drain: sessions that were not told stay. Returns the
    /// number of sessions that were told.
    pub async fn drain(&self, filter: &Filter, reason: Reason, over: Duration) -> usize {
        let end = tokio::time::Instant::now() + over;
        let mut told = 0;
        loop {
            let matching = self.matching(filter).into_iter().map(|(number, _)| number);
            let matching: Vec<u64> = matching.collect();
            let begin = tokio::time::Instant::now();
            if matching.is_empty() && begin >= end {
                return told;
            }
            let left = end.saturating_duration_since(begin);
            let count = u32::try_from(matching.len().max(1)).unwrap_or(u32::MAX);
            for (position, number) in (0..count).zip(matching) {
                // In the middle of its share of the time, so that a drain that is soon stopped ends no session.
                let due = begin + left * position / count + left / count / 2;
                tokio::time::sleep_until(due).await;
                let record = self.locked().by_number.get(&number).cloned();
                let lasting = record.filter(|record| !record.mailbox.is_stopped());
                if let Some(record) = lasting.filter(|record| filter.matches(record)) {
                    record.mailbox.stop(reason);
                    told += 1;
                }
            }
            tokio::time::sleep_until(end).await;
        }
    }

    /// The number of matching sessions that are open, also of those that a drain told to end.
    pub(crate) fn open(&self, filter: &Filter) -> usize {
        let records: Vec<_> = self.locked().by_number.values().cloned().collect();
        records.iter().filter(|record| filter.matches(record)).count()
    }

    /// Reviews every session under the configuration `in_force`: the session gets the new terms of its route and
    /// its user, or is told to end. It is marked if its server is not one of its route any more; sessions of a
    /// server that an operator drains are left to that drain.
    pub(crate) fn review(&self, in_force: &InForce, state: &State) -> Reviewed {
        let mut reviewed = Reviewed { ended: 0, removed: 0 };
        for (number, record) in self.all() {
            match record.amend(&in_force.policy, state.limiters()) {
                Ok(route) => {
                    let is_left = record.server().is_none_or(|server| {
                        in_force.dialer.serves(&route, server) || state.drains().has_server(server)
                    });
                    let generation = if is_left { 0 } else { in_force.generation };
                    reviewed.removed += usize::from(record.mark_removed(generation));
                }
                // A session that ended in the meantime has no entry any more.
                Err(reason) => {
                    if self.locked().by_number.remove(&number).is_some() {
                        record.mailbox.stop(reason);
                        reviewed.ended += 1;
                    }
                }
            }
        }
        reviewed
    }

    /// Shows the messages of one peer of each session of a route to `observation`, of open sessions and of those that
    /// begin, until the returned value is dropped. `None`: the route is observed already.
    pub(crate) fn observe(
        &self,
        route: &Arc<str>,
        from: Endpoint,
        observation: &Arc<Observation>,
    ) -> Option<ObservedRoute> {
        let mut live = self.locked();
        if live.observed.iter().any(|observed| observed.route == *route) {
            return None;
        }
        let observed =
            Observed { route: Arc::clone(route), from, observation: Arc::clone(observation) };
        live.by_number
            .values()
            .filter(|record| observed.has(record))
            .for_each(|record| observed.show(record));
        live.observed.push(observed);
        drop(live);
        Some(ObservedRoute { sessions: self.clone(), route: Arc::clone(route) })
    }

    /// Ends an observation.
    pub(super) fn stop_observing(&self, route: &str) {
        let mut live = self.locked();
        live.observed.retain(|observed| &*observed.route != route);
        let of_route = live.by_number.values().filter(|record| &*record.route == route);
        of_route.for_each(|record| record.mailbox.observe(Observers::default()));
    }

    /// Those of one kind.
    fn all_of(&self, kind: RequestKind) -> Vec<(u64, Arc<SessionRecord>)> {
        let mut records = self.all();
        records.retain(|(_, record)| record.kind == kind);
        records
    }

    fn matching(&self, filter: &Filter) -> Vec<(u64, Arc<SessionRecord>)> {
        let mut records = self.all();
        records.retain(|(_, record)| filter.matches(record));
        records
    }

    /// The sessions that were not told to end. The list is copied first: matching takes longer than the
    /// lock may be held.
    fn all(&self) -> Vec<(u64, Arc<SessionRecord>)> {
        let live = self.locked();
        let lasting = live.by_number.iter().filter(|(_, record)| !record.mailbox.is_stopped());
        lasting.map(|(number, record)| (*number, Arc::clone(record))).collect()
    }

    fn locked(&self) -> MutexGuard<'_, RegistryInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the sessions, and waits until they have published their counters, `PUBLISH_WITHIN` at most.
async fn publish(records: &[(u64, Arc<SessionRecord>)]) {
    for (_, record) in records {
        record.mailbox.request_counters();
    }
    let deadline = tokio::time::Instant::now() + PUBLISH_WITHIN;
    while records.iter().any(|(_, record)| record.mailbox.are_counters_requested())
        && tokio::time::Instant::now() < deadline
    {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl SessionRecord {
    fn new(description: Description) -> Self {
        let Description {
            request_id,
            kind,
            route,
            subprotocol,
            upstream,
            peer,
            since,
            tokens,
            snapshot,
            awaited,
            context,
        } = description;
        Self {
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            id: request_id.into_boxed_str(),
            kind,
            route,
            subprotocol: subprotocol.map(String::into_boxed_str),
            upstream: upstream.map_or_else(OnceLock::new, OnceLock::from),
            peer,
            since: UnixTime::from(since),
            began: Instant::now(),
            tokens: Mutex::new(tokens.map(Box::new)),
            mailbox: Mailbox::default(),
            snapshot,
            awaited,
            context,
            removed_by: AtomicU32::new(0),
        }
    }

    pub(super) fn tokens(&self) -> MutexGuard<'_, Option<Box<SessionTokens>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionRecord {
    /// The expiry of its client certificate; `None`: the client showed none.
    fn ends(&self) -> Option<SystemTime> {
        self.snapshot.certificate().map(ClientCertificate::ends)
    }

    /// Returns the route by which `policy` would admit the session, or the reason for refusing it.
    pub(crate) fn review(&self, policy: &Policy) -> Result<Arc<Route>, Refusal> {
        self.judge(policy, self.tokens().as_deref())
    }

    /// Gives the session the terms of its route and its user under `policy`, or returns the reason for
    /// which it may not go on. Holds the lock of the tokens, so that user and terms cannot diverge.
    fn amend(&self, policy: &Policy, limiters: &Limiters) -> Result<Arc<Route>, Reason> {
        let tokens = self.tokens();
        let route = self.judge(policy, tokens.as_deref()).map_err(|refusal| refusal.reason)?;
        if self.kind == RequestKind::WebSocket {
            self.mailbox.amend(terms(&self.id, self.serial, &route, tokens.as_deref(), limiters));
        }
        Ok(route)
    }

    /// Its server as the configuration names it; `None`: it has none yet.
    pub(super) fn server(&self) -> Option<&str> {
        self.upstream.get().map(|name| configured_server(name))
    }

    /// Whether its server left its route with the reload of this generation.
    pub(super) fn is_removed_by(&self, generation: u64) -> bool {
        self.removed_by.load(Ordering::Relaxed) == short(generation)
    }

    /// Notes the generation whose reload took the server from the route; the first one stays. 0: the server is one
    /// of the route. Returns whether it is news that the server was taken.
    fn mark_removed(&self, generation: u64) -> bool {
        if generation == 0 {
            self.removed_by.store(0, Ordering::Relaxed);
            return false;
        }
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.removed_by.compare_exchange(0, short(generation), set, get).is_ok()
    }

    /// Gives the session the terms of `route` and of its tokens.
    pub(super) fn amend_on(&self, route: &Arc<Route>, limiters: &Limiters) {
        let tokens = self.tokens();
        self.mailbox.amend(terms(&self.id, self.serial, route, tokens.as_deref(), limiters));
    }

    /// The terms of the session on `route`, before it runs.
    pub(super) fn terms(&self, route: &Arc<Route>, limiters: &Limiters) -> Terms {
        terms(&self.id, self.serial, route, self.tokens().as_deref(), limiters)
    }

    fn judge(
        &self,
        policy: &Policy,
        tokens: Option<&SessionTokens>,
    ) -> Result<Arc<Route>, Refusal> {
        let authentication = match tokens {
            Some(SessionTokens { principal, claims, .. }) => {
                SessionAuthentication::Identified { issuer: principal.user.issuer(), claims }
            }
            None if self.awaited => SessionAuthentication::Awaited,
            None => SessionAuthentication::Anonymous,
        };
        policy.checks(self.peer.ip()).review(self.kind, &self.snapshot, authentication)
    }

    /// The user that the session's token names, if it has one.
    pub(crate) fn user(&self) -> Option<UserKey> {
        self.tokens().as_deref().map(|tokens| tokens.principal.user.clone())
    }

    /// Replaces the token after the client handed in a newer one of the same user.
    pub(super) fn renew(&self, mut tokens: SessionTokens) {
        let mut held = self.tokens();
        if let Some(before) = held.take() {
            tokens.follow(*before);
        }
        *held = Some(Box::new(tokens));
    }

    /// Tells the session to end if its token or an earlier one is revoked. A revocation is stored before
    /// sessions are searched, and a session is registered before this check, so that none slips through.
    pub(super) fn end_if_revoked(&self, revocations: &dyn RevocationStore, now: UnixTime) {
        let revoked = self.tokens().as_ref().is_some_and(|tokens| {
            revocations.is_revoked(Kind::User, tokens.principal.user.user(), now)
                || tokens.ids().any(|id| revocations.is_revoked(Kind::Token, id, now))
        });
        if revoked {
            self.mailbox.stop(Reason::TokenRevoked);
        }
    }
}

/// The generation in four bytes, which take no memory of their own in a [`SessionRecord`].
fn short(generation: u64) -> u32 {
    u32::try_from(generation).unwrap_or(u32::MAX)
}

impl RegistryEntry {
    /// The registry's record of the session.
    pub(crate) fn record(&self) -> &Arc<SessionRecord> {
        &self.record
    }

    /// Tells the session to end.
    pub(crate) fn end(&self, reason: Reason) {
        self.record.mailbox.stop(reason);
    }

    /// Sets the token of the session, before it runs. Follow it with [`SessionRecord::end_if_revoked`]
    /// and with a review by the policy in force: reloads up to now reviewed a session without a user.
    pub(crate) fn introduce(&self, tokens: SessionTokens) {
        let mut held = self.record.tokens();
        *held = Some(Box::new(tokens));
        self.record.mailbox.withdraw_terms();
    }

    /// Sets the upstream of the session, before it runs.
    pub(crate) fn connected(&self, upstream: Option<&Arc<str>>) {
        if let Some(upstream) = upstream {
            // It was set at registration, unless the token came in the first message.
            let _ = self.record.upstream.set(Arc::clone(upstream));
        }
    }
}

impl Drop for RegistryEntry {
    fn drop(&mut self) {
        let mut live = self.sessions.locked();
        live.open[self.record.kind as usize] -= 1;
        live.by_number.remove(&self.number);
        if let Some(end) = self.record.ends() {
            live.by_end.remove(&(end, self.number));
        }
    }
}

#[cfg(test)]
impl SessionRecord {
    /// Whether it was told to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.mailbox.is_stopped()
    }
}

#[cfg(test)]
mod tests;
