//! The credential of a request: where it is, how many there are, and the request without it.

use http::header::{AUTHORIZATION, COOKIE, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::config::{Issuer, TokenPlace};
use crate::handshake::UpgradeRequest;
use crate::refusal::{Reason, Refusal};

/// A subprotocol that carries a token as it is: all characters of a compact JWS are token
/// characters (RFC 9110 section 5.6.2).
const BEARER: &str = "bearer.";
/// The form of Kubernetes: the token in base64url, without padding.
const KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";
/// The form of Jupyter Server: the token percent-encoded.
const JUPYTER: &str = "v1.token.websocket.jupyter.org.";

/// A credential that a request shows, and where it was found.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) place: TokenPlace,
    pub(super) token: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The one credential in the places of `token_from`; elsewhere nothing counts. More than one, also
/// in one place, is refused: which of them the upstream would look at is anybody's guess.
pub(super) fn find(
    issuer: &Issuer,
    request: &UpgradeRequest,
) -> Result<Option<Credential>, Refusal> {
    let mut found = Vec::new();
    for place in &issuer.token_from {
        let tokens = match place {
            TokenPlace::Header => bearer_tokens(request),
            TokenPlace::Query(name) => query_tokens(request.target(), name),
            TokenPlace::Cookie(name) => cookie_tokens(request, name),
            TokenPlace::Subprotocol => subprotocol_tokens(request)?,
            TokenPlace::Message => Vec::new(),
        };
        found.extend(tokens.into_iter().map(|token| Credential { place: place.clone(), token }));
    }
    if found.len() > 1 {
        let detail = format!("the request shows {} credentials", found.len());
        return Err(Refusal::new(Reason::TokenMultiple, detail).by("token_from"));
    }
    Ok(found.pop())
}

impl Credential {
    /// Takes the carrier out of the request: the header field, the parameter, the cookie or the
    /// subprotocol item.
    pub(super) fn remove_from(&self, request: &mut UpgradeRequest) {
        match &self.place {
            TokenPlace::Header => remove_bearer(request),
            TokenPlace::Query(name) => {
                let target = without_parameter(request.target(), name);
                request.set_target(target);
            }
            TokenPlace::Cookie(name) => remove_cookie(request, name),
            TokenPlace::Subprotocol => request.retain_subprotocols(|item| !is_token_form(item)),
            TokenPlace::Message => {}
        }
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn bearer_tokens(request: &UpgradeRequest) -> Vec<String> {
    let values = request.headers().get_all(AUTHORIZATION).iter();
    values.filter_map(bearer).map(str::to_owned).collect()
}

/// Another scheme of Authorization is the application's own.
fn remove_bearer(request: &mut UpgradeRequest) {
    let headers = request.headers_mut();
    let others: Vec<_> = headers
        .get_all(AUTHORIZATION)
        .iter()
        .filter(|value| bearer(value).is_none())
        .cloned()
        .collect();
    headers.remove(AUTHORIZATION);
    for value in others {
        headers.append(AUTHORIZATION, value);
    }
}

/// Whether a parameter of a query, `name=value`, is called `name` once it is decoded.
fn is_called(parameter: &str, name: &str) -> bool {
    let given = parameter.split('=').next().unwrap_or_default();
    percent_decode_str(given).decode_utf8().is_ok_and(|given| given == name)
}

fn query_tokens(target: &str, name: &str) -> Vec<String> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .filter(|parameter| is_called(parameter, name))
        .map(|parameter| {
            let value = parameter.split_once('=').map_or("", |(_, value)| value);
            percent_decode_str(value).decode_utf8_lossy().into_owned()
        })
        .collect()
}

fn without_parameter(target: &str, name: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let kept: Vec<&str> =
        query.split('&').filter(|parameter| !is_called(parameter, name)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// The pairs of all Cookie lines (RFC 6265 section 4.2.1), by name and value.
fn pairs(value: &HeaderValue) -> impl Iterator<Item = (&str, &str)> {
    let text = value.to_str().unwrap_or_default();
    text.split(';').filter_map(|pair| pair.trim().split_once('='))
}

fn cookie_tokens(request: &UpgradeRequest, name: &str) -> Vec<String> {
    let lines = request.headers().get_all(COOKIE).iter();
    let named = lines.flat_map(pairs).filter(|(given, _)| given.trim() == name);
    named.map(|(_, value)| value.trim().trim_matches('"').to_owned()).collect()
}

fn remove_cookie(request: &mut UpgradeRequest, name: &str) {
    let headers = request.headers_mut();
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    for line in lines {
        let kept: Vec<String> = pairs(&line)
            .filter(|(given, _)| given.trim() != name)
            .map(|(given, value)| format!("{given}={value}"))
            .collect();
        // Parts of a valid value are one.
        if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_str(&kept.join("; "))) {
            headers.append(COOKIE, value);
        }
    }
}

fn is_token_form(item: &str) -> bool {
    [BEARER, KUBERNETES, JUPYTER].iter().any(|form| item.starts_with(form))
}

/// The tokens among the offered subprotocols. A browser fails the socket when none of what it
/// offered is answered, and the token must not be: so something real must be offered too.
fn subprotocol_tokens(request: &UpgradeRequest) -> Result<Vec<String>, Refusal> {
    let offered = request.subprotocols();
    let tokens: Vec<String> = offered.iter().filter_map(|item| token_in(item)).collect();
    if !tokens.is_empty() && offered.iter().all(|item| is_token_form(item)) {
        let detail = "Sec-WebSocket-Protocol offers a token and no subprotocol beside it";
        return Err(Refusal::new(Reason::HandshakeMalformed, detail).by("token_from"));
    }
    Ok(tokens)
}

/// What cannot be decoded is a token all the same: one that does not verify.
fn token_in(item: &str) -> Option<String> {
    if let Some(encoded) = item.strip_prefix(KUBERNETES) {
        return Some(from_base64url(encoded).unwrap_or_default());
    }
    if let Some(encoded) = item.strip_prefix(JUPYTER) {
        return Some(percent_decode_str(encoded).decode_utf8_lossy().into_owned());
    }
    item.strip_prefix(BEARER).map(str::to_owned)
}

fn from_base64url(text: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::{Credential, find};
    use crate::config::{Algorithm, Issuer, KeySource, OnExpiry, Secret, TokenPlace};
    use crate::handshake::UpgradeRequest;
    use crate::refusal::Reason;

    fn issuer(places: &[TokenPlace]) -> Issuer {
        Issuer {
            name: "main".into(),
            algorithms: vec![Algorithm::HS256],
            key: KeySource::Secret(Secret(vec![0; 32])),
            issuer: None,
            audience: Vec::new(),
            leeway: Duration::ZERO,
            user_claim: "sub".into(),
            token_from: places.to_vec(),
            message_deadline: Duration::from_secs(5),
            require: Vec::new(),
            forward: Vec::new(),
            forward_token: false,
            on_expiry: OnExpiry::Close,
        }
    }

    fn everywhere() -> Issuer {
        issuer(&[
            TokenPlace::Header,
            TokenPlace::Subprotocol,
            TokenPlace::Query("access_token".into()),
            TokenPlace::Cookie("session".into()),
        ])
    }

    fn request(target: &str, fields: &[(&str, &str)]) -> UpgradeRequest {
        let mut request = Request::builder()
            .header("host", "a")
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        UpgradeRequest::parse(target.into(), head).unwrap()
    }

    /// The token, and the request without it.
    fn found(target: &str, fields: &[(&str, &str)]) -> (Credential, UpgradeRequest) {
        let mut request = request(target, fields);
        let credential = find(&everywhere(), &request).unwrap().unwrap();
        credential.remove_from(&mut request);
        (credential, request)
    }

    #[test]
    fn the_authorization_header() {
        let (credential, rest) =
            found("/ws", &[("authorization", "bEaReR  a.b.c "), ("x-kept", "1")]);
        assert_eq!(credential.token, "a.b.c");
        assert!(!rest.headers().contains_key("authorization"));
        assert!(rest.headers().contains_key("x-kept"));
    }

    #[test]
    fn another_scheme_is_the_applications() {
        let basic = request("/ws", &[("authorization", "Basic YTpi")]);
        assert_eq!(find(&everywhere(), &basic).unwrap(), None);
        let (_, rest) =
            found("/ws", &[("authorization", "Basic YTpi"), ("authorization", "Bearer a.b.c")]);
        assert_eq!(rest.headers()["authorization"], "Basic YTpi");
    }

    #[test]
    fn a_parameter_in_every_spelling() {
        for name in ["access_token", "access%5Ftoken", "%61ccess_token"] {
            let (credential, rest) = found(&format!("/ws?x=1&{name}=a%2Eb.c&y=2"), &[]);
            assert_eq!(credential.token, "a.b.c");
            assert_eq!(rest.target(), "/ws?x=1&y=2");
        }
        assert_eq!(found("/ws?access_token=a.b.c", &[]).1.target(), "/ws");
    }

    #[test]
    fn a_cookie_among_others_on_every_line() {
        let (credential, rest) =
            found("/ws", &[("cookie", "a=1; session=a.b.c; b=2"), ("cookie", "c=3")]);
        assert_eq!(credential.token, "a.b.c");
        let kept: Vec<_> = rest.headers().get_all("cookie").iter().collect();
        assert_eq!(kept, ["a=1; b=2", "c=3"]);
        let (_, rest) = found("/ws", &[("cookie", "session=a.b.c")]);
        assert!(!rest.headers().contains_key("cookie"));
    }

    #[test]
    fn subprotocols_in_each_form() {
        for item in [
            "bearer.a.b.c",
            "base64url.bearer.authorization.k8s.io.YS5iLmM",
            "v1.token.websocket.jupyter.org.a%2Eb.c",
        ] {
            let (credential, rest) =
                found("/ws", &[("sec-websocket-protocol", &format!("{item}, chat.v1"))]);
            assert_eq!(credential.token, "a.b.c", "{item}");
            assert_eq!(rest.subprotocols(), ["chat.v1"]);
        }
    }

    #[test]
    fn a_token_without_a_subprotocol_beside_it_is_malformed() {
        let request = request("/ws", &[("sec-websocket-protocol", "bearer.a.b.c")]);
        let refusal = find(&everywhere(), &request).unwrap_err();
        assert_eq!(refusal.reason, Reason::HandshakeMalformed);
        assert!(!refusal.detail.contains("a.b.c"));
    }

    #[test]
    fn more_than_one_is_refused_wherever_they_are() {
        let shown: [(&str, &[(&str, &str)]); 5] = [
            ("/ws?access_token=a", &[("authorization", "Bearer a")]),
            ("/ws?access_token=a&access%5ftoken=a", &[]),
            ("/ws", &[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
            ("/ws", &[("cookie", "session=a"), ("cookie", "session=b")]),
            ("/ws", &[("sec-websocket-protocol", "x, bearer.a, bearer.b")]),
        ];
        for (target, fields) in shown {
            let refusal = find(&everywhere(), &request(target, fields)).unwrap_err();
            assert_eq!(refusal.reason, Reason::TokenMultiple, "{target} {fields:?}");
        }
    }

    #[test]
    fn only_the_places_of_the_issuer_count() {
        let header = issuer(&[TokenPlace::Header]);
        let elsewhere = request("/ws?access_token=a", &[("cookie", "session=a")]);
        assert_eq!(find(&header, &elsewhere).unwrap(), None);
    }

    #[test]
    fn a_credential_does_not_show_its_token() {
        let (credential, _) = found("/ws", &[("authorization", "Bearer a.b.c")]);
        assert!(!format!("{credential:?}").contains("a.b.c"));
    }
}
