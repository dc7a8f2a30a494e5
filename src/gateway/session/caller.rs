//! An admitted client that is to be connected to an upstream.

use std::sync::Arc;

use tokio::time::Instant;

use crate::gateway::runtime::InForce;
use crate::gateway::upstream::{self, Affinity, AnswerDeadlines, Failure, Upstream};
use crate::handshake::{ClientAddress, Letters, Peer, Provenance, UpgradeRequest};
use crate::journal::{Journal, Subject};
use crate::policy::{Admission, Authentication};
use crate::tls::ClientCertificate;

/// The request and the addresses of an admitted client, and the configuration that admitted it.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) request: UpgradeRequest,
    pub(crate) peer: Peer,
    pub(crate) client: ClientAddress,
    /// The letter case of the request's field names.
    pub(crate) letters: Letters,
    pub(crate) affinity: Affinity,
    /// The configuration that admitted the client.
    pub(crate) in_force: Arc<InForce>,
}

impl Caller {
    /// Connects to an upstream of the admitted route. `subject` names that upstream from then on.
    pub(crate) async fn connect(
        &self,
        journal: &Journal,
        admission: &Admission,
        subject: &mut Subject,
        deadline: Instant,
    ) -> Result<Upstream, Failure> {
        let Subject { request_id, upstream, .. } = subject;
        let token = match admission.authentication() {
            Authentication::Identified(token) => Some(token),
            Authentication::Anonymous | Authentication::Awaited(_) => None,
        };
        let claims = token.map_or(Vec::new(), |token| self.in_force.policy.forwarded(token));
        let user = token.map(|token| &token.principal().user);
        let certificate = admission.snapshot().certificate();
        let provenance = Provenance {
            peer: &self.peer,
            client: &self.client,
            request_id,
            claims: &claims,
            owned: self.in_force.policy.owned_fields(),
            certificates: certificate.map_or(&[], ClientCertificate::chain),
            letters: &self.letters,
            fields: &self.in_force.server.fields,
        };
        let allowance = AnswerDeadlines { deadline, whole: self.in_force.server.handshake_timeout };
        let (address, dialer) = (self.client.address.ip(), &self.in_force.dialer);
        let turns = dialer.turns(admission.route(), &self.affinity, address, user, deadline).await;
        let request = &self.request;
        upstream::connect(turns, journal, admission, request, provenance, upstream, allowance).await
    }
}
