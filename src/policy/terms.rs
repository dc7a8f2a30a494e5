//! The limits and the upstreams of an admitted session, as `framewall explain` prints them.

use super::Table;
use super::checks::StepText;
use super::context::CheckContext;
use crate::config::{Cluster, Limits, Mode, OnExceed};

/// The rate limits of the session. The key is that of the route if the route overrides `[limits]`.
pub(super) fn rates(cx: &CheckContext<'_>) -> StepText {
    let Ok(route) = cx.route() else {
        return String::new().into();
    };
    let Limits { messages, bytes, control_frames, messages_per_user, on_exceed, mode, .. } =
        &route.limits;
    let rates = [
        (messages.map(|rate| rate.of_events()), "messages"),
        (bytes.map(|rate| rate.of_bytes()), "of bytes"),
        (control_frames.map(|rate| rate.of_events()), "pings and pongs"),
        (messages_per_user.map(|rate| rate.of_events()), "messages of all sessions of the user"),
    ];
    let rates: Vec<_> =
        rates.into_iter().filter_map(|(rate, of)| Some(format!("{} {of}", rate?))).collect();
    let excess = match (mode, on_exceed) {
        (Mode::Report, _) => "the excess is let through and logged: report mode",
        (Mode::Enforce, OnExceed::Close) => "the excess closes the session",
        (Mode::Enforce, OnExceed::Delay) => "the excess is delayed",
        (Mode::Enforce, OnExceed::Drop) => "the excess is dropped",
    };
    // Limits that count across routes do not belong to the route, and their defaults may be derived.
    let connections_per_ip = route.limits.connections_per_ip;
    let shared = Limits { connections_per_ip, ..cx.policy.limits.clone() };
    let text = if rates.is_empty() {
        "none".to_owned()
    } else {
        format!("at most {}; {excess}", rates.join(", "))
    };
    if route.limits == shared {
        text.into()
    } else {
        StepText::by(text, Table::Route(&route.name).key("limits"))
    }
}

/// The servers of the route, and how they share the load. The key is the table that names them, if one does.
pub(super) fn upstream(cx: &CheckContext<'_>) -> StepText {
    let Ok(route) = cx.route() else {
        return String::new().into();
    };
    let Cluster { name, servers, balance, .. } = &*route.cluster;
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let servers = servers.join(", ");
    match name {
        Some(name) => StepText::by(format!("{balance} of {servers}"), format!("upstreams.{name}")),
        None => servers.into(),
    }
}
