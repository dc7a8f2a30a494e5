//! The servers of a route in the order in which one request tries them: by `balance`, then by their health.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use http::header::{COOKIE, HeaderValue};
use percent_encoding::percent_decode_str;

use super::attempt::now;
use super::balance::{Candidate, order};
use super::dial::Dialer;
use super::health::{Later, Member, Standing, Turn, ejected};
use super::target::DialTarget;
use crate::config::{Balance, HashKey, Route};
use crate::handshake::RequestHead;
use crate::state::drains::Drains;
use crate::values::{AddressKey, Refusal, UserKey};

/// The part of a request that selects its server, where `balance` is the hash of a cookie, a query parameter or a
/// header field.
#[derive(Debug)]
pub(crate) struct Affinity(Option<Box<[u8]>>);

/// The servers of a route that a request has not tried yet.
pub(crate) struct Turns {
    targets: Arc<[DialTarget]>,
    order: vec::IntoIter<usize>,
    /// For each server whether it is passed over while others are left.
    ejected: Vec<bool>,
    /// Those that are passed over.
    resting: Vec<(Later, usize)>,
    /// Why there are none, if operators drain them.
    pub(super) drained: Option<Refusal>,
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
        Turns { targets, order: order.into_iter(), ejected, resting: Vec::new(), drained }
    }
}

impl Turns {
    /// The number of servers that were not tried yet.
    pub(super) fn left(&self) -> usize {
        self.order.len() + self.resting.len()
    }

    /// The next server, which may be tried for the time `claim`. Those that are passed over come last: those that
    /// may work first, then in the order of the times at which they would be tried again.
    pub(super) fn next(&mut self, claim: Duration) -> Option<&DialTarget> {
        for index in self.order.by_ref() {
            let target = &self.targets[index];
            match target.health.turn(now(), now() + claim, !self.ejected[index]) {
                Turn::Now => return self.targets.get(index),
                Turn::Later(later) => self.resting.push((later, index)),
            }
        }
        let (soonest, _) = self.resting.iter().enumerate().min_by_key(|(_, (later, _))| *later)?;
        let (_, index) = self.resting.remove(soonest);
        self.targets.get(index)
    }
}
