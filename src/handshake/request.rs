//! The client's request, parsed once: an opening handshake (RFC 6455 section 4.2.1), or a plain request.

use std::collections::HashSet;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Version, request};

use super::address::ClientAddress;
use super::deflate::DeflateOffer;
use super::fields::{list, single};
use super::target::Target;
use crate::values::RequestKind;
use crate::values::is_token;
use crate::values::{AmbiguousPath, Authority, Host};
use crate::values::{Reason, Refusal};

/// A well-formed request head, as far as plain requests and opening handshakes have the same parts.
#[derive(Debug)]
pub struct RequestHead {
    kind: RequestKind,
    target: String,
    path: String,
    ambiguous: Option<Box<AmbiguousPath>>,
    authority: Authority,
    /// The authority that the client used, as a trusted proxy forwards it.
    used: Authority,
    /// Those that an opening handshake offers; a plain request offers none.
    subprotocols: Vec<String>,
    headers: HeaderMap,
}

/// A well-formed opening handshake. The type can only be created by the checks.
#[derive(Debug)]
pub struct UpgradeRequest {
    head: RequestHead,
    key: String,
    offers: Vec<DeflateOffer>,
}

/// A well-formed request that asks for no WebSocket. The type can only be created by the checks.
#[derive(Debug)]
pub struct PlainRequest {
    head: RequestHead,
    method: Method,
}

/// The kind of a request with these fields.
#[must_use]
pub fn request_kind(headers: &HeaderMap) -> RequestKind {
    // A list that cannot be read is no plain request: the checks of handshakes refuse it.
    let asks = list(headers, &UPGRADE).map_or(true, |protocols| {
        protocols.iter().any(|name| name.eq_ignore_ascii_case("websocket"))
    });
    if asks { RequestKind::WebSocket } else { RequestKind::Http }
}

impl UpgradeRequest {
    /// Checks a request with the raw target `target`, in origin-form or absolute-form (RFC 9112
    /// sections 3.2.1 and 3.2.2).
    pub fn parse(target: String, head: request::Parts) -> Result<Self, Refusal> {
        let malformed = |detail: String| Refusal::new(Reason::HandshakeMalformed, detail);
        check_message(&head).map_err(malformed)?;
        let probe = head.method == Method::HEAD && asks_for_nothing(&head.headers);
        if head.method != Method::GET && !probe {
            return Err(Refusal::new(Reason::Method, format!("the method is {}", head.method)));
        }
        check_no_body(&head.headers).map_err(malformed)?;
        let target = Target::parse(target)?;
        let named = host(&head.headers)?;
        check_upgrade(&head.headers)?;
        let mut head = RequestHead::new(RequestKind::WebSocket, target, named, head.headers)?;
        let key = key(&head.headers).map_err(malformed)?;
        head.subprotocols = subprotocols(&head.headers).map_err(malformed)?;
        Ok(Self { head, key, offers: Vec::new() })
    }

    /// The parts that every request has.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The parts that every request has, so that a credential can be removed.
    pub fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.head
    }

    /// See [`RequestHead::asked_by`].
    #[must_use]
    pub fn asked_by(self, client: &ClientAddress) -> Self {
        Self { head: self.head.asked_by(client), ..self }
    }

    /// The parts that every request has, alone.
    #[must_use]
    pub fn into_head(self) -> RequestHead {
        self.head
    }

    /// Sec-WebSocket-Key: 16 bytes in base64.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The offers of permessage-deflate that are forwarded to the upstream; empty until they are
    /// read.
    #[must_use]
    pub fn offers(&self) -> &[DeflateOffer] {
        &self.offers
    }

    /// Reads the offers of permessage-deflate, for routes that allow compression.
    pub fn read_offers(&mut self) -> Result<(), Refusal> {
        let malformed = |detail| Refusal::new(Reason::HandshakeMalformed, detail);
        self.offers = DeflateOffer::read(&self.head.headers).map_err(malformed)?;
        Ok(())
    }
}

