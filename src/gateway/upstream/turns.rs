//! The servers of a route in the order in which one request tries them: by `balance`, then by their health.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use http::header::{COOKIE, HeaderValue};
use percent_encoding::percent_decode_str;
use tokio::time::timeout_at;

use super::AnswerDeadlines;
use super::attempt::now;
use super::balance::{Candidate, order};
use super::dial::Dialer;
use super::health::{self, Later, Member, Standing, ejected};
use super::load::{Need, NotQueued, Permits, Ticket, WaitEnd, WaitQueue};
use super::target::{DialTarget, share};
use crate::config::{Balance, HashKey, Route};
use crate::handshake::RequestHead;
use crate::journal::{Event, Journal};
use crate::state::drains::Drains;
use crate::values::{AddressKey, Reason, Refusal, UserKey, Wait};

/// The part of `handshake_timeout`, as a divisor, that a wait for a place leaves for the connection and the answer: a
/// handshake that begins later could only fail, and would take the place of one that does not.
const RESERVE: u32 = 4;

/// The part of a request that selects its server, where `balance` is the hash of a cookie, a query parameter or a
/// header field.
#[derive(Debug)]
pub(crate) struct Affinity(Option<Box<[u8]>>);

/// The servers of a route that a request has not tried yet. Servers are indices of `targets`.
pub(crate) struct Turns {
    targets: Arc<[DialTarget]>,
    order: vec::IntoIter<usize>,
    /// Those without a free place, for which the request is to wait.
    busy: Vec<usize>,
    /// Those that are passed over.
    resting: Vec<(Later, usize)>,
    /// Those that failed lately and have no free place.
    last: Vec<usize>,
    queue: Arc<WaitQueue>,
    /// The position of the request in the queue, once it has waited.
    ticket: Option<Ticket>,
    /// Whether a hash chooses.
    is_sticky: bool,
    route: Arc<str>,
    /// For each server whether it is passed over while others are left.
    ejected: Vec<bool>,
    /// Why there are none, if operators drain them.
    pub(super) drained: Option<Refusal>,
}

/// A server to try, and the permits for it.
pub(super) struct Turn<'a> {
    pub(super) target: &'a DialTarget,
    pub(super) permits: Permits,
}

impl Affinity {
    /// Reads it from the request as the client sent it: admission removes credentials.
    pub(crate) fn of(route: &Route, request: &RequestHead) -> Self {
        let Balance::Hash(key) = &route.cluster.balance else {
            return Self(None);
        };
        let value = match key {
            HashKey::Address | HashKey::User => None,
            HashKey::Cookie(name) => cookie(request, name),
            HashKey::Query(name) => parameter(request, name),
            HashKey::Field(name) => request.headers().get(name).map(HeaderValue::as_bytes),
        };
        Self(value.filter(|value| !value.is_empty()).map(Box::from))
    }

    /// The bytes to hash: the value; without one the user, if `balance` asks for it; otherwise the address.
    fn key(&self, balance: &Balance, address: IpAddr, user: Option<&UserKey>) -> Vec<u8> {
        let Balance::Hash(key) = balance else {
            return Vec::new();
        };
        match (&self.0, key, user) {
            (Some(value), _, _) => value.to_vec(),
            (None, HashKey::User, Some(user)) => user.to_string().into_bytes(),
            _ => AddressKey::from(address).to_string().into_bytes(),
        }
    }
}

/// The value of the first cookie of this name.
fn cookie<'r>(request: &'r RequestHead, name: &str) -> Option<&'r [u8]> {
    let lines = request.headers().get_all(COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        value.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii)
    })
}

/// The value of the first query parameter of this name, as the target spells it.
fn parameter<'r>(request: &'r RequestHead, name: &str) -> Option<&'r [u8]> {
    let (_, query) = request.target().split_once('?')?;
    query.split('&').find_map(|parameter| {
        let (given, value) = parameter.split_once('=')?;
        percent_decode_str(given).eq(name.bytes()).then_some(value.as_bytes())
    })
}

/// The servers of a cluster as the rule about their half sees them. Those that operators drain get no sessions, like
/// those that fail.
pub(super) fn members(targets: &[DialTarget], drains: &Drains, now: Instant) -> Vec<Member> {
    let member = |target: &DialTarget| {
        let Member { standing, backup } = target.member(now);
        let drained = drains.has_server(&target.server);
        Member { standing: if drained { Standing::Failing } else { standing }, backup }
    };
    targets.iter().map(member).collect()
}

