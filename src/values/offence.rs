//! Which refusals are strikes. A foreign page makes its visitor's browser send whatever scripts and
//! links can make it send, from the visitor's address; so a strike must be something that only the
//! client's own program can cause. `docs/bans.md` has the reasoning as a table.

use super::Reason;
use super::TokenPlace;

/// Who may have chosen what a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A program: there is neither Origin nor Sec-Fetch-Site, which browsers add to every WebSocket
    /// handshake and which no page can take away.
    Program,
    /// A page whose origin is accepted: one that the route lists, or that of the host that is asked, if
    /// a certificate or the route names this host.
    OwnPage,
    /// A page of the host that is asked, which nothing names. Over plain HTTP it may be anybody's: a page
    /// can let its own name lead to the gateway's address (DNS rebinding).
    UnnamedPage,
    /// Any other page.
    ForeignPage,
}

/// The context of a request, as far as a strike depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestContext {
    /// Who may have chosen what it says.
    pub sender: Sender,
    /// A trusted proxy wrote the head: its fields may lack what the client sent, an Origin too.
    pub relayed: bool,
}

/// An offence that only a client's own program can commit. Counting a strike
/// takes nothing else, and there is no way to make one of a limit, a method or a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offence(Reason);

impl RequestContext {
    /// The same request, once its origin was accepted by name.
    #[must_use]
    pub fn accepted(self) -> Self {
        match self.sender {
            Sender::Program => self,
            Sender::OwnPage | Sender::UnnamedPage | Sender::ForeignPage => {
                Self { sender: Sender::OwnPage, ..self }
            }
        }
    }

    /// The same request, once the host that it asks is known to be one of the gateway's.
    #[must_use]
    pub fn host_named(self) -> Self {
        match self.sender {
            Sender::UnnamedPage => Self { sender: Sender::OwnPage, ..self },
            Sender::Program | Sender::OwnPage | Sender::ForeignPage => self,
        }
    }

    /// Whether a foreign page may stand behind it that a browser names.
    fn is_foreign(self) -> bool {
        matches!(self.sender, Sender::UnnamedPage | Sender::ForeignPage)
    }

    /// Whether no foreign page stands behind it.
    fn is_own(self) -> bool {
        match self.sender {
            Sender::UnnamedPage | Sender::ForeignPage => false,
            Sender::OwnPage => true,
            // The proxy may have taken the Origin away.
            Sender::Program => !self.relayed,
        }
    }
}

impl Offence {
    /// A head that no browser writes. One that a proxy wrote says nothing about the client.
    #[must_use]
    pub fn head(context: RequestContext) -> Option<Self> {
        let proven = !context.is_foreign() && !context.relayed;
        proven.then_some(Self(Reason::HandshakeMalformed))
    }

    /// A token that does not verify. A script cannot set the header fields of a WebSocket, so one in
    /// a field is a program's. A cookie can be planted by any page of the same site, so that it
    /// counts from a program alone.
    #[must_use]
    pub fn token(place: &TokenPlace, context: RequestContext) -> Option<Self> {
        let proven = match place {
            TokenPlace::Header | TokenPlace::Field(_) => !context.is_foreign(),
            TokenPlace::Cookie(_) => context.sender == Sender::Program && !context.relayed,
            TokenPlace::Query(_) | TokenPlace::Subprotocol | TokenPlace::Message => {
                context.is_own()
            }
        };
        proven.then_some(Self(Reason::TokenInvalid))
    }

    /// A frame of the client's that no browser makes of anything that a page sends. The caller passes
    /// the reason of a rule that only a program can break deliberately.
    pub(crate) fn frame(reason: Reason, context: RequestContext) -> Option<Self> {
        (!context.is_foreign()).then_some(Self(reason))
    }

    /// The reason of the refusal.
    #[must_use]
    pub fn reason(self) -> Reason {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use super::TokenPlace;
    use super::{Offence, RequestContext, Sender};

    const SENDERS: [Sender; 4] =
        [Sender::Program, Sender::OwnPage, Sender::UnnamedPage, Sender::ForeignPage];
    const NEVER: (bool, bool) = (false, false);

    /// For each sender: of a request as it came, and of one that a trusted proxy wrote.
    fn counts(offence: impl Fn(RequestContext) -> Option<Offence>) -> [(bool, bool); 4] {
        SENDERS.map(|sender| {
            let counted = |relayed| offence(RequestContext { sender, relayed }).is_some();
            (counted(false), counted(true))
        })
    }

    #[test]
    fn a_head_counts_from_whom_it_proves_something_about() {
        assert_eq!(counts(Offence::head), [(true, false), (true, false), NEVER, NEVER]);
    }

    #[test]
    fn a_token_counts_where_no_foreign_page_can_have_put_it() {
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
    fn an_accepted_origin_makes_a_page_an_own_one_and_nothing_makes_it_a_program() {
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
