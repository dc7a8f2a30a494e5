//! Executes the requests of the admin client.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::protocol::{AdminAnswer, MOST_LISTED, Outcome, Request, RevokeRequest};
use super::{bans, drain, older};
use crate::config::duration;
use crate::control::{Control, ReloadError, UpgradeError, upgrade};
use crate::gateway::session::Filter;
use crate::state::store::{Kind, Revocation, RevokeError};
use crate::values::Reason;
use crate::values::UnixTime;

/// Facts of the process for `status`.
#[derive(Debug)]
pub(in crate::control) struct Running {
    pub(in crate::control) since: UnixTime,
    pub(in crate::control) listeners: Vec<SocketAddr>,
}

/// Executes `request` in this process and in the one that it replaced, until that one ends.
pub(in crate::control) async fn act(control: &Arc<Control>, request: Request) -> AdminAnswer {
    let answer = act_here(control, request.clone()).await;
    older::ask(control, &request, answer).await
}

async fn act_here(control: &Arc<Control>, request: Request) -> AdminAnswer {
    match request {
        Request::Status {} => AdminAnswer::done(object(status(control))),
        Request::Sessions { filter, limit } => sessions(control, &filter, limit).await,
        Request::Kick { filter, all } => kick(control, &filter, all),
        Request::Reload {} => reload(control).await,
        Request::Revoke { target } => revoke(control, target).await,
        Request::Ban { sentence } => bans::ban(control, sentence).await,
        Request::Unban { network } => bans::unban(control, network).await,
        Request::Bans {} => bans::list(control),
        Request::Upgrade {} => upgrade(control).await,
        Request::Drain { selector, over } => drain::drain(control, &selector, over.as_deref()),
        Request::Undrain { selector } => drain::undrain(control, &selector),
        // The server of the socket begins it, since it lasts as long as its connection.
        Request::Observe { .. } => {
            AdminAnswer::failed(Outcome::Refused, "this process serves no admin socket any more")
        }
    }
}

fn status(control: &Control) -> Value {
    let now = UnixTime::now();
    let running = control.running.get();
    let since = running.map_or(now, |running| running.since);
    let in_force = control.current.get();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "since": since,
        "uptime_seconds": since.age(now).as_secs(),
        "listeners": running.map_or(&[][..], |running| &running.listeners),
        "max_connections": in_force.server.max_connections,
        "sessions": control.sessions.count(),
        "answers": control.sessions.answers(),
        "routes": control.sessions.by_route(),
        "generation": in_force.generation,
        "last_reload": control.last_reload(),
        "revocations": control.state.revocations().count(now),
        "bans": control.state.bans().count(now),
        "would_refuse": control.reporter.total_let_through(),
        "upstreams": in_force.dialer.list(),
        "drains": control.list_drains(),
        "issuers": in_force.policy.verifiers().status(),
    })
}

/// Runs the reload in a task of its own, so that a disconnect of the admin client or a deadline does
/// not stop it halfway.
async fn reload(control: &Arc<Control>) -> AdminAnswer {
    let reloading = Arc::clone(control);
    let reloaded = control.runtime.spawn(async move { reloading.reload().await });
    match reloaded.await.unwrap_or(Err(ReloadError::Fault)) {
        Ok(reloaded) => {
            let closed = reloaded.closed;
            AdminAnswer::done(object(json!(reloaded))).about(closed)
        }
        Err(error) => AdminAnswer::failed(Outcome::Refused, error.to_string()),
    }
}

/// Runs the upgrade in a task of its own, as [`reload`] does.
async fn upgrade(control: &Arc<Control>) -> AdminAnswer {
    let upgrading = Arc::clone(control);
    let upgraded = control.runtime.spawn(async move { upgrade::upgrade(&upgrading).await });
    match upgraded.await.unwrap_or(Err(UpgradeError::Fault)) {
        Ok(upgraded) => AdminAnswer::done(object(json!(upgraded))).about(upgraded.sessions),
        Err(error) => AdminAnswer::failed(Outcome::Refused, error.to_string()),
    }
}

async fn sessions(control: &Control, filter: &Filter, limit: usize) -> AdminAnswer {
    let listing = control.sessions.list(filter, limit.min(MOST_LISTED)).await;
    let more = json!({ "matching": listing.matching, "sessions": listing.sessions });
    AdminAnswer::done(object(more)).about(listing.matching)
}

fn kick(control: &Control, filter: &Filter, all: bool) -> AdminAnswer {
    if filter.is_empty() != all {
        let error = "say which sessions, or say all: one of the two";
        return AdminAnswer::failed(Outcome::Refused, error);
    }
    match control.sessions.kick(filter, Reason::SessionKicked) {
        0 => AdminAnswer::failed(Outcome::NotFound, "no session matches").about(0),
        kicked => AdminAnswer::done(object(json!({ "kicked": kicked }))).about(kicked),
    }
}

async fn revoke(control: &Arc<Control>, target: RevokeRequest) -> AdminAnswer {
    let now = UnixTime::now();
    let revocation = match revocation(target, now) {
        Ok(revocation) => revocation,
        Err(error) => return AdminAnswer::failed(Outcome::Refused, error),
    };
    let Revocation { kind, value, until, .. } = revocation.clone();
    let store = Arc::clone(control.state.revocations());
    let kept = tokio::task::spawn_blocking(move || store.revoke(revocation, now)).await;
    let failure = match kept {
        Ok(Ok(())) => None,
        Ok(Err(error @ RevokeError::Unsaved(_))) => Some(error.to_string()),
        Ok(Err(error)) => return AdminAnswer::failed(Outcome::Refused, error.to_string()),
        Err(_) => {
            return AdminAnswer::failed(Outcome::Refused, "a fault of the gateway stopped it");
        }
    };
    let filter = match kind {
        Kind::User => Filter { user: Some(value), ..Filter::default() },
        Kind::Token => Filter { token: Some(value), ..Filter::default() },
    };
    let closed = control.sessions.kick(&filter, Reason::TokenRevoked);
    let more = object(json!({ "until": until, "closed": closed }));
    let answer = AdminAnswer::done(more).about(closed);
    match failure {
        None => answer,
        Some(_) => AdminAnswer { outcome: Outcome::Refused, error: failure, ..answer },
    }
}

fn revocation(target: RevokeRequest, now: UnixTime) -> Result<Revocation, String> {
    let Some((kind, value)) = target.named() else {
        return Err("name a user or a token: one of the two".to_owned());
    };
    let until = end(target.until, target.lasting.as_deref(), now)?;
    Ok(Revocation { kind, value: value.to_owned(), until, at: now, why: target.why })
}

/// The end of a ban or revocation: `until`, or `now` plus `lasting`; exactly one of them must be given.
pub(super) fn end(
    until: Option<UnixTime>,
    lasting: Option<&str>,
    now: UnixTime,
) -> Result<UnixTime, String> {
    match (until, lasting) {
        (Some(until), None) => Ok(until),
        (None, Some(lasting)) => Ok(now.after(duration(lasting)?)),
        _ => Err("say until when, or for how long: one of the two".to_owned()),
    }
}

/// Converts a JSON value to the members of an answer.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}
