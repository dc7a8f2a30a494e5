//! The settings that apply to a session: those of its route, its share of its user's rate, and the judges of its
//! messages.

use std::sync::Arc;
use std::time::Instant;

use super::about::SessionTokens;
use crate::config::Route;
use crate::gateway::relay::{Judges, Terms};
use crate::message::{Judge, MessageRules, RateOfType, SharedState, Types};
use crate::state::limits::{Limiters, MessageSource};
use crate::values::{Rate, UserKey};
use crate::wire::MessageJudge;

/// The terms of the session `id`, number `session`, on `route`, with the tokens that it has. It shares its user's rates with the user's
/// other sessions.
pub(super) fn terms(
    id: &str,
    session: u32,
    route: &Arc<Route>,
    tokens: Option<&SessionTokens>,
    limiters: &Limiters,
) -> Terms {
    let now = Instant::now();
    let user = tokens.map(|tokens| &tokens.principal.user);
    let rate = route.limits.messages_per_user.as_ref();
    let share = user.zip(rate).map(|(user, rate)| limiters.share(user, rate, now));
    let shared = SharedState::default();
    let judge = |rules: &Arc<MessageRules>| {
        // A session keeps no more than its messages need.
        let claims = tokens.filter(|_| rules.needs_claims()).map(|tokens| tokens.claims.read());
        let rates = rates(rules, &MessageSource::Session(session), user, limiters, now);
        let judge = Judge::new(Arc::clone(rules), claims, rates, id).sharing(&shared);
        Box::new(judge) as Box<dyn MessageJudge>
    };
    let followed = |rules: &&Arc<MessageRules>| route.replies.is_none() && rules.answers();
    let of_client = route.messages.as_ref().filter(followed);
    let judges = Judges {
        client: route.messages.as_ref().map(judge),
        upstream: route.replies.as_ref().map(judge),
        // The answers that the client gets from the gateway come between two packets of the application.
        follower: of_client.and_then(|rules| rules.protocol.as_ref()?.follower()),
    };
    Terms { route: Arc::clone(route), user: share, judges }
}

/// The rates of each type of messages.
pub(super) fn rates(
    rules: &MessageRules,
    session: &MessageSource,
    user: Option<&UserKey>,
    limiters: &Limiters,
    now: Instant,
) -> Vec<RateOfType> {
    let types = rules.types.iter().flat_map(Types::rules);
    if types.clone().all(|one| one.rate.is_none() && one.rate_per_user.is_none()) {
        return Vec::new();
    }
    let rates = types.map(|one| {
        let share = |sender, rate: Option<&Rate>| {
            rate.map(|rate| limiters.share_of(sender, &one.scope, rate, now))
        };
        RateOfType {
            // Kept by the limiters, so that a reload or a new token does not replenish it.
            session: share(session.clone(), one.rate.as_ref()),
            user: user.and_then(|user| {
                share(MessageSource::User(user.clone()), one.rate_per_user.as_ref())
            }),
        }
    });
    rates.collect()
}
