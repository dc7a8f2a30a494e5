//! Takes messages that hand in a new token out of the stream. No byte of a frame is released before it is
//! known that the frame holds no part of a token.

use std::sync::Arc;

use serde_json::Value;

use super::super::inflate::Inflation;
use super::super::reader::{Frame, WHOLE, WHOLE_SIZE};
use super::super::{GateEvent, HeaderBytes, Opcode, mask};
use super::form::{Form, HandIn};
use super::{Verdict, payloads};
use crate::values::{Reason, json};

/// Takes messages of one frame each in which a client hands in a new token.
#[derive(Debug)]
pub(in crate::wire) struct Handover {
    /// The member of the JSON object that holds the token.
    member: Arc<str>,
    /// The number of messages taken; the flow counts them, too.
    pub(in crate::wire) taken: u64,
    /// How far the message in progress, or the last one, matches the form of a handover.
    form: Form,
    /// The message in progress has more than one frame.
    fragmented: bool,
}

impl Handover {
    pub(in crate::wire) fn new(member: Arc<str>) -> Self {
        Self { member, taken: 0, form: Form::OTHER, fragmented: false }
    }

    /// Notes the beginning of a data frame; its header passed the rules.
    pub(super) fn begin_frame(&mut self, head: &HeaderBytes) -> Verdict {
        match head.opcode() {
            Opcode::Text => {
                (self.form, self.fragmented) = (Form::default(), !head.fin());
            }
            Opcode::Binary => self.form = Form::OTHER,
            // A continuation frame continues the text of the frame before.
            _ => {}
        }
        Verdict::Pass
    }

    /// Reads a piece of the payload of an uncompressed frame, `done` bytes into it.
    #[inline(never)]
    pub(super) fn read(&mut self, head: &HeaderBytes, done: u64, piece: &[u8]) {
        if self.form.hand_in() == HandIn::Undecided {
            let key = mask::key_at(head.key(), done);
            let plain = piece.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
            self.form.push(&self.member, plain);
        }
    }

    /// Reads the next inflated text of a compressed message.
    pub(super) fn read_inflated(&mut self, text: &[u8]) {
        self.form.push(&self.member, text.iter().copied());
    }
    /// The verdict on the frame in progress. A token that cannot be taken out, since it is in fragments or
    /// in a frame that is too large to be held, ends the session.
    pub(super) fn verdict(&self, frame: &Frame) -> Verdict {
        match self.form.hand_in() {
            HandIn::Other => Verdict::Pass,
            HandIn::Token if self.fragmented => Verdict::Refuse(Reason::MessageFragments),
            HandIn::Token if frame.is_large() => Verdict::Refuse(Reason::MessageTooBig),
            HandIn::Token => Verdict::Take,
            // More blanks than can be held.
            HandIn::Undecided if frame.read() > WHOLE => Verdict::Refuse(Reason::MessageTooBig),
            HandIn::Undecided => Verdict::Hold,
        }
    }

    /// Takes the token out of a complete message. The token is empty if the message does not have the exact
    /// form; the client is told that it is not valid.
    pub(super) fn take(&mut self, frame: &[u8], compressed: bool) -> GateEvent {
        self.taken += 1;
        let message = payloads(frame);
        let message = if compressed {
            // The limit is the same as for an uncompressed message.
            Inflation::whole(&message, WHOLE_SIZE)
        } else {
            Some(message)
        };
        let token = message.and_then(|message| token_in(&self.member, &message));
        GateEvent::Token(token.unwrap_or_default())
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
