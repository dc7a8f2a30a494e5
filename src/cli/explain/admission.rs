//! The way of a connection up to its upstream: the checks of [`crate::policy`], in the order that their
//! types enforce, and between them the parsing of the request that they check.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::request::{Described, request};
use super::{ExplainArgs, ExplainVerdict};
use crate::config::{Auth, Issuer, ProxyProtocol, Route, Server, UnknownClients};
use crate::gateway::runtime::InForce;
use crate::handshake::{ClientAddress, Peer, RequestHead};
use crate::journal::Journal;
use crate::message::{MessageFault, MessageKind, Trial};
use crate::policy::token::VerifiedToken;
use crate::policy::{
    Admission, Arrival, Authentication, Checks, Room, ShownCertificate, ShownToken, Step, Table,
    Trace,
};
use crate::state::State;
use crate::tls::{Certificate, CertificateNames, ClientCertificate};
use crate::values::TokenPlace;
use crate::values::canonical_ip;
use crate::values::{Reason, Refusal};
use crate::values::{RequestContext, Sender};

/// Deadline for fetching an issuer's keys.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// Runs all phases, up to the upstream.
pub(super) async fn admit(
    args: &ExplainArgs,
    state: &State,
    in_force: &InForce,
    shown: Option<Vec<Certificate>>,
    token: Option<String>,
    message: Option<Vec<u8>>,
    checks: &mut Checks<'_>,
) -> ExplainVerdict {
    let address = checks.admit_address(state)?;
    let certificate = certificate(in_force, shown.as_deref(), checks)?;
    let described = head(args, checks.trace())?;
    let peer = Peer {
        address: SocketAddr::new(canonical_ip(args.ip), 0),
        trusted: address.is_proxy(),
        tls: in_force.terminator.is_some(),
        own: address.is_proxy(),
    };
    let client = client(&peer, in_force, described.head(), checks.trace())?;
    let room = Room { full: false, stopping: false };
    let exchange = checks.admit_exchange(&address, state, room)?;
    let arrival = Arrival {
        exchange,
        client: &client,
        server_name: args.server_name.as_deref(),
        by_proxy: peer.trusted,
        certificate: certificate.as_ref(),
        // Nothing that is explained counts as a strike.
        context: RequestContext { sender: Sender::ForeignPage, relayed: false },
    };
    if args.plain {
        checks.charge_request(state)?;
    }
    let route = checks.route(described.head(), arrival)?;

    let carried = token.map(|token| (place(args, &route), token));
    let request = request(args, carried.as_ref())?;
    if let Auth::Jwt(issuers) = &route.auth {
        for issuer in issuers.iter() {
            wait_for_keys(in_force, issuer).await;
        }
    }
    let mut request = match request {
        Described::Upgrade(request) => request,
        Described::Plain(mut request) => {
            let admission = checks.admit_plain(route, request.head_mut(), arrival, state).await?;
            let user = admission.token().map_or("anybody", |token| token.principal().user.user());
            return Ok(format!("as {user}"));
        }
    };
    let admission = checks.admit(route, request.head_mut(), arrival).await?;
    let (user, claims) = user(state, &admission, carried, checks).await?;
    checks.open(&admission, &mut request)?;
    if let Some(payload) = &message {
        judge(args, &admission, claims.as_ref(), payload, checks.trace())?;
    }
    Ok(format!("as {user}"))
}

/// Verifies the client's TLS certificate, if it shows one, as the TLS handshake does.
fn certificate(
    in_force: &InForce,
    shown: Option<&[Certificate]>,
    checks: &mut Checks<'_>,
) -> Result<Option<ClientCertificate>, Refusal> {
    let Some(clients) = in_force.terminator.as_ref().map(|terminator| &terminator.clients) else {
        return Ok(None);
    };
    match shown {
        None if clients.is_required() => {
            checks.check_certificate(ShownCertificate::Missing)?;
            Ok(None)
        }
        None => Ok(None),
        Some(chain) => {
            let examined = clients.examine(chain, SystemTime::now());
            let names =
                |found: &Option<_>| found.as_ref().map(|_| CertificateNames::read(&chain[0]));
            let outcome = examined.as_ref().map(names).map_err(Clone::clone);
            checks.check_certificate(ShownCertificate::Examined(outcome))?;
            examined
        }
    }
}

