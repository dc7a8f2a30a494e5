//! Runs the list of checks for one client, stops at the first refusal, and keeps a trace if one is
//! requested. All ways of admission use this runner.

use std::net::IpAddr;
use std::sync::Arc;

use super::certificate::ShownCertificate;
use super::checks::{Check, CheckOutcome, Phase, Run};
use super::context::{CheckContext, Findings, Handshake, missing};
use super::exchange::{ExchangeAdmission, Room};
use super::review::{HandshakeSnapshot, SessionAuthentication};
use super::route::Found;
use super::token::VerifiedToken;
use super::{
    AddressAdmission, Admission, Arrival, Authentication, PlainAdmission, Policy, ShownToken,
    UserAdmission,
};
use super::{Step, Trace, credential, subprotocols};
use crate::config::{Auth, Route};
use crate::handshake::{RequestHead, UpgradeRequest};
use crate::state::State;
use crate::values::{Refusal, RequestKind, UserKey};

/// The checks of a policy for the client at one address. Each method runs the next phases of the list.
#[derive(Debug)]
pub struct Checks<'p> {
    policy: &'p Policy,
    address: IpAddr,
    trace: Trace,
}

impl Policy {
    /// Starts the checks of a client.
    #[must_use]
    pub fn checks(&self, address: IpAddr) -> Checks<'_> {
        Checks { policy: self, address, trace: Trace::off() }
    }

    /// Starts the checks of a client, and records each check as a step.
    #[must_use]
    pub fn traced(&self, address: IpAddr) -> Checks<'_> {
        Checks { policy: self, address, trace: Trace::on() }
    }
}

