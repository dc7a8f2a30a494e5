//! The draft of the configuration that a report gives: TOML to paste, and the files of the schemas.

use std::fmt::Write as _;

use serde_json::Value;

use super::protocol::MOST_BATCH;
use super::report::{Direction, Messages, Rates, Report};
use super::shape::with_room;

/// The largest `max_size` of rules.
const LARGEST: u64 = 1 << 20;
/// The smallest `max_size` that is suggested.
const SMALLEST: u64 = 1024;
/// The most messages of one session that a rate may allow at once.
const FASTEST: u64 = 1_000_000;
/// The default of `max_batch`.
const DEFAULT_BATCH: usize = 20;
const ALLOW_UNLISTED: &str =
    "unlisted = \"allow\"   # without this line the messages without a listed type are refused";
/// The most characters of the name of a schema's file.
const LONGEST_NAME: usize = 48;

/// A drafted schema, and the name of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaFile {
    /// The name, such as `say.json`.
    pub name: String,
    /// The type; `None`: of messages without types.
    pub of: Option<String>,
    /// The schema.
    pub schema: Value,
}

impl Report {
    /// The drafted schemas: of each type, and of all messages if they have no types.
    #[must_use]
    pub fn schemas(&self) -> Vec<SchemaFile> {
        let mut files: Vec<SchemaFile> = Vec::new();
        let of_types = self.types.iter().map(|one| (Some(one.name.clone()), &one.schema));
        let whole = self.untyped_schema.iter().filter(|_| self.is_untyped());
        let prefix = match self.direction {
            Direction::Messages => "",
            Direction::Replies => "reply-",
        };
        for (of, schema) in of_types.chain(whole.map(|schema| (None, schema))) {
            let base = format!("{prefix}{}", file_name(of.as_deref().unwrap_or("messages")));
            let is_taken = |name: &str| files.iter().any(|file| file.name == name);
            let numbered = (2..).map(|number| format!("{base}-{number}.json"));
            let name = std::iter::once(format!("{base}.json")).chain(numbered);
            let name = name.into_iter().find(|name| !is_taken(name)).unwrap_or_default();
            files.push(SchemaFile { name, of, schema: schema.clone() });
        }
        files
    }

    /// Whether every message that was read is JSON without a type.
    fn is_untyped(&self) -> bool {
        let others = [&self.unnamed, &self.ambiguous, &self.other];
        self.types.is_empty() && others.iter().all(|one| one.messages == 0)
    }

    /// The tables for the configuration. Messages like those that were seen pass, except those that the comments name.
    /// The schemas are used if their files are in `folder`; without one their lines are comments.
    #[must_use]
    pub fn toml(&self, folder: Option<&str>) -> String {
        let mut toml = String::new();
        self.write_table(&mut toml, folder);
        for one in &self.types {
            let table = self.table();
            let _ = writeln!(toml, "\n[{table}.types.{}]", key(&one.name));
            toml.push_str(&schema_line(&self.schemas(), Some(&one.name), folder));
            match self.rate(&one.messages) {
                Some(rate) => {
                    let Rates { second, minute } = one.messages.session_rate.unwrap_or_default();
                    let seen =
                        format!("a session sent up to {second} in a second, {minute} in a minute");
                    let _ = writeln!(toml, "rate = \"{rate}\"   # {seen}");
                }
                None => toml.push_str("# no rate is known: not all messages were read\n"),
            }
        }
        toml
    }

    fn table(&self) -> String {
        format!("routes.{}.{}", key(&self.route), self.direction.name())
    }

    fn write_table(&self, toml: &mut String, folder: Option<&str>) {
        let _ = writeln!(toml, "[{}]", self.table());
        // A String takes every line.
        let mut line = |line: &str| {
            toml.push_str(line);
            toml.push('\n');
        };
        line(
            "# mode = \"report\"   # at first: violations are recorded, and messages up to max_size pass",
        );
        let protocol = self.protocol.as_deref();
        match (self.all.text, self.all.binary) {
            // Its messages are text and binary.
            _ if protocol == Some("socketio") => {}
            (0, 1..) => line("kinds = [\"binary\"]"),
            (1.., 0) => line("kinds = [\"text\"]"),
            _ => {}
        }
        let most = self.all.size.most;
        let size = most.saturating_mul(2).max(SMALLEST).next_power_of_two().min(LARGEST);
        line(&format!("max_size = \"{}\"   # the largest message had {most} bytes", bytes(size)));
        if most > LARGEST {
            line("# larger messages than max_size would be refused; 1MiB is the most");
        }
        self.note_others(&mut line);
        if let Some(protocol) = protocol {
            return self.write_protocol(protocol, &mut line);
        }
        let is_json = self.extent.depth > 0 || !self.types.is_empty() || self.untyped.messages > 0;
        let types =
            self.type_at.as_ref().filter(|_| !self.types.is_empty() || self.unnamed.messages > 0);
        if !is_json || (types.is_none() && !self.is_untyped()) {
            return;
        }
        let extent = self.extent;
        if self.unread.messages == 0 {
            line(&format!("max_depth = {}", with_room(extent.depth, 4).min(127)));
            line(&format!("max_members = {}", with_room(extent.members, 16)));
            line(&format!("max_items = {}", with_room(extent.items, 16)));
            let string = with_room(extent.string, 256).min(1 << 20);
            line(&format!("max_string = \"{}\"", bytes(string as u64)));
        }
        let Some(type_at) = types else {
            line("encoding = \"json\"");
            toml.push_str(&schema_line(&self.schemas(), None, folder));
            return;
        };
        let guessed = if self.guessed { "   # guessed; see --type-at" } else { "" };
        line(&format!("type_at = {}{guessed}", quoted(type_at)));
        let unlisted = self.untyped.messages + self.unnamed.messages + self.other.messages;
        if unlisted + self.unread.messages > 0 {
            line(ALLOW_UNLISTED);
        }
    }

