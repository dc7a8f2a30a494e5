//! Finds the client of a connection: the peer itself, or the client that a trusted proxy forwards.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::HeaderName;
use ipnet::IpNet;

use super::fields::single;
use super::forwarded::Forwarded;
use crate::config::UnknownClients;
use crate::values::Authority;
use crate::values::{Reason, Refusal, RequestContext, RequestSummary};
use crate::values::{canonical_ip, is_of_a_client};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The peer of an accepted connection, with its address in canonical form; with the PROXY protocol,
/// the client that the header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether the address is in `trusted_proxies`, so that the gateway reads the peer's
    /// X-Forwarded-* fields.
    pub trusted: bool,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Whether a trusted proxy opened the connection for itself (PROXY protocol `LOCAL`, `UNSPEC`):
    /// then the proxy is the client, and its fields do not change that.
    pub own: bool,
}

impl Peer {
    /// The context of a request that this peer sent.
    #[must_use]
    pub fn context(&self, request: &RequestSummary) -> RequestContext {
        RequestContext { sender: request.sender(self.tls), relayed: self.trusted }
    }
}

/// The client of a request, found with the help of trusted proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddress {
    /// The peer's address, or the one that a trusted proxy forwarded; the port is 0 if it is not
    /// known.
    pub address: SocketAddr,
    /// The scheme that the client used: `https` or `http`.
    pub scheme: &'static str,
    /// Whether the peer itself is the client: it is not a trusted proxy, or speaks for itself.
    pub is_peer: bool,
    /// The trusted proxies between the client and the peer, starting at the client.
    pub hops: Vec<IpAddr>,
    /// The URL parts that a trusted proxy forwarded.
    forwarded: Forwarded,
}

impl Peer {
    /// Whether `address` is within `prefixes`.
    #[must_use]
    pub fn is_trusted(address: IpAddr, prefixes: &[IpNet]) -> bool {
        prefixes.iter().any(|prefix| prefix.contains(&address))
    }
}

impl ClientAddress {
    /// Reads X-Forwarded-For from right to left while the addresses are trusted proxies; the first
    /// other address is the client, and elements to the left of it are ignored. X-Forwarded-Proto,
    /// X-Forwarded-Host and X-Forwarded-Port are read from a trusted peer only, as many elements
    /// from the right.
    ///
    /// # Errors
    /// `forwarded.malformed`: a trusted proxy does not name its client in a readable form, and
    /// `unknown` does not allow that; or a forwarded part of the client's URL cannot be read.
    pub fn resolve(
        peer: &Peer,
        trusted: &[IpNet],
        unknown: UnknownClients,
        headers: &HeaderMap,
    ) -> Result<Self, Refusal> {
        let scheme = if peer.tls { "https" } else { "http" };
        if !peer.trusted {
            return Ok(Self {
                address: peer.address,
                scheme,
                is_peer: true,
                hops: Vec::new(),
                forwarded: Forwarded::default(),
            });
        }
        let mut chain =
            if peer.own { Vec::new() } else { forwarded_chain(peer, trusted, unknown, headers)? };
        let client = chain.pop();
        let forwarded = Forwarded::read(headers, chain.len())?;
        Ok(Self {
            address: client.unwrap_or(peer.address),
            scheme: forwarded.scheme.unwrap_or(scheme),
            is_peer: client.is_none(),
            hops: chain.iter().rev().map(SocketAddr::ip).collect(),
            forwarded,
        })
    }

    /// The host and port that the client used; `own` is the authority of the request.
    pub(super) fn authority(&self, own: Authority) -> Authority {
        self.forwarded.authority(own, self.scheme)
    }
}

