//! Messages that are the gateway's: a client hands in a new token. No byte of a frame leaves before it
//! is known that the frame has none.

use std::sync::Arc;

use super::super::inflate::Inflation;
use super::super::{Event, HeaderBytes, Opcode, mask};
use super::form::{Form, HandIn};
use super::{Reader, Run, WHOLE, WHOLE_SIZE};
use serde_json::Value;

use crate::values::Reason;
use crate::values::json;

/// The messages, of one frame each, in which a client hands in a new token.
#[derive(Debug)]
pub(in crate::wire) struct Handover {
    /// The member of the JSON object that holds the token.
    member: Arc<str>,
    /// How many there were; the flow has them, too.
    pub(in crate::wire) taken: u64,
    /// How far the message in progress, or the last one, looks like one.
    form: Form,
    /// The message in progress has more than one frame.
    fragmented: bool,
}

impl Handover {
    pub(in crate::wire) fn new(member: Arc<str>) -> Self {
        Self { member, taken: 0, form: Form::OTHER, fragmented: false }
    }

    /// A frame begins; its header was judged.
    pub(crate) fn begin(&mut self, head: &HeaderBytes) {
        match head.opcode() {
            Opcode::Text => {
                (self.form, self.fragmented) = (Form::default(), !head.fin());
            }
            Opcode::Binary => self.form = Form::OTHER,
            // A continuation goes on where the frame before it ended.
            _ => {}
        }
    }

    /// Payload of a frame that is not compressed, `done` bytes into it.
    #[inline(never)]
    pub(crate) fn read(&mut self, head: &HeaderBytes, done: u64, piece: &[u8]) {
        if self.form.hand_in() == HandIn::Undecided {
            let key = mask::key_at(head.key(), done);
            let plain = piece.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
            self.form.push(&self.member, plain);
        }
    }

    /// The next text of the message.
    pub(crate) fn read_plain(&mut self, text: &[u8]) {
        self.form.push(&self.member, text.iter().copied());
    }
}

impl Reader {
    /// Whether the data frame in progress may hold a token, as far as it was read.
    #[inline]
    pub(crate) fn may_hand_in(&self) -> bool {
        self.hand_in() != HandIn::Other
    }

    /// Whether the message in progress hands in a token, well or badly.
    #[inline]
    pub(crate) fn hands_in(&self) -> bool {
        self.hand_in() == HandIn::Token
    }

    #[inline]
    fn hand_in(&self) -> HandIn {
        match &self.handover {
            Some(handover) if !self.frame.head.is_control() => handover.form.hand_in(),
            _ => HandIn::Other,
        }
    }

    /// After a piece of a data frame was read: ends the session where a token came that cannot be
    /// taken out, and lets a large frame go on once it is known to hold none.
    #[inline(never)]
    pub(crate) fn judge_hand_in(&mut self, run: &mut Run) -> Option<Event> {
        let handover = self.handover.as_deref()?;
        let read = self.frame.head.size() as u64 + self.frame.head.declared() - self.frame.left;
        match handover.form.hand_in() {
            _ if self.dropped().is_some() => None,
            HandIn::Token if handover.fragmented => Some(Event::Exceeded(Reason::MessageFragments)),
            HandIn::Token if self.frame.is_large() => Some(Event::Exceeded(Reason::MessageTooBig)),
            // Blanks, more than are held.
            HandIn::Undecided if read > WHOLE => Some(Event::Exceeded(Reason::MessageTooBig)),
            HandIn::Other => {
                self.release_large(run);
                None
            }
            HandIn::Token | HandIn::Undecided => None,
        }
    }

    /// Takes the token of a message that hands in one: held bytes, then `rest`. It is empty where
    /// the message is not of the form; the client is told that it is not valid.
    pub(crate) fn handed_over(&mut self, rest: &[u8]) -> String {
        debug_assert!(!self.frame.through, "a frame that may hold a token is never cut through");
        let Some(handover) = self.handover.as_mut() else {
            return String::new();
        };
        handover.taken += 1;
        let head = &self.frame.head;
        let bytes = self.hold.pending().iter().chain(rest).skip(head.size());
        let masked: Vec<u8> = bytes.copied().collect();
        let mut message = vec![0; masked.len()];
        mask::unmask(&masked, head.key(), &mut message);
        let message = if self.rules.message_compressed() {
            // No longer than one that is not compressed could be.
            Inflation::whole(&message, WHOLE_SIZE)
        } else {
            Some(message)
        };
        message.and_then(|message| token_in(&handover.member, &message)).unwrap_or_default()
    }
}

/// The token in a message of the form `{"MEMBER": {"token": "..."}}`, with nothing beside it and
/// no name twice; `None` for any other message.
pub(super) fn token_in(member: &str, message: &[u8]) -> Option<String> {
    let mut outer = json::object(message).ok()?;
    let Some(Value::Object(mut inner)) = outer.remove(member) else {
        return None;
    };
    let Some(Value::String(token)) = inner.remove("token") else {
        return None;
    };
    (outer.is_empty() && inner.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::token_in;

    #[test]
    fn only_the_form_itself_is_a_handover() {
        let token = |message: &str| token_in("framewall", message.as_bytes());
        assert_eq!(token(r#" {"framewall": {"token": "a.b.c"}} "#).as_deref(), Some("a.b.c"));
        for other in [
            r#"{"framewall": {"token": 1}}"#,
            r#"{"framewall": {"token": "a", "x": 1}}"#,
            r#"{"framewall": {"token": "a"}, "x": {"token": "b"}}"#,
            r#"{"framewall": {"token": "a"}, "framewall": {"token": "b"}}"#,
            r#"{"framewall": {"token": "a", "token": "b"}}"#,
            r#"{"framewall": ["a"]}"#,
            r#"[["framewall", ["a"]]]"#,
            r#"{"framewall": {"token": ["a"]}}"#,
            r#"{"framewall": {"token": "a"}} x"#,
            r#"{"framewall": {}}"#,
            r#"{"other": {"token": "a"}}"#,
            r#"["framewall"]"#,
            "framewall",
            "",
        ] {
            assert_eq!(token(other), None, "{other}");
        }
    }
}