impl PlainRequest {
    /// Checks a request with the raw target `target`. CONNECT has another form of target, and TRACE would show
    /// a page the fields that the gateway adds: both are refused.
    pub fn parse(target: String, head: request::Parts) -> Result<Self, Refusal> {
        let malformed = |detail: String| Refusal::new(Reason::HandshakeMalformed, detail);
        check_message(&head).map_err(malformed)?;
        // An application may compare methods without their case.
        let refused = [Method::CONNECT, Method::TRACE];
        if refused.iter().any(|name| head.method.as_str().eq_ignore_ascii_case(name.as_str())) {
            return Err(Refusal::new(Reason::Method, format!("the method is {}", head.method)));
        }
        check_framing(&head.headers).map_err(malformed)?;
        let target = Target::parse(target)?;
        let named = host(&head.headers)?;
        let method = head.method;
        let head = RequestHead::new(RequestKind::Http, target, named, head.headers)?;
        Ok(Self { head, method })
    }

    /// The parts that every request has.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The parts that every request has, so that a credential can be removed.
    pub fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.head
    }

    /// See [`RequestHead::asked_by`].
    #[must_use]
    pub fn asked_by(self, client: &ClientAddress) -> Self {
        Self { head: self.head.asked_by(client), ..self }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }
}

impl RequestHead {
    fn new(
        kind: RequestKind,
        target: Target,
        named: Authority,
        headers: HeaderMap,
    ) -> Result<Self, Refusal> {
        let (path, ambiguous) = match kind {
            RequestKind::WebSocket => (target.canonical_path()?, None),
            RequestKind::Http => {
                let escaped = target.with_escaped_brackets();
                match escaped.ambiguous_path()?.map(Box::new) {
                    Some(ambiguous) => {
                        let first = ambiguous.readings.first().cloned().unwrap_or_default();
                        (first, Some(ambiguous))
                    }
                    None => (escaped.canonical_path()?, None),
                }
            }
        };
        let Target { text: target, authority } = target;
        let authority = authority.unwrap_or(named);
        let used = authority.clone();
        let subprotocols = Vec::new();
        Ok(Self { kind, target, path, ambiguous, authority, used, subprotocols, headers })
    }

    /// Whether the request asks for a WebSocket.
    #[must_use]
    pub fn kind(&self) -> RequestKind {
        self.kind
    }

    /// Takes the host and port that `client` used, if a trusted proxy forwards them. They define
    /// the same origin and are forwarded to the application. The route is selected by the received
    /// Host, since a proxy may pass an X-Forwarded-Host that its client wrote.
    #[must_use]
    pub fn asked_by(self, client: &ClientAddress) -> Self {
        Self { used: client.authority(self.used), ..self }
    }

    /// The host and port that the client used, with which origins are compared.
    #[must_use]
    pub fn used_authority(&self) -> &Authority {
        &self.used
    }

    /// The request target in origin-form: path and query in their original spelling (RFC 9112
    /// section 3.2.1).
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The canonical form of the path, for comparing.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The readings of the path, if it has several: that of a plain request may, and its route decides.
    #[must_use]
    pub fn ambiguous_path(&self) -> Option<&AmbiguousPath> {
        self.ambiguous.as_deref()
    }

    /// The requested host and port in canonical form. The upstream gets this text as Host instead
    /// of the received one.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The requested host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.authority.host
    }

    /// The requested port, if the request has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.authority.port
    }

    /// The subprotocols that the client offers, in its order.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// All Origin lines.
    pub fn origins(&self) -> impl Iterator<Item = &HeaderValue> {
        self.headers.get_all(ORIGIN).iter()
    }

    /// All header fields as received.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The header fields, so that a credential can be removed.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Replaces the target with one that has no credential in its query. The path stays the same.
    pub(crate) fn set_target(&mut self, target: String) {
        self.target = target;
    }

    /// Replaces the offered subprotocols.
    pub(crate) fn set_subprotocols(&mut self, offered: Vec<String>) {
        self.subprotocols = offered;
    }
}

