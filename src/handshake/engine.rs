//! The query of an Engine.IO request. A query that servers read in different ways is malformed.

use percent_encoding::percent_decode_str;

/// The names by which servers recognise an Engine.IO request. Some take a request without `transport` for polling.
const NAMES: [&str; 3] = ["EIO", "transport", "sid"];
/// A name by which servers read a polling body in another way (JSONP, which protocol 4 does not have).
const JSONP: &str = "j";
/// The longest id of a session, in bytes.
const LONGEST_SID: usize = 256;

/// The query of an Engine.IO request of protocol 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineQuery {
    /// The transport.
    pub transport: EngineTransport,
    /// The id of the session; `None`: the request opens one.
    pub sid: Option<String>,
}

/// A transport of Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineTransport {
    /// `websocket`
    WebSocket,
    /// `polling`
    Polling,
}

/// Why an Engine.IO request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineQueryError {
    /// Its protocol is not 4, or it names none.
    #[error("the query does not say EIO=4")]
    Version,
    /// Servers may read the query in different ways.
    #[error("{0}")]
    Malformed(&'static str),
}

impl EngineQuery {
    /// Reads the query of a request target; `None`: it is no Engine.IO request.
    pub fn read(target: &str) -> Result<Option<Self>, EngineQueryError> {
        let malformed = |what| Err(EngineQueryError::Malformed(what));
        let (_, query) = target.split_once('?').unwrap_or((target, ""));
        let mut values: [Option<&str>; 3] = [None; 3];
        let (mut is_odd, mut has_jsonp) = (false, false);
        for parameter in query.split(['&', ';']) {
            let (given, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = decoded(given);
            let named = |known: &&str| known.eq_ignore_ascii_case(name.trim());
            has_jsonp |= named(&JSONP);
            if let Some(index) = NAMES.iter().position(named) {
                is_odd |= given != NAMES[index] || values[index].is_some();
                values[index] = Some(value);
            }
        }
        let [version, transport, sid] = values;
        if values.iter().all(Option::is_none) {
            return Ok(None);
        }
        if is_odd || query.contains(';') {
            return malformed("the query names EIO, transport or sid twice or in another spelling");
        }
        if version != Some("4") {
            return Err(EngineQueryError::Version);
        }
        if has_jsonp {
            return malformed("the query asks for JSONP");
        }
        let transport = match transport {
            Some("websocket") => EngineTransport::WebSocket,
            Some("polling") => EngineTransport::Polling,
            _ => return malformed("the transport is neither websocket nor polling"),
        };
        let sid = sid.map(decoded);
        if sid.as_ref().is_some_and(|sid| sid.is_empty() || sid.len() > LONGEST_SID) {
            return malformed("the sid is empty or longer than 256 bytes");
        }
        Ok(Some(Self { transport, sid }))
    }
}

/// A name or value as servers decode it.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::EngineQueryError::{Malformed, Version};
    use super::{EngineQuery, EngineTransport};

    #[test]
    fn a_query_of_protocol_4_is_read() {
        for (target, transport, sid) in [
            ("/s/?EIO=4&transport=polling", EngineTransport::Polling, None),
            (
                "/s/?transport=websocket&EIO=4&t=x&sid=a_b-c",
                EngineTransport::WebSocket,
                Some("a_b-c"),
            ),
            ("/s/?EIO=4&transport=polling&sid=%61b", EngineTransport::Polling, Some("ab")),
        ] {
            let sid = sid.map(str::to_owned);
            assert_eq!(
                EngineQuery::read(target),
                Ok(Some(EngineQuery { transport, sid })),
                "{target}"
            );
        }
        for target in ["/s/", "/s/?", "/s/?a=b;c", "/s/?j=1", "/EIO=4?x=EIO"] {
            assert_eq!(EngineQuery::read(target), Ok(None), "{target}");
        }
    }

    #[test]
    fn a_query_that_servers_read_differently_is_refused() {
        for target in [
            "/?EIO=3&transport=polling",
            "/?transport=polling",
            "/?sid=x",
            "/?EIO=&transport=polling",
            "/?EIO=04&transport=polling",
            "/?EIO=%34&transport=polling",
            "/?EIO&transport=polling",
        ] {
            assert_eq!(EngineQuery::read(target), Err(Version), "{target}");
        }
        for target in [
            "/?EIO=4&EIO=3&transport=polling",
            "/?EIO=4&EIO=4&transport=polling",
            "/?E%49O=4&transport=polling",
            "/?eio=3&EIO=4&transport=polling",
            "/?EIO=4&transport=polling&transport=websocket",
            "/?x=1;EIO=4&transport=polling",
            "/?EIO=4&transport=polling&a=b;c",
            "/?x=1;sid=a",
            "/?EIO=4&transport=polling&sid=a&+sid=b",
            "/?EIO=4&transport=polling&j=0",
            "/?EIO=4",
            "/?EIO=4&transport=webtransport",
            "/?EIO=4&transport=%70olling",
            "/?EIO=4&transport=polling&sid=",
        ] {
            assert!(matches!(EngineQuery::read(target), Err(Malformed(_))), "{target}");
        }
        let long = format!("/?EIO=4&transport=polling&sid={}", "a".repeat(257));
        assert!(EngineQuery::read(&long).is_err());
    }
}
