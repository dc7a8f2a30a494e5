//! `[server]`

use std::net::SocketAddr;
use std::ops::Range;

use ipnet::IpNet;
use toml::Spanned;

use super::kinds::Fault;
use super::lints::LintName;
use super::model::{ProxyProtocol, Server};
use super::reader::SectionReader;
use super::report::Problem;
use super::{fields, keys};
use crate::values::canonical_path;

/// Checks `[server]`. Reports each value with a fault, and uses its default or leaves the field empty.
pub(super) fn check(reader: &SectionReader<'_>) -> Server {
    let listen = reader.required(&keys::LISTEN);
    let listen = listen.map_or(Vec::new(), Spanned::into_inner);
    refuse_collisions(reader, &listen);
    Server {
        listen: listen.into_iter().map(Spanned::into_inner).collect(),
        max_connections: reader.value(&keys::MAX_CONNECTIONS) as usize,
        max_head: usize::try_from(reader.value(&keys::MAX_HEAD)).unwrap_or(usize::MAX),
        max_fields: reader.value(&keys::MAX_FIELDS) as usize,
        handshake_timeout: reader.value(&keys::HANDSHAKE_TIMEOUT),
        shutdown_grace: reader.value(&keys::SHUTDOWN_GRACE),
        proxy_protocol: proxy_protocol(reader),
        trusted_proxies: trusted_proxies(reader),
        health_path: reader.get(&keys::HEALTH_PATH).map(Spanned::into_inner),
        unknown_clients: reader.value(&keys::UNKNOWN_CLIENTS),
        fields: fields::check(reader),
    }
}

/// Refuses listen addresses that the wildcard of their family already covers. The wildcards of the two
/// families do not collide.
fn refuse_collisions(reader: &SectionReader<'_>, listen: &[Spanned<SocketAddr>]) {
    let covers = |one: &SocketAddr, other: &SocketAddr| {
        let same_family = one.is_ipv4() == other.is_ipv4();
        let same_port = one.port() == other.port() && one.port() != 0;
        same_port && same_family && one.ip().is_unspecified()
    };
    for (position, second) in listen.iter().enumerate() {
        let collides = |first: &&Spanned<SocketAddr>| {
            covers(first.get_ref(), second.get_ref()) || covers(second.get_ref(), first.get_ref())
        };
        let Some(first) = listen[..position].iter().find(collides) else {
            continue;
        };
        let (one, other) = (first.get_ref(), second.get_ref());
        let what = format!("server.listen has {one} and {other}, and one of them takes both");
        reader.cx.refuse(
            Problem::at(second.span(), what)
                .related(first.span(), "this is the same port of the same family")
                .help("remove one of the two, or give it another port"),
        );
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

fn trusted_proxies(reader: &SectionReader<'_>) -> Vec<IpNet> {
    let networks = reader.value(&keys::TRUSTED_PROXIES);
    for network in networks.iter().filter(|network| network.get_ref().prefix_len() == 0) {
        lint_everybody(reader, network.span());
    }
    networks.into_iter().map(Spanned::into_inner).collect()
}

fn lint_everybody(reader: &SectionReader<'_>, span: Range<usize>) {
    reader.lint(
        LintName::ServerTrustsAll,
        Problem::at(span, "every peer is a trusted proxy: each client can claim any address")
            .help("list only the addresses of your own proxies"),
    );
}

fn proxy_protocol(reader: &SectionReader<'_>) -> ProxyProtocol {
    let Some(mode) = reader.get(&keys::PROXY_PROTOCOL) else {
        return keys::PROXY_PROTOCOL.absent.value();
    };
    let nobody = reader.is_empty_list(keys::TRUSTED_PROXIES.name);
    if *mode.get_ref() == ProxyProtocol::Required && nobody {
        reader.cx.refuse(
            Problem::at(
                mode.span(),
                "server.proxy_protocol is \"required\", but server.trusted_proxies is empty",
            )
            .label("nobody could connect")
            .help("list the proxies that send the header in trusted_proxies"),
        );
    }
    mode.into_inner()
}