impl<'p> Checks<'p> {
    /// The trace, for steps that are not checks.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// The steps so far.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        self.trace.into_steps()
    }

    /// Admits the address: firewall, bans, limits. A connection of a trusted proxy itself is checked
    /// only against the firewall's rules, since all its clients would share bans and limits.
    pub fn admit_address(&mut self, state: &State) -> Result<AddressAdmission, Refusal> {
        let mut cx = self.context();
        cx.facts.state = Some(state);
        self.run(Phase::Address, &mut cx)?;
        AddressAdmission::new(cx.found)
    }

    /// Admits the address of a plain request that a trusted proxy forwards. It counts as no handshake: a page makes
    /// many requests.
    pub fn admit_plain_address(&mut self, state: &State) -> Result<AddressAdmission, Refusal> {
        let mut cx = self.context();
        cx.facts.state = Some(state);
        cx.facts.is_plain = true;
        self.run(Phase::Address, &mut cx)?;
        AddressAdmission::new(cx.found)
    }

    /// Checks the client certificate as the TLS handshake does.
    pub fn check_certificate(&mut self, certificate: ShownCertificate<'_>) -> Result<(), Refusal> {
        let mut cx = self.context();
        cx.facts.certificate = Some(certificate);
        self.run(Phase::Certificate, &mut cx)
    }

    /// Admits one request of a connection whose address was admitted.
    pub fn admit_exchange<'a>(
        &mut self,
        address: &'a AddressAdmission,
        state: &State,
        room: Room,
    ) -> Result<ExchangeAdmission<'a>, Refusal> {
        let mut cx = self.context();
        cx.facts.state = Some(state);
        cx.facts.room = Some(room);
        cx.found.is_proxy = address.is_proxy();
        self.run(Phase::Exchange, &mut cx)?;
        Ok(ExchangeAdmission::new(address))
    }

    /// Finds the route of a request. The log names the route from here on.
    pub fn route(
        &mut self,
        request: &RequestHead,
        arrival: Arrival<'_>,
    ) -> Result<Arc<Route>, Refusal> {
        let mut cx = self.context();
        cx.facts.handshake = Some(Handshake::Live { request, arrival });
        self.run(Phase::Route, &mut cx)?;
        cx.route().cloned()
    }

    /// Admits a handshake to its route. Then every place that may carry a token, and Authorization, is
    /// emptied, except for the token itself if the configuration forwards it to the upstream. If the
    /// token comes in the first message, the admission is [`Authentication::Awaited`].
    pub async fn admit(
        &mut self,
        route: Arc<Route>,
        request: &mut RequestHead,
        arrival: Arrival<'_>,
    ) -> Result<Admission, Refusal> {
        let found = self.check_head(&route, request, arrival).await?;
        let origin = found.origin.ok_or_else(missing)?;
        let context = found.request.ok_or_else(missing)?;
        let authentication = found.authentication.ok_or_else(missing)?;
        let snapshot = HandshakeSnapshot::new(request, arrival, origin.into_origin());
        let offered = request.subprotocols().len();
        let mut paired = None;
        if let Auth::Jwt(issuers) = &route.auth {
            let issuer = issuers.first();
            paired = credential::paired(&issuer.token_from, issuer.forward_token, request);
        }
        empty_credentials(&route, request);
        let carried = request.subprotocols().len() < offered;
        let (subprotocols, unlisted) = subprotocols::listed(&route, request);
        Ok(Admission {
            route,
            snapshot,
            subprotocols,
            unlisted,
            carried,
            paired,
            authentication,
            context,
        })
    }

    /// Counts a plain request of the address, before anything else of it is looked at. Returns the refusals that
    /// report mode let through.
    pub fn charge_request(&mut self, state: &State) -> Result<Vec<Refusal>, Refusal> {
        let mut cx = self.context();
        cx.facts.state = Some(state);
        self.run(Phase::Request, &mut cx)?;
        Ok(cx.found.let_through)
    }

    /// Admits a plain request to its route, by the same checks. Its credentials are emptied as those of a
    /// handshake.
    pub async fn admit_plain(
        &mut self,
        route: Arc<Route>,
        request: &mut RequestHead,
        arrival: Arrival<'_>,
        state: &State,
    ) -> Result<PlainAdmission, Refusal> {
        let mut cx = self.context();
        cx.facts.state = Some(state);
        cx.found.route = Some(Found { route: &route, host: None });
        self.run(Phase::RouteRequest, &mut cx)?;
        let mut let_through = cx.found.let_through;
        let found = self.check_head(&route, request, arrival).await?;
        let token = match found.authentication.ok_or_else(missing)? {
            Authentication::Anonymous => None,
            Authentication::Identified(token) => Some(token),
            Authentication::Awaited(_) => return Err(missing()),
        };
        if let Some(token) = &token {
            let mut cx = self.context();
            cx.facts.state = Some(state);
            cx.facts.user = Some(&token.principal().user);
            cx.found.route = Some(Found { route: &route, host: None });
            self.run(Phase::UserRequest, &mut cx)?;
            let_through.extend(cx.found.let_through);
        }
        empty_credentials(&route, request);
        Ok(PlainAdmission { route, token, let_through })
    }

    /// Runs the phases of the head and of its token.
    async fn check_head<'a>(
        &mut self,
        route: &'a Arc<Route>,
        request: &'a RequestHead,
        arrival: Arrival<'a>,
    ) -> Result<Findings<'a>, Refusal>
    where
        'p: 'a,
    {
        let mut cx = self.context();
        cx.facts.handshake = Some(Handshake::Live { request, arrival });
        cx.found.route = Some(Found { route, host: None });
        self.run(Phase::Head, &mut cx)?;
        if cx.found.authentication.is_none() {
            self.run_waiting(Phase::Token, &mut cx).await?;
        }
        Ok(cx.found)
    }

    /// Verifies a token that came in a message: the first one, or a renewal.
    pub async fn identify(
        &mut self,
        route: &Arc<Route>,
        shown: ShownToken<'_>,
    ) -> Result<VerifiedToken, Refusal> {
        let mut cx = self.context();
        cx.facts.shown = Some(shown);
        cx.found.route = Some(Found { route, host: None });
        self.run_waiting(Phase::Token, &mut cx).await?;
        match cx.found.authentication {
            Some(Authentication::Identified(token)) => Ok(token),
            _ => Err(missing()),
        }
    }

    /// Admits one more session of a user.
    pub fn admit_user(&mut self, user: &UserKey, state: &State) -> Result<UserAdmission, Refusal> {
        let mut cx = self.context();
        cx.facts.state = Some(state);
        cx.facts.user = Some(user);
        self.run(Phase::User, &mut cx)?;
        let permit = cx.found.user_permit.ok_or_else(missing)?;
        Ok(UserAdmission { permit, let_through: cx.found.let_through })
    }

    /// Prepares the request of an admission for its session.
    pub fn open(
        &mut self,
        admission: &Admission,
        request: &mut UpgradeRequest,
    ) -> Result<(), Refusal> {
        let mut cx = self.context();
        cx.found.route = Some(Found { route: &admission.route, host: None });
        let is_awaited = matches!(admission.authentication, Authentication::Awaited(_));
        cx.facts.opening = (!is_awaited).then_some(request);
        self.run(Phase::Session, &mut cx)
    }

    /// Checks an open session, or a plain request that lasts, again after a reload, with the checks that depend on the configuration
    /// alone. Bans, revocations, limits and signatures are not checked again. Returns the route that
    /// would admit the session now.
    pub fn review(
        &mut self,
        kind: RequestKind,
        snapshot: &HandshakeSnapshot,
        authentication: SessionAuthentication<'_>,
    ) -> Result<Arc<Route>, Refusal> {
        let kept = snapshot.read(kind)?;
        let mut cx = self.context();
        cx.facts.certificate = Some(ShownCertificate::Kept(snapshot.certificate()));
        cx.facts.handshake = Some(Handshake::Kept(&kept));
        cx.facts.kept = Some(authentication);
        for check in self.policy.checks {
            if let Some(rerun) = check.rerun {
                let outcome = rerun(&mut cx);
                self.record(check, &mut cx, outcome)?;
            }
        }
        cx.route().cloned()
    }

    fn context<'a>(&self) -> CheckContext<'a>
    where
        'p: 'a,
    {
        CheckContext::new(self.policy, self.address)
    }

    fn run(&mut self, phase: Phase, cx: &mut CheckContext<'_>) -> Result<(), Refusal> {
        for check in self.policy.checks.iter().filter(|check| check.phase == phase) {
            let outcome = match check.run {
                Run::Now(run) => run(cx),
                Run::Waits(_) => Err(missing()),
            };
            self.record(check, cx, outcome)?;
        }
        Ok(())
    }

    /// Runs a phase that has asynchronous checks.
    async fn run_waiting(
        &mut self,
        phase: Phase,
        cx: &mut CheckContext<'_>,
    ) -> Result<(), Refusal> {
        for check in self.policy.checks.iter().filter(|check| check.phase == phase) {
            let outcome = match check.run {
                Run::Now(run) => run(cx),
                Run::Waits(run) => run(cx).await,
            };
            self.record(check, cx, outcome)?;
        }
        Ok(())
    }

    /// Adds the step of a check to the trace, and returns its refusal.
    fn record(
        &mut self,
        check: &Check,
        cx: &mut CheckContext<'_>,
        outcome: Result<CheckOutcome, Refusal>,
    ) -> Result<(), Refusal> {
        match outcome {
            Ok(CheckOutcome::NotApplicable) => {}
            Ok(CheckOutcome::Passed) => {
                if let Some(passed) = check.passed {
                    self.trace.note(|| {
                        let text = passed(cx);
                        let key = text.key.unwrap_or_else(|| cx.name_of(check.key));
                        Step { name: check.name, text: text.text, key: Some(key) }
                    });
                }
            }
            Ok(CheckOutcome::Reported(refusal)) => {
                let table = cx.table(check.key.section);
                self.trace.refused(check.name, table, &refusal);
                self.trace.note(|| Step {
                    name: check.name,
                    text: "let through and logged: report mode".to_owned(),
                    key: Some(table.key("mode")),
                });
                cx.found.let_through.push(refusal);
            }
            Err(refusal) => {
                self.trace.refused(check.name, cx.table(check.key.section), &refusal);
                return Err(refusal);
            }
        }
        Ok(())
    }
}

/// Empties every place of the request that may carry a token of the route.
fn empty_credentials(route: &Route, request: &mut RequestHead) {
    if let Auth::Jwt(issuers) = &route.auth {
        let issuer = issuers.first();
        credential::empty(&issuer.token_from, issuer.forward_token, request);
    }
}
