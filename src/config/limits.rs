//! `[limits]` and `[routes.*.limits]`

use std::cell::Cell;
use std::num::NonZeroU32;
use std::ops::Range;

use super::auth::CheckedAuth;
use super::keys::{self, Limits};
use super::lints::LintName;
use super::protection::{Mode, OnExceed};
use super::reader::SectionReader;
use super::report::Problem;
use super::route::CheckedRoute;

/// The keys that a route cannot have because they count across all routes, and the subject of each count.
pub(super) static OF_NO_ROUTE: [(&str, &str); 4] = [
    (keys::CONNECTIONS_PER_IP.name, "an address"),
    (keys::HANDSHAKES_PER_IP.name, "an address"),
    (keys::REQUESTS.name, "an address or a user"),
    (keys::CONNECTIONS_PER_USER.name, "a user"),
];

/// The limits that `on_exceed` applies to.
static IN_SESSIONS: [&str; 4] = [
    keys::LIMIT_MESSAGES.name,
    keys::LIMIT_BYTES.name,
    keys::MESSAGES_PER_USER.name,
    keys::CONTROL_FRAMES.name,
];

/// The keys that count per user; users are known only from tokens.
static OF_USERS: [&str; 2] = [keys::CONNECTIONS_PER_USER.name, keys::MESSAGES_PER_USER.name];

/// The limits that apply to a table of the file, and the places that error messages about
/// contradictions point to.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) values: Limits,
    /// The place of `bytes`, or of the profile that sets it.
    bytes: Option<Range<usize>>,
    /// The place of `on_exceed`.
    on_exceed: Option<Range<usize>>,
    /// Whether sessions are limited, or a limit was given with a fault that was reported.
    limited: bool,
    /// Whether a route limits its sessions.
    limited_in_route: Cell<bool>,
}

impl Layer {
    /// The defaults, or the limits of the profile that the file requests at `profile`.
    pub(super) fn new(values: Limits, profile: Option<Range<usize>>) -> Self {
        let limited = limits_sessions(&values);
        Self {
            values,
            bytes: profile,
            on_exceed: None,
            limited,
            limited_in_route: Cell::new(false),
        }
    }
}

/// Adds the default limit of connections per address, if neither the file nor its profile sets one: a
/// tenth of `max_connections`, but at least 1,000. The limit prevents one address from taking every
/// connection, and exceeds the needs of a large office.
pub(super) fn bound_addresses(
    reader: &SectionReader<'_>,
    limits: Limits,
    max_connections: usize,
) -> Limits {
    const LEAST: usize = 1000;
    if limits.connections_per_ip.is_some()
        || reader.span_of(keys::CONNECTIONS_PER_IP.name).is_some()
    {
        return limits;
    }
    let most = u32::try_from((max_connections / 10).max(LEAST)).unwrap_or(u32::MAX);
    Limits { connections_per_ip: NonZeroU32::new(most), ..limits }
}

fn limits_sessions(limits: &Limits) -> bool {
    limits.messages.is_some()
        || limits.bytes.is_some()
        || limits.messages_per_user.is_some()
        || limits.control_frames.is_some()
}

/// Checks `[limits]`; keys that the table does not set keep their value in `base`.
pub(super) fn check(reader: &SectionReader<'_>, base: &Layer) -> Layer {
    let layer = overlay(reader, base);
    check_drop(reader, &layer);
    lint_report(reader, &layer);
    layer
}

/// Checks the limits of a route; keys that the table does not set keep their value in `base`.
pub(super) fn of_route(
    reader: &SectionReader<'_>,
    base: &Layer,
    auth: Option<&CheckedAuth>,
) -> Limits {
    for (name, owner) in OF_NO_ROUTE {
        refuse_in_route(reader, name, owner);
    }
    let layer = overlay(reader, base);
    check_drop(reader, &layer);
    lint_report(reader, &layer);
    if layer.limited {
        base.limited_in_route.set(true);
    } else {
        refuse_idle(reader, keys::ON_EXCEED.name);
        refuse_idle(reader, keys::LIMITS_MODE.name);
    }
    if let Some(CheckedAuth::None) = auth {
        lint_nobody(reader, keys::MESSAGES_PER_USER.name, "auth is \"none\"");
    }
    layer.values
}

