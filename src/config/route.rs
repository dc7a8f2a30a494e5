//! `[routes.*]`

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use super::auth::{self, CheckedAuth};
use super::cluster::{self, CheckedUpstream, Clusters};
use super::host::HostPattern;
use super::jwt::Issuers;
use super::keys::{self, Issuer, Limits, Route, RouteKeys, Section, WebSocket};
use super::kinds::Fault;
use super::lints::LintName;
use super::load::Loader;
use super::messages::{self, CheckedMessages, Direction};
use super::model::Cluster;
use super::path::PathPattern;
use super::profile::Base;
use super::reader::{NamedTable, SectionReader, check_name};
use super::report::Problem;
use super::{certificates, limits};
use crate::message::{MessageRules, Protocol};
use crate::tls::ServerSettings;
use crate::values::RequestKind;

/// `[routes.NAME]`; its files are not read yet. A field is missing if its value had a fault; the fault
/// was reported.
pub(super) struct CheckedRoute<'a> {
    reader: SectionReader<'a>,
    pub(super) name: String,
    keys: RouteKeys,
    path: Option<PathPattern>,
    upstream: Option<CheckedUpstream>,
    pub(super) auth: Option<CheckedAuth>,
    websocket: WebSocket,
    pub(super) limits: Limits,
    messages: Option<CheckedMessages<'a>>,
    replies: Option<CheckedMessages<'a>>,
}

/// The loaded sections that a route refers to.
pub(super) struct Shared<'a> {
    pub(super) issuers: &'a [Option<Arc<Issuer>>],
    pub(super) clusters: &'a [Option<Arc<Cluster>>],
    pub(super) tls: Option<&'a ServerSettings>,
    pub(super) listen: &'a [SocketAddr],
}

impl CheckedRoute<'_> {
    /// Whether the route limits the rate of plain HTTP requests.
    pub(super) fn limits_requests(&self) -> bool {
        self.keys.requests.is_some()
    }

    /// Whether plain HTTP requests are served.
    pub(super) fn serves_plain_http(&self) -> bool {
        self.keys.serve.contains(&RequestKind::Http)
    }

    /// Warns of rules for messages that fit the rest of the file badly. `open`: a listen address that other machines can
    /// reach; `bans`: whether strikes are counted.
    pub(super) fn lint_messages(&self, open: Option<&SocketAddr>, bans: bool) {
        let Some(messages) = &self.messages else {
            return;
        };
        match (&self.auth, open) {
            (Some(CheckedAuth::None), _) => messages.lint_unlisted("anybody may connect"),
            (_, Some(open)) => {
                messages.lint_unlisted(&format!("other machines can reach {open}"));
            }
            (_, None) => {}
        }
        if !bans {
            messages.lint_strikes();
        }
    }

    /// Reads the files of the route. Returns `None` after it reported a fault.
    pub(super) fn load(self, shared: &Shared<'_>, loader: &Loader) -> Option<Route> {
        let (reader, keys) = (&self.reader, self.keys);
        certificates::lint_hosts(reader, &keys.host, shared.tls);
        let cluster = self.upstream.and_then(|upstream| upstream.load(reader, shared, loader));
        let auth = self.auth?.load(shared.issuers)?;
        let rules = |checked: Option<CheckedMessages<'_>>| match checked {
            None => Some(None),
            Some(checked) => checked.load(&self.name, loader).map(Some),
        };
        let (messages, replies) = (rules(self.messages), rules(self.replies));
        Some(keys.with(
            self.name.as_str().into(),
            self.path?,
            cluster?,
            auth,
            self.websocket,
            self.limits,
            messages?,
            replies?,
        ))
    }
}

impl Route {
    /// The rules of messages, if these are of Socket.IO over Engine.IO.
    #[must_use]
    pub fn engine_io(&self) -> Option<&Arc<MessageRules>> {
        let is_socketio =
            |rules: &&Arc<MessageRules>| matches!(rules.protocol, Some(Protocol::SocketIo { .. }));
        self.messages.as_ref().filter(is_socketio)
    }

    /// Whether it serves sockets with all defaults of `[websocket]`.
    #[must_use]
    pub fn has_websocket_defaults(&self) -> bool {
        self.serve.contains(&RequestKind::WebSocket) && self.websocket == WebSocket::defaults()
    }
}

