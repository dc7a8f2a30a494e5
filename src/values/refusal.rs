//! The table of all reasons why a handshake is refused or a session ends.
//!
//! Before the 101 a refusal is an HTTP answer with an RFC 9457 problem body; after it, a Close
//! frame (RFC 6455 section 5.5.1). The name of a reason is the same in the log, in the problem
//! body, in the reason text of the Close frame and in the documentation. The public text contains
//! only facts that the client may know; internal details go to the log.

use http::StatusCode;
use tracing::Level;

use crate::values::Offence;
use crate::values::Wait;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal $status:tt $close:tt $level:ident $error:tt $public:literal;)*) => {
        /// The reason why a handshake was refused or a session ended. One variant for each row of
        /// the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            fn row(self) -> ReasonRow {
                match self {
                    $(Reason::$variant => ReasonRow {
                        name: $name,
                        status: reasons!(@code $status),
                        close: reasons!(@code $close),
                        level: Level::$level,
                        error: reasons!(@error $error),
                        public: $public,
                    },)*
                }
            }
        }
    };
    (@code -) => { None };
    (@code $code:literal) => { Some($code) };
    (@error -) => { false };
    (@error error) => { true };
}

struct ReasonRow {
    name: &'static str,
    status: Option<u16>,
    close: Option<u16>,
    level: Level,
    error: bool,
    public: &'static str,
}

