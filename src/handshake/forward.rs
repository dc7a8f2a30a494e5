//! Builds the request to the upstream anew: decides which of the client's fields are forwarded, and
//! sets the gateway's own.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue, MAX_FORWARDS, ORIGIN,
    PRAGMA, RANGE, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, SET_COOKIE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request, request};
use http_body_util::Empty;

use super::address::{
    ClientAddress, Peer, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP,
    X_REQUEST_ID,
};
use super::deflate::DeflateOffer;
use super::fields::{list, list_from_right};
use super::forwarded::{X_FORWARDED_PORT, default_port};
use super::letters::{Letters, Spelling};
use super::{PlainRequest, RequestHead, UpgradeRequest, client_cert};
use crate::tls::Certificate;
use crate::values::client_fields::HOP_BY_HOP;
use crate::values::client_fields::replace_claims;
use crate::values::client_fields::{FieldRules, fold};

/// Fields that no trailer may be, in addition to hop-by-hop fields and those that describe the client.
static NO_TRAILERS: [HeaderName; 13] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    MAX_FORWARDS,
    ORIGIN,
    PRAGMA,
    RANGE,
    SET_COOKIE,
];

/// Room for the fields that the gateway adds to a message, so that the map of fields is not built twice.
const ADDED: usize = 12;

/// The facts about a client that the gateway forwards to the upstream.
#[derive(Debug, Clone, Copy)]
pub struct Provenance<'a> {
    /// The peer of the connection.
    pub peer: &'a Peer,
    /// The client that the gateway found.
    pub client: &'a ClientAddress,
    /// The id of the request.
    pub request_id: &'a str,
    /// The claims of its token, as header fields.
    pub claims: &'a [(HeaderName, HeaderValue)],
    /// Folded names of fields that only the gateway may set: the claim fields of every route.
    pub owned: &'a [String],
    /// The certificates that the client presented to the gateway, its own first.
    pub certificates: &'a [Certificate],
    /// The letter case of the field names in the client's request.
    pub letters: &'a Letters,
    /// The configured changes to the list of fields that clients may not send.
    pub fields: &'a FieldRules,
}

/// Builds the opening handshake to the upstream. It has the client's target and end-to-end fields,
/// a `key` of the gateway's own, the `subprotocols` to offer, the accepted offers of
/// permessage-deflate and no other extension, and the fields that describe the client. The client's
/// own fields of that kind are removed in every spelling, unless a trusted proxy sent them.
///
/// # Errors
/// A target or value that is not valid in a request; earlier checks rule this out.
pub fn upstream_request(
    request: &UpgradeRequest,
    provenance: Provenance<'_>,
    subprotocols: &[String],
    key: &str,
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut headers = described(request.head(), provenance)?;
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(key)?);
    if !subprotocols.is_empty() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(&subprotocols.join(", "))?);
    }
    if let Some(offers) = DeflateOffer::field(request.offers()) {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, offers);
    }
    let mut forwarded = Request::builder().uri(request.head().target()).body(Empty::new())?;
    *forwarded.headers_mut() = headers;
    provenance.letters.clone().give(forwarded.extensions_mut());
    let own = Spelling::of(provenance.claims.iter().map(|(name, _)| name));
    forwarded.extensions_mut().insert(own);
    Ok(forwarded)
}

/// Builds the head of a plain request to the upstream: the client's method, target and end-to-end fields, and the
/// fields that describe the client. A length of the body other than 0 is not among them: the body is framed anew.
///
/// # Errors
/// As [`upstream_request`].
pub fn plain_request(
    request: &PlainRequest,
    provenance: Provenance<'_>,
) -> Result<request::Parts, http::Error> {
    let target = request.head().target();
    let forwarded = Request::builder().method(request.method()).uri(target).body(())?;
    let mut parts = forwarded.into_parts().0;
    parts.headers = described(request.head(), provenance)?;
    let received = request.head().headers();
    let length = received.get(CONTENT_LENGTH);
    let is_chunked = received.contains_key(TRANSFER_ENCODING);
    if is_chunked {
        // Without it, the HTTP library sends no body with a GET.
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        if let Some(names) = trailer_names(received, provenance) {
            parts.headers.insert(TRAILER, names);
        }
    } else if length.is_some_and(|length| length == "0") {
        // RFC 9110 section 8.6: an empty body has a length where the method gives a body a meaning.
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // A server that expects no body with these methods takes it for the next request.
    let has_no_use_for_one =
        matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE);
    if has_no_use_for_one && (is_chunked || length.is_some_and(|length| length != "0")) {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    provenance.letters.clone().give(&mut parts.extensions);
    Ok(parts)
}

/// The names of the trailers that the client announces, as far as its trailers may have them; the HTTP library sends no
/// others. A trailer has no say about framing, routing, authentication or the request (RFC 9110 section 6.5.1), and is no
/// field that the gateway removes or sets.
fn trailer_names(received: &HeaderMap, provenance: Provenance<'_>) -> Option<HeaderValue> {
    let Provenance { client, owned, fields, .. } = provenance;
    let announced = list(received, &TRAILER).ok()?;
    let names = announced.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let mut kept: HeaderMap = names.map(|name| (name, HeaderValue::from_static(""))).collect();
    for name in &NO_TRAILERS {
        kept.remove(name);
    }
    let conditions = kept.keys().filter(|name| name.as_str().starts_with("if-")).cloned();
    for name in conditions.collect::<Vec<_>>() {
        kept.remove(name);
    }
    kept = end_to_end(&kept);
    replace_claims(&mut kept, false, client.address.ip(), fields, owned);
    let names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).ok().filter(|names| !names.is_empty())
}

