//! The list of header fields by which a proxy tells an application who its client is, and the rules
//! by which the gateway removes them from client requests. `docs/fields.md` is generated from the
//! list.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, ORIGIN, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

/// Hop-by-hop fields (RFC 9110 section 7.6.1); `Expect`, which would ask the upstream for a 100
/// before its 101; and `Proxy`, which CGI programs take for a setting. Names are compared in folded
/// form.
pub(crate) static HOP_BY_HOP: [HeaderName; 13] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
];

/// Fields that hold one address, that of the client. The gateway replaces their value with the
/// address that it found, also when a trusted proxy sent them.
const ADDRESSES: [&str; 30] = [
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "Akamai-Client-IP",
    "Ali-CDN-Real-IP",
    "CDN-Real-IP",
    "CDN-Src-IP",
    "Client-IP",
    "DO-Connecting-IP",
    "EO-Client-IP",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "Incap-Client-IP",
    "Proxy-Client-IP",
    "Remote-Addr",
    "WL-Proxy-Client-IP",
    "X-Appengine-User-IP",
    "X-Azure-ClientIP",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "X-Nf-Client-Connection-IP",
    "X-Originating-IP",
    "X-ProxyUser-IP",
    "X-Remote-Addr",
    "X-Remote-IP",
    "X-Source-IP",
    "X-Sucuri-ClientIP",
    "X-True-Client-IP",
];

/// Fields that the gateway writes itself, for clients and for trusted proxies. No configuration
/// lets a client's own value through.
const WRITTEN: [&str; 12] = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Request-Id",
    "Client-Cert",
    "Client-Cert-Chain",
];

/// All other fields that describe the client; a `*` at the end stands for any rest of the name.
const OTHERS: &[&str] = &[
    "X-Forward*",
    "Forwarded*",
    "X-Request-Id",
    "Script-Name",
    "Path-Info",
    "X-Script-Name",
    "X-Path-Info",
    "CF-*",
    "CloudFront-*",
    "Fastly-Client*",
    "Fastly-FF",
    "Fastly-SSL",
    "Fly-Forwarded*",
    "Front-End-Https",
    "HTTP-Client-IP",
    "HTTP-Forwarded*",
    "HTTP-Via",
    "HTTP-X-*",
    "Incap-*",
    "WL-Proxy-*",
    "X-Akamai-*",
    "X-Appengine-*",
    "X-ARR-*",
    "X-Azure-*",
    "X-Cdn-Src-IP",
    "X-ClientIP",
    "X-Cluster-*",
    "X-Coming-From",
    "X-Envoy-*",
    "X-Host",
    "X-HTTP-Host-Override",
    "X-Nf-*",
    "X-NginX-Proxy",
    "X-Original-*",
    "X-Real-*",
    "X-Rewrite-*",
    "X-Scheme",
    "X-Sucuri-*",
    "X-Url-Scheme",
    "X-Vercel-Forwarded*",
    "X-Vercel-IP*",
    "X-Vercel-Proxied*",
    "X-Accel-*",
    "X-Sendfile-Type",
    // Client certificates.
    "Client-Cert*",
    "SSL-*",
    "TLS-Client-*",
    "X-Amzn-Mtls-*",
    "X-Client-Cert*",
    "X-Client-DN",
    "X-Client-Verify",
    "X-MTLS-*",
    "X-SSL-*",
    "X-TLS-*",
    // Users that a proxy identified.
    "Auth-User",
    "MELLON-*",
    "OIDC-*",
    "Remote-*",
    "Shib-*",
    "Tailscale-*",
    "X-Amzn-Oidc-*",
    "X-Apigateway-Api-Userinfo",
    "X-Auth-Request-*",
    "X-Auth-User*",
    "X-Authenticated-*",
    "X-Authentik-*",
    "X-Consumer-*",
    "X-Endpoint-API-Userinfo",
    "X-Goog-Authenticated-User*",
    "X-Goog-IAP*",
    "X-JWT-Assertion",
    "X-MS-Client-Principal*",
    "X-Pomerium-*",
    "X-Remote-*",
    "X-WebAuth-*",
];

/// The name of a header field, or a name prefix such as `X-Azure-*`. Compared in folded form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPattern {
    folded: String,
    prefix: bool,
}

/// How `[server]` changes the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldRules {
    /// `drop_headers`: fields that are removed like those of the list.
    pub drop: Vec<FieldPattern>,
    /// `keep_headers`: fields of the list that pass from every client.
    pub keep: Vec<FieldPattern>,
}