reasons! {
    // variant, name, HTTP status before the 101, close code after it, log level, whether it is an error,
    // public text

    /// The head is not a valid opening handshake (RFC 6455 section 4.2.1).
    HandshakeMalformed "handshake.malformed" 400 - INFO error "The request is not a valid WebSocket handshake.";
    /// The query of a request names another version of the route's `protocol` than the message rules read.
    ProtocolVersion "protocol.version" 400 - INFO - "Another version of the protocol is spoken here.";
    /// The chunked body of a plain request is not well-formed (RFC 9112 section 7.1).
    BodyMalformed "body.malformed" 400 - INFO error "The body of the request is not well-formed.";
    /// A trusted proxy does not name its client in X-Forwarded-For.
    ForwardedMalformed "forwarded.malformed" 400 - WARN error "The request came through a proxy that does not say whose it is.";
    /// The request has more than one credential, and it is not defined which one counts.
    TokenMultiple "token.multiple" 400 - INFO - "Show one credential, in one place.";
    /// The route requires a token, and the request has none.
    TokenMissing "token.missing" 401 - INFO - "A token is required.";
    /// The token fails verification, or its claims do not meet the configuration.
    TokenInvalid "token.invalid" 401 4401 INFO - "The token is not valid.";
    /// The token has expired.
    TokenExpired "token.expired" 401 4401 INFO - "The token has expired.";
    /// The token, or its user, was revoked.
    TokenRevoked "token.revoked" 403 4403 INFO - "The token was revoked.";
    /// The client certificate of the session or the plain request has expired.
    CertificateExpired "certificate.expired" 403 4401 INFO - "The client certificate has expired.";
    /// After a reload the client certificate of the session or the plain request is no longer accepted.
    CertificateInvalid "certificate.invalid" 403 4401 INFO - "The client certificate is not accepted any more.";
    /// The token's claims do not allow this route.
    ClaimsDenied "claims.denied" 403 4403 INFO - "The token does not allow this.";
    /// The Origin header names an origin that the route does not accept (RFC 6455 section 10.2).
    OriginDenied "origin.denied" 403 4403 INFO - "This origin may not connect.";
    /// The address is denied by `[firewall]`.
    FirewallDenied "firewall.denied" 403 4403 INFO - "This address may not connect.";
    /// The address is banned for a time.
    BanActive "ban.active" 403 4403 INFO - "This address is banned for a time.";
    /// No route has this host and path.
    RouteNone "route.none" 404 4403 INFO - "There is nothing here.";
    /// The method is not GET.
    Method "method" 405 - INFO - "Only GET opens a WebSocket.";
    /// The head did not arrive within `handshake_timeout`.
    HandshakeTimeout "handshake.timeout" 408 - INFO error "The handshake took too long.";
    /// The body of a plain request did not arrive within `body_timeout`.
    BodyTimeout "body.timeout" 408 - INFO error "The body of the request took too long.";
    /// The body of a plain request is larger than `max_body`.
    BodyTooLarge "body.too_large" 413 - INFO - "The body of the request is too large.";
    /// The server name of TLS and the Host header select different TLS policies.
    SniMismatch "sni.mismatch" 421 - INFO - "This connection was made for another host.";
    /// A plain HTTP request.
    UpgradeRequired "upgrade.required" 426 - INFO - "This is a WebSocket endpoint: upgrade to websocket.";
    /// Sec-WebSocket-Version is not 13.
    Version "version" 426 - INFO error "Only WebSocket version 13 is spoken here.";
    /// The address makes more handshakes than `limits.handshakes_per_ip` allows.
    LimitHandshakes "limit.handshakes" 429 - WARN - "Too many handshakes from this address.";
    /// The address or the user makes more plain requests than `requests` of `[limits]` or of its
    /// route allows.
    LimitRequests "limit.requests" 429 - WARN - "Too many requests.";
    /// The address has as many connections as `limits.connections_per_ip` allows.
    LimitConnections "limit.connections" 429 - WARN - "Too many connections from this address.";
    /// The user has as many connections, or sends more messages, than `limits.connections_per_user`
    /// or `limits.messages_per_user` allows.
    LimitUser "limit.user" 429 4429 WARN - "Too many connections or messages of this user.";
    /// The head has too many fields or too many bytes.
    HeadTooLarge "head.too_large" 431 - INFO error "The request head is too large.";
    /// The upstream did not answer the handshake as RFC 6455 section 4.2.2 asks.
    UpstreamHandshake "upstream.handshake" 502 1014 ERROR error "The application did not answer properly.";
    /// No upstream of the route could be connected to.
    UpstreamUnavailable "upstream.unavailable" 503 1014 ERROR error "The application is not available.";
    /// `max_connections` is reached, or the hold budget has no room for a message that brings a token.
    Capacity "capacity" 503 1013 WARN - "The gateway is at its capacity.";
    /// Every server that the request may use is at its `max_connections` or `max_handshakes`, and no place came free
    /// in time or too many wait already.
    UpstreamBusy "upstream.busy" 503 1013 WARN - "The application is busy. Try again later.";
    /// There is no key yet to verify a token with.
    TokenUnverifiable "token.unverifiable" 503 1013 ERROR error "Tokens cannot be verified right now.";
    /// An operator drains the route, or every server of it.
    RouteDrained "route.drained" 503 1012 INFO - "The application is under maintenance; try again later.";
    /// The upstream did not answer the handshake in time.
    UpstreamTimeout "upstream.timeout" 504 1014 ERROR error "The application did not answer in time.";
    /// A frame breaks RFC 6455 section 5.
    FrameProtocol "frame.protocol" - 1002 WARN error "The frame breaks the WebSocket protocol.";
    /// A text message or a close reason is not UTF-8 (RFC 6455 section 8.1).
    FrameUtf8 "frame.utf8" - 1007 WARN error "The text is not UTF-8.";
    /// A message is larger than `max_message_size`, or inflates to more than `max_inflation_ratio`
    /// allows.
    MessageTooBig "message.too_big" 413 1009 WARN error "The message is too big.";
    /// A frame is larger than `max_frame_size`.
    FrameTooBig "frame.too_big" - 1009 WARN error "The frame is too big.";
    /// A message has more than `max_fragments` frames.
    MessageFragments "message.fragments" - 1009 WARN error "The message has too many fragments.";
    /// A message has a kind that `kinds` does not list.
    MessageKind "message.kind" - 1008 WARN - "Messages of this kind are not accepted here.";
    /// A message is not JSON within the bounds of its rules.
    MessageStructure "message.structure" 400 1007 WARN - "The message is not well-formed.";
    /// A message breaks its JSON Schema.
    MessageSchema "message.schema" 400 1008 WARN - "The message does not have the form that is asked for.";
    /// A message matches one of `deny_patterns`.
    MessagePattern "message.pattern" 403 1008 WARN - "The message is not accepted.";
    /// A message has no type that its rules list.
    MessageType "message.type" 403 1008 WARN - "Messages of this type are not accepted here.";
    /// The token does not have the claims that the type of the message requires.
    MessageClaim "message.claim" 403 4403 WARN - "The token does not allow this message.";
    /// The client sends more messages of a type than its `rate` or `rate_per_user` allows.
    MessageRate "message.rate" 429 4429 WARN - "Too many messages of this type.";
    /// A message or a control frame took longer than `message_timeout`.
    MessageTimeout "message.timeout" - 4408 INFO error "The message took too long.";
    /// No data frame and no ping of a peer passed for `idle_timeout`.
    IdleTimeout "idle.timeout" - 4408 INFO error "The connection was idle for too long.";
    /// The peer did not answer two pings of the gateway.
    PingTimeout "ping.timeout" - 4408 INFO error "Pings were not answered.";
    /// The first message, with the token in it, did not come within `message_deadline`.
    AuthTimeout "auth.timeout" - 4408 INFO - "The token took too long.";
    /// The client sends more messages than `limits.messages` allows.
    LimitMessages "limit.messages" - 4429 WARN - "Too many messages.";
    /// The client sends more bytes than `limits.bytes` allows.
    LimitBytes "limit.bytes" - 4429 WARN - "Too many bytes.";
    /// The client sends more pings and pongs than `limits.control_frames` allows.
    LimitControl "limit.control" - 4429 WARN - "Too many control frames.";
    /// An operator ended the session or the plain request.
    SessionKicked "session.kicked" 403 4403 INFO - "The connection was ended by an operator.";
    /// An operator drained the route or the server of the session.
    SessionDrained "session.drained" 503 1012 INFO - "The connection was ended for maintenance; connect again.";
    /// The server of the session was removed by a reload, or is unhealthy with `unhealthy = "drain"`.
    UpstreamDraining "upstream.draining" 503 1012 INFO - "The server of the connection leaves service; connect again.";
    /// `max_lifetime` is over.
    LifetimeOver "lifetime.over" - 1001 INFO - "The connection has reached its maximum lifetime.";
    /// The gateway stops.
    Shutdown "shutdown" 503 1001 INFO - "The gateway is shutting down.";
    /// The upstream's connection ended without a Close frame.
    UpstreamLost "upstream.lost" - 1014 ERROR error "The connection to the application was lost.";
    /// The upstream sent a frame that breaks RFC 6455.
    UpstreamProtocol "upstream.protocol" - 1014 ERROR error "The application broke the WebSocket protocol.";
    /// An internal error of the gateway.
    Internal "internal" 500 1011 ERROR error "The gateway failed.";
    /// The TLS handshake failed. Only in the log.
    TlsFailed "tls.failed" - - INFO error "";
    /// The PROXY protocol header was missing, malformed or from an untrusted peer. Only in the log.
    ProxyMalformed "proxy.malformed" - - WARN error "";
    /// An endpoint closed the session with a Close frame. Only in the log.
    Closed "closed" - - INFO - "";
    /// The client's connection ended without a Close frame. Only in the log.
    ClientLost "client.lost" - 1001 INFO error "";
}

