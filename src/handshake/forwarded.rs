//! The scheme, host and port that the client used, as trusted proxies forward them.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::address::{X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::values::{Authority, parse_port};
use crate::values::{Reason, Refusal};

pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The parts of a client's URL that a trusted proxy forwarded; `None` if it did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// `https` or `http`.
    pub(super) scheme: Option<&'static str>,
    /// X-Forwarded-Host.
    pub(super) authority: Option<Authority>,
    /// X-Forwarded-Port.
    pub(super) port: Option<u16>,
}

impl Forwarded {
    /// Reads the fields of a trusted proxy with `hops` trusted proxies between it and the client.
    /// Each proxy appends an element on the right, and the client's own claims are to their left.
    /// The element read is that of the proxy to which the client is connected, or the first of a
    /// shorter list.
    ///
    /// # Errors
    /// `forwarded.malformed`: that element cannot be read. The gateway does not guess its meaning.
    pub(super) fn read(headers: &HeaderMap, hops: usize) -> Result<Self, Refusal> {
        let scheme = element(headers, &X_FORWARDED_PROTO, hops);
        let authority = element(headers, &X_FORWARDED_HOST, hops);
        let port = element(headers, &X_FORWARDED_PORT, hops);
        Ok(Self {
            scheme: scheme
                .map(|text| read_scheme(&text).ok_or_else(|| malformed("Proto", &text, "a scheme")))
                .transpose()?,
            authority: authority
                .map(|text| Authority::parse(&text).map_err(|why| malformed("Host", &text, why)))
                .transpose()?,
            port: port
                .map(|text| parse_port(&text).ok_or_else(|| malformed("Port", &text, "a port")))
                .transpose()?,
        })
    }

    /// The authority that the client used; `own` is that of the request, `scheme` the client's. The
    /// port of X-Forwarded-Host takes precedence over X-Forwarded-Port, and that over the port of
    /// `own`.
    pub(super) fn authority(&self, own: Authority, scheme: &str) -> Authority {
        let default = default_port(scheme);
        let said = |port: u16| Some(port).filter(|port| Some(*port) != default);
        match (&self.authority, self.port) {
            (Some(authority), Some(port)) if authority.port.is_none() => {
                Authority { host: authority.host.clone(), port: said(port) }
            }
            (Some(authority), _) => authority.clone(),
            (None, Some(port)) => Authority { port: said(port), ..own },
            (None, None) => own,
        }
    }
}

/// The default port of a scheme.
pub(super) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The element `hops` places to the left of the last, or the first of a shorter list. Empty
/// elements do not count (RFC 9110 section 5.6.1.2); bytes that are not UTF-8 are replaced.
fn element(headers: &HeaderMap, name: &HeaderName, hops: usize) -> Option<String> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    let elements = lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    let elements = elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty());
    let element = elements.take(hops + 1).last()?;
    Some(String::from_utf8_lossy(element).into_owned())
}

fn read_scheme(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some("https"),
        "http" | "ws" => Some("http"),
        _ => None,
    }
}

/// A refusal that shows at most 64 characters of the field in its detail.
fn malformed(field: &str, text: &str, why: impl std::fmt::Display) -> Refusal {
    let shown: String = text.chars().take(64).collect();
    let detail = format!("X-Forwarded-{field} of a trusted proxy cannot be read: {shown:?}: {why}");
    Refusal::new(Reason::ForwardedMalformed, detail).by("trusted_proxies")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::Forwarded;
    use crate::values::Authority;
    use crate::values::Reason;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    #[test]
    fn lists_are_read_from_the_right() {
        let proto = "x-forwarded-proto";
        for (fields, hops, scheme) in [
            (&[][..], 0, None),
            (&[(proto, "")], 0, None),
            (&[(proto, "HTTPS")], 0, Some("https")),
            (&[(proto, "ws")], 0, Some("http")),
            (&[(proto, "https,http")], 0, Some("http")),
            (&[(proto, "https,http")], 1, Some("https")),
            (&[(proto, "https, http"), (proto, "http")], 2, Some("https")),
            (&[(proto, "https"), (proto, "http")], 0, Some("http")),
            (&[(proto, "gopher, https, , http,")], 1, Some("https")),
            (&[(proto, "\u{e9}, https")], 0, Some("https")),
            (&[(proto, "https")], 5, Some("https")),
        ] {
            let forwarded = Forwarded::read(&headers(fields), hops).unwrap();
            assert_eq!(forwarded.scheme, scheme, "{fields:?} {hops}");
        }
    }

    #[test]
    fn unreadable_fields_are_refused() {
        for (name, value) in [
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-proto", "https\u{e9}"),
            ("x-forwarded-proto", "http, \"https\""),
            ("x-forwarded-host", "a..b"),
            ("x-forwarded-host", "127.1"),
            ("x-forwarded-host", "\u{e9}"),
            ("x-forwarded-host", "good.example, a b"),
            ("x-forwarded-port", "65536"),
            ("x-forwarded-port", "+80"),
            ("x-forwarded-port", "443, x"),
        ] {
            let refusal = Forwarded::read(&headers(&[(name, value)]), 0).unwrap_err();
            assert_eq!(refusal.reason, Reason::ForwardedMalformed, "{name}: {value}");
        }
    }

    #[test]
    fn host_and_port_are_those_of_the_clients_url() {
        let (host, port) = ("x-forwarded-host", "x-forwarded-port");
        for (fields, authority) in [
            (&[][..], "inner:9000"),
            (&[(host, "Outer.Example.")], "outer.example"),
            (&[(host, "evil.example, outer.example")], "outer.example"),
            (&[(host, "outer.example:8443")], "outer.example:8443"),
            (&[(host, "outer.example"), (port, "8443")], "outer.example:8443"),
            (&[(host, "outer.example"), (port, "443")], "outer.example"),
            (&[(host, "outer.example:8443"), (port, "443")], "outer.example:8443"),
            (&[(host, "[0:0::1]"), (port, "80, 8443")], "[::1]:8443"),
            (&[(port, "8443")], "inner:8443"),
            (&[(port, "443")], "inner"),
            (&[(port, "80")], "inner:80"),
        ] {
            let forwarded = Forwarded::read(&headers(fields), 0).unwrap();
            let own = Authority::parse("inner:9000").unwrap();
            assert_eq!(forwarded.authority(own, "https").to_string(), authority, "{fields:?}");
        }
    }
}
