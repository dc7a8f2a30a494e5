//! Who the client is: the peer of the connection, or whom a trusted proxy says it speaks for.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use super::fields::{list_from_right, single};
use crate::listener::canonical_ip;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const X_CLIENT_IP: HeaderName = HeaderName::from_static("x-client-ip");
pub(super) const TRUE_CLIENT_IP: HeaderName = HeaderName::from_static("true-client-ip");
pub(super) const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields in which a client could claim an address, a scheme, a host or an id.
pub(super) const CLAIMS: [HeaderName; 9] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_REAL_IP,
    X_CLIENT_IP,
    TRUE_CLIENT_IP,
    CF_CONNECTING_IP,
    X_REQUEST_ID,
    FORWARDED,
];

/// The other end of an accepted connection, canonical; with the PROXY protocol, whom that names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether it is in `trusted_proxies`, so that its X-Forwarded-* fields are believed.
    pub trusted: bool,
    /// Whether the connection is TLS.
    pub tls: bool,
}

/// The client of a request, after trusted proxies had their say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddress {
    /// The peer, or the address that a trusted proxy forwarded; the port is 0 where it is not
    /// known.
    pub address: SocketAddr,
    /// `https` or `http`, as the client used it.
    pub scheme: &'static str,
}

impl Peer {
    /// Whether `address` is within `prefixes`.
    #[must_use]
    pub fn is_trusted(address: IpAddr, prefixes: &[IpNet]) -> bool {
        prefixes.iter().any(|prefix| prefix.contains(&address))
    }
}

impl ClientAddress {
    /// Reads X-Forwarded-For from right to left for as long as the addresses are trusted proxies;
    /// the first that is not is the client. What cannot be read ends the chain, so that nothing to
    /// the left of it is believed. X-Forwarded-Proto counts only from a trusted peer too.
    #[must_use]
    pub fn resolve(peer: &Peer, trusted: &[IpNet], headers: &HeaderMap) -> Self {
        let scheme = if peer.tls { "https" } else { "http" };
        if !peer.trusted {
            return Self { address: peer.address, scheme };
        }
        let scheme = match single(headers, &X_FORWARDED_PROTO) {
            Ok(Some(proto)) if is_one_of(proto, &["https", "wss"]) => "https",
            Ok(Some(proto)) if is_one_of(proto, &["http", "ws"]) => "http",
            _ => scheme,
        };
        Self { address: forwarded_address(peer, trusted, headers), scheme }
    }
}

/// The id that a trusted proxy gave a request in X-Request-Id, if it can stand in a log line:
/// letters, digits, `-`, `_`, `.` and `:`, at most 128.
#[must_use]
pub fn request_id(peer: &Peer, headers: &HeaderMap) -> Option<String> {
    let id = single(headers, &X_REQUEST_ID).ok().flatten().filter(|_| peer.trusted)?;
    let fits = (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    fits.then(|| id.to_owned())
}

fn forwarded_address(peer: &Peer, trusted: &[IpNet], headers: &HeaderMap) -> SocketAddr {
    let mut client = peer.address;
    for hop in list_from_right(headers, &X_FORWARDED_FOR).into_iter().rev() {
        let Some(address) = parse_hop(hop) else {
            break;
        };
        client = address;
        if !Peer::is_trusted(address.ip(), trusted) {
            break;
        }
    }
    client
}

/// An address, with or without a port: some proxies write one.
fn parse_hop(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, 0))
        .or_else(|_| text.parse::<SocketAddr>())
        .ok()?;
    Some(SocketAddr::new(canonical_ip(address.ip()), address.port()))
}

fn is_one_of(text: &str, names: &[&str]) -> bool {
    names.iter().any(|name| text.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{ClientAddress, Peer, X_FORWARDED_FOR, X_FORWARDED_PROTO};

    fn resolve(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let address: std::net::SocketAddr = peer.parse().unwrap();
        let peer = Peer { address, trusted: Peer::is_trusted(address.ip(), &trusted), tls: true };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        ClientAddress::resolve(&peer, &trusted, &headers).address.to_string()
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        assert_eq!(resolve("192.0.2.9:5", &["198.51.100.7"]), "192.0.2.9:5");
        assert_eq!(resolve("10.0.0.1:5", &[]), "10.0.0.1:5");
        assert_eq!(resolve("10.0.0.1:5", &["198.51.100.7"]), "198.51.100.7:0");
        assert_eq!(
            resolve("10.0.0.1:5", &["203.0.113.1, 198.51.100.7, 10.0.0.2"]),
            "198.51.100.7:0"
        );
        assert_eq!(resolve("10.0.0.1:5", &["203.0.113.1", "198.51.100.7"]), "198.51.100.7:0");
        assert_eq!(resolve("10.0.0.1:5", &["203.0.113.1, unknown, 10.0.0.2"]), "10.0.0.2:0");
        for left in ["\u{e9}", "203.0.113.1, \u{e9}", "\u{e9}, 203.0.113.1"] {
            assert_eq!(resolve("10.0.0.1:5", &[left, "198.51.100.7"]), "198.51.100.7:0");
        }
        assert_eq!(resolve("10.0.0.1:5", &["\u{e9}, 198.51.100.7, 10.0.0.2"]), "198.51.100.7:0");
        assert_eq!(resolve("10.0.0.1:5", &["198.51.100.7, \u{e9}, 10.0.0.2"]), "10.0.0.2:0");
        assert_eq!(resolve("10.0.0.1:5", &["::ffff:198.51.100.7"]), "198.51.100.7:0");
        assert_eq!(resolve("10.0.0.1:5", &["198.51.100.7:4711"]), "198.51.100.7:4711");
        assert_eq!(resolve("10.0.0.1:5", &["[2001:dead::7]:4711"]), "[2001:dead::7]:4711");
        assert_eq!(resolve("10.0.0.1:5", &["[2001:dead::7]"]), "[2001:dead::7]:0");
    }

    #[test]
    fn the_scheme_of_an_untrusted_peer_is_its_own() {
        let address = "192.0.2.9:5".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
        let scheme = |trusted| {
            let peer = Peer { address, trusted, tls: false };
            ClientAddress::resolve(&peer, &[], &headers).scheme
        };
        assert_eq!((scheme(false), scheme(true)), ("http", "https"));
    }
}
