//! `[server]`

use std::net::SocketAddr;

use super::keys::{self, Server};
use super::kinds::Fault;
use super::lints::LintName;
use super::model::ProxyProtocol;
use super::pacing::ShutdownPace;
use super::reader::SectionReader;
use super::report::Problem;
use crate::values::canonical_path;

impl Server {
    /// The pace of a shutdown.
    #[must_use]
    pub fn shutdown_pace(&self) -> ShutdownPace {
        ShutdownPace::new(self.shutdown_spread, self.shutdown_grace)
    }
}

/// Checks `[server]`. Reports each value with a fault, and uses its default or leaves the field empty.
pub(super) fn check(reader: &SectionReader<'_>) -> Server {
    let server = Server::read(reader);
    refuse_collisions(reader, &server);
    for proxy in reader.entries(keys::TRUSTED_PROXIES.name, &server.trusted_proxies) {
        if proxy.get_ref().prefix_len() == 0 {
            let what = "every peer is a trusted proxy: each client can claim any address";
            let help = "list only the addresses of your own proxies";
            reader.lint(LintName::ServerTrustsAll, Problem::at(proxy.span(), what).help(help));
        }
    }
    check_proxy_protocol(reader, server.proxy_protocol);
    server
}

/// Refuses listen addresses that the wildcard of their family already covers, and an address in both lists. The
/// wildcards of the two families do not collide.
fn refuse_collisions(reader: &SectionReader<'_>, server: &Server) {
    let covers = |one: &SocketAddr, other: &SocketAddr| {
        let same_family = one.is_ipv4() == other.is_ipv4();
        let same_port = one.port() == other.port() && one.port() != 0;
        same_port && same_family && (one.ip().is_unspecified() || one == other)
    };
    let mut listen = reader.entries(keys::LISTEN.name, &server.listen);
    listen.extend(reader.entries(keys::REDIRECT_HTTP.name, &server.redirect_http));
    for (position, second) in listen.iter().enumerate() {
        let other = second.get_ref();
        let mut before = listen[..position].iter();
        let Some(first) =
            before.find(|first| covers(first.get_ref(), other) || covers(other, first.get_ref()))
        else {
            continue;
        };
        let one = first.get_ref();
        let what = format!("server.listen has {one} and {other}, and one of them takes both");
        reader.cx.refuse(
            Problem::at(second.span(), what)
                .related(first.span(), "this is the same port of the same family")
                .help("remove one of the two, or give it another port"),
        );
    }
}

/// Refuses to redirect to https where there is no TLS.
pub(super) fn refuse_redirect(reader: &SectionReader<'_>) {
    if let Some(span) = reader.span_of(keys::REDIRECT_HTTP.name) {
        let what = "server.redirect_http is given, but [tls] mode is \"off\"";
        reader.cx.refuse(
            Problem::at(span, what)
                .label("it would redirect to https, where nothing answers")
                .help("remove it, or give certificates in [tls]"),
        );
    }
}

/// Refuses to require a PROXY protocol header if no proxy may send one.
fn check_proxy_protocol(reader: &SectionReader<'_>, mode: ProxyProtocol) {
    if mode == ProxyProtocol::Required && reader.is_empty_list(keys::TRUSTED_PROXIES.name) {
        let what = "is \"required\", but server.trusted_proxies is empty";
        let problem = reader.problem(keys::PROXY_PROTOCOL.name, what);
        reader.cx.refuse(problem.map(|problem| {
            problem
                .label("nobody could connect")
                .help("list the proxies that send the header in trusted_proxies")
        }));
    }
}

/// Reads `health_path`, which is compared byte by byte: a path without query or wildcard, in canonical
/// form, so that no proxy on the way changes it.
pub(super) fn parse_health(text: &str) -> Result<String, Fault> {
    let canonical = canonical_path(text).map_err(|error| Fault::new(error.to_string()))?;
    if canonical != text || text.contains(['*', '?', '#']) {
        let fault = Fault::new(format!("\"{text}\" is not one plain path"));
        return Err(
            fault.help("write it without escapes, wildcard and query, such as \"/healthz\"")
        );
    }
    Ok(canonical)
}
