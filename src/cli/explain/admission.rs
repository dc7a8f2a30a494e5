//! The steps, in the order in which a connection takes them: those before the request is looked at,
//! those of [`crate::policy`], and where the client would be connected to.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::request::request;
use super::{ExplainArgs, Verdict};
use crate::config::{
    Auth, Issuer, Limits, Mode, OnExceed, ProxyProtocol, Route, Server, UnknownClients,
};
use crate::gateway::Gateway;
use crate::handshake::{ClientAddress, Peer, UpgradeRequest};
use crate::journal::Journal;
use crate::policy::{Admission, Arrival, Shown, Standing, Step, Table, Trace};
use crate::tls::{Certificate, CertificateNames, ClientCertificate};
use crate::values::TokenPlace;
use crate::values::canonical_ip;
use crate::values::{Reason, Refusal};
use crate::values::{RequestContext, Sender};

/// Deadline for fetching an issuer's keys.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// Walks the journey of [`crate::connection`] up to the upstream.
pub(super) async fn admit(
    args: &ExplainArgs,
    gateway: &Gateway,
    shown: Option<Vec<Certificate>>,
    token: Option<String>,
    trace: &mut Trace,
) -> Verdict {
    let in_force = gateway.in_force();
    let peer = accept(args, gateway, trace)?;
    let certificate = certificate(gateway, shown.as_deref(), trace)?;
    let plain = head(args, trace)?;
    let client = client(&peer, gateway, &plain, trace)?;
    // Nothing that is explained counts as a strike.
    let context = RequestContext { sender: Sender::ForeignPage, relayed: false };
    let server_name = args.server_name.as_deref();
    let (by_proxy, certificate) = (peer.trusted, certificate.as_ref());
    let arrival = Arrival { client: &client, server_name, by_proxy, certificate, context };
    let route = in_force.policy.route(&plain, arrival, trace)?;

    let carried = token.map(|token| (place(args, route), token));
    let mut request = request(args, carried.as_ref())?;
    if let Auth::Jwt(issuers) = &route.auth {
        for issuer in issuers.iter() {
            wait_for_keys(gateway, issuer).await;
        }
    }
    let admission = in_force.policy.admit(route, &mut request, arrival, trace).await?;
    let user = user(gateway, &admission, carried, trace).await?;
    trace.note(|| rates(route, in_force.policy.limits()));
    trace.note(|| upstream(route));
    Ok(format!("as {user}"))
}

/// The checks right after accept, by address only.
fn accept(args: &ExplainArgs, gateway: &Gateway, trace: &mut Trace) -> Result<Peer, Refusal> {
    let in_force = gateway.in_force();
    let trusted = &in_force.server.trusted_proxies;
    let address = canonical_ip(args.ip);
    let proxy = trusted.iter().find(|prefix| prefix.contains(&address));
    trace.note(|| Step {
        name: "address",
        said: match proxy {
            Some(prefix) => format!(
                "{address} is a trusted proxy, of {prefix}: bans and limits are for whom it speaks for"
            ),
            None => format!("{address} is a client, not a trusted proxy"),
        },
        key: Some(Table::Only("server").key("trusted_proxies")),
    });
    let policy = &in_force.policy;
    if proxy.is_some() {
        policy.enforce_rules(address, trace)?;
    } else {
        policy.admit_address(address, &gateway.bans, &gateway.limiters, trace)?;
    }
    if policy.limits().mode == Mode::Report {
        trace.note(|| Step {
            name: "limits",
            said: "what is above them is let through and told in the log: report mode".to_owned(),
            key: Some(Table::Only("limits").key("mode")),
        });
    }
    Ok(Peer {
        address: SocketAddr::new(address, 0),
        trusted: proxy.is_some(),
        tls: in_force.terminator.is_some(),
        own: proxy.is_some(),
    })
}

/// Verifies the client's TLS certificate, if it shows one.
fn certificate(
    gateway: &Gateway,
    shown: Option<&[Certificate]>,
    trace: &mut Trace,
) -> Result<Option<ClientCertificate>, Refusal> {
    let (tls, in_force) = (Table::Only("tls"), gateway.in_force());
    let Some(clients) = in_force.terminator.as_ref().map(|terminator| &terminator.clients) else {
        return Ok(None);
    };
    match shown {
        None if clients.is_required() => {
            trace.note(|| Step {
                name: "certificate",
                said: "one is required: without --client-cert the TLS handshake fails".to_owned(),
                key: Some(tls.key("client_auth")),
            });
            Ok(None)
        }
        None => Ok(None),
        Some(chain) => {
            let examined = clients.examine(chain, SystemTime::now());
            trace.check("certificate", tls, examined, |found| match found {
                Some(_) => (
                    format!("verified: {}", CertificateNames::read(&chain[0])),
                    tls.key("client_ca"),
                ),
                None => ("none is asked for".to_owned(), tls.key("client_auth")),
            })
        }
    }
}