/// Checks every route, in the order of the file.
pub(super) fn check<'a>(
    reader: &SectionReader<'a>,
    base: &Base,
    issuers: &Issuers<'_>,
    clusters: &Clusters<'_>,
) -> Vec<CheckedRoute<'a>> {
    let tables = reader.named_tables(Section::Route);
    if tables.is_empty() {
        reader.refuse_empty("routes: there is no route", keys::ROUTES.absent.0);
    }
    let mut taken = Vec::new();
    let mut routes = Vec::new();
    for NamedTable { name, span, reader } in tables {
        check_name(&reader, &name, span, "a route");
        routes.push(check_one(reader, name, base, issuers, clusters, &mut taken));
    }
    for route in &routes {
        lint_bare_path(&route.reader, &route.name, &taken);
    }
    routes
}

fn check_one<'a>(
    reader: SectionReader<'a>,
    name: String,
    base: &Base,
    issuers: &Issuers<'_>,
    clusters: &Clusters<'_>,
    taken: &mut Vec<TakenRoute>,
) -> CheckedRoute<'a> {
    reader.acknowledge(&keys::ROUTE_ALLOW);
    let mut keys = RouteKeys::read(&reader);
    if reader.span_of(keys::REQUIRE_ORIGIN.name).is_none() {
        keys.require_origin = base.require_origin;
    }
    check_served(&reader, &keys.serve);
    let path = reader.required(&keys::PATH);
    if let Some(path) = &path {
        check_upstream_path(&reader, path, keys.upstream_path.as_ref());
        take(&reader, &name, &keys, path, taken);
    }
    let upstream = reader.required(&keys::UPSTREAM);
    let auth = auth::check(&reader, &name, issuers);
    let upstream = cluster::of_route(&reader, upstream, auth.as_ref(), clusters);
    auth::check_refresh(&reader, auth.as_ref());
    let websocket = WebSocket::over(&base.websocket, &reader.table(&keys::ROUTE_WEBSOCKET));
    let limits = limits::of_route(&reader.table(&keys::ROUTE_LIMITS), &base.limits, auth.as_ref());
    let table = |key| reader.table(key);
    let messages = messages::check(table(&keys::MESSAGES), Direction::Messages, auth.as_ref());
    let replies = messages::check(table(&keys::REPLIES), Direction::Replies, auth.as_ref());
    let has_polling = keys.serve.contains(&RequestKind::Http);
    messages::check_both(messages.as_ref(), replies.as_ref(), &limits, has_polling);
    CheckedRoute { reader, name, keys, path, upstream, auth, websocket, limits, messages, replies }
}

/// Refuses a mapping between an exact path and everything below one.
fn check_upstream_path(reader: &SectionReader<'_>, path: &PathPattern, to: Option<&PathPattern>) {
    if let (Some(to), Some(span)) =
        (to.filter(|to| !path.maps_to(to)), reader.span_of(keys::UPSTREAM_PATH.name))
    {
        let what = format!("{}: {path} cannot become {to}", reader.key(keys::UPSTREAM_PATH.name));
        let help = "write \"/*\" at the end of both, or of none";
        reader.cx.refuse(Problem::at(span, what).help(help));
    }
}

/// Refuses the keys of plain requests where the route serves none.
fn check_served(reader: &SectionReader<'_>, serve: &[RequestKind]) {
    if !serve.contains(&RequestKind::WebSocket) {
        refuse_of_sockets(reader);
    }
    if serve.contains(&RequestKind::Http) {
        return;
    }
    let limited = "nothing would be limited by it";
    for (name, label) in [
        (keys::MAX_BODY.name, limited),
        (keys::BODY_TIMEOUT.name, limited),
        (keys::ROUTE_REQUESTS.name, limited),
        (keys::AMBIGUOUS_PATHS.name, "no path would be judged by it"),
    ] {
        if let Some(span) = reader.span_of(name) {
            let what = format!("{} is given, but the route serves no plain HTTP", reader.key(name));
            reader.cx.refuse(
                Problem::at(span, what)
                    .label(label)
                    .help("remove it, or write serve = [\"websocket\", \"http\"]"),
            );
        }
    }
}

/// Refuses the keys of handshakes and sessions where the route serves plain HTTP alone.
fn refuse_of_sockets(reader: &SectionReader<'_>) {
    for name in [
        keys::ORIGINS.name,
        keys::REQUIRE_ORIGIN.name,
        keys::SUBPROTOCOLS.name,
        keys::REFRESH.name,
        keys::ROUTE_LIMITS.name,
        keys::ROUTE_WEBSOCKET.name,
        keys::MESSAGES.name,
        keys::REPLIES.name,
    ] {
        if let Some(span) = reader.span_of(name) {
            let what = format!("{} is given, but the route serves no WebSockets", reader.key(name));
            reader.cx.refuse(
                Problem::at(span, what)
                    .label("it is for handshakes and sessions alone")
                    .help("remove it, or write serve = [\"websocket\", \"http\"]"),
            );
        }
    }
}

