//! Recognizes the beginning of a message that hands in a token, byte by byte: no byte of a token may be
//! released before this is decided.

/// The decision from the text so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandIn {
    /// The text so far is a prefix of `{"MEMBER": {"token": "`, so a token may follow. It holds no byte of
    /// one.
    Undecided,
    /// The value of the token has begun: the message is for the gateway, with any continuation.
    Token,
    /// The message is for the application.
    Other,
}

/// Reads the text of a message from its first byte on, across frames. JSON (RFC 8259) allows blanks between
/// the tokens of its grammar and escapes within names, and so does this parser.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Form {
    part: Part,
    /// Bytes of the name in progress that were read and match.
    matched: u8,
    escape: Escape,
}

/// The part of the message that is read next, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Object,
    MemberQuote,
    Member,
    MemberColon,
    Inner,
    TokenQuote,
    Token,
    TokenColon,
    ValueQuote,
    Value,
    Other,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// A backslash was read.
    Begun,
    /// The number of digits of `\uXXXX` that were read, and their value.
    Hex(u8, u16),
}

/// The name of the inner member.
const TOKEN: &[u8] = b"token";

impl Form {
    /// The form of a message that need not be read.
    pub(super) const OTHER: Self = Self { part: Part::Other, matched: 0, escape: Escape::None };

    pub(super) fn hand_in(self) -> HandIn {
        match self.part {
            Part::Value => HandIn::Token,
            Part::Other => HandIn::Other,
            _ => HandIn::Undecided,
        }
    }

    /// Reads more text. `member` is the name of the outer member, at most 64 ASCII characters.
    pub(super) fn push(&mut self, member: &str, text: impl IntoIterator<Item = u8>) {
        for byte in text {
            if self.hand_in() != HandIn::Undecided {
                return;
            }
            self.next(member.as_bytes(), byte);
        }
    }

    fn next(&mut self, member: &[u8], byte: u8) {
        match self.part {
            Part::Object => self.punctuation(byte, b'{', Part::MemberQuote),
            Part::MemberQuote => self.punctuation(byte, b'"', Part::Member),
            Part::Member => self.name(byte, member, Part::MemberColon),
            Part::MemberColon => self.punctuation(byte, b':', Part::Inner),
            Part::Inner => self.punctuation(byte, b'{', Part::TokenQuote),
            Part::TokenQuote => self.punctuation(byte, b'"', Part::Token),
            Part::Token => self.name(byte, TOKEN, Part::TokenColon),
            Part::TokenColon => self.punctuation(byte, b':', Part::ValueQuote),
            Part::ValueQuote => self.punctuation(byte, b'"', Part::Value),
            Part::Value | Part::Other => {}
        }
    }

