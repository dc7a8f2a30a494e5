//! The part of a request that may be logged, and the party that may have chosen its contents.

use std::borrow::Cow;
use std::fmt;

use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::{HeaderMap, Method, Uri, request};

use super::Sender;

/// Fetch Metadata: browsers add this field to every request to a trustworthy address; pages cannot
/// set it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Texts at which a logged path is cut: applications may read parameters after each of these.
const PATH_ENDS: [&str; 6] = ["?", "#", ";", "%3f", "%3b", "%23"];

/// The method, host and path of a request, and the fields that name the page that sent it. Cheap to
/// create: no bytes are copied.
#[derive(Clone, Default)]
pub struct RequestSummary {
    method: Option<Method>,
    target: SummaryTarget,
    host: Option<HeaderValue>,
    origin: Option<HeaderValue>,
    site: Option<HeaderValue>,
}

#[derive(Clone, Default)]
enum SummaryTarget {
    #[default]
    Unknown,
    Parsed(Uri),
    Raw(String),
}

/// Omits the query.
impl fmt::Debug for RequestSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RequestSummary");
        shown.field("method", &self.method()).field("path", &self.path()).finish_non_exhaustive()
    }
}

impl RequestSummary {
    /// Summarizes a parsed request.
    #[must_use]
    pub fn of(head: &request::Parts) -> Self {
        Self {
            method: Some(head.method.clone()),
            target: SummaryTarget::Parsed(head.uri.clone()),
            ..Self::default()
        }
        .with_fields(&head.headers)
    }