/// A host and path that a route matches; no host stands for any host.
struct TakenRoute {
    host: Option<HostPattern>,
    path: PathPattern,
    serve: Vec<RequestKind>,
    route: String,
    span: Range<usize>,
}

fn take(
    reader: &SectionReader<'_>,
    name: &str,
    keys: &RouteKeys,
    path: &PathPattern,
    taken: &mut Vec<TakenRoute>,
) {
    let listed = reader.entries(keys::HOST.name, &keys.host);
    let mut claims: Vec<_> =
        listed.iter().map(|host| (Some((*host.get_ref()).clone()), host.span())).collect();
    // If the hosts had a fault, which was reported, the route must not count as one for any host.
    if reader.span_of(keys::HOST.name).is_none() {
        claims.extend(reader.span_of(keys::PATH.name).map(|span| (None, span)));
    }
    for (host, span) in claims {
        let (path, serve, route) = (path.clone(), keys.serve.clone(), name.to_owned());
        let claim = TakenRoute { host, path, serve, route, span };
        let same = |other: &&TakenRoute| {
            other.host == claim.host
                && other.path == claim.path
                && other.serve.iter().any(|kind| claim.serve.contains(kind))
        };
        if let Some(first) = taken.iter().find(same) {
            refuse_equal(reader, &claim, first);
        }
        taken.push(claim);
    }
}

/// Warns if a route matches everything below a path, and no route with the same hosts matches the path
/// itself.
fn lint_bare_path(reader: &SectionReader<'_>, name: &str, taken: &[TakenRoute]) {
    let bare = |claim: &TakenRoute| claim.path.bare().map(str::to_owned);
    let own = taken.iter().filter(|claim| claim.route == name);
    let without = own.filter_map(|claim| Some((claim, bare(claim)?))).find(|(claim, bare)| {
        let covers = |other: &TakenRoute| {
            other.path.matches(bare)
                && HostPattern::covers(other.host.as_ref(), claim.host.as_ref())
        };
        !taken.iter().any(covers)
    });
    let (Some((claim, bare)), Some(span)) = (without, reader.span_of(keys::PATH.name)) else {
        return;
    };
    let host = claim.host.as_ref().map_or(String::new(), |host| format!(" of {host}"));
    let what = format!(
        "\"{}\" is not for {bare} itself, and no other route{host} is: a client that asks for it \
         gets route.none (404)",
        claim.path
    );
    let help = format!("add a route with path = \"{bare}\", if clients use it");
    reader.lint(LintName::PathBare, Problem::at(span, what).help(help));
}

fn refuse_equal(reader: &SectionReader<'_>, second: &TakenRoute, first: &TakenRoute) {
    let line = reader.cx.source.line(first.span.start);
    let host = match &second.host {
        Some(host) => host.to_string(),
        None => "any host".to_owned(),
    };
    let what = format!(
        "routes.{} and routes.{} (line {line}) are equal: {host} and {}",
        second.route, first.route, second.path
    );
    reader.cx.refuse(
        Problem::at(second.span.clone(), what)
            .related(first.span.clone(), "first said here")
            .help("remove one of the two, or give it another host or path"),
    );
}

/// Reads a subprotocol, which must be a token (RFC 9110 section 5.6.2, RFC 6455 section 4.1).
pub(super) fn parse_subprotocol(text: &str) -> Result<String, Fault> {
    if !is_token(text) {
        let fault = Fault::new(format!("\"{text}\" is not a token (RFC 9110 section 5.6.2)"));
        return Err(fault.help("use letters, digits and !#$%&'*+-.^_`|~ alone"));
    }
    Ok(text.to_owned())
}

/// Whether `text` is a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Whether `name` can be a query parameter as the URL spells it: a token without `&`, `%`, `+` or `#`.
pub(super) fn is_parameter(name: &str) -> bool {
    is_token(name) && !name.contains(['&', '%', '+', '#'])
}

#[cfg(test)]
mod tests {
    use super::parse_subprotocol;

    #[test]
    fn subprotocols_are_tokens() {
        assert_eq!(parse_subprotocol("chat.v1"), Ok("chat.v1".to_owned()));
        assert_eq!(parse_subprotocol("!#$%&'*+-.^_`|~09aZ").unwrap().len(), 19);
        for text in ["", "a b", "a,b", "a/b", "\"a\"", "a\r", "\u{e4}", "a=b", "a;b", "a@b"] {
            assert!(parse_subprotocol(text).is_err(), "{text}");
        }
    }
}
