//! The requests of the admin client and their answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::gateway::session::Filter;
use crate::state::drains::DrainTarget;
use crate::state::store::Kind;
use crate::values::Network;
use crate::values::UnixTime;

/// The default limit of a session list.
const LISTED: usize = 1000;
/// The upper bound of a session list.
pub(super) const MOST_LISTED: usize = 100_000;

/// A request: one line of JSON; its `action` selects the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Show the status of the gateway.
    Status {},
    /// List the sessions that match the filter.
    Sessions {
        /// The filter; if it is empty, all sessions match.
        #[serde(default)]
        filter: Filter,
        /// The most sessions to list; never more than 100,000.
        #[serde(default = "listed")]
        limit: usize,
    },
    /// End the sessions that match.
    Kick {
        /// The filter; it may be empty only together with `all`.
        #[serde(default)]
        filter: Filter,
        /// End every session.
        #[serde(default)]
        all: bool,
    },
    /// Reload the configuration.
    Reload {},
    /// Revoke tokens, and end their sessions.
    Revoke {
        /// The tokens, and the duration.
        #[serde(flatten)]
        target: RevokeRequest,
    },
    /// Ban an address or network, and end its sessions.
    Ban {
        /// The network, and the duration.
        #[serde(flatten)]
        sentence: BanRequest,
    },
    /// Lift a ban, whether an operator or the gateway imposed it.
    Unban {
        /// The network, as it was banned.
        network: Network,
    },
    /// List the bans in force.
    Bans {},
    /// Replace the process by a new one of its program.
    Upgrade {},
    /// Drain a server or a route.
    Drain {
        /// The server or route.
        #[serde(flatten)]
        selector: DrainSelector,
        /// The time over which the sessions are told to end, such as "10m"; default: `shutdown_spread`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<String>,
    },
    /// End the drain of a server or a route.
    Undrain {
        /// The server or route.
        #[serde(flatten)]
        selector: DrainSelector,
    },
    /// Observe the messages of a route, and draft rules for them.
    Observe {
        /// The route and the time.
        #[serde(flatten)]
        target: ObserveRequest,
    },
}

fn listed() -> usize {
    LISTED
}

/// Tokens to revoke, and the duration: one of `user` and `token`, and one of `until` and `for`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RevokeRequest {
    /// Revoke every token of this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Revoke the token with this `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The end of the revocation (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixTime>,
    /// The duration: a whole number and a unit, such as "24h".
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasting: Option<String>,
    /// A remark for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl RevokeRequest {
    /// The user or the token id, if exactly one is given.
    pub(super) fn named(&self) -> Option<(Kind, &str)> {
        match (&self.user, &self.token) {
            (Some(user), None) => Some((Kind::User, user)),
            (None, Some(token)) => Some((Kind::Token, token)),
            _ => None,
        }
    }
}

/// A network to ban, and the duration: one of `until` and `for`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// The network; in IPv6 the ban covers at least a /64.
    pub network: Network,
    /// The end of the ban (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixTime>,
    /// The duration: a whole number and a unit, such as "24h".
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasting: Option<String>,
    /// A remark for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A server or a route: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainSelector {
    /// A server: its address, or `NAME/ADDRESS` with the name of its `[upstreams.NAME]` table or of a route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The NAME of `[routes.NAME]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}

/// The messages to observe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserveRequest {
    /// The NAME of `[routes.NAME]`.
    pub route: String,
    /// The duration: a whole number and a unit, such as "10m".
    #[serde(rename = "for")]
    pub lasting: String,
    /// The JSON pointer to the type of a message; it is guessed if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_at: Option<String>,
    /// The protocol that the messages speak, whose items are the types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Observe the messages of the application, in place of those of clients.
    #[serde(default)]
    pub replies: bool,
}

impl DrainSelector {
    /// The server or route as it is written, if exactly one is given.
    pub(super) fn named(&self) -> Option<DrainTarget> {
        match (&self.upstream, &self.route) {
            (Some(server), None) => Some(DrainTarget::Server(server.as_str().into())),
            (None, Some(route)) => Some(DrainTarget::Route(route.as_str().into())),
            _ => None,
        }
    }
}

impl Request {
    /// The `action` of the request, as in the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status {} => "status",
            Self::Sessions { .. } => "sessions",
            Self::Kick { .. } => "kick",
            Self::Reload {} => "reload",
            Self::Revoke { .. } => "revoke",
            Self::Ban { .. } => "ban",
            Self::Unban { .. } => "unban",
            Self::Bans {} => "bans",
            Self::Upgrade {} => "upgrade",
            Self::Drain { .. } => "drain",
            Self::Undrain { .. } => "undrain",
            Self::Observe { .. } => "observe",
        }
    }
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The request was executed.
    Done,
    /// The request failed completely or in part; `error` has the reason.
    Refused,
    /// No session matches, or the ban does not exist.
    NotFound,
}

