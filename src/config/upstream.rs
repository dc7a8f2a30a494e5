//! The keys of `[routes.NAME]` that configure the upstreams and the connections to them.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;

use super::address::MAX_UNIX_PATH;
use super::files;
use super::keys;
use super::kinds::Fault;
use super::load::{Loader, RootsFrom};
use super::model::Upstream;
use super::reader::{Scope, SectionReader};
use super::report::Problem;
use crate::tls::{ServerTrust, is_server_name};
use crate::values::{is_host, split_port};

/// The upstreams of a route, and their connection settings.
pub(super) struct Upstreams {
    pub(super) list: Vec<Spanned<Upstream>>,
    /// The source of the roots for a `wss://` upstream; `None` if no upstream is `wss://`, or after a fault.
    pub(super) trust: Option<RootsFrom>,
    pub(super) server_name: Option<String>,
    pub(super) host: Option<String>,
    pub(super) dial_timeout: Duration,
}

/// Checks the upstream keys. A field is missing if its value had a fault; the fault was reported.
pub(super) fn check(reader: &SectionReader<'_>) -> Upstreams {
    let list = list(reader);
    let secure = list.iter().find(|one| matches!(one.get_ref(), Upstream::Wss { .. }));
    let ca = reader.get(&keys::UPSTREAM_CA);
    let trust = secure.and_then(|secure| trust(reader, secure, ca));
    let server_name = reader.get(&keys::UPSTREAM_SERVER_NAME);
    if secure.is_none() && !list.is_empty() {
        for name in [keys::UPSTREAM_CA.name, keys::UPSTREAM_SERVER_NAME.name] {
            if let Some(span) = reader.span_of(name) {
                refuse_idle(reader, name, span);
            }
        }
    }
    Upstreams {
        trust,
        server_name: server_name.map(Spanned::into_inner),
        host: reader.get(&keys::UPSTREAM_HOST).map(Spanned::into_inner),
        dial_timeout: reader.value(&keys::DIAL_TIMEOUT),
        list,
    }
}

fn list(reader: &SectionReader<'_>) -> Vec<Spanned<Upstream>> {
    let given = reader.required(&keys::UPSTREAM);
    let given = given.map_or(Vec::new(), Spanned::into_inner);
    given.into_iter().filter_map(|upstream| resolve(reader, upstream)).collect()
}

/// Resolves the path of a unix socket against the configuration's folder.
fn resolve(reader: &SectionReader<'_>, upstream: Spanned<Upstream>) -> Option<Spanned<Upstream>> {
    let span = upstream.span();
    let Upstream::Unix(path) = upstream.get_ref() else {
        return Some(upstream);
    };
    let path: PathBuf = reader.cx.base.join(path);
    let length = path.as_os_str().len();
    if length > MAX_UNIX_PATH {
        let what = format!(
            "{}: a socket's path has at most {MAX_UNIX_PATH} bytes, this one has {length}",
            reader.key(keys::UPSTREAM.name)
        );
        reader.cx.refuse(Problem::at(span, what).help("move the socket to a shorter path"));
        return None;
    }
    Some(Spanned::new(span, Upstream::Unix(path)))
}

/// The source of the roots for a `wss://` upstream.
fn trust(
    reader: &SectionReader<'_>,
    upstream: &Spanned<Upstream>,
    ca: Option<Spanned<PathBuf>>,
) -> Option<RootsFrom> {
    match ca {
        Some(path) => Some(RootsFrom::File(path)),
        None if reader.span_of(keys::UPSTREAM_CA.name).is_none() => {
            Some(RootsFrom::System(upstream.span()))
        }
        None => None,
    }
}

/// Loads the certificates of `upstream_ca`, or the roots of the system.
pub(super) fn load(scope: &Scope<'_>, roots: &RootsFrom, loader: &Loader) -> Option<ServerTrust> {
    let name = keys::UPSTREAM_CA.name;
    match roots {
        RootsFrom::File(path) => loader.read(scope, name, path, files::read_trusted),
        RootsFrom::System(span) => {
            let roots = loader.system_roots(scope, span.clone(), "this upstream", name);
            roots.map(ServerTrust::from)
        }
    }
}

fn refuse_idle(reader: &SectionReader<'_>, name: &str, span: Range<usize>) {
    let key = reader.key(name);
    reader.cx.refuse(
        Problem::at(span, format!("{key} is given, but no upstream is wss://"))
            .label("nothing would be verified with it")
            .help("remove it, or write the upstream with wss://"),
    );
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
