//! How long a session may last: what its token allows, and how a newer one is taken.

use std::sync::Arc;

use super::registry::{Entry, Record};
use crate::config::{Auth, Issuer, OnExpiry, RouteIssuers};
use crate::gateway::Gateway;
use crate::gateway::relay::{Lease, Renewal, Verifying};
use crate::journal::Event;
use crate::policy::token::Identity;
use crate::policy::{Admission, Shown, Standing, Trace};
use crate::values::Reason;
use crate::values::TokenPlace;
use crate::values::UnixTime;

/// The lease of a session that was admitted so.
pub(super) fn of(gateway: &Arc<Gateway>, admission: &Admission, entry: &Entry) -> Lease {
    let (Standing::Identified(identity), Auth::Jwt(issuers)) =
        (admission.standing(), &admission.route().auth)
    else {
        return Lease::default();
    };
    let ends = issuers.named(identity.issuer()).is_none_or(|issuer| ends(issuer));
    let expires = ends.then(|| identity.expires());
    let renewal = admission.route().refresh.as_ref().map(|member| Renewal {
        member: Arc::from(member.as_str()),
        verify: verify(gateway, issuers, entry.record()),
    });
    Lease { expires, renewal }
}

fn ends(issuer: &Issuer) -> bool {
    issuer.on_expiry == OnExpiry::Close
}

fn verify(
    gateway: &Arc<Gateway>,
    issuers: &RouteIssuers,
    record: &Arc<Record>,
) -> Box<dyn Fn(String) -> Verifying + Send> {
    let (gateway, issuers, record) = (Arc::clone(gateway), issuers.clone(), Arc::clone(record));
    Box::new(move |token| {
        let (gateway, issuers) = (Arc::clone(&gateway), issuers.clone());
        let record = Arc::clone(&record);
        Box::pin(async move {
            let renewed = renew(&gateway, &issuers, &record, &token).await;
            if let Ok(identity) = &renewed {
                record.identify(identity.into());
                record.end_if_revoked(&*gateway.revocations, UnixTime::now());
            }
            let result = renewed.as_ref().err().map_or("renewed", |reason| reason.name());
            let peer = record.peer.ip();
            gateway.journal.record(Event::TokenRenewal { request_id: &record.id, peer, result });
            renewed.map(|identity| identity.expires())
        })
    })
}

/// A newer token must verify, and name the same user.
async fn renew(
    gateway: &Gateway,
    issuers: &RouteIssuers,
    record: &Record,
    token: &str,
) -> Result<Identity, Reason> {
    let in_force = gateway.in_force();
    let shown = Shown { token, place: &TokenPlace::Message, context: record.context };
    let identified = in_force.policy.identify(issuers, shown, &mut Trace::off()).await;
    let identity = identified.map_err(|refusal| refusal.reason)?;
    if record.user().as_ref() != Some(identity.key()) {
        return Err(Reason::ClaimsDenied);
    }
    Ok(identity)
}
