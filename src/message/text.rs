//! Texts as parsers may read them: escapes of JSON strings replaced, wherever they stand.

use std::borrow::Cow;

/// `text` with every escape of JSON (RFC 8259 section 7) replaced, inside and outside of strings, as lenient parsers may
/// read it. Half of a surrogate pair and other faulty escapes become U+FFFD.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find('\\') else {
        return Cow::Borrowed(text);
    };
    let (plain, mut rest) = text.split_at(first);
    let mut out = plain.to_owned();
    while let Some(after) = rest.strip_prefix('\\') {
        let (character, taken) = escape(after);
        out.push(character);
        rest = &after[taken..];
        let next = rest.find('\\').unwrap_or(rest.len());
        out.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(out)
}

/// The character of the escape that begins `after` a backslash, and its length.
fn escape(after: &str) -> (char, usize) {
    const FAULTY: char = char::REPLACEMENT_CHARACTER;
    let Some(first) = after.chars().next() else {
        return (FAULTY, 0);
    };
    let character = match first {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let Some(unit) = unit(&after[1..]) else {
                return (FAULTY, 1);
            };
            let low = after[5..].strip_prefix("\\u").and_then(unit_of_low);
            return match (unit, low) {
                (0xd800..0xdc00, Some(low)) => {
                    let code = 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
                    (char::from_u32(code).unwrap_or(FAULTY), 11)
                }
                _ => (char::from_u32(unit).unwrap_or(FAULTY), 5),
            };
        }
        other => other,
    };
    (character, first.len_utf8())
}

fn unit_of_low(digits: &str) -> Option<u32> {
    unit(digits).filter(|unit| (0xdc00..0xe000).contains(unit))
}

/// The value of four hexadecimal digits.
fn unit(digits: &str) -> Option<u32> {
    let digits =
        digits.get(..4).filter(|four| four.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// The text between each double quote and the next one that is not escaped, still escaped: in JSON its strings and names,
/// in another text possibly others.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let begin = rest.find('"')? + 1;
        let inside = &rest[begin..];
        let mut escaped = false;
        let end = inside.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.unwrap_or(inside.len());
        rest = inside.get(end + 1..).unwrap_or("");
        Some(&inside[..end])
    })
}

/// Whether two names are one to parsers that ignore case (as those of Go and .NET do).
pub(super) fn are_alike(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    // Folding a letter may change its length, and may make it ASCII.
    may_be_alike(one.as_bytes(), other.as_bytes()) && folded(one).eq(folded(other))
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// Whether two names may be alike, as far as their first letters tell.
#[inline]
pub(super) fn may_be_alike(one: &[u8], other: &[u8]) -> bool {
    // Of two ASCII letters that differ in case alone, one has this bit.
    const CASE: u8 = 0x20;
    match (one.first(), other.first()) {
        (Some(one), Some(other)) => {
            one | CASE == other | CASE || !one.is_ascii() || !other.is_ascii()
        }
        (one, other) => one == other,
    }
}