/// Checks, after the routes, that each key of `[limits]` has an effect on at least one route.
pub(super) fn check_used(reader: &SectionReader<'_>, layer: &Layer, routes: &[CheckedRoute<'_>]) {
    let of_sessions = layer.limited || layer.limited_in_route.get();
    if !of_sessions {
        refuse_idle(reader, keys::ON_EXCEED.name);
    }
    let limits = &layer.values;
    let of_others = limits.connections_per_ip.is_some()
        || limits.handshakes_per_ip.is_some()
        || limits.connections_per_user.is_some()
        || routes.iter().any(CheckedRoute::limits_requests)
        || OF_NO_ROUTE.iter().any(|(name, _)| reader.is_on(name));
    if !of_sessions && !of_others {
        refuse_idle(reader, keys::LIMITS_MODE.name);
    }
    if !routes.iter().any(|route| matches!(route.auth, Some(CheckedAuth::Jwt(_)))) {
        for name in OF_USERS {
            lint_nobody(reader, name, "no route asks for a token");
        }
    }
    let serves_plain_http = routes.iter().any(CheckedRoute::serves_plain_http);
    let is_idle = !serves_plain_http && reader.is_on(keys::REQUESTS.name);
    if let (true, Some(span)) = (is_idle, reader.span_of(keys::REQUESTS.name)) {
        let what =
            format!("{} is given, but no route serves plain HTTP", reader.key(keys::REQUESTS.name));
        reader.cx.refuse(
            Problem::at(span, what)
                .label("nothing would be limited by it")
                .help("remove it, or write serve = [\"websocket\", \"http\"] in a route"),
        );
    }
}

fn overlay(reader: &SectionReader<'_>, base: &Layer) -> Layer {
    let values = Limits::over(&base.values, reader);
    let place_of = |name, above: &Option<_>| reader.span_of(name).or_else(|| above.clone());
    Layer {
        bytes: place_of(keys::LIMIT_BYTES.name, &base.bytes),
        on_exceed: place_of(keys::ON_EXCEED.name, &base.on_exceed),
        limited: limits_sessions(&values) || IN_SESSIONS.iter().any(|name| reader.is_on(name)),
        limited_in_route: Cell::new(false),
        values,
    }
}

fn refuse_in_route(reader: &SectionReader<'_>, name: &str, owner: &str) {
    if let Some(span) = reader.span_of(name) {
        let what = format!("{}: a route has no such limit", reader.key(name));
        reader.cx.refuse(
            Problem::at(span, what)
                .label(format!("it is of {owner}, over all routes"))
                .help(format!("`{name}` belongs in [limits]")),
        );
    }
}

/// Refuses `on_exceed = "drop"` together with a `bytes` limit, in the table that combines the two.
fn check_drop(reader: &SectionReader<'_>, layer: &Layer) {
    if layer.values.on_exceed != OnExceed::Drop || layer.values.bytes.is_none() {
        return;
    }
    let (drop, bytes) = (keys::ON_EXCEED.name, keys::LIMIT_BYTES.name);
    let (problem, other, label) = if let Some(problem) =
        reader.problem(drop, "is \"drop\", but `bytes` is given")
    {
        (problem, &layer.bytes, "this counts bytes")
    } else if let Some(problem) = reader.problem(bytes, "is given, but `on_exceed` is \"drop\"") {
        (problem, &layer.on_exceed, "what is too much is dropped")
    } else {
        return;
    };
    let problem = problem
        .label("bytes are charged once they are read: no whole message is left to drop")
        .help("say on_exceed = \"close\" or \"delay\", or bytes = \"off\"");
    reader.cx.refuse(problem.related(other.clone(), label));
}

/// Refuses a key that configures how limits apply if no limit is set.
fn refuse_idle(reader: &SectionReader<'_>, name: &str) {
    let problem = reader.problem(name, "is given, but no limit that it is for");
    reader.cx.refuse(problem.map(|problem| {
        let help = "remove it, or give a limit such as messages = \"100/s\"";
        problem.label("nothing can be too much").help(help)
    }));
}

fn lint_report(reader: &SectionReader<'_>, layer: &Layer) {
    if layer.values.mode == Mode::Report {
        let what = "is \"report\": what it refuses is let through";
        let help = "say \"enforce\" once the log shows that nobody is refused by mistake";
        let problem = reader.problem(keys::LIMITS_MODE.name, what);
        reader.lint(LintName::LimitsReport, problem.map(|problem| problem.help(help)));
    }
}

fn lint_nobody(reader: &SectionReader<'_>, name: &str, why: &str) {
    if reader.is_on(name) {
        let problem = reader.problem(name, &format!("counts nobody: {why}"));
        let problem = problem.map(|problem| {
            problem
                .label("only a token says who the user is")
                .help("say auth = \"NAME\" in the route, with a [jwt.NAME] table, or remove this")
        });
        reader.lint(LintName::LimitsNoUser, problem);
    }
}