/// The client's end-to-end fields, Host, and the fields that describe the client.
fn described(request: &RequestHead, provenance: Provenance<'_>) -> Result<HeaderMap, http::Error> {
    let mut headers = end_to_end(request.headers());
    let Provenance { peer, client, owned, fields, .. } = provenance;
    replace_claims(&mut headers, peer.trusted, client.address.ip(), fields, owned);
    headers.insert(HOST, HeaderValue::from_str(&request.authority().to_string())?);
    set_claims(&mut headers, request, provenance)?;
    Ok(headers)
}

/// The end-to-end fields of a message: without those that any line of `Connection` names, and
/// without the handshake's own.
#[must_use]
pub fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named = list(headers, &CONNECTION).unwrap_or_default();
    let mut kept = HeaderMap::with_capacity(headers.len() + ADDED);
    for (name, value) in headers {
        let folded = fold(name);
        let hop = HOP_BY_HOP.iter().any(|hop| *hop == *folded)
            || folded.starts_with("sec-websocket-")
            || named.iter().any(|option| name.as_str().eq_ignore_ascii_case(option));
        if !hop {
            kept.append(name, value.clone());
        }
    }
    kept
}

fn set_claims(
    headers: &mut HeaderMap,
    request: &RequestHead,
    provenance: Provenance<'_>,
) -> Result<(), http::Error> {
    let Provenance { peer, client, request_id, claims, certificates, .. } = provenance;
    let used = request.used_authority();
    let host = &used.to_string();
    let hop = peer.address.ip();
    let scheme = client.scheme;
    append(headers, &X_FORWARDED_FOR, &hop.to_string())?;
    headers.insert(FORWARDED, forwarded(client, hop, host)?);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_str(scheme)?);
    headers.insert(X_FORWARDED_HOST, HeaderValue::from_str(host)?);
    // A trusted proxy sent this field. It must agree with the others.
    if headers.contains_key(X_FORWARDED_PORT) {
        headers.remove(X_FORWARDED_PORT);
        if let Some(port) = used.port.or(default_port(scheme)) {
            headers.insert(X_FORWARDED_PORT, HeaderValue::from(port));
        }
    }
    headers.insert(X_REAL_IP, HeaderValue::from_str(&client.address.ip().to_string())?);
    // A trusted proxy's own certificate does not identify the client behind it.
    if client.is_peer {
        client_cert::set(headers, certificates)?;
    }
    headers.insert(X_REQUEST_ID, HeaderValue::from_str(request_id)?);
    for (name, value) in claims {
        headers.insert(name, value.clone());
    }
    Ok(())
}

/// Appends an element to a list field, which is written on one line, after the elements that can be
/// read from the right.
fn append(headers: &mut HeaderMap, name: &HeaderName, element: &str) -> Result<(), http::Error> {
    let mut elements = list_from_right(headers, name);
    elements.push(element);
    let joined = HeaderValue::from_str(&elements.join(", "))?;
    headers.insert(name, joined);
    Ok(())
}

/// Builds `Forwarded` (RFC 7239) from the addresses that the gateway found: the client, the trusted
/// proxies between, and the peer with host and scheme of its connection. A trusted proxy's own
/// field is not read and not forwarded: it could name another client.
fn forwarded(client: &ClientAddress, peer: IpAddr, host: &str) -> Result<HeaderValue, http::Error> {
    let behind = |address: IpAddr| format!("for={}", node(address));
    let mut elements = Vec::new();
    if !client.is_peer {
        elements.push(behind(client.address.ip()));
        elements.extend(client.hops.iter().copied().map(behind));
    }
    elements.push(format!("{};host=\"{host}\";proto={}", behind(peer), client.scheme));
    Ok(HeaderValue::from_str(&elements.join(", "))?)
}

