//! `upstreams.*.balance`

use std::fmt;

use http::HeaderName;

use super::kinds::Fault;
use super::route::{is_parameter, is_token};
use super::units::nearest;

/// How the servers of an application share sessions and plain requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// The server with the fewest live sessions and requests for its weight.
    Least,
    /// The better of two random servers.
    Random,
    /// The first server in the list that works.
    First,
    /// The server that a hash of this part of the request selects.
    Hash(HashKey),
}

/// The part of a request that selects a server. If a request does not have it, its client's address does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address; of an IPv6 address its /64.
    Address,
    /// The verified user, and its issuer.
    User,
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter.
    Query(String),
    /// The value of a header field.
    Field(HeaderName),
}

/// The values without a name of their own.
const PLAIN: [(&str, Balance); 5] = [
    ("least", Balance::Least),
    ("random", Balance::Random),
    ("first", Balance::First),
    ("hash:ip", Balance::Hash(HashKey::Address)),
    ("hash:user", Balance::Hash(HashKey::User)),
];

impl Balance {
    /// Reads the value of the key.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if let Some((_, balance)) = PLAIN.into_iter().find(|(name, _)| *name == text) {
            return Ok(balance);
        }
        let hashed = text.strip_prefix("hash:").and_then(|rest| rest.split_once(':'));
        let key = match hashed {
            Some(("cookie", name)) if is_token(name) => HashKey::Cookie(name.to_owned()),
            Some(("query", name)) if is_parameter(name) => HashKey::Query(name.to_owned()),
            Some(("header", name)) if is_token(name) => HashKey::Field(field(name)?),
            Some((kind @ ("cookie" | "query" | "header"), name)) => {
                let fault = Fault::new(format!("\"{name}\" cannot be the name of a {kind}"));
                return Err(fault.help("use letters, digits, - and _ alone"));
            }
            _ => return Err(unknown(text)),
        };
        Ok(Self::Hash(key))
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Least => f.write_str("least"),
            Self::Random => f.write_str("random"),
            Self::First => f.write_str("first"),
            Self::Hash(HashKey::Address) => f.write_str("hash:ip"),
            Self::Hash(HashKey::User) => f.write_str("hash:user"),
            Self::Hash(HashKey::Cookie(name)) => write!(f, "hash:cookie:{name}"),
            Self::Hash(HashKey::Query(name)) => write!(f, "hash:query:{name}"),
            Self::Hash(HashKey::Field(name)) => write!(f, "hash:header:{name}"),
        }
    }
}

fn field(name: &str) -> Result<HeaderName, Fault> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Fault::new(format!("\"{name}\" cannot be the name of a header field")))
}

fn unknown(text: &str) -> Fault {
    let fault = Fault::new(format!("\"{text}\" is no way to balance"));
    match text.strip_prefix("hash:").unwrap_or(text) {
        kind @ ("cookie" | "query" | "header") => {
            fault.help(format!("name it: \"hash:{kind}:NAME\""))
        }
        "ip" | "user" => fault.help(format!("write \"hash:{text}\"")),
        "round_robin" | "roundrobin" | "leastconn" | "least_conn" => {
            fault.help("\"least\" spreads sessions evenly")
        }
        _ => match nearest(text, PLAIN.iter().map(|(name, _)| *name)) {
            Some(near) => fault.help(format!("did you mean \"{near}\"?")),
            None => fault,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::Balance;

    #[test]
    fn every_value_is_read_and_shown() {
        for text in [
            "least",
            "random",
            "first",
            "hash:ip",
            "hash:user",
            "hash:cookie:sid",
            "hash:query:room",
            "hash:header:x-room",
        ] {
            assert_eq!(Balance::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Balance::parse("hash:header:X-Room").unwrap().to_string(), "hash:header:x-room");
    }

    #[test]
    fn other_values_are_refused_with_help() {
        for (text, help) in [
            ("leest", Some("did you mean \"least\"?")),
            ("hash:usr", Some("did you mean \"hash:user\"?")),
            ("ip", Some("write \"hash:ip\"")),
            ("round_robin", Some("\"least\" spreads sessions evenly")),
            ("hash:cookie", Some("name it: \"hash:cookie:NAME\"")),
            ("hash:cookie:", Some("use letters, digits, - and _ alone")),
            ("hash:cookie:a b", Some("use letters, digits, - and _ alone")),
            ("hash:query:a&b", Some("use letters, digits, - and _ alone")),
            ("hash:header:a b", Some("use letters, digits, - and _ alone")),
            ("", None),
        ] {
            assert_eq!(Balance::parse(text).unwrap_err().help.as_deref(), help, "{text}");
        }
    }
}