/// Checks that hold for every request, upgrade or not.
fn check_message(head: &request::Parts) -> Result<(), String> {
    if head.version != Version::HTTP_11 {
        return Err(format!("the request is {:?}, not HTTP/1.1", head.version));
    }
    if head.headers.get_all(HOST).iter().count() > 1 {
        return Err("there is more than one Host header".to_owned());
    }
    check_one_length(&head.headers)
}

fn check_one_length(headers: &HeaderMap) -> Result<(), String> {
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Err("there are both Content-Length and Transfer-Encoding".to_owned());
    }
    Ok(())
}

/// Whether the request asks for no upgrade, like a health check or a crawler. HEAD is answered like
/// GET.
fn asks_for_nothing(headers: &HeaderMap) -> bool {
    !headers.contains_key(UPGRADE)
}

/// Refuses a body: an opening handshake is a GET (RFC 6455 section 4.1).
fn check_no_body(headers: &HeaderMap) -> Result<(), String> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err("the request has a Transfer-Encoding".to_owned());
    }
    match single(headers, &CONTENT_LENGTH) {
        Ok(None | Some("0")) => Ok(()),
        _ => Err("the request has a Content-Length other than 0".to_owned()),
    }
}

/// Checks that the end of the body of a message is beyond doubt: at most one Content-Length, of digits alone, or
/// chunked as the only transfer coding (RFC 9112 section 6). A head with another length of its body is how one message
/// is taken for two.
pub(crate) fn check_framing(headers: &HeaderMap) -> Result<(), String> {
    check_one_length(headers)?;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        _ => return Err("Transfer-Encoding is not chunked alone".to_owned()),
    }
    match single(headers, &CONTENT_LENGTH) {
        Ok(None) => Ok(()),
        Ok(Some(length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err("Content-Length is not one number".to_owned()),
    }
}

/// Reads the one Host header (RFC 9112 section 3.2) in canonical form. A page can make a browser
/// send any host that the page's name server knows, so a host without canonical form is no strike.
fn host(headers: &HeaderMap) -> Result<Authority, Refusal> {
    let malformed = |detail: String| Refusal::new(Reason::HandshakeMalformed, detail);
    let mut values = headers.get_all(HOST).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        (None, _) => return Err(malformed("the Host header is missing".to_owned())),
        (Some(_), Some(_)) => {
            return Err(malformed("there is more than one Host header".to_owned()));
        }
    };
    // Bytes that are not UTF-8 become a character that is not ASCII.
    let text = String::from_utf8_lossy(value.as_bytes());
    Authority::parse(text.trim_matches([' ', '\t']))
        .map_err(|error| malformed(format!("the Host header has no canonical form: {error}")))
}

/// Checks the fields that ask for the upgrade. A plain request gets another refusal than a broken
/// handshake.
fn check_upgrade(headers: &HeaderMap) -> Result<(), Refusal> {
    let malformed = |detail: &str| Err(Refusal::new(Reason::HandshakeMalformed, detail));
    match list(headers, &UPGRADE).as_deref() {
        // RFC 9110 section 7.8: the server may choose any protocol of the list; the gateway chooses
        // websocket.
        Ok(protocols) if protocols.iter().any(|name| name.eq_ignore_ascii_case("websocket")) => {}
        Ok(_) => {
            return Err(Refusal::new(Reason::UpgradeRequired, "Upgrade does not name websocket"));
        }
        Err(()) => return malformed("Upgrade is not a list of protocols"),
    }
    match list(headers, &CONNECTION) {
        Ok(options) if options.iter().any(|option| option.eq_ignore_ascii_case("upgrade")) => {}
        _ => return malformed("Connection does not name Upgrade"),
    }
    match single(headers, &SEC_WEBSOCKET_VERSION) {
        Ok(Some("13")) => Ok(()),
        Ok(Some(_)) => Err(Refusal::new(Reason::Version, "Sec-WebSocket-Version is not 13")),
        Ok(None) => malformed("Sec-WebSocket-Version is missing"),
        Err(()) => malformed("Sec-WebSocket-Version is given more than once"),
    }
}

