//! The keys of `[routes.NAME]` that configure the upstreams and the connections to them.

use std::path::PathBuf;

use super::address::check_socket_path;
use super::files;
use super::keys;
use super::kinds::Fault;
use super::load::Loader;
use super::model::UpstreamAddress;
use super::reader::SectionReader;
use crate::tls::{ServerTrust, is_server_name};
use crate::values::{is_host, split_port};

/// Checks the upstream keys, and resolves the paths of unix sockets against the configuration's folder.
pub(super) fn check(reader: &SectionReader<'_>, upstreams: &mut [UpstreamAddress]) {
    for upstream in &mut *upstreams {
        if let UpstreamAddress::Unix(path) = upstream {
            *path = reader.cx.base.join(&*path);
        }
    }
    for upstream in reader.entries(keys::UPSTREAM.name, upstreams) {
        if let UpstreamAddress::Unix(path) = upstream.get_ref() {
            let fits = check_socket_path(path);
            reader.accept(keys::UPSTREAM.name, upstream.span(), fits);
        }
    }
    if !upstreams.is_empty() && !upstreams.iter().any(is_secure) {
        for name in [keys::UPSTREAM_CA.name, keys::UPSTREAM_SERVER_NAME.name] {
            refuse_idle(reader, name);
        }
    }
}

fn is_secure(upstream: &UpstreamAddress) -> bool {
    matches!(upstream, UpstreamAddress::Wss { .. })
}

/// Loads the certificates of `upstream_ca`, or the roots of the system, if an upstream is `wss://`.
/// Returns `None` otherwise, or after it reported a fault.
pub(super) fn load(
    reader: &SectionReader<'_>,
    ca: Option<PathBuf>,
    upstreams: &[UpstreamAddress],
    loader: &Loader,
) -> Option<ServerTrust> {
    let name = keys::UPSTREAM_CA.name;
    let entries = reader.entries(keys::UPSTREAM.name, upstreams);
    let secure = entries.iter().find(|one| is_secure(one.get_ref()))?;
    match ca {
        Some(path) => loader.read(reader, name, &path, files::read_trusted),
        None if reader.span_of(name).is_some() => None,
        None => {
            let roots = loader.system_roots(reader, secure.span(), "this upstream", name);
            roots.map(ServerTrust::from)
        }
    }
}

fn refuse_idle(reader: &SectionReader<'_>, name: &str) {
    let problem = reader.problem(name, "is given, but no upstream is wss://");
    reader.cx.refuse(problem.map(|problem| {
        problem
            .label("nothing would be verified with it")
            .help("remove it, or write the upstream with wss://")
    }));
}

/// Reads the name of a TLS server: a DNS name or an address, without a port.
pub(super) fn parse_server_name(text: &str) -> Result<String, Fault> {
    if let Some((host, Some(_))) = split_port(text) {
        let fault = Fault::new(format!("\"{text}\" has a port"));
        return Err(fault.help(format!("certificates name hosts without a port: \"{host}\"")));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if text.contains('*') || !is_server_name(bare) {
        let fault = Fault::new(format!("\"{text}\" is not the name of a TLS server"));
        return Err(fault.help("write one of the names in the upstream's certificate"));
    }
    Ok(bare.to_ascii_lowercase())
}

/// Reads a Host header: `HOST` or `HOST:PORT`.
pub(super) fn parse_upstream_host(text: &str) -> Result<String, Fault> {
    let host = split_port(text).filter(|(host, port)| is_host(host) && *port != Some(0));
    host.map(|_| text.to_ascii_lowercase()).ok_or_else(|| {
        let fault = Fault::new(format!("\"{text}\" is not a host, or a host and a port"));
        fault.help("write it without a scheme and a path, as in \"app.example.com:8080\"")
    })
}

#[cfg(test)]
mod tests {
    use super::{parse_server_name, parse_upstream_host};

    #[test]
    fn a_server_name_is_a_name_or_an_address() {
        for (text, name) in [
            ("App.Example.com", "app.example.com"),
            ("app_1.internal", "app_1.internal"),
            ("127.0.0.1", "127.0.0.1"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(parse_server_name(text).as_deref(), Ok(name));
        }
        for text in
            ["", "a b", "*.example.com", "app:8443", "[::1]:443", "https://app", "a..b", "ä"]
        {
            assert!(parse_server_name(text).is_err(), "{text}");
        }
        let help = parse_server_name("app:8443").unwrap_err().help.unwrap();
        assert!(help.ends_with("\"app\""), "{help}");
    }

    #[test]
    fn a_host_may_have_a_port() {
        for text in ["app.example.com", "app:8080", "127.0.0.1:1", "[::1]:65535"] {
            assert_eq!(parse_upstream_host(text).unwrap(), text);
        }
        for text in
            ["", "app:", "app:0", "app:65536", "::1", "http://app", "app/ws", "a b", "a\r\nb"]
        {
            assert!(parse_upstream_host(text).is_err(), "{text}");
        }
    }
}
