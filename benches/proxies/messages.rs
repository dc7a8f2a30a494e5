//! Messages of JSON, and the routes whose rules they meet.

use std::path::Path;
use std::{fs, io};

/// The rules for the messages of a client. Those of the application have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// The frame rules alone.
    None,
    /// A list of types.
    Types,
    /// A JSON Schema that describes every value.
    Schema,
    /// Patterns that no text may match.
    Patterns,
}

pub(crate) const ALL: [Rules; 4] = [Rules::None, Rules::Types, Rules::Schema, Rules::Patterns];

/// The file of [`Rules::Schema`], in the folder of the configuration.
const SCHEMA_FILE: &str = "message.json";
const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "action": { "enum": ["say", "join", "leave"] },
    "room": { "type": "string", "pattern": "^[a-z0-9-]{1,32}$" },
    "id": { "type": "integer", "minimum": 1 },
    "lines": {
      "type": "array",
      "items": {
        "type": "object",
        "properties": {
          "from": { "type": "string", "maxLength": 64 },
          "at": { "type": "integer" },
          "text": { "type": "string", "maxLength": 4096 }
        },
        "required": ["from", "text"],
        "additionalProperties": false
      }
    },
    "text": { "type": "string", "maxLength": 65536 }
  },
  "required": ["action", "room"],
  "additionalProperties": false
}"#;

impl Rules {
    /// As reports name them.
    #[allow(dead_code, reason = "the benchmark of proxies names rows otherwise")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "no rules",
            Self::Types => "types",
            Self::Schema => "a schema",
            Self::Patterns => "patterns",
        }
    }

    /// The route that has them.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::None => "app",
            Self::Types => "types",
            Self::Schema => "schema",
            Self::Patterns => "patterns",
        }
    }

    /// The path at which the route has what the application serves at `/end`.
    pub(crate) fn path(self, end: &str) -> String {
        match self {
            Self::None => format!("/{end}"),
            other => format!("/{}/{end}", other.route()),
        }
    }

    /// The tables of the rules, in the configuration of the route.
    pub(crate) fn tables(self) -> String {
        let route = self.route();
        match self {
            Self::None => String::new(),
            Self::Types => format!(
                "[routes.{route}.messages]\ntype_at = \"/action\"\n\
                 [routes.{route}.messages.types.join]\n[routes.{route}.messages.types.leave]\n\
                 [routes.{route}.messages.types.say]\n"
            ),
            Self::Schema => {
                format!("[routes.{route}.messages]\nschema = \"{SCHEMA_FILE}\"\n")
            }
            Self::Patterns => format!(
                "[routes.{route}.messages]\n\
                 deny_patterns = [\"(?i)<script\", \"(?i)javascript:\"]\n"
            ),
        }
    }
}

/// Writes the files that the rules refer to into the folder of the configuration.
pub(crate) fn write_files(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(SCHEMA_FILE), SCHEMA)
}

/// A message of exactly `size` bytes: a short one of one text, a long one of many lines.
pub(crate) fn of(size: usize) -> Vec<u8> {
    if size < 1024 { chat(size) } else { lines(size) }
}

/// A message of exactly `size` bytes, at least 100, that meets all rules: a chat's, of which most is one text. It is not
/// ASCII throughout.
pub(crate) fn chat(size: usize) -> Vec<u8> {
    const BEGIN: &str = "{\"action\":\"say\",\"room\":\"garden\",\"id\":4711,\"text\":\"";
    let words = "Zoë says that all of this is a line of a chat, as people write them. ";
    filled(BEGIN, words, size)
}

/// The same with as many lines as fit, each an object of three members.
pub(crate) fn lines(size: usize) -> Vec<u8> {
    const BEGIN: &str = "{\"action\":\"say\",\"room\":\"garden\",\"id\":4711,\"lines\":[";
    const LINE: &str = "{\"from\":\"Zoë\",\"at\":1764561600,\"text\":\"a line of a chat\"}";
    const END: &str = "],\"text\":\"";
    let mut text = format!("{BEGIN}{LINE}");
    while text.len() + 1 + LINE.len() + END.len() + 2 <= size {
        text.push(',');
        text.push_str(LINE);
    }
    text.push_str(END);
    filled(&text, "-", size)
}

/// `begin`, then `words` up to the end of the string and object that it began.
fn filled(begin: &str, words: &str, size: usize) -> Vec<u8> {
    let mut text = begin.to_owned();
    text.extend(words.chars().cycle().take(size));
    while text.len() + 2 > size {
        text.pop();
    }
    text.extend(std::iter::repeat_n('.', size.saturating_sub(text.len() + 2)));
    text.push_str("\"}");
    text.into_bytes()
}