/// Reads the key of RFC 6455 section 4.2.1 item 5: base64 that decodes to 16 bytes, so 22
/// characters and `==`.
fn key(headers: &HeaderMap) -> Result<String, String> {
    let key = match single(headers, &SEC_WEBSOCKET_KEY) {
        Ok(Some(key)) => key,
        Ok(None) => return Err("Sec-WebSocket-Key is missing".to_owned()),
        Err(()) => return Err("Sec-WebSocket-Key is given more than once".to_owned()),
    };
    let digits = key.strip_suffix("==").unwrap_or_default();
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    if digits.len() == 22 && digits.bytes().all(base64) {
        Ok(key.to_owned())
    } else {
        Err("Sec-WebSocket-Key is not 16 bytes in base64".to_owned())
    }
}

/// Reads the subprotocols (RFC 6455 section 4.1 item 10): unique tokens. An empty field offers
/// none.
fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, String> {
    let not_tokens = || "Sec-WebSocket-Protocol is not a list of tokens".to_owned();
    let offered = list(headers, &SEC_WEBSOCKET_PROTOCOL).map_err(|()| not_tokens())?;
    if !offered.iter().all(|name| is_token(name)) {
        return Err(not_tokens());
    }
    if offered.iter().collect::<HashSet<_>>().len() != offered.len() {
        return Err("Sec-WebSocket-Protocol offers the same subprotocol twice".to_owned());
    }
    Ok(offered.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::UpgradeRequest;
    use crate::values::Reason;

    const GOOD: &[(&str, &str)] = &[
        ("host", "Chat.example.com:8443"),
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive"),
        ("connection", "foo, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "a, b"),
        ("sec-websocket-protocol", "c"),
    ];

    fn parse(
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<UpgradeRequest, Reason> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        UpgradeRequest::parse(target.to_owned(), head).map_err(|refusal| refusal.reason)
    }

    /// `GOOD` with the lines of a field replaced; an empty list removes the field.
    fn with(name: &str, values: &[&'static str]) -> Vec<(&'static str, &'static str)> {
        let mut fields: Vec<_> = GOOD.iter().copied().filter(|field| field.0 != name).collect();
        let name = GOOD.iter().map(|field| field.0).chain(EXTRA).find(|known| *known == name);
        fields.extend(values.iter().map(|value| (name.unwrap(), *value)));
        fields
    }

    const EXTRA: [&str; 2] = ["content-length", "transfer-encoding"];

    #[test]
    fn a_good_request_is_taken_apart() {
        let request = parse("GET", "/%77s?a=b", GOOD).unwrap();
        let head = request.head();
        assert_eq!((head.target(), head.path()), ("/%77s?a=b", "/ws"));
        assert_eq!(head.authority().to_string(), "chat.example.com:8443");
        assert_eq!(head.subprotocols(), ["a", "b", "c"]);
    }

    #[test]
    fn the_authority_of_an_absolute_target_replaces_host() {
        let request = parse("GET", "ws://Other.example.:80/%77s?a=b", GOOD).unwrap();
        let head = request.head();
        assert_eq!((head.target(), head.path()), ("/%77s?a=b", "/ws"));
        assert_eq!(head.authority().to_string(), "other.example:80");
        for hosts in [vec![], vec!["a", "b"], vec!["a..b"]] {
            let request = parse("GET", "http://other.example/ws", &with("host", &hosts));
            assert_eq!(request.unwrap_err(), Reason::HandshakeMalformed, "{hosts:?}");
        }
    }

    #[test]
    fn each_rule_refuses() {
        use Reason::{HandshakeMalformed, Method, UpgradeRequired, Version};
        for (name, values, reason) in [
            ("host", vec![], HandshakeMalformed),
            ("host", vec!["a", "b"], HandshakeMalformed),
            ("host", vec!["a/b"], HandshakeMalformed),
            ("host", vec!["a@b"], HandshakeMalformed),
            ("host", vec![""], HandshakeMalformed),
            ("upgrade", vec![], UpgradeRequired),
            ("upgrade", vec!["h2c"], UpgradeRequired),
            ("upgrade", vec![" , "], UpgradeRequired),
            ("upgrade", vec!["websocket/13"], UpgradeRequired),
            ("upgrade", vec!["web, socket"], UpgradeRequired),
            ("upgrade", vec!["websocket", "\u{e9}"], HandshakeMalformed),
            ("connection", vec![","], HandshakeMalformed),
            ("connection", vec![], HandshakeMalformed),
            ("connection", vec!["close"], HandshakeMalformed),
            ("sec-websocket-version", vec![], HandshakeMalformed),
            ("sec-websocket-version", vec!["8"], Version),
            ("sec-websocket-version", vec!["13", "13"], HandshakeMalformed),
            ("sec-websocket-version", vec!["13, 8"], Version),
            ("sec-websocket-key", vec![], HandshakeMalformed),
            ("sec-websocket-key", vec!["dGhlIHNhbXBsZSBub25jZQ"], HandshakeMalformed),
            ("sec-websocket-key", vec!["dGhlIHNhbXBsZSBub25jZ==="], HandshakeMalformed),
            ("sec-websocket-key", vec!["dGhlIHNhbXBsZSBub2 jZQ=="], HandshakeMalformed),
            (
                "sec-websocket-key",
                vec!["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="],
                HandshakeMalformed,
            ),
            ("sec-websocket-protocol", vec!["a, a"], HandshakeMalformed),
            ("sec-websocket-protocol", vec!["a b"], HandshakeMalformed),
            ("sec-websocket-protocol", vec!["a,;"], HandshakeMalformed),
            ("sec-websocket-protocol", vec!["a", ",a,"], HandshakeMalformed),
            ("content-length", vec!["5"], HandshakeMalformed),
            ("content-length", vec!["0", "0"], HandshakeMalformed),
            ("transfer-encoding", vec!["chunked"], HandshakeMalformed),
        ] {
            let found = parse("GET", "/ws", &with(name, &values)).unwrap_err();
            assert_eq!(found, reason, "{name}: {values:?}");
        }
        assert_eq!(parse("POST", "/ws", GOOD).unwrap_err(), Method);
        for target in ["*", "ftp://a/ws", "http://a..b/ws", "/a/../b", "/a%2fb", "/a;b"] {
            assert_eq!(parse("GET", target, GOOD).unwrap_err(), HandshakeMalformed, "{target}");
        }
    }

    /// RFC 9110 section 5.6.1.2: a recipient ignores empty elements of a list.
    #[test]
    fn lists_may_have_empty_elements() {
        for (name, values) in [
            ("upgrade", vec!["websocket, h2c"]),
            ("upgrade", vec!["h2c", "WebSocket"]),
            ("upgrade", vec!["websocket", "websocket"]),
            ("upgrade", vec!["", ",websocket, ,"]),
            ("connection", vec![", Upgrade"]),
            ("connection", vec!["", "keep-alive,,upgrade,"]),
        ] {
            assert!(parse("GET", "/ws", &with(name, &values)).is_ok(), "{name}: {values:?}");
        }
        for (values, offered) in [
            (vec![], &[][..]),
            (vec![""], &[]),
            (vec![" "], &[]),
            (vec![" , ", ","], &[]),
            (vec!["a,"], &["a"]),
            (vec!["", "a,, b"], &["a", "b"]),
        ] {
            let request = parse("GET", "/ws", &with("sec-websocket-protocol", &values)).unwrap();
            assert_eq!(request.head().subprotocols(), offered, "{values:?}");
        }
    }

    #[test]
    fn a_query_may_hold_characters_that_a_path_may_not() {
        assert!(parse("GET", "/ws?next=/a/../b;c%2f%00//", GOOD).is_ok());
    }
}