impl Outcome {
    /// The name of the outcome in the answer and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
        }
    }
}

/// An answer: a JSON object with `result`, with `error` unless the request was executed, and with the
/// requested data.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::control) struct AdminAnswer {
    pub(super) outcome: Outcome,
    pub(super) error: Option<String>,
    /// The number of affected sessions, for the log.
    pub(super) sessions: Option<usize>,
    pub(super) more: Map<String, Value>,
}

impl AdminAnswer {
    pub(super) fn done(more: Map<String, Value>) -> Self {
        Self { outcome: Outcome::Done, error: None, sessions: None, more }
    }

    pub(super) fn failed(outcome: Outcome, error: impl Into<String>) -> Self {
        Self { outcome, error: Some(error.into()), sessions: None, more: Map::new() }
    }

    /// Adds the number of affected sessions.
    pub(super) fn about(mut self, sessions: usize) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// The JSON object, on one line.
    pub(super) fn line(self) -> String {
        format!("{}\n", self.value())
    }

    /// The JSON object.
    pub(in crate::control) fn value(self) -> Value {
        let mut document = Map::new();
        document.insert("result".to_owned(), self.outcome.name().into());
        if let Some(error) = self.error {
            document.insert("error".to_owned(), error.into());
        }
        document.extend(self.more);
        Value::Object(document)
    }
}

#[cfg(test)]
mod tests {
    use super::{AdminAnswer, Outcome, Request};

    #[test]
    fn requests_are_parsed_strictly_and_round_trip() {
        for text in [
            r#"{"action":"status"}"#,
            r#"{"action":"reload"}"#,
            r#"{"action":"sessions","filter":{"user":"ann","ip":"10.0.0.0/8"},"limit":5}"#,
            r#"{"action":"kick","filter":{"id":"1"},"all":false}"#,
            r#"{"action":"revoke","token":"t1","until":"2026-03-09T08:15:42Z"}"#,
            r#"{"action":"revoke","user":"ann","for":"24h","why":"left"}"#,
            r#"{"action":"ban","network":"203.0.113.0/24","for":"1h","why":"scans"}"#,
            r#"{"action":"ban","network":"2001:db8::7","until":"2026-03-09T08:15:42Z"}"#,
            r#"{"action":"unban","network":"203.0.113.7"}"#,
            r#"{"action":"bans"}"#,
            r#"{"action":"upgrade"}"#,
            r#"{"action":"drain","upstream":"app/ws://10.0.0.5:8765","over":"10m"}"#,
            r#"{"action":"drain","route":"chat"}"#,
            r#"{"action":"undrain","upstream":"ws://10.0.0.5:8765"}"#,
            r#"{"action":"observe","route":"chat","for":"10m","type_at":"/action","replies":true}"#,
        ] {
            let request: Request = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
        }
        for text in [
            "",
            "{}",
            "[]",
            r#"{"action":"fly"}"#,
            r#"{"action":"status","more":1}"#,
            r#"{"action":"sessions","filter":{"usr":"ann"}}"#,
            r#"{"action":"sessions","filter":{"ip":"10.0.0.0/33"}}"#,
            r#"{"action":"sessions","limit":-1}"#,
            r#"{"action":"revoke","user":"ann","until":"tomorrow"}"#,
            r#"{"action":"revoke","user":"ann","untill":"2026-03-09T08:15:42Z"}"#,
            r#"{"action":"status"} {"action":"status"}"#,
            r#"{"action":"ban","for":"1h"}"#,
            r#"{"action":"ban","network":"localhost","for":"1h"}"#,
            r#"{"action":"ban","network":"192.0.2.7","fro":"1h"}"#,
            r#"{"action":"ban","network":"192.0.2.7","until":"tomorrow"}"#,
            r#"{"action":"unban","network":"192.0.2.7","for":"1h"}"#,
            r#"{"action":"bans","limit":5}"#,
            r#"{"action":"drain","server":"ws://10.0.0.5:8765"}"#,
            r#"{"action":"undrain","route":"chat","over":"10m"}"#,
            r#"{"action":"observe","route":"chat"}"#,
            r#"{"action":"observe","route":"chat","for":"10m","protocol":7}"#,
            r#"{"action":"observe","route":"chat","for":"10m","type":"/action"}"#,
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_has_a_result_and_an_error() {
        let line = AdminAnswer::failed(Outcome::NotFound, "none").line();
        assert_eq!(line, "{\"error\":\"none\",\"result\":\"not_found\"}\n");
    }
}
