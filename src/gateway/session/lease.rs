//! The time for which a session's token admits it, and its renewal by a newer token.

use std::sync::Arc;

use super::SessionStarter;
use super::registry::{RegistryEntry, SessionRecord};
use crate::config::{Auth, Issuer, OnExpiry, Route};
use crate::gateway::relay::{Lease, Renewal, Verifying};
use crate::journal::Event;
use crate::policy::token::VerifiedToken;
use crate::policy::{Admission, Authentication, ShownToken};
use crate::values::{Principal, Reason, TokenPlace, UnixTime};

/// The lease of a session that `admission` admitted.
pub(super) fn for_session(
    starter: &Arc<SessionStarter>,
    admission: &Admission,
    entry: &RegistryEntry,
) -> Lease {
    let (Authentication::Identified(token), Auth::Jwt(issuers)) =
        (admission.authentication(), &admission.route().auth)
    else {
        return Lease::default();
    };
    let Principal { user, expires, .. } = token.principal();
    let ends = issuers.named(user.issuer()).is_none_or(|issuer| ends(issuer));
    let expires = ends.then_some(*expires);
    let renewal = admission.route().refresh.as_ref().map(|member| Renewal {
        member: Arc::from(member.as_str()),
        verify: verify(starter, admission.route(), entry.record()),
    });
    Lease { expires, renewal }
}

fn ends(issuer: &Issuer) -> bool {
    issuer.on_expiry == OnExpiry::Close
}

fn verify(
    starter: &Arc<SessionStarter>,
    route: &Arc<Route>,
    record: &Arc<SessionRecord>,
) -> Box<dyn Fn(String) -> Verifying + Send> {
    let starter = Arc::clone(starter);
    let route = Arc::clone(route);
    let record = Arc::clone(record);
    Box::new(move |token| {
        let starter = Arc::clone(&starter);
        let route = Arc::clone(&route);
        let record = Arc::clone(&record);
        Box::pin(async move {
            let renewed = renew(&starter, &route, &record, &token).await;
            if let Ok(token) = &renewed {
                record.renew(token.into());
                starter.amend(&record);
                record.end_if_revoked(&**starter.state.revocations(), UnixTime::now());
            }
            let result = renewed.as_ref().err().map_or("renewed", |reason| reason.name());
            let peer = record.peer.ip();
            let request_id = &record.id;
            let journal = starter.reporter.journal();
            journal.record(Event::TokenRenewal { request_id, peer, result });
            renewed.map(|token| token.principal().expires)
        })
    })
}

/// Verifies a newer token, which must name the same user.
async fn renew(
    starter: &SessionStarter,
    route: &Arc<Route>,
    record: &SessionRecord,
    token: &str,
) -> Result<VerifiedToken, Reason> {
    let in_force = starter.current.get();
    let shown = ShownToken { token, place: &TokenPlace::Message, context: record.context };
    let identified = in_force.policy.checks(record.peer.ip()).identify(route, shown).await;
    let token = identified.map_err(|refusal| refusal.reason)?;
    if record.user().as_ref() != Some(&token.principal().user) {
        return Err(Reason::ClaimsDenied);
    }
    Ok(token)
}