impl Dialer {
    /// The servers of `route` for a request from `address`, by `user` if a token names one. At the start it waits for
    /// the first resolution of their names, for `dial_timeout` and until the `deadline` at most.
    pub(crate) async fn turns(
        &self,
        route: &Route,
        affinity: &Affinity,
        address: IpAddr,
        user: Option<&UserKey>,
        deadline: tokio::time::Instant,
    ) -> Turns {
        let limit = deadline.min(tokio::time::Instant::now() + route.cluster.dial_timeout);
        let targets = self.targets(route, limit).await;
        let balance = &route.cluster.balance;
        let now = now();
        let candidates: Vec<Candidate<'_>> =
            targets.iter().map(|target| target.candidate(now)).collect();
        let key = affinity.key(balance, address, user);
        let dice = || getrandom::u64().unwrap_or_default();
        let mut order = order(&candidates, balance, &key, dice);
        drop(candidates);
        let drained = self.drained(route);
        order.retain(|index| drained.is_none() && !self.drains.has_server(&targets[*index].server));
        let ejected = ejected(&members(&targets, &self.drains, now));
        Turns {
            targets,
            order: order.into_iter(),
            ejected,
            busy: Vec::new(),
            resting: Vec::new(),
            last: Vec::new(),
            queue: Arc::clone(self.queue()),
            ticket: None,
            is_sticky: matches!(balance, Balance::Hash(_)),
            route: Arc::clone(&route.name),
            drained,
        }
    }
}

impl Turns {
    /// The number of servers that were not tried yet.
    pub(super) fn left(&self) -> usize {
        self.order.len() + self.busy.len() + self.resting.len() + self.last.len()
    }