impl Reason {
    /// The name, as written in logs, problem bodies, close reasons and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status of a refusal before the 101. A reason that has none is answered with 500:
    /// it cannot happen there.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row()
            .status
            .and_then(|code| StatusCode::from_u16(code).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The close code that the side at fault gets after the 101. A reason that has none closes
    /// with 1011: it cannot happen there.
    #[must_use]
    pub fn close_code(self) -> u16 {
        self.row().close.unwrap_or(1011)
    }

    /// The level at which it is logged.
    #[must_use]
    pub fn level(self) -> Level {
        self.row().level
    }

    /// Whether it is a protocol error or a connection error, so that its records are also in the error file:
    /// a peer, or the connection to it, violated a protocol or failed. A refusal by a rule of the gateway is
    /// none, nor is the end of a session that a peer or an operator chose.
    #[must_use]
    pub fn is_error(self) -> bool {
        self.row().error
    }

    /// One sentence for the client.
    #[must_use]
    pub fn public_text(self) -> &'static str {
        self.row().public
    }

    /// The HTTP status and the close code that the table gives this reason.
    #[must_use]
    pub fn codes(self) -> (Option<u16>, Option<u16>) {
        let row = self.row();
        (row.status, row.close)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal: the reason for the client, and further details for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The row of the table.
    pub reason: Reason,
    /// The cause, for the log only. Never contains a payload, a token or a query string.
    pub detail: String,
    /// When another attempt may succeed, if known.
    pub retry_after: Option<Wait>,
    /// The configuration key that decided, within the section that was checked; `None`: the section
    /// as a whole.
    pub key: Option<&'static str>,
    /// The strike to count, if only the client's own program can have caused the refusal.
    pub offence: Option<Offence>,
}

impl Refusal {
    /// Creates a refusal for `reason` with a detail for the log.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None, key: None, offence: None }
    }

