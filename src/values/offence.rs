//! Decides which refusals count as strikes. A foreign page can make its visitor's browser send
//! anything that scripts and links can send, from the visitor's address; so a strike must be
//! something that only the client's own program can cause. `docs/bans.md` explains this in a table.

use super::Reason;
use super::TokenPlace;

/// The party that may have chosen the contents of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A program: the request has neither Origin nor Sec-Fetch-Site, which browsers add to every
    /// WebSocket handshake and which no page can remove.
    Program,
    /// A page with an accepted origin: the route lists it, or it is the origin of the requested
    /// host, and a certificate or the route names that host.
    OwnPage,
    /// A page of the requested host, which neither a certificate nor a route names. Over plain HTTP
    /// it may be any page: a page can let its own name resolve to the gateway's address (DNS
    /// rebinding).
    UnnamedPage,
    /// Any other page.
    ForeignPage,
}

/// The properties of a request on which a strike depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestContext {
    /// The party that may have chosen its contents.
    pub sender: Sender,
    /// A trusted proxy wrote the head: it may have removed fields that the client sent, Origin too.
    pub relayed: bool,
}

/// An offence that only a client's own program can commit. Strikes are counted from this type only,
/// and it cannot be made from a limit, a method or a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offence(Reason);

impl RequestContext {
    /// Returns the context after the origin was accepted by name.
    #[must_use]
    pub fn accepted(self) -> Self {
        match self.sender {
            Sender::Program => self,
            Sender::OwnPage | Sender::UnnamedPage | Sender::ForeignPage => {
                Self { sender: Sender::OwnPage, ..self }
            }
        }
    }

    /// Returns the context after the requested host was found to be one of the gateway's.
    #[must_use]
    pub fn host_named(self) -> Self {
        match self.sender {
            Sender::UnnamedPage => Self { sender: Sender::OwnPage, ..self },
            Sender::Program | Sender::OwnPage | Sender::ForeignPage => self,
        }
    }

    /// Whether the browser names a foreign page as the sender.
    fn is_foreign(self) -> bool {
        matches!(self.sender, Sender::UnnamedPage | Sender::ForeignPage)
    }

    /// Whether the sender is certainly not a foreign page.
    fn is_own(self) -> bool {
        match self.sender {
            Sender::UnnamedPage | Sender::ForeignPage => false,
            Sender::OwnPage => true,
            // The proxy may have removed the Origin.
            Sender::Program => !self.relayed,
        }
    }
}

impl Offence {
    /// A head that no browser writes. A head that a proxy wrote says nothing about the client.
    #[must_use]
    pub fn head(context: RequestContext) -> Option<Self> {
        let proven = !context.is_foreign() && !context.relayed;
        proven.then_some(Self(Reason::HandshakeMalformed))
    }

    /// A token that fails verification. A script cannot set header fields of a WebSocket handshake,
    /// so a token in a field comes from a program. Any page of the same site can plant a cookie, so
    /// a token in a cookie counts only from a program.
    #[must_use]
    pub fn token(place: &TokenPlace, context: RequestContext) -> Option<Self> {
        let proven = match place {
            TokenPlace::Header | TokenPlace::Field(_) => !context.is_foreign(),
            TokenPlace::Cookie(_) => context.sender == Sender::Program && !context.relayed,
            TokenPlace::Query(_)
            | TokenPlace::Subprotocol
            | TokenPlace::Message
            | TokenPlace::Opening(_) => context.is_own(),
        };
        proven.then_some(Self(Reason::TokenInvalid))
    }

    /// A client frame that no page can make a browser send. The caller passes only reasons of rules
    /// that a program alone can break deliberately.
    pub(crate) fn frame(reason: Reason, context: RequestContext) -> Option<Self> {
        (!context.is_foreign()).then_some(Self(reason))
    }

    /// A message that breaks a rule of a route with `strike = true`. Any page chooses its messages, so it counts
    /// unless a foreign page may have sent it.
    pub(crate) fn message(reason: Reason, context: RequestContext) -> Option<Self> {
        context.is_own().then_some(Self(reason))
    }

    /// The reason of the refusal.
    #[must_use]
    pub fn reason(self) -> Reason {
        self.0
    }
}

#[cfg(test)]
pub(crate) mod cases {
    use super::{Offence, RequestContext, Sender};

    pub(crate) const SENDERS: [Sender; 4] =
        [Sender::Program, Sender::OwnPage, Sender::UnnamedPage, Sender::ForeignPage];
    /// The offence counts neither for a direct request nor for a relayed one.
    pub(crate) const NEVER: (bool, bool) = (false, false);

    /// For each sender: whether the offence counts for a direct request, and for one that a trusted
    /// proxy wrote.
    pub(crate) fn counts(offence: impl Fn(RequestContext) -> Option<Offence>) -> [(bool, bool); 4] {
        SENDERS.map(|sender| {
            let counted = |relayed| offence(RequestContext { sender, relayed }).is_some();
            (counted(false), counted(true))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use super::TokenPlace;
    use super::cases::{NEVER, SENDERS, counts};
    use super::{Offence, RequestContext, Sender};

    #[test]
    fn a_malformed_head_is_a_strike_for_programs_alone() {
        assert_eq!(counts(Offence::head), [(true, false), (true, false), NEVER, NEVER]);
    }

    #[test]
    fn a_token_is_a_strike_only_where_no_foreign_page_can_put_one() {
        let of = |place: TokenPlace| counts(move |context| Offence::token(&place, context));
        assert_eq!(of(TokenPlace::Header), [(true, true), (true, true), NEVER, NEVER]);
        let cookie = TokenPlace::Cookie("s".to_owned());
        assert_eq!(of(cookie), [(true, false), NEVER, NEVER, NEVER]);
        for place in
            [TokenPlace::Query("t".to_owned()), TokenPlace::Subprotocol, TokenPlace::Message]
        {
            assert_eq!(of(place), [(true, false), (true, true), NEVER, NEVER]);
        }
    }

    #[test]
    fn a_message_is_a_strike_only_where_no_foreign_page_can_send_one() {
        let counted = counts(|context| Offence::message(Reason::MessageType, context));
        assert_eq!(counted, [(true, false), (true, true), NEVER, NEVER]);
    }

    #[test]
    fn an_accepted_origin_makes_a_page_an_own_page_and_never_a_program() {
        use Sender::{ForeignPage, OwnPage, Program};
        let all = |change: fn(RequestContext) -> RequestContext| {
            SENDERS.map(|sender| {
                let changed = change(RequestContext { sender, relayed: true });
                assert!(changed.relayed);
                changed.sender
            })
        };
        assert_eq!(all(RequestContext::accepted), [Program, OwnPage, OwnPage, OwnPage]);
        assert_eq!(all(RequestContext::host_named), [Program, OwnPage, OwnPage, ForeignPage]);
    }

    #[test]
    fn the_documentation_names_every_reason_and_no_other() {
        let docs = include_str!("../../docs/bans.md");
        let section = docs.split("## What is a strike").nth(1).unwrap().split("\n## ").next();
        let rows = section.unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
        let mut named: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
        named.dedup();
        let reasons = [
            Reason::HandshakeMalformed,
            Reason::TokenInvalid,
            Reason::FrameProtocol,
            Reason::FrameUtf8,
        ];
        assert_eq!(named, reasons.map(Reason::name));
    }
}