    /// The next server, with permits for one attempt. First those that are up and have a place; then the request
    /// waits for a place at one of the others. Those that failed lately come last, in the order of the times at which
    /// they would be tried again, and the request waits for them if they have no place. `None`: all were tried.
    ///
    /// Where a hash chooses, the request waits for the chosen server before it goes to another: a session must not
    /// move because its server is busy for a moment.
    ///
    /// # Errors
    /// No place came free in time, too many wait already, or the gateway stops.
    pub(super) async fn next(
        &mut self,
        need: Need,
        allowance: AnswerDeadlines,
        journal: &Journal,
    ) -> Result<Option<Turn<'_>>, Refusal> {
        let (index, permits) = loop {
            let turn = if !self.busy.is_empty() && (self.is_sticky || self.order.len() == 0) {
                self.wait(need, allowance, journal).await?
            } else if let Some(index) = self.order.next() {
                self.take(index, need, allowance)
            } else if let Some(index) = self.next_resting() {
                let permits = self.targets[index].load.take(need);
                if permits.is_none() {
                    self.last.push(index);
                }
                permits.map(|permits| (index, permits))
            } else if !self.last.is_empty() {
                self.wait(need, allowance, journal).await?
            } else {
                return Ok(None);
            };
            if let Some(turn) = turn {
                break turn;
            }
        };
        Ok(self.targets.get(index).map(|target| Turn { target, permits }))
    }

    /// Takes a server in its turn, unless it failed lately or has no free place.
    fn take(
        &mut self,
        index: usize,
        need: Need,
        allowance: AnswerDeadlines,
    ) -> Option<(usize, Permits)> {
        let target = &self.targets[index];
        if let Some(later) = target.health.rests(now(), !self.ejected[index]) {
            self.resting.push((later, index));
            return None;
        }
        let Some(permits) = target.load.take(need) else {
            self.busy.push(index);
            return None;
        };
        self.enter(index, permits, allowance)
    }

    /// Takes a server with a place, unless it failed lately.
    fn enter(
        &mut self,
        index: usize,
        permits: Permits,
        allowance: AnswerDeadlines,
    ) -> Option<(usize, Permits)> {
        // The present server counts among those that are left.
        let claim = share(allowance.deadline, self.left() + 1);
        match self.targets[index].health.turn(now(), now() + claim, !self.ejected[index]) {
            health::Turn::Now => Some((index, permits)),
            health::Turn::Later(later) => {
                self.resting.push((later, index));
                None
            }
        }
    }

    fn next_resting(&mut self) -> Option<usize> {
        let (soonest, _) = self.resting.iter().enumerate().min_by_key(|(_, (later, _))| *later)?;
        Some(self.resting.remove(soonest).1)
    }

    /// Waits for a place at one of the busy servers, or of those that failed lately if there are no others. `None`: the
    /// servers went down meanwhile, or the one that has a place did.
    async fn wait(
        &mut self,
        need: Need,
        allowance: AnswerDeadlines,
        journal: &Journal,
    ) -> Result<Option<(usize, Permits)>, Refusal> {
        let servers: Vec<_> = self.group().map(|target| Arc::clone(&target.load)).collect();
        let end = match self.queue.enter(need, &servers, self.ticket) {
            Ok(waiting) => {
                self.ticket = Some(waiting.ticket());
                let until = allowance.deadline - allowance.whole / RESERVE;
                match timeout_at(until, waiting).await {
                    Ok(end) => end,
                    Err(_elapsed) => {
                        return Err(self.refused("no place came free in time", journal));
                    }
                }
            }
            Err(NotQueued::Full) => {
                return Err(self.refused("no more requests may wait", journal));
            }
            Err(NotQueued::Stopping) => WaitEnd::Stopping,
        };
        let is_last = self.busy.is_empty();
        let targets = &self.targets;
        let group = if is_last { &mut self.last } else { &mut self.busy };
        match end {
            WaitEnd::Permits(load, permits) => {
                let at = group.iter().position(|index| Arc::ptr_eq(&targets[*index].load, &load));
                let Some(index) = at.map(|at| group.remove(at)) else {
                    return Ok(None);
                };
                if is_last {
                    // There is no other server, so that one that failed lately is tried all the same.
                    return Ok(Some((index, permits)));
                }
                Ok(self.enter(index, permits, allowance))
            }
            WaitEnd::Dismissed => {
                if group.iter().all(|index| targets[*index].load.is_removed()) {
                    return Err(self.refused("a reload removed its server", journal));
                }
                group.retain(|index| !targets[*index].load.is_removed());
                if !is_last {
                    let (now, ejected) = (now(), &self.ejected);
                    let later = |index: usize| {
                        let rests = targets[index].health.rests(now, !ejected[index]);
                        rests.unwrap_or(Later { is_failing: false, due: now })
                    };
                    self.resting.extend(group.drain(..).map(|index| (later(index), index)));
                }
                Ok(None)
            }
            WaitEnd::Stopping => {
                Err(Refusal::new(Reason::Shutdown, "while it waited for a place at a server"))
            }
        }
    }

    /// The servers that the request waits for.
    fn group(&self) -> impl Iterator<Item = &DialTarget> {
        let group = if self.busy.is_empty() { &self.last } else { &self.busy };
        group.iter().map(|index| &self.targets[*index])
    }

    /// The refusal of a request for which there is no place. Clients are to come back at different times, and the
    /// later the more of them wait.
    fn refused(&self, why: &str, journal: &Journal) -> Refusal {
        let shown: Vec<_> = self.group().map(|one| (&*one.name, one.load.shown())).collect();
        let details: Vec<_> = shown.iter().map(|(name, load)| format!("{name}: {load}")).collect();
        let waiting = shown.iter().map(|(_, load)| load.waiting).max().unwrap_or(0);
        if let Some(first) = self.group().next()
            && let Some(unlogged) = first.load.refused(now())
        {
            let (upstream, route) = (&*first.name, &*self.route);
            journal.record(Event::UpstreamBusy { upstream, route, waiting, unlogged });
        }
        let most = self.group().map(|target| target.load.most_waiting()).sum();
        let wait = come_back(waiting, most, getrandom::u32().unwrap_or_default());
        let detail = format!("{why} ({})", details.join("; "));
        Refusal::new(Reason::UpstreamBusy, detail).retry_after(wait)
    }
}

/// When a client is to come back while `waiting` of at most `most` requests wait: after a random time of 1 s up to 5 s, or
/// up to 30 s where as many wait as may.
fn come_back(waiting: usize, most: usize, dice: u32) -> Wait {
    let more = 25 * waiting.min(most) / most.max(1);
    let longest = 5 + u64::try_from(more).unwrap_or(25);
    Wait(Duration::from_secs(1 + u64::from(dice) % longest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::come_back;

    #[test]
    fn clients_come_back_at_different_times_and_later_the_more_wait() {
        for (waiting, most, longest) in [(0, 1000, 5), (500, 1000, 17), (1000, 1000, 30), (9, 0, 5)]
        {
            let times: BTreeSet<_> =
                (0..1000).map(|dice| come_back(waiting, most, dice).retry_after()).collect();
            assert_eq!(times, (1..=longest).collect(), "{waiting} of {most}");
        }
    }
}
