//! Masks secrets that were written into a configuration file, so that no message shows them. The search
//! works on the text, not on the syntax tree, so that it also covers a file that is not valid TOML.

use std::ops::Range;

use super::keys;

/// The replacement for a secret of any length.
const STARS: &str = "***";

/// The longest part of a key's name that is examined, in bytes.
const MAX_NAME: usize = 64;

const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";

/// The ranges of `text` to mask, in order and without overlap: values of keys whose name, even
/// misspelt, suggests a secret, unless the value is a reference; keys or a password in `jwks`; and PEM
/// blocks.
pub(super) fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut found = pem(text);
    let mut from = 0;
    while let Some(equals) = text[from..].find('=').map(|at| from + at) {
        from = equals + 1;
        // Parse only the values of suspect keys, and continue behind them: the search takes time linear
        // in the length of the text.
        if let Some(shown) = suspect(name_before(&text[..equals])) {
            let value = value(text, from);
            from = value.end;
            found.extend(Some(value).filter(|value| !shown(&text[value.clone()])));
        }
    }
    merge(found)
}

fn pem(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(BEGIN).map(|at| from + at) {
        let end = text[start..].find(END).map_or(text.len(), |at| start + at);
        found.push(start..end);
        from = end;
    }
    found
}

fn merge(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    found.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found.into_iter().filter(|range| !range.is_empty()) {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The last part of the key before a `=`, as the text spells it.
fn name_before(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\t']).trim_end_matches(['"', '\'']);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let length = text.bytes().rev().take(MAX_NAME).take_while(|byte| is_name(*byte)).count();
    &text[text.len() - length..]
}

/// The value after a `=`, without its quotes; an unterminated value extends to the end of the line or,
/// with three quotes, to the end of the file.
fn value(text: &str, from: usize) -> Range<usize> {
    let rest = text[from..].trim_start_matches([' ', '\t']);
    let start = text.len() - rest.len();
    for quote in ["\"\"\"", "'''"] {
        if let Some(inner) = rest.strip_prefix(quote) {
            let start = start + quote.len();
            return start..inner.find(quote).map_or(text.len(), |at| start + at);
        }
    }
    let line = rest.find(['\n', '\r']).map_or(rest, |end| &rest[..end]);
    match line.chars().next() {
        Some(quote @ ('"' | '\'')) => start + 1..start + 1 + closing(&line[1..], quote),
        _ => start..start + line.len(),
    }
}

/// The offset of the closing quote, or the length of the text if there is none.
fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return at;
        }
        escaped = quote == '"' && c == '\\' && !escaped;
    }
    text.len()
}

/// For a key that may hold a secret: the predicate for values that may be shown.
fn suspect(name: &str) -> Option<fn(&str) -> bool> {
    let name = name.to_ascii_lowercase();
    if name == "jwks" {
        // Such a value holds the keys themselves, or a URL with a password.
        return Some(|value| !value.contains(['{', '@']));
    }
    let says_so = ["secret", "passw", "private"].iter().any(|word| name.contains(word))
        || name == "token"
        || is_misspelt(&name);
    says_so.then_some(is_reference)
}

fn is_misspelt(name: &str) -> bool {
    let known = || keys::all().any(|row| row.name == name);
    (4..=10).contains(&name.len()) && strsim::damerau_levenshtein(name, "secret") <= 2 && !known()
}

fn is_reference(value: &str) -> bool {
    let one_line = !value.contains(['\n', '\r']);
    let file = value.starts_with("file:") && one_line;
    file || value.strip_prefix("env:").is_some_and(is_variable)
}

/// Whether `name` is a valid name of an environment variable: letters, digits and `_`, without a
/// leading digit.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A line with stars in place of the masked ranges.
pub(super) struct Masked {
    pub(super) text: String,
    /// Each masked range of the line, and the range of the stars that replace it.
    gaps: Vec<(Range<usize>, Range<usize>)>,
}