    /// Summarizes a head that is not a valid request, as far as its lines can be parsed.
    #[must_use]
    pub fn of_raw(head: &[u8]) -> Self {
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let line = lines.next().unwrap_or_default();
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(b"HTTP/1.1" | b"HTTP/1.0")) =
            (parts.next(), parts.next(), line.rsplit(|byte| *byte == b' ').next())
        else {
            return Self::default();
        };
        let mut fields = HeaderMap::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let mut halves = line.splitn(2, |byte| *byte == b':');
            let name = HeaderName::from_bytes(halves.next().unwrap_or_default());
            let value = HeaderValue::from_bytes(halves.next().unwrap_or_default().trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                fields.append(name, value);
            }
        }
        let target = SummaryTarget::Raw(String::from_utf8_lossy(target).into_owned());
        let method = Method::from_bytes(method).ok();
        Self { method, target, ..Self::default() }.with_fields(&fields)
    }

    fn with_fields(self, fields: &HeaderMap) -> Self {
        let field = |name| fields.get(name).cloned();
        Self { host: field(HOST), origin: field(ORIGIN), site: field(SEC_FETCH_SITE), ..self }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_ref().map(Method::as_str)
    }

    /// The requested host, with its port if the request has one; never the part before an `@`.
    #[must_use]
    pub fn host(&self) -> Option<Cow<'_, str>> {
        let authority = match &self.target {
            SummaryTarget::Parsed(uri) => {
                uri.authority().map(|authority| authority.as_str().as_bytes())
            }
            SummaryTarget::Unknown | SummaryTarget::Raw(_) => None,
        };
        let host = authority.or_else(|| self.host.as_ref().map(HeaderValue::as_bytes))?;
        let host = host.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
        Some(String::from_utf8_lossy(host))
    }

    /// The path up to its query, and up to any other place where a parameter could begin.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        let path = match &self.target {
            SummaryTarget::Parsed(uri) => uri.path(),
            // A target in absolute form could contain a credential before its host.
            SummaryTarget::Raw(target) if target.starts_with('/') => target,
            SummaryTarget::Unknown | SummaryTarget::Raw(_) => return None,
        };
        let folded = path.to_ascii_lowercase();
        let end = PATH_ENDS.iter().filter_map(|end| folded.find(end)).min();
        path.get(..end.unwrap_or(path.len()))
    }

    /// The party that may have chosen the contents of the request. Over TLS (`tls`) a page of the
    /// requested host is an own page, because the browser found the host in a certificate; without
    /// TLS it is an unnamed page. Any other page is foreign until a route accepts its origin.
    #[must_use]
    pub fn sender(&self, tls: bool) -> Sender {
        let foreign_site = self
            .site
            .as_ref()
            .is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
        match (&self.origin, foreign_site) {
            (_, true) => Sender::ForeignPage,
            (Some(origin), false) if !self.is_own(origin) => Sender::ForeignPage,
            (Some(_), false) if tls => Sender::OwnPage,
            (Some(_), false) => Sender::UnnamedPage,
            (None, false) if self.site.is_some() => Sender::OwnPage,
            (None, false) => Sender::Program,
        }
    }

    fn is_own(&self, origin: &HeaderValue) -> bool {
        let (Ok(origin), Some(host)) = (origin.to_str(), self.host()) else {
            return false;
        };
        let (port, origin) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://"))
        {
            (Some(rest), _) => (":443", rest),
            (_, Some(rest)) => (":80", rest),
            _ => return false,
        };
        let without = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
        without(origin) == without(&host)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::RequestSummary;
    use crate::values::Sender;

    fn parsed(target: &str, fields: &[(&str, &str)]) -> RequestSummary {
        let builder = Request::builder().uri(target);
        let add = |builder: http::request::Builder, (name, value): &(&str, &str)| {
            builder.header(*name, *value)
        };
        let request = fields.iter().fold(builder, add).body(()).unwrap();
        RequestSummary::of(&request.into_parts().0)
    }

    #[test]
    fn a_path_ends_where_a_parameter_could_begin() {
        for (target, path) in [
            ("/ws", "/ws"),
            ("/", "/"),
            ("/ws?token=secret", "/ws"),
            ("/ws;token=secret", "/ws"),
            ("/ws%3Ftoken=secret", "/ws"),
            ("/ws%3btoken=secret", "/ws"),
            ("/ws%23token=secret", "/ws"),
            ("/a%2Fb", "/a%2Fb"),
        ] {
            assert_eq!(parsed(target, &[]).path(), Some(path), "{target}");
            let raw = RequestSummary::of_raw(
                format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
            );
            assert_eq!(raw.path(), Some(path), "{target}");
            assert_eq!((raw.method(), raw.host().as_deref()), (Some("GET"), Some("a")));
        }
        let absolute =
            parsed("http://user:secret@b.example:8080/ws?token=secret", &[("host", "a")]);
        assert_eq!(absolute.path(), Some("/ws"));
        assert_eq!(absolute.host().as_deref(), Some("b.example:8080"));
        assert_eq!(parsed("/", &[("host", "user:secret@a")]).host().as_deref(), Some("a"));
    }

    #[test]
    fn bytes_that_are_no_head_give_an_empty_summary() {
        for bytes in [&b""[..], b"\x16\x03\x01\x02\x00", b"token=secret and more", b"GET /ws?token"]
        {
            let summary = RequestSummary::of_raw(bytes);
            assert_eq!((summary.method(), summary.path(), summary.host()), (None, None, None));
        }
        let spaced = RequestSummary::of_raw(b"GET /ws?token=a b HTTP/1.1\r\n\r\n");
        assert_eq!(spaced.path(), Some("/ws"));
    }

    #[test]
    fn the_sender_follows_from_origin_and_fetch_metadata() {
        use Sender::{ForeignPage, OwnPage, Program, UnnamedPage};
        for (origin, site, sender) in [
            (None, None, Program),
            (Some("https://a.example"), None, OwnPage),
            (Some("https://A.example:443"), None, OwnPage),
            (Some("http://a.example"), None, OwnPage),
            (Some("https://a.example:8443"), None, ForeignPage),
            (Some("https://evil.example"), None, ForeignPage),
            (Some("https://evil.a.example"), None, ForeignPage),
            (Some("null"), None, ForeignPage),
            (None, Some("cross-site"), ForeignPage),
            (None, Some("same-site"), ForeignPage),
            (None, Some("same-origin"), OwnPage),
            (None, Some("none"), OwnPage),
            (Some("https://a.example"), Some("same-origin"), OwnPage),
            (Some("https://a.example"), Some("cross-site"), ForeignPage),
            (Some("https://a.example"), Some("?"), ForeignPage),
        ] {
            let mut fields = vec![("host", "a.example")];
            fields.extend(origin.map(|origin| ("origin", origin)));
            fields.extend(site.map(|site| ("sec-fetch-site", site)));
            let lines: String =
                fields.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect();
            let raw = RequestSummary::of_raw(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes());
            for summary in [parsed("/", &fields), raw] {
                assert_eq!(summary.sender(true), sender, "{fields:?}");
                // Without TLS, the name of any page can resolve to this address.
                let unnamed = sender == OwnPage && origin.is_some();
                let sender = if unnamed { UnnamedPage } else { sender };
                assert_eq!(summary.sender(false), sender, "{fields:?}");
            }
        }
    }
}