/// Explains the client's address. A trusted proxy is explained as a client that connects for itself.
fn client(
    peer: &Peer,
    in_force: &InForce,
    head: &RequestHead,
    trace: &mut Trace,
) -> Result<ClientAddress, Refusal> {
    let Server { trusted_proxies, unknown_clients, proxy_protocol, .. } = &in_force.server;
    if peer.trusted && *proxy_protocol == ProxyProtocol::Off {
        let reason = Reason::ForwardedMalformed;
        trace.note(|| Step {
            name: "client",
            text: match unknown_clients {
                UnknownClients::Proxy => "the proxy, if its request names none".to_owned(),
                UnknownClients::Refuse => format!(
                    "the proxy, if X-Forwarded-For names it: without one, {reason} ({})",
                    reason.status().as_u16()
                ),
            },
            key: Some(Table::Only("server").key("unknown_clients")),
        });
    }
    ClientAddress::resolve(peer, trusted_proxies, *unknown_clients, head.headers())
}

/// Checks the request head, before the route is known. No key decides about it.
fn head(args: &ExplainArgs, trace: &mut Trace) -> Result<Described, Refusal> {
    let parsed = request(args, None);
    trace.note(|| Step {
        name: "head",
        text: match &parsed {
            Ok(described) => {
                let kind = if args.plain { "request" } else { "handshake" };
                let head = described.head();
                format!("a well-formed {kind} for {}{}", head.host(), head.path())
            }
            Err(refusal) => refusal.detail.clone(),
        },
        key: None,
    });
    parsed
}

/// The place of the token: the given one, or the first of the route.
fn place(args: &ExplainArgs, route: &Route) -> TokenPlace {
    let first = match &route.auth {
        Auth::Jwt(issuers) => issuers.first().token_from.first().cloned(),
        Auth::None => None,
    };
    args.token_from.clone().or(first).unwrap_or(TokenPlace::Header)
}

/// The admitted user. With the token in the first message, checks that it was given.
async fn user(
    state: &State,
    admission: &Admission,
    carried: Option<(TokenPlace, String)>,
    checks: &mut Checks<'_>,
) -> Result<(String, Option<Map<String, Value>>), Refusal> {
    let of = |token: &VerifiedToken| (token.principal().user.clone(), token.claims().clone());
    let (user, claims) = match (admission.authentication(), carried) {
        (Authentication::Anonymous, _) => return Ok(("anybody".to_owned(), None)),
        (Authentication::Identified(token), _) => of(token),
        (Authentication::Awaited(_), Some((place, token))) if place.is_in_message() => {
            let (place, context) = (&place, admission.context());
            let shown = ShownToken { token: &token, place, context };
            of(&checks.identify(admission.route(), shown).await?)
        }
        (Authentication::Awaited(issuers), _) => {
            let detail = "no first message with a token came in time";
            let late = Refusal::new(Reason::AuthTimeout, detail).by("message_deadline");
            checks.trace().refused("message", Table::Issuer(&issuers.first().name), &late);
            return Err(late);
        }
    };
    let _permit = checks.admit_user(&user, state)?;
    Ok((user.user().to_owned(), Some(claims)))
}

/// Judges a message of the admitted client by the rules of its route.
fn judge(
    args: &ExplainArgs,
    admission: &Admission,
    claims: Option<&Map<String, Value>>,
    payload: &[u8],
    trace: &mut Trace,
) -> Result<(), Refusal> {
    let route = admission.route();
    let table = format!("routes.{}.messages", route.name);
    let Some(rules) = &route.messages else {
        trace.note(|| Step { name: "message", text: "no rules".to_owned(), key: Some(table) });
        return Ok(());
    };
    let kind = if args.binary { MessageKind::Binary } else { MessageKind::Text };
    let Trial { passed, listed, fault } = rules.try_out(kind, payload, claims);
    for key in passed {
        let text = match (&listed, key) {
            (Some(name), "unlisted") => format!("its type is \"{name}\""),
            (None, "unlisted") => "it has no listed type, and passes".to_owned(),
            _ => "passed".to_owned(),
        };
        trace.note(|| Step { name: "message", text, key: Some(format!("{table}.{key}")) });
    }
    let Some(MessageFault { reason, rule, detail, .. }) = fault else {
        return Ok(());
    };
    let key = format!("{table}.{rule}");
    trace.note(|| Step { name: "message", text: detail.clone(), key: Some(key) });
    if rules.report {
        let text = format!("{reason}: let through, mode is \"report\"");
        trace.note(|| Step { name: "message", text, key: Some(format!("{table}.mode")) });
        return Ok(());
    }
    Err(Refusal::new(reason, detail))
}

/// Keys at an address are fetched once.
async fn wait_for_keys(in_force: &InForce, issuer: &Issuer) {
    let Some(verifier) = in_force.policy.verifiers().get(&issuer.name) else {
        return;
    };
    let stop = CancellationToken::new();
    in_force.policy.verifiers().run(&Journal::default(), &TaskTracker::new(), &stop);
    // Without them the verdict says so.
    let _ = tokio::time::timeout(KEYS_WITHIN, verifier.looked()).await;
    stop.cancel();
}