/// The request id that a trusted proxy sent in X-Request-Id, if it is safe in a log line: letters,
/// digits, `-`, `_`, `.` and `:`, at most 128.
#[must_use]
pub fn request_id(peer: &Peer, headers: &HeaderMap) -> Option<String> {
    let id = single(headers, &X_REQUEST_ID).ok().flatten().filter(|_| peer.trusted)?;
    let fits = (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    fits.then(|| id.to_owned())
}

/// The addresses of X-Forwarded-For from the right, up to the client, which is the last. Empty if
/// the peer is the client.
fn forwarded_chain(
    peer: &Peer,
    trusted: &[IpNet],
    unknown: UnknownClients,
    headers: &HeaderMap,
) -> Result<Vec<SocketAddr>, Refusal> {
    let as_proxy = unknown == UnknownClients::Proxy;
    let mut chain: Vec<SocketAddr> = Vec::new();
    for hop in elements_from_right(headers) {
        let Some(address) = parse_hop(hop) else {
            if as_proxy && hop.eq_ignore_ascii_case(b"unknown") {
                return Ok(chain);
            }
            let proxy = chain.last().map_or(peer.address.ip(), SocketAddr::ip);
            return Err(unreadable(proxy, hop));
        };
        chain.push(address);
        if !Peer::is_trusted(address.ip(), trusted) {
            return Ok(chain);
        }
    }
    if chain.is_empty() && !as_proxy {
        let detail =
            format!("the trusted proxy {} sends no address in X-Forwarded-For", peer.address.ip());
        return Err(Refusal::new(Reason::ForwardedMalformed, detail).by("unknown_clients"));
    }
    Ok(chain)
}

/// The elements of X-Forwarded-For from the right, without empty ones (RFC 9110 section 5.6.1.2).
/// Each proxy appends its element on the right.
fn elements_from_right(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    lines
        .into_iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// A refusal that shows at most 64 bytes of the element in its detail.
fn unreadable(proxy: IpAddr, element: &[u8]) -> Refusal {
    let shown = element[..element.len().min(64)].escape_ascii();
    let detail =
        format!("X-Forwarded-For of the trusted proxy {proxy} has no address: \"{shown}\"");
    Refusal::new(Reason::ForwardedMalformed, detail).by("unknown_clients")
}

/// Parses an address that a client can have, with an optional port: some proxies write one. An IPv6
/// address may be in brackets, and must be if a port follows.
fn parse_hop(element: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(element).ok()?;
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(bare) => SocketAddr::new(bare.parse::<Ipv6Addr>().ok()?.into(), 0),
        None => match text.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, 0),
            Err(_) => text.parse::<SocketAddr>().ok().filter(|address| has_no_zone(*address))?,
        },
    };
    let ip = canonical_ip(address.ip());
    is_of_a_client(ip).then(|| SocketAddr::new(ip, address.port()))
}

