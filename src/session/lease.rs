//! How long a session may last: what its token allows, and how a newer one is taken.

use std::sync::Arc;

use super::registry::Entry;
use crate::config::{Auth, Issuer, OnExpiry};
use crate::gateway::Gateway;
use crate::moment::Moment;
use crate::policy::{Admission, Standing, Trace};
use crate::refusal::Reason;
use crate::relay::{Lease, Renewal, Verifying};
use crate::token::Identity;

/// The lease of a session that was admitted so.
pub(super) fn of(
    gateway: &Arc<Gateway>,
    admission: &Admission,
    entry: &Arc<Entry>,
    request_id: &str,
) -> Lease {
    let (Standing::Identified(identity), Auth::Jwt(issuer)) =
        (admission.standing(), &admission.route().auth)
    else {
        return Lease::default();
    };
    let expires = ends(issuer).then(|| identity.expires());
    let renewal = admission.route().refresh.as_ref().map(|member| Renewal {
        member: Arc::from(member.as_str()),
        verify: verify(gateway, issuer, entry, identity, request_id),
    });
    Lease { expires, renewal }
}

fn ends(issuer: &Issuer) -> bool {
    issuer.on_expiry == OnExpiry::Close
}

fn verify(
    gateway: &Arc<Gateway>,
    issuer: &Arc<Issuer>,
    entry: &Arc<Entry>,
    identity: &Identity,
    request_id: &str,
) -> Box<dyn Fn(String) -> Verifying + Send> {
    let (gateway, issuer, entry) = (Arc::clone(gateway), Arc::clone(issuer), Arc::clone(entry));
    let user: Arc<str> = Arc::from(identity.user());
    let request_id: Arc<str> = Arc::from(request_id);
    Box::new(move |token| {
        let (gateway, issuer) = (Arc::clone(&gateway), Arc::clone(&issuer));
        let entry = Arc::clone(&entry);
        let (user, request_id) = (Arc::clone(&user), Arc::clone(&request_id));
        Box::pin(async move {
            let renewed = renew(&gateway, &issuer, &user, &token).await;
            if let Ok(identity) = &renewed {
                entry.identify(identity.into());
                entry.end_if_revoked(&*gateway.revocations, Moment::now());
            }
            let result = renewed.as_ref().err().map_or("renewed", |reason| reason.name());
            tracing::info!(
                event = "token.renewal",
                request_id = &*request_id,
                result,
                "a client handed in a new token"
            );
            renewed.map(|identity| identity.expires())
        })
    })
}

/// A newer token must verify, and name the same user.
async fn renew(
    gateway: &Gateway,
    issuer: &Issuer,
    user: &str,
    token: &str,
) -> Result<Identity, Reason> {
    let in_force = gateway.in_force();
    let identified = in_force.policy.identify(issuer, token, &mut Trace::off()).await;
    let identity = identified.map_err(|refusal| refusal.reason)?;
    if identity.user() != user {
        return Err(Reason::ClaimsDenied);
    }
    Ok(identity)
}