/// Explains the client's address. A trusted proxy is explained as a client that connects for itself.
fn client(
    peer: &Peer,
    gateway: &Gateway,
    head: &UpgradeRequest,
    trace: &mut Trace,
) -> Result<ClientAddress, Refusal> {
    let in_force = gateway.in_force();
    let Server { trusted_proxies, unknown_clients, proxy_protocol, .. } = &in_force.server;
    if peer.trusted && *proxy_protocol == ProxyProtocol::Off {
        let reason = Reason::ForwardedMalformed;
        trace.note(|| Step {
            name: "client",
            said: match unknown_clients {
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
fn head(args: &ExplainArgs, trace: &mut Trace) -> Result<UpgradeRequest, Refusal> {
    let parsed = request(args, None);
    trace.note(|| Step {
        name: "head",
        said: match &parsed {
            Ok(head) => format!("a well-formed handshake for {}{}", head.host(), head.path()),
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
    gateway: &Gateway,
    admission: &Admission,
    carried: Option<(TokenPlace, String)>,
    trace: &mut Trace,
) -> Verdict {
    match (admission.standing(), carried) {
        (Standing::Anybody, _) => Ok("anybody".to_owned()),
        (Standing::Identified(identity), _) => {
            let policy = &gateway.in_force().policy;
            let _permit = policy.admit_user(identity, &gateway.limiters, trace)?;
            Ok(identity.user().to_owned())
        }
        (Standing::Announced(issuers), Some((TokenPlace::Message, token))) => {
            let in_force = gateway.in_force();
            let (token, place, context) = (&*token, &TokenPlace::Message, admission.context());
            let shown = Shown { token, place, context };
            let identity = in_force.policy.identify(issuers, shown, trace).await?;
            let _permit = in_force.policy.admit_user(&identity, &gateway.limiters, trace)?;
            Ok(identity.user().to_owned())
        }
        (Standing::Announced(issuers), _) => {
            let issuer = issuers.first();
            let detail = "no first message with a token came in time";
            let late = Refusal::new(Reason::AuthTimeout, detail).by("message_deadline");
            trace.check("message", Table::Issuer(&issuer.name), Err(late), |_| Default::default())
        }
    }
}

/// The rate limits of the session. A limit that the route inherits is shown as a key of `[limits]`.
fn rates(route: &Route, default: &Limits) -> Step {
    let Limits { messages, bytes, control_frames, messages_per_user, on_exceed, mode, .. } =
        &route.limits;
    let rates = [
        (messages.map(|rate| rate.of_events()), "messages"),
        (bytes.map(|rate| rate.of_bytes()), "of bytes"),
        (control_frames.map(|rate| rate.of_events()), "pings and pongs"),
        (messages_per_user.map(|rate| rate.of_events()), "messages of all sessions of the user"),
    ];
    let said: Vec<_> =
        rates.into_iter().filter_map(|(rate, of)| Some(format!("{} {of}", rate?))).collect();
    let excess = match (mode, on_exceed) {
        (Mode::Report, _) => "what is more is let through and told in the log: report mode",
        (Mode::Enforce, OnExceed::Close) => "what is more closes the session",
        (Mode::Enforce, OnExceed::Delay) => "what is more has to wait",
        (Mode::Enforce, OnExceed::Drop) => "what is more is dropped",
    };
    // Limits counted across routes are not the route's, and their defaults may be derived.
    let connections_per_ip = route.limits.connections_per_ip;
    let shared = Limits { connections_per_ip, ..default.clone() };
    let key = if route.limits == shared {
        "limits".to_owned()
    } else {
        Table::Route(&route.name).key("limits")
    };
    Step {
        name: "rates",
        said: if said.is_empty() {
            "none".to_owned()
        } else {
            format!("at most {}; {excess}", said.join(", "))
        },
        key: Some(key),
    }
}

fn upstream(route: &Route) -> Step {
    let upstreams: Vec<String> = route.upstreams.iter().map(ToString::to_string).collect();
    Step {
        name: "upstream",
        said: upstreams.join(", "),
        key: Some(Table::Route(&route.name).key("upstream")),
    }
}

/// Keys at an address are fetched once.
async fn wait_for_keys(gateway: &Gateway, issuer: &Issuer) {
    let in_force = gateway.in_force();
    let Some(verifier) = in_force.policy.verifiers().get(&issuer.name) else {
        return;
    };
    let stop = CancellationToken::new();
    in_force.policy.verifiers().run(&Journal::default(), &TaskTracker::new(), &stop);
    // Without them the verdict says so.
    let _ = tokio::time::timeout(KEYS_WITHIN, verifier.looked()).await;
    stop.cancel();
}