impl FieldPattern {
    /// Reads `NAME` or `PREFIX*`; returns `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, prefix) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        (!name.as_str().contains('*')).then(|| Self { folded: fold(&name).into_owned(), prefix })
    }

    /// Whether the pattern matches a folded name.
    #[must_use]
    pub fn matches(&self, folded: &str) -> bool {
        if self.prefix { folded.starts_with(&self.folded) } else { folded == self.folded }
    }

    /// Whether some name matches both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.matches(&other.folded) || other.matches(&self.folded)
    }

    /// Whether the pattern names a handshake or hop-by-hop field, which no list may change.
    #[must_use]
    pub fn is_of_the_handshake(&self) -> bool {
        let hop = HOP_BY_HOP.iter().chain(&[HOST]).any(|name| self.matches(name.as_str()));
        hop || self.folded.starts_with(WEBSOCKET) || WEBSOCKET.starts_with(&self.folded)
    }

    /// Whether the pattern names a field that the gateway writes itself. A prefix that merely
    /// covers such a field does not count: the field is exempt from the prefix.
    #[must_use]
    pub fn is_written_by_the_gateway(&self) -> bool {
        !self.prefix && is_one_of(&WRITTEN, &self.folded)
    }

    /// Whether the pattern matches a field of the list or overlaps a pattern of `drop`.
    #[must_use]
    pub fn is_removed(&self, drop: &[Self]) -> bool {
        let listed = ADDRESSES.iter().chain(OTHERS).filter_map(|text| Self::parse(text));
        listed.chain(drop.iter().cloned()).any(|other| other.overlaps(self))
    }
}

impl std::fmt::Display for FieldPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.folded, if self.prefix { "*" } else { "" })
    }
}

/// The name prefix of the handshake fields.
const WEBSOCKET: &str = "sec-websocket-";

/// Removes the fields by which a client could claim an identity: those of the list as changed by
/// `rules`, and those of `owned`, the folded names of fields that carry token claims. A trusted
/// proxy's fields stay, except those of `owned` and those spelled otherwise than with hyphens. A
/// proxy's field that holds the client's address is replaced with `client`, the address that the
/// gateway found.
pub(crate) fn replace_claims(
    headers: &mut HeaderMap,
    trusted: bool,
    client: IpAddr,
    rules: &FieldRules,
    owned: &[String],
) {
    let is_owned = |folded: &str| owned.iter().any(|name| name == folded);
    let is_claim = |folded: &str| is_owned(folded) || rules.remove(folded);
    let claimed: Vec<HeaderName> =
        headers.keys().filter(|name| is_claim(&fold(name))).cloned().collect();
    for name in claimed {
        let folded = fold(&name);
        let stays = trusted && folded == name.as_str() && !is_owned(&folded);
        if !stays {
            headers.remove(&name);
        } else if is_one_of(&ADDRESSES, &folded) {
            let text = client.to_string();
            match HeaderValue::from_str(&text) {
                Ok(value) if client.is_ipv6() || folded != "cf-connecting-ipv6" => {
                    headers.insert(&name, value);
                }
                _ => {
                    headers.remove(&name);
                }
            }
        }
    }
}

impl FieldRules {
    /// Whether the gateway removes this field from client requests.
    fn remove(&self, folded: &str) -> bool {
        if is_one_of(&WRITTEN, folded) {
            return true;
        }
        let listed =
            is_one_of(&ADDRESSES, folded) || OTHERS.iter().any(|other| covers(other, folded));
        (listed || self.drop.iter().any(|pattern| pattern.matches(folded)))
            && !self.keep.iter().any(|pattern| pattern.matches(folded))
    }
}

fn is_one_of(names: &[&str], folded: &str) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(folded))
}

/// Whether an entry of the list covers a folded name.
fn covers(pattern: &str, folded: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => folded
            .as_bytes()
            .get(..beginning.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes())),
        None => pattern.eq_ignore_ascii_case(folded),
    }
}

/// Folds all spellings of a field name into one. Servers that turn names into variables replace
/// every character that is neither a letter nor a digit by the same character.
#[must_use]
pub fn fold(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.replace(|character: char| !character.is_ascii_alphanumeric(), "-"))
}