    /// Adds the time after which another attempt may succeed.
    #[must_use]
    pub fn retry_after(mut self, wait: Wait) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the strike to count, if any.
    #[must_use]
    pub fn as_offence(self, offence: Option<Offence>) -> Self {
        Self { offence, ..self }
    }

    /// Adds the configuration key that decided.
    #[must_use]
    pub fn by(self, key: &'static str) -> Self {
        Self { key: Some(key), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::values::Reason;

    #[test]
    fn names_are_unique_and_fit_a_close_frame() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| name.len() <= 123), "RFC 6455 section 5.5: 125 - 2 bytes");
    }

    /// `docs/refusals.md` matches the table; `UPDATE_DOCS=1` rewrites it.
    #[test]
    fn the_documentation_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/refusals.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, documentation()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(written, documentation(), "run UPDATE_DOCS=1 cargo test --lib refusal");
    }

    fn documentation() -> String {
        let code = |code: Option<u16>| code.map_or("-".to_owned(), |code| code.to_string());
        let row = |reason: &Reason| {
            let (status, close) = reason.codes();
            let text = match reason.public_text() {
                "" => "(only in the log)",
                text => text,
            };
            let level = reason.level().to_string().to_lowercase();
            format!("| `{reason}` | {} | {} | {level} | {text} |", code(status), code(close))
        };
        let rows: Vec<String> = Reason::ALL.iter().map(row).collect();
        let rows = rows.join("\n");
        format!(
            "# Refusals\n\n\
             <!-- Made from the table in src/values/refusal.rs; a test compares them. -->\n\n\
             Every reason to refuse a handshake or to end a session has one name, used in the HTTP answer,\n\
             in the Close frame and in the log. Before the 101 a refusal is an HTTP answer with a problem\n\
             body (RFC 9457). After the 101, the peer at fault gets a Close frame with the code, and the name\n\
             as its reason. The other peer gets 1001 if the client was at fault or is lost, or 1014 if the\n\
             upstream was, with the same name (`upstream.protocol` for an invalid frame of the upstream).\n\
             With `websocket.retry_hint`, ` retry=37s` follows the name in a Close to a client with 1001, 1012 or\n\
             1013 ([rolling-updates.md](rolling-updates.md#tell-clients-when-to-come-back)).\n\
             A head that is not HTTP may get a bare 400 or 431 without a body.\n\n\
             | reason | status | close code | log level | text for the client |\n\
             |---|---|---|---|---|\n{rows}\n"
        )
    }

    #[test]
    fn close_codes_may_be_sent() {
        for reason in Reason::ALL {
            let code = reason.close_code();
            assert!(![1005, 1006, 1015].contains(&code), "{reason}: {code} is never on the wire");
            assert!((1000..=1014).contains(&code) || (3000..5000).contains(&code), "{reason}");
        }
    }
}