    fn write_protocol(&self, protocol: &str, line: &mut impl FnMut(&str)) {
        line(&format!("protocol = {}", quoted(protocol)));
        let batch = with_room(self.most_items, 1).min(MOST_BATCH);
        match protocol {
            "jsonrpc" if batch > DEFAULT_BATCH => line(&format!("max_batch = {batch}")),
            "jsonrpc" | "phoenix" | "stomp" => {}
            _ => line("# the bounds of the protocol have their defaults: see docs/protocols.md"),
        }
        if !self.types.is_empty() && self.unnamed.messages + self.unread.messages > 0 {
            line(ALLOW_UNLISTED);
        }
    }

    /// Says which messages the draft has no rule for, or refuses.
    fn note_others(&self, line: &mut impl FnMut(&str)) {
        let types = self.type_at.is_some();
        let ambiguous = match &self.protocol {
            Some(_) => "not of the protocol, which refuses them",
            None => {
                "almost JSON, or JSON that parsers read in different ways; rules for JSON refuse them"
            }
        };
        let notes = [
            (self.untyped.messages, "JSON without a type", types),
            (
                self.unnamed.messages,
                "JSON of types whose names are too many, too long or look like ids",
                true,
            ),
            (self.other.messages, "not JSON", true),
            (
                self.unread.messages,
                "not read: larger than 64 KiB, or there were too many at once",
                true,
            ),
            (self.ambiguous.messages, ambiguous, true),
        ];
        for (count, what, _) in notes.iter().filter(|(count, _, noted)| *count > 0 && *noted) {
            line(&format!("# {count} of {} messages were {what}", self.all.messages));
        }
    }

    /// A rate of one session that has room for every session that was seen: twice the most of a second or a minute. As no
    /// more than two of these begin in any second or minute, and a burst is as large, all of them would have passed.
    fn rate(&self, messages: &Messages) -> Option<String> {
        let Rates { second, minute } = messages.session_rate.filter(|_| self.skipped == 0)?;
        let (second, minute) = (u64::from(second), u64::from(minute));
        // Within a minute the number of a minute is not known; a steady stream is better bounded by the second.
        let by_second = self.seconds < 60 || second * 60 <= minute * 3;
        let (most, unit) = if by_second { (second, "s") } else { (minute, "m") };
        Some(format!("{}/{unit}", round(most.saturating_mul(2).max(5)).min(FASTEST)))
    }
}

/// The next number of the form 1, 2 or 5 and zeros.
fn round(number: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for step in [1, 2, 5] {
            let candidate = power.saturating_mul(step);
            if candidate >= number {
                return candidate;
            }
        }
        power = power.saturating_mul(10);
    }
}

fn bytes(size: u64) -> String {
    match size {
        size if size.is_multiple_of(1 << 20) => format!("{}MiB", size >> 20),
        size if size.is_multiple_of(1 << 10) => format!("{}KiB", size >> 10),
        size => format!("{size}B"),
    }
}

fn schema_line(files: &[SchemaFile], of: Option<&str>, folder: Option<&str>) -> String {
    let Some(file) = files.iter().find(|file| file.of.as_deref() == of) else {
        return String::new();
    };
    match folder {
        Some(folder) => {
            let path = format!("{}/{}", folder.trim_end_matches('/'), file.name);
            format!("schema = {}\n", quoted(&path))
        }
        None => format!("# schema = {}\n", quoted(&format!("schemas/{}", file.name))),
    }
}

/// A name of letters, digits, `-` and `_`.
fn file_name(of: &str) -> String {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || "_-".contains(character) { character } else { '-' }
    };
    let name: String = of.chars().take(LONGEST_NAME).map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "type".to_owned() } else { name.to_owned() }
}

/// A key of TOML, quoted if it must be.
fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