/// Whether a field, in any spelling, already has a meaning that no configuration may change: it is
/// a hop-by-hop or handshake field, the gateway writes it, or it holds the client's own credential
/// or origin.
#[must_use]
pub fn is_reserved(name: &HeaderName) -> bool {
    let folded = fold(name);
    let is = |other: &HeaderName| *other == *folded;
    HOP_BY_HOP.iter().chain(&[AUTHORIZATION, COOKIE, HOST, ORIGIN]).any(is)
        || is_one_of(&WRITTEN, &folded)
        || folded.starts_with(WEBSOCKET)
        || folded.starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use super::{ADDRESSES, FieldPattern, FieldRules, OTHERS, WRITTEN, covers};

    /// One name for each entry of the list; a prefix is completed.
    fn names() -> Vec<String> {
        let all = ADDRESSES.iter().chain(&WRITTEN).chain(OTHERS);
        all.map(|name| name.to_ascii_lowercase().replace('*', "anything")).collect()
    }

    #[test]
    fn the_listed_fields_are_removed_and_no_others() {
        let rules = FieldRules::default();
        for name in names() {
            assert!(rules.remove(&name), "{name}");
        }
        for name in [
            "accept-language",
            "authorization",
            "client-version",
            "cookie",
            "host",
            "origin",
            "traceparent",
            "user-agent",
            "x-api-key",
            "x-auth-token",
            "x-client-version",
            "x-correlation-id",
            "x-csrf-token",
            "x-user-id",
        ] {
            assert!(!rules.remove(name), "{name}");
        }
    }

    #[test]
    fn keys_of_the_configuration_change_the_list() {
        let patterns = |texts: &[&str]| -> Vec<_> {
            texts.iter().map(|text| FieldPattern::parse(text).unwrap()).collect()
        };
        let rules = FieldRules {
            drop: patterns(&["X_Tenant", "X-Internal-*"]),
            keep: patterns(&["X-Azure-*", "CF-*", "X-Internal.Hint"]),
        };
        for (name, removed) in [
            ("x-tenant", true),
            ("x-tenants", false),
            ("x-internal-user", true),
            ("x-internal-hint", false),
            ("x-azure-fdid", false),
            ("cf-ipcountry", false),
            ("cf-connecting-ip", true),
            ("x-real-ip", true),
        ] {
            assert_eq!(rules.remove(name), removed, "{name}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_a_prefix() {
        for text in ["", "*", "X-*-Y", "X Y", "X-**", "X:"] {
            assert_eq!(FieldPattern::parse(text), None, "{text}");
        }
        let pattern = |text| FieldPattern::parse(text).unwrap();
        assert!(pattern("X-Azure-*").is_removed(&[]));
        assert!(pattern("X-*").is_removed(&[]));
        assert!(!pattern("X-Tenant").is_removed(&[]));
        assert!(pattern("X-Tenant").is_removed(&[pattern("x_ten*")]));
        for text in ["Transfer_Encoding", "Host", "Sec-*", "sec_websocket_key", "Up*"] {
            assert!(pattern(text).is_of_the_handshake(), "{text}");
        }
        assert!(pattern("x_forwarded_for").is_written_by_the_gateway());
    }

    /// `docs/fields.md` matches the list in the code; `UPDATE_DOCS=1` rewrites it.
    #[test]
    fn the_documentation_is_the_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fields.md");
        let (begin, end) = ("<!-- list -->\n", "<!-- end of list -->\n");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(begin).unwrap();
        let (_, after) = rest.split_once(end).unwrap();
        let written = format!("{before}{begin}{}{end}{after}", documentation());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &written).unwrap();
            return;
        }
        assert!(page == written, "run UPDATE_DOCS=1 cargo test --lib client_fields");
    }

    fn documentation() -> String {
        let names = |names: Vec<&str>| {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        };
        let covered =
            |name: &str| OTHERS.iter().any(|other| covers(other, &name.to_ascii_lowercase()));
        let addresses = ADDRESSES.to_vec();
        let written = WRITTEN.iter().filter(|name| !ADDRESSES.contains(name)).copied().collect();
        let mut others: Vec<_> = OTHERS.to_vec();
        others.sort_unstable_by_key(|name| name.to_ascii_lowercase());
        assert!(covered("X-Forwarded-For"));
        format!(
            "\nThe address of the client: {}.\n\nWritten by the gateway: {}.\n\n\
             All others (`*` is any end of a name): {}.\n\n",
            names(addresses),
            names(written),
            names(others)
        )
    }
}
