//! Places in a JSON text (RFC 6901).

use std::fmt::{self, Write};

use serde_json::Value;

use super::path::{Path, Place, Segment};
use super::text::{are_alike, may_be_alike};

/// A pointer of the configuration, such as `/action` or `/data/0/room`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// A name differs from that of a pointer in case alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alike;

impl Pointer {
    /// Reads a pointer in its notation (RFC 6901 section 3); an error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Some(segments) = text.strip_prefix('/') else {
            return Err("a JSON pointer begins with /");
        };
        segments.split('/').map(unescaped).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the last name of `path` may be that of the pointer, at its place or another one, in any case.
    #[inline]
    pub(super) fn may_name(&self, path: &Path<'_>) -> bool {
        let wanted = path.depth().checked_sub(1).and_then(|last| self.0.get(last));
        wanted.is_some_and(|wanted| {
            let name = path.last_plain_name();
            name.is_none_or(|name| may_be_alike(wanted.as_bytes(), name))
        })
    }

    /// Whether the last name of `path` is one of the pointer's, but for its case.
    pub(super) fn is_alike(&self, path: &Path<'_>) -> bool {
        let wanted = path.depth().checked_sub(1).and_then(|last| self.0.get(last));
        wanted.is_some_and(|wanted| {
            let name = path.last_plain_name();
            let is_other = name.is_none_or(|name| wanted.as_bytes() != name);
            is_other && self.is_other_but_alike(path)
        })
    }

    #[cold]
    fn is_other_but_alike(&self, path: &Path<'_>) -> bool {
        let alike = |(wanted, segment): (&String, Segment<'_>)| match segment {
            Segment::Name(name) => are_alike(wanted, &String::from_utf8_lossy(&name)),
            Segment::Index(index) => wanted.parse() == Ok(index),
        };
        let last = self.0.get(path.depth() - 1).map(String::as_bytes);
        last != Some(&path.last_name()) && self.0.iter().zip(path.segments()).all(alike)
    }

    /// The value in `body` that the pointer names. A name beside one of its names that differs in case alone is a
    /// fault: some parsers ignore case.
    pub(super) fn find<'v>(&self, body: &'v Value) -> Result<Option<&'v Value>, Alike> {
        let mut value = body;
        for segment in &self.0 {
            let next = match value {
                Value::Object(object) => {
                    let alike = |name: &String| name != segment && are_alike(segment, name);
                    if object.keys().any(alike) {
                        return Err(Alike);
                    }
                    object.get(segment)
                }
                Value::Array(items) => index(segment).and_then(|index| items.get(index)),
                _ => None,
            };
            let Some(next) = next else {
                return Ok(None);
            };
            value = next;
        }
        Ok(Some(value))
    }

    /// Whether the value at `path` is the one that the pointer names.
    #[inline]
    pub(super) fn matches(&self, path: &Path<'_>) -> bool {
        if self.0.len() != path.depth() {
            return false;
        }
        // At the end most places differ, and many pointers have one step.
        let Some((last, before)) = self.0.split_last() else {
            return true;
        };
        let is_last = match path.last_plain_name() {
            Some(name) if path.place() == Place::Object => last.as_bytes() == name,
            _ => path.segments().last().is_some_and(|segment| is_step(last, &segment)),
        };
        let mut before = before.iter().zip(path.segments());
        is_last && before.all(|(wanted, segment)| is_step(wanted, &segment))
    }
}

fn is_step(wanted: &str, segment: &Segment<'_>) -> bool {
    match segment {
        Segment::Name(name) => wanted.as_bytes() == &**name,
        Segment::Index(at) => index(wanted) == Some(*at),
    }
}

/// The index that a segment names; a leading zero or a sign is none (RFC 6901 section 4).
fn index(segment: &str) -> Option<usize> {
    let digits = segment.bytes().all(|byte| byte.is_ascii_digit());
    let leading = segment != "0" && segment.starts_with('0');
    segment.parse().ok().filter(|_| digits && !leading)
}

fn unescaped(segment: &str) -> Result<String, &'static str> {
    let mut characters = segment.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        text.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("in a JSON pointer ~ is written ~0, and / within a name ~1"),
            },
            other => other,
        });
    }
    Ok(text)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| escaped(f, segment))
    }
}

/// Writes a segment in the notation of pointers.
pub(super) fn escaped(f: &mut impl Write, name: &str) -> fmt::Result {
    f.write_char('/')?;
    for character in name.chars() {
        match character {
            '~' => f.write_str("~0")?,
            '/' => f.write_str("~1")?,
            other => f.write_char(other)?,
        }
    }
    Ok(())
}