impl Masked {
    /// Masks `line`, which starts at the offset `start` of the file that the ranges `hidden` refer to.
    pub(super) fn line(line: &str, start: usize, hidden: &[Range<usize>]) -> Self {
        let within = |at: usize| at.saturating_sub(start).min(line.len());
        let parts = hidden.iter().map(|range| within(range.start)..within(range.end));
        let (mut text, mut gaps, mut shown) = (String::new(), Vec::new(), 0);
        for part in parts.filter(|part| !part.is_empty()) {
            text += &line[shown..part.start];
            let cover = text.len()..text.len() + STARS.len();
            text += STARS;
            shown = part.end;
            gaps.push((part, cover));
        }
        text += &line[shown..];
        Self { text, gaps }
    }

    /// Maps a range of the line to the masked line; a range within a secret maps to all of its stars.
    pub(super) fn place(&self, place: &Range<usize>) -> Range<usize> {
        self.at(place.start, false)..self.at(place.end, true)
    }

    fn at(&self, at: usize, is_end: bool) -> usize {
        let (mut before, mut after) = (0, 0);
        for (part, stars) in self.gaps.iter().take_while(|(part, _)| part.start < at) {
            if at < part.end {
                return if is_end { stars.end } else { stars.start };
            }
            (before, after) = (part.end, stars.end);
        }
        after + (at - before)
    }
}

#[cfg(test)]
mod tests {
    use super::{Masked, hidden};

    fn shown(text: &str) -> String {
        Masked::line(text, 0, &hidden(text)).text
    }

    #[test]
    fn secrets_are_hidden_under_every_spelling_of_a_key() {
        for (text, expected) in [
            ("secret = \"hunter2\"", "secret = \"***\""),
            ("secret='hunter2' # why", "secret='***' # why"),
            ("jwt.main.secret\t=\t\"a\\\"b\"", "jwt.main.secret\t=\t\"***\""),
            ("\"secret\" = \"hunter2\"", "\"secret\" = \"***\""),
            ("main = { secret = \"hunter2\", a = 1 }", "main = { secret = \"***\", a = 1 }"),
            ("secert = \"hunter2\"", "secert = \"***\""),
            ("Secrets = \"hunter2\"", "Secrets = \"***\""),
            ("client_secret = \"hunter2\"", "client_secret = \"***\""),
            ("password = \"hunter2\"", "password = \"***\""),
            ("token = \"hunter2\"", "token = \"***\""),
            ("secret = hunter2", "secret = ***"),
            ("secret = \"hunter2", "secret = \"***"),
            ("secret = [\"hunter2\"]", "secret = ***"),
            ("secret = \"\"\"hunter2\"\"\" # x", "secret = \"\"\"***\"\"\" # x"),
            ("secret = \"env:hunter 2\"", "secret = \"***\""),
            ("secret = \"ENV:HUNTER\"", "secret = \"***\""),
            ("jwks = \"https://a:b@c\"", "jwks = \"***\""),
            ("jwks = '{\"keys\":[]}'", "jwks = '***'"),
            ("key = \"-----BEGIN X\\nAAA\\n-----END X-----\"", "key = \"***-----END X-----\""),
            ("\u{e4}=1;secret=\u{e4}", "\u{e4}=1;secret=***"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn values_that_are_no_secrets_are_shown() {
        for text in [
            "secret = \"env:JWT_SECRET\"",
            "secret = \"file:secrets/jwt\"",
            "secret = ",
            "token_from = [\"header\"]",
            "cert = \"certs/site.pem\"",
            "server = 1",
            "socket = \"run/framewall.sock\"",
            "key = \"certs/site.key\"",
            "jwks = \"keys.json\"",
            "# a secret",
            "",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn a_secret_of_many_lines_is_hidden_on_each() {
        let text = "secret = \"\"\"\none\ntwo\"\"\"\nnext = 1";
        let hidden = hidden(text);
        let lines = text.split_inclusive('\n').scan(0, |start, line| {
            let masked = Masked::line(line.trim_end(), *start, &hidden).text;
            *start += line.len();
            Some(masked)
        });
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines, ["secret = \"\"\"", "***", "***\"\"\"", "next = 1"]);
    }

    #[test]
    fn places_move_with_the_text() {
        let text = "{ secret = \"hunter2\", a = 1 }";
        let masked = Masked::line(text, 0, &hidden(text));
        for (place, expected) in
            [(0..1, "{"), (11..20, "\"***\""), (14..16, "***"), (12..19, "***"), (22..27, "a = 1")]
        {
            assert_eq!(&masked.text[masked.place(&place)], expected, "{place:?}");
        }
    }
}