    fn punctuation(&mut self, byte: u8, expected: u8, next: Part) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ if byte == expected => self.part = next,
            _ => *self = Self::OTHER,
        }
    }

    fn name(&mut self, byte: u8, expected: &[u8], next: Part) {
        match (self.escape, byte) {
            (Escape::None, b'"') if usize::from(self.matched) == expected.len() => {
                *self = Self { part: next, ..Self::default() };
            }
            (Escape::None, b'\\') => self.escape = Escape::Begun,
            (Escape::None, _) => self.character(byte.into(), expected),
            (Escape::Begun, b'u') => self.escape = Escape::Hex(0, 0),
            // The short escapes are for characters that no name has.
            (Escape::Begun, _) => *self = Self::OTHER,
            (Escape::Hex(digits, value), _) => self.digit(digits, value, byte, expected),
        }
    }

    fn digit(&mut self, digits: u8, value: u16, byte: u8, expected: &[u8]) {
        let Some(digit) = char::from(byte).to_digit(16) else {
            *self = Self::OTHER;
            return;
        };
        let value = value << 4 | u16::try_from(digit).unwrap_or_default();
        if digits == 3 {
            self.escape = Escape::None;
            self.character(value, expected);
        } else {
            self.escape = Escape::Hex(digits + 1, value);
        }
    }

    /// Reads the next character of a name. Names are ASCII.
    fn character(&mut self, character: u16, expected: &[u8]) {
        let wanted = expected.get(usize::from(self.matched)).copied().map(u16::from);
        if wanted == Some(character) {
            self.matched += 1;
        } else {
            *self = Self::OTHER;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::handover::token_in;
    use super::{Form, HandIn};

    fn hand_in(text: &str) -> HandIn {
        let mut form = Form::default();
        form.push("fw-1", text.bytes());
        form.hand_in()
    }

    #[test]
    fn every_proper_beginning_is_undecided_and_the_value_decides() {
        for text in [
            r#"{"fw-1":{"token":"#,
            " \t\r\n{ \"fw-1\" : {\n\"token\" : ",
            r#"{"\u0066w-\u0031":{"t\u006Fken":"#,
        ] {
            for end in 0..=text.len() {
                assert_eq!(hand_in(&text[..end]), HandIn::Undecided, "{}", &text[..end]);
            }
            for value in ["\"", "\"x", "\"x\"}}", "\"x\",\"y\":1}}", "\"\\u0041"] {
                assert_eq!(hand_in(&format!("{text}{value}")), HandIn::Token);
            }
            for other in ["1", "null", "[\"x\"]", "{", "}", "x"] {
                assert_eq!(hand_in(&format!("{text}{other}")), HandIn::Other);
            }
        }
    }

    #[test]
    fn other_messages_are_recognized_by_their_first_bytes() {
        for text in [
            "hello",
            "[",
            "\"",
            "\u{feff}{",
            "{}",
            "{f",
            r#"{"x"#,
            r#"{"fw-2"#,
            r#"{"fw-1x"#,
            r#"{"\n"#,
            r#"{"\u0067"#,
            r#"{"\u00zz"#,
            r#"{"fw-1":["#,
            r#"{"fw-1":{"x"#,
            r#"{"fw-1":{"tokens"#,
        ] {
            assert_eq!(hand_in(text), HandIn::Other, "{text}");
        }
    }

    fn blanks() -> impl Strategy<Value = String> {
        "[ \t\r\n]{0,3}"
    }

    /// A name, some of its characters escaped.
    fn name(name: &'static str) -> impl Strategy<Value = String> {
        prop::collection::vec(any::<bool>(), name.len()).prop_map(move |escaped| {
            let each = name.chars().zip(escaped).map(|(character, escaped)| {
                if escaped {
                    format!("\\u{:04x}", u32::from(character))
                } else {
                    character.to_string()
                }
            });
            each.collect()
        })
    }

    proptest! {
        /// Every message from which a token would be taken is recognized at every position.
        #[test]
        fn every_form_of_a_token_message_is_recognized(
            blanks in prop::array::uniform8(blanks()),
            member in name("fw-1"),
            token in name("token"),
            value in "[ -~]{0,20}",
        ) {
            let [a, b, c, d, e, f, g, h] = blanks;
            let value = serde_json::to_string(&value).unwrap();
            let before = format!("{a}{{{b}\"{member}\"{c}:{d}{{{e}\"{token}\"{f}:{g}");
            let message = format!("{before}{value}{h}}}}}");
            prop_assert!(token_in("fw-1", message.as_bytes()).is_some(), "{}", message);
            prop_assert_eq!(hand_in(&before), HandIn::Undecided);
            prop_assert_eq!(hand_in(&message), HandIn::Token);
        }

        #[test]
        fn no_token_message_is_overlooked(
            text in "[ {}\\[\\]\":,\\\\u0-9a-z-]{0,12}",
            at in 0..20usize,
        ) {
            let mut message = r#"{"fw-1":{"token":"x"}}"#.to_owned();
            message.replace_range(at..=at, &text);
            if token_in("fw-1", message.as_bytes()).is_some() {
                prop_assert_eq!(hand_in(&message), HandIn::Token, "{}", message);
            }
        }
    }
}