/// Formats a node of RFC 7239 section 6: an IPv6 address is bracketed and quoted.
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Request};

    use super::super::{ClientAddress, Peer, UpgradeRequest};
    use super::{FieldRules, Letters, Provenance, upstream_request};
    use crate::config::UnknownClients;

    fn forwarded(trusted: bool, fields: &[(&str, &str)]) -> HeaderMap {
        let mut request = Request::builder()
            .header("host", "chat.example:8443")
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-extensions", "permessage-deflate")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let request = UpgradeRequest::parse("/ws?a=%0d".into(), head).unwrap();
        let address = "192.0.2.9:5".parse().unwrap();
        let peer = Peer { address, trusted, tls: true, own: false };
        let trusted = ["192.0.2.0/24".parse().unwrap()];
        let unknown = UnknownClients::Refuse;
        let headers = request.head().headers();
        let client = ClientAddress::resolve(&peer, &trusted, unknown, headers).unwrap();
        let provenance = Provenance {
            peer: &peer,
            client: &client,
            request_id: "id",
            claims: &[],
            owned: &[],
            certificates: &[],
            letters: &Letters::default(),
            fields: &FieldRules::default(),
        };
        let request = upstream_request(&request, provenance, &[], "KEY").unwrap();
        assert_eq!(request.uri(), "/ws?a=%0d");
        request.into_parts().0.headers
    }

    #[test]
    fn the_head_is_the_gateways_own() {
        let headers = forwarded(false, &[("cookie", "a=b"), ("origin", "https://a")]);
        assert_eq!(headers["sec-websocket-key"], "KEY");
        assert_eq!(headers["host"], "chat.example:8443");
        assert_eq!(headers["cookie"], "a=b");
        assert_eq!(headers["origin"], "https://a");
        assert!(!headers.contains_key("sec-websocket-extensions"));
        assert_eq!(headers["x-forwarded-for"], "192.0.2.9");
        assert_eq!(headers["x-real-ip"], "192.0.2.9");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "chat.example:8443");
        assert_eq!(headers["forwarded"], "for=192.0.2.9;host=\"chat.example:8443\";proto=https");
        assert_eq!(headers["x-request-id"], "id");
    }

    #[test]
    fn a_clients_claims_are_removed_in_every_spelling() {
        let headers = forwarded(
            false,
            &[
                ("x-forwarded-for", "203.0.113.1"),
                ("X_Forwarded_For", "203.0.113.1"),
                ("x.real.ip", "203.0.113.1"),
                ("x~real!ip", "203.0.113.1"),
                ("x-forwarded-port", "1"),
                ("X_Forwarded-Prefix", "1"),
                ("true-client-ip", "203.0.113.1"),
                ("cf-connecting-ip", "203.0.113.1"),
                ("x-client-ip", "203.0.113.1"),
                ("forwarded", "for=203.0.113.1"),
                ("x-request-id", "forged"),
                ("sec_websocket_key", "forged"),
                ("proxy", "http://evil"),
                ("proxy-authorization", "Basic x"),
                ("te", "trailers"),
                ("transfer_encoding", "chunked"),
                ("content_length", "5"),
                ("keep.alive", "1"),
                ("remote_user", "forged"),
                ("x-auth-request-email", "forged"),
                ("ssl_client_s_dn", "forged"),
                ("client-cert", ":forged:"),
            ],
        );
        let text = format!("{headers:?}");
        assert!(!text.contains("203.0.113.1") && !text.contains("forged"), "{text}");
        for name in [
            "x-forwarded-port",
            "x_forwarded-prefix",
            "proxy",
            "te",
            "proxy-authorization",
            "transfer_encoding",
            "content_length",
            "keep.alive",
        ] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_trusted_proxys_claims_are_kept_and_added_to() {
        let headers = forwarded(
            true,
            &[
                ("x-forwarded-for", "203.0.113.1"),
                ("x_forwarded_for", "203.0.113.2"),
                ("x-forwarded-proto", "http"),
                ("cf-connecting-ip", "203.0.113.9"),
                ("cf-connecting-ipv6", "2001:db8::9"),
                ("client-ip", "203.0.113.9"),
                ("x-real-ip", "203.0.113.9"),
                ("forwarded", "for=203.0.113.9"),
                ("cf-ipcountry", "DE"),
                ("remote-user", "ann"),
                ("remote_user", "eve"),
            ],
        );
        assert_eq!(headers["x-forwarded-for"], "203.0.113.1, 192.0.2.9");
        assert_eq!(headers["x-real-ip"], "203.0.113.1");
        assert_eq!(headers["cf-connecting-ip"], "203.0.113.1");
        assert_eq!(headers["client-ip"], "203.0.113.1");
        let forwarded = "for=203.0.113.1, for=192.0.2.9;host=\"chat.example:8443\";proto=http";
        assert_eq!(headers["forwarded"], forwarded);
        assert_eq!(headers["cf-ipcountry"], "DE");
        assert_eq!(headers["remote-user"], "ann");
        for name in ["x_forwarded_for", "cf-connecting-ipv6", "remote_user", "true-client-ip"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn fields_that_connection_names_are_removed_before_the_gateway_adds_its_own() {
        let headers = forwarded(
            false,
            &[("connection", "X-Custom, x-forwarded-for"), ("x-custom", "1"), ("x-kept", "1")],
        );
        assert!(!headers.contains_key("x-custom") && headers.contains_key("x-kept"));
        assert_eq!(headers["x-forwarded-for"], "192.0.2.9");
    }
}
