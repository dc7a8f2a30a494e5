//! `[server]`

use std::ops::Range;

use ipnet::IpNet;
use toml::Spanned;

use super::lints::LintName;
use super::model::{ProxyProtocol, Server};
use super::reader::Reader;
use super::report::Problem;
use super::{fields, keys};

/// Reads `[server]`. What is wrong was reported if the result is not whole.
pub(super) fn read(reader: &Reader<'_>) -> Server {
    let listen = reader.required(&keys::LISTEN);
    let listen = listen.map_or(Vec::new(), Spanned::into_inner);
    Server {
        listen: listen.into_iter().map(Spanned::into_inner).collect(),
        max_connections: reader.value(&keys::MAX_CONNECTIONS) as usize,
        handshake_timeout: reader.value(&keys::HANDSHAKE_TIMEOUT),
        shutdown_grace: reader.value(&keys::SHUTDOWN_GRACE),
        proxy_protocol: proxy_protocol(reader),
        trusted_proxies: trusted_proxies(reader),
        unknown_clients: reader.value(&keys::UNKNOWN_CLIENTS),
        fields: fields::read(reader),
    }
}

fn trusted_proxies(reader: &Reader<'_>) -> Vec<IpNet> {
    let networks = reader.value(&keys::TRUSTED_PROXIES);
    for network in networks.iter().filter(|network| network.get_ref().prefix_len() == 0) {
        lint_everybody(reader, network.span());
    }
    networks.into_iter().map(Spanned::into_inner).collect()
}

fn lint_everybody(reader: &Reader<'_>, span: Range<usize>) {
    reader.lint(
        LintName::ServerTrustsAll,
        Problem::at(span, "every peer is a trusted proxy: each client can claim any address")
            .help("list only the addresses of your own proxies"),
    );
}

fn proxy_protocol(reader: &Reader<'_>) -> ProxyProtocol {
    let Some(mode) = reader.get(&keys::PROXY_PROTOCOL) else {
        return keys::PROXY_PROTOCOL.absent.0;
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