/// Whether the address has no zone (RFC 4007), which is valid only on one machine.
fn has_no_zone(address: SocketAddr) -> bool {
    !matches!(address, SocketAddr::V6(address) if address.scope_id() != 0)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{ClientAddress, Peer, X_FORWARDED_FOR, X_FORWARDED_PROTO};
    use crate::config::UnknownClients::{self, Proxy, Refuse};
    use crate::values::{Reason, RequestSummary};

    fn resolve(unknown: UnknownClients, peer: &str, lines: &[&str]) -> Option<String> {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let address: std::net::SocketAddr = peer.parse().unwrap();
        let trusts = Peer::is_trusted(address.ip(), &trusted);
        let peer = Peer { address, trusted: trusts, tls: true, own: false };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        match ClientAddress::resolve(&peer, &trusted, unknown, &headers) {
            Ok(client) => Some(client.address.to_string()),
            Err(refusal) => {
                assert_eq!(refusal.reason, Reason::ForwardedMalformed, "{refusal:?}");
                None
            }
        }
    }

    #[test]
    fn a_request_of_a_trusted_proxy_is_relayed() {
        let request = RequestSummary::of_raw(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let address = ([192, 0, 2, 1], 4711).into();
        let plain = Peer { address, trusted: false, tls: false, own: true };
        assert!(!plain.context(&request).relayed);
        assert!(Peer { trusted: true, ..plain }.context(&request).relayed);
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        for (peer, lines, client) in [
            ("192.0.2.9:5", &["198.51.100.7"][..], "192.0.2.9:5"),
            ("192.0.2.9:5", &["unknown"], "192.0.2.9:5"),
            ("10.0.0.1:5", &["198.51.100.7"], "198.51.100.7:0"),
            ("10.0.0.1:5", &["203.0.113.1, 198.51.100.7, 10.0.0.2"], "198.51.100.7:0"),
            ("10.0.0.1:5", &["203.0.113.1", "198.51.100.7"], "198.51.100.7:0"),
            ("10.0.0.1:5", &["\u{e9}", "198.51.100.7"], "198.51.100.7:0"),
            ("10.0.0.1:5", &["\u{e9}, 198.51.100.7, 10.0.0.2"], "198.51.100.7:0"),
            ("10.0.0.1:5", &["unknown, 198.51.100.7"], "198.51.100.7:0"),
            ("10.0.0.1:5", &["198.51.100.7, , ", ","], "198.51.100.7:0"),
            ("10.0.0.1:5", &["10.0.0.3, 10.0.0.2"], "10.0.0.3:0"),
            ("10.0.0.1:5", &["::ffff:198.51.100.7"], "198.51.100.7:0"),
            ("10.0.0.1:5", &["198.51.100.7:4711"], "198.51.100.7:4711"),
            ("10.0.0.1:5", &["[2001:dead::7]:4711"], "[2001:dead::7]:4711"),
            ("10.0.0.1:5", &["[2001:dead::7]"], "[2001:dead::7]:0"),
            ("10.0.0.1:5", &["fe80::1"], "[fe80::1]:0"),
        ] {
            assert_eq!(resolve(Refuse, peer, lines).as_deref(), Some(client), "{lines:?}");
        }
    }

    #[test]
    fn a_trusted_proxy_must_name_its_client() {
        for lines in [
            &["fe80::1%eth0"][..],
            &["[fe80::1%2]:443"],
            &["010.0.0.1"],
            &["1.2.3.4:99999"],
            &["1.2.3.4:"],
            &["127.1"],
            &["0x7f000001"],
            &["2130706433"],
            &["[192.0.2.1]"],
            &["\"192.0.2.1\""],
            &["_hidden"],
            &["0.0.0.0"],
            &["::"],
            &["::ffff:0.0.0.0"],
            &["255.255.255.255"],
            &["224.0.0.1"],
            &["ff02::1"],
            &["client.example"],
            &["198.51.100.7, \u{e9}, 10.0.0.2"],
            &["203.0.113.1, \u{e9}"],
            &["198.51.100.7, unknown:80"],
        ] {
            for unknown in [Refuse, Proxy] {
                assert_eq!(resolve(unknown, "10.0.0.1:5", lines), None, "{lines:?}");
            }
        }
    }

    #[test]
    fn unknown_clients_count_as_their_proxy_if_configured() {
        for (lines, proxy) in [
            (&[][..], "10.0.0.1:5"),
            (&[""], "10.0.0.1:5"),
            (&[" , ", ","], "10.0.0.1:5"),
            (&["unknown"], "10.0.0.1:5"),
            (&["203.0.113.1, Unknown"], "10.0.0.1:5"),
            (&["203.0.113.1, unknown, 10.0.0.2"], "10.0.0.2:0"),
        ] {
            assert_eq!(resolve(Refuse, "10.0.0.1:5", lines), None, "{lines:?}");
            assert_eq!(resolve(Proxy, "10.0.0.1:5", lines).as_deref(), Some(proxy), "{lines:?}");
        }
    }

    #[test]
    fn a_request_of_the_proxy_itself_has_the_proxy_as_client() {
        let address = "10.0.0.1:5".parse().unwrap();
        let peer = Peer { address, trusted: true, tls: false, own: true };
        let mut headers = HeaderMap::new();
        let resolve = |headers: &HeaderMap| {
            let client = ClientAddress::resolve(&peer, &[], Refuse, headers).unwrap();
            assert!(client.is_peer && client.hops.is_empty());
            client.address
        };
        assert_eq!(resolve(&headers), address);
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        assert_eq!(resolve(&headers), address);
    }

    #[test]
    fn an_untrusted_peer_cannot_set_the_scheme() {
        let address = "192.0.2.9:5".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
        let scheme = |trusted| {
            let peer = Peer { address, trusted, tls: false, own: true };
            ClientAddress::resolve(&peer, &[], Refuse, &headers).unwrap().scheme
        };
        assert_eq!((scheme(false), scheme(true)), ("http", "https"));
    }
}
