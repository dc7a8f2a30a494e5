//! `[routes.*]`

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::auth::{self, CheckedAuth};
use super::host::HostPattern;
use super::issuer::Issuer;
use super::jwt::Issuers;
use super::keys::{self, Limits, Section, WebSocket};
use super::kinds::Fault;
use super::lints::LintName;
use super::load::Loader;
use super::model::{Origins, Route};
use super::path::PathPattern;
use super::profile::Base;
use super::reader::{Scope, SectionReader, check_name};
use super::report::Problem;
use super::upstream::Upstreams;
use super::{certificates, limits, origins, reachability, upstream};
use crate::tls::ServerSettings;

/// `[routes.NAME]`; its files are not read yet. A field is missing if its value had a fault; the fault
/// was reported.
pub(super) struct CheckedRoute<'a> {
    scope: Scope<'a>,
    pub(super) name: String,
    hosts: Vec<Spanned<HostPattern>>,
    path: Option<PathPattern>,
    upstreams: Upstreams,
    origins: Origins,
    require_origin: bool,
    subprotocols: Vec<String>,
    pub(super) auth: Option<CheckedAuth>,
    websocket: WebSocket,
    pub(super) limits: Limits,
    refresh: Option<String>,
}

/// The loaded sections that a route refers to.
pub(super) struct Shared<'a> {
    pub(super) issuers: &'a [Option<Arc<Issuer>>],
    pub(super) tls: Option<&'a ServerSettings>,
    pub(super) listen: &'a [SocketAddr],
}

impl CheckedRoute<'_> {
    /// Reads the files of the route. Returns `None` after it reported a fault.
    pub(super) fn load(self, shared: &Shared<'_>, loader: &Loader) -> Option<Route> {
        let (scope, upstreams) = (self.scope, self.upstreams);
        certificates::lint_hosts(&scope, &self.hosts, shared.tls);
        reachability::lint(&scope, &upstreams.list, shared.listen, loader.looks_up);
        let trust = upstreams.trust;
        Some(Route {
            upstream_trust: trust.and_then(|roots| upstream::load(&scope, &roots, loader)),
            name: self.name.into(),
            hosts: plain(self.hosts),
            path: self.path?,
            upstreams: plain(upstreams.list),
            upstream_server_name: upstreams.server_name,
            upstream_host: upstreams.host,
            dial_timeout: upstreams.dial_timeout,
            origins: self.origins,
            require_origin: self.require_origin,
            subprotocols: self.subprotocols,
            auth: self.auth?.load(shared.issuers)?,
            websocket: self.websocket,
            limits: self.limits,
            refresh: self.refresh,
        })
    }
}

/// Checks every route, in the order of the file.
pub(super) fn check<'a>(
    reader: &SectionReader<'a>,
    base: &Base,
    issuers: &Issuers<'_>,
) -> Vec<CheckedRoute<'a>> {
    let entries = reader.entries(Section::Route);
    if entries.is_empty() {
        reader.refuse_empty("routes: there is no route", keys::ROUTES.absent.0);
    }
    let mut taken = Vec::new();
    let mut routes = Vec::new();
    for (name, span, reader) in &entries {
        check_name(reader, name, span.clone(), "a route");
        routes.push(check_one(reader, name.clone(), base, issuers, &mut taken));
    }
    for (name, _, reader) in &entries {
        lint_bare_path(reader, name, &taken);
    }
    routes
}

fn check_one<'a>(
    reader: &SectionReader<'a>,
    name: String,
    base: &Base,
    issuers: &Issuers<'_>,
    taken: &mut Vec<TakenRoute>,
) -> CheckedRoute<'a> {
    reader.acknowledge(&keys::ROUTE_ALLOW);
    let hosts = reader.get(&keys::HOST);
    let path = reader.required(&keys::PATH);
    if let Some(path) = &path {
        take(reader, &name, hosts.as_ref(), path, taken);
    }
    let upstreams = upstream::check(reader);
    let origins = origins::check(reader);
    let require_origin = reader.value_or(&keys::REQUIRE_ORIGIN, base.require_origin);
    let subprotocols = reader.get(&keys::SUBPROTOCOLS);
    let auth = auth::check(reader, &name, issuers);
    let refresh = auth::refresh(reader, auth.as_ref());
    let websocket = reader.table(&keys::ROUTE_WEBSOCKET);
    let websocket = WebSocket::over(&base.websocket, &websocket);
    let limits = reader.table(&keys::ROUTE_LIMITS);
    let limits = limits::of_route(&limits, &base.limits, auth.as_ref());
    CheckedRoute {
        scope: Scope::clone(reader),
        name,
        hosts: hosts.map_or(Vec::new(), Spanned::into_inner),
        path: path.map(Spanned::into_inner),
        upstreams,
        origins,
        require_origin,
        subprotocols: subprotocols.map_or(Vec::new(), |list| plain(list.into_inner())),
        auth,
        websocket,
        limits,
        refresh,
    }
}

fn plain<T>(list: Vec<Spanned<T>>) -> Vec<T> {
    list.into_iter().map(Spanned::into_inner).collect()
}

/// A host and path that a route matches; no host stands for any host.
struct TakenRoute {
    host: Option<HostPattern>,
    path: PathPattern,
    route: String,
    span: Range<usize>,
}

fn take(
    reader: &SectionReader<'_>,
    name: &str,
    hosts: Option<&Spanned<Vec<Spanned<HostPattern>>>>,
    path: &Spanned<PathPattern>,
    taken: &mut Vec<TakenRoute>,
) {
    // The hosts had a fault, which was reported; the route must not count as one for any host.
    if hosts.is_none() && reader.span_of(keys::HOST.name).is_some() {
        return;
    }
    let listed = hosts.iter().flat_map(|hosts| hosts.get_ref());
    let mut claims: Vec<_> =
        listed.map(|host| (Some(host.get_ref().clone()), host.span())).collect();
    if claims.is_empty() {
        claims.push((None, path.span()));
    }
    for (host, span) in claims {
        let claim = TakenRoute { host, path: path.get_ref().clone(), route: name.to_owned(), span };
        let same = |other: &&TakenRoute| other.host == claim.host && other.path == claim.path;
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
