//! One line of the log, in either format. Every text is escaped here, whatever its source: a peer's
//! text can neither forge a line nor control a terminal.

use std::fmt::{Display, Write};

use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::config::LogFormat;

/// The longest text value, in characters; a longer one is truncated and ends in an ellipsis.
const MAX_TEXT: usize = 1024;

/// A line being built. Fields keep the order in which they are given.
pub(super) struct Line {
    format: LogFormat,
    head: String,
    message: String,
    fields: String,
}

impl Line {
    /// Starts a line with its time and its level.
    pub(super) fn new(format: LogFormat, level: Level, time: &str) -> Self {
        let head = match format {
            LogFormat::Json => format!(r#"{{"timestamp":"{time}","level":"{level}""#),
            LogFormat::Pretty => format!("{time} {level:>5}"),
        };
        Self { format, head, message: String::new(), fields: String::new() }
    }

    /// Sets the message of the line.
    pub(super) fn message(&mut self, text: &str) {
        self.message.clear();
        match self.format {
            LogFormat::Json => push_json(&mut self.message, text),
            LogFormat::Pretty => push_escaped(&mut self.message, text),
        }
    }

    /// Appends a field, unless its value is `None`.
    pub(super) fn field(&mut self, name: &str, value: impl Value) -> &mut Self {
        value.append_to(self, name);
        self
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        match self.format {
            LogFormat::Json => push_json(&mut self.fields, value),
            LogFormat::Pretty => push_word(&mut self.fields, value),
        }
    }

    /// Appends a number or a boolean, which both formats write alike.
    fn plain(&mut self, name: &str, value: impl Display) {
        self.name(name);
        push(&mut self.fields, format_args!("{value}"));
    }

    /// The whole line, with its newline.
    pub(super) fn finish(self) -> String {
        let Self { format, head, message, fields } = self;
        match format {
            LogFormat::Json => format!("{head},\"message\":{}{fields}}}\n", or_empty(&message)),
            LogFormat::Pretty => format!("{head} {message}{fields}\n"),
        }
    }

    fn name(&mut self, name: &str) {
        match self.format {
            LogFormat::Json => {
                self.fields.push(',');
                push_json(&mut self.fields, name);
                self.fields.push(':');
            }
            LogFormat::Pretty => push(&mut self.fields, format_args!(" {name}=")),
        }
    }
}

/// The value of a field: text, a number, a boolean, or `None`.
pub(super) trait Value {
    fn append_to(self, line: &mut Line, name: &str);
}

/// A value that is written with its `Display` implementation.
pub(super) struct Shown<T>(pub(super) T);

impl Value for &str {
    fn append_to(self, line: &mut Line, name: &str) {
        line.text(name, self);
    }
}

impl<T: Display> Value for Shown<T> {
    fn append_to(self, line: &mut Line, name: &str) {
        line.text(name, &self.0.to_string());
    }
}

impl<T: Value> Value for Option<T> {
    fn append_to(self, line: &mut Line, name: &str) {
        if let Some(value) = self {
            value.append_to(line, name);
        }
    }
}

macro_rules! plain {
    ($($type:ty)*) => {
        $(impl Value for $type {
            fn append_to(self, line: &mut Line, name: &str) {
                line.plain(name, self);
            }
        })*
    };
}

plain!(bool u16 u32 u64 u128 usize i64);

fn or_empty(json: &str) -> &str {
    if json.is_empty() { "\"\"" } else { json }
}

/// The current time (RFC 3339, UTC, microseconds).
pub(super) fn now() -> String {
    let mut text = String::new();
    // If the clock cannot be formatted, the time stays empty; the record is still written.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String fails only if the value's own Display does.
    let _ = out.write_fmt(text);
}

/// Writes a JSON string. In addition to JSON's own rules, every character that does not print is
/// written as `\uXXXX`, so that the line is safe on a terminal and still parses to the original text.
fn push_json(out: &mut String, text: &str) {
    out.push('"');
    if is_plain(text) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in cut(text) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if prints(c) => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    push(out, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// Writes a value after `name=`: unquoted if it is one plain word, else quoted.
fn push_word(out: &mut String, text: &str) {
    if !text.is_empty() && is_plain(text) && !text.contains([' ', '=']) {
        out.push_str(text);
    } else {
        out.push('"');
        push_escaped(out, text);
        out.push('"');
    }
}

/// Writes text with the escapes of a Rust string literal, without the quotes.
fn push_escaped(out: &mut String, text: &str) {
    if is_plain(text) {
        return out.push_str(text);
    }
    for c in cut(text) {
        if prints(c) && c != '"' && c != '\\' {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
    }
}

/// Whether the text is short and has no character that either format escapes, as almost every text.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    text.len() <= MAX_TEXT && text.bytes().all(plain)
}

/// Whether a terminal shows the character as itself. `escape_debug` uses the tables of Unicode: it also
/// escapes the C1 controls, line separators and the characters that reorder text.
fn prints(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1
}

fn cut(text: &str) -> impl Iterator<Item = char> {
    let more = text.chars().nth(MAX_TEXT).map(|_| '…');
    text.chars().take(MAX_TEXT).chain(more)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tracing::Level;

    use super::{Line, MAX_TEXT, now};
    use crate::config::LogFormat;

    const HOSTILE: &str = "a\nb\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\u{7f}\t\"=\\ é😀'";

    fn line(format: LogFormat, value: &str) -> String {
        let mut line = Line::new(format, Level::WARN, &now());
        line.message("it happened");
        line.field("detail", value).field("count", 3_u64);
        line.finish()
    }

    fn after_time(line: &str) -> &str {
        line.split_once(' ').unwrap().1
    }

    #[test]
    fn json_is_one_flat_object() {
        let line = line(LogFormat::Json, "x y");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert!(line.ends_with("}\n"));
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["message"], "it happened");
        assert_eq!(value["detail"], "x y");
        assert_eq!(value["count"], 3);
    }

    #[test]
    fn json_keeps_hostile_text_and_prints_none_of_it() {
        let line = line(LogFormat::Json, HOSTILE);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["detail"], HOSTILE);
        assert!(!line.trim_end_matches('\n').contains(char::is_control));
        assert!(!line.contains(['\u{202e}', '\u{2028}']));
    }

    #[test]
    fn pretty_lines_are_name_value_pairs() {
        assert_eq!(
            after_time(&line(LogFormat::Pretty, "[::1]:8080")),
            " WARN it happened detail=[::1]:8080 count=3\n"
        );
        assert_eq!(
            after_time(&line(LogFormat::Pretty, "x level=INFO")),
            " WARN it happened detail=\"x level=INFO\" count=3\n"
        );
        assert_eq!(
            after_time(&line(LogFormat::Pretty, "")),
            " WARN it happened detail=\"\" count=3\n"
        );
    }

    #[test]
    fn pretty_escapes_hostile_text() {
        assert_eq!(
            after_time(&line(LogFormat::Pretty, HOSTILE)),
            concat!(
                r#" WARN it happened detail="a\nb\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\u{7f}\t\"=\\ é😀'" count=3"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        let line = line(LogFormat::Json, &"é".repeat(MAX_TEXT + 1));
        let value: Value = serde_json::from_str(&line).unwrap();
        let detail = value["detail"].as_str().unwrap();
        assert_eq!(detail.chars().count(), MAX_TEXT + 1);
        assert!(detail.ends_with("é…"));
    }

    #[test]
    fn time_is_rfc_3339_utc() {
        let line = line(LogFormat::Pretty, "");
        let (time, _) = line.split_once(' ').unwrap();
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    }
}
