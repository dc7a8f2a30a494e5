//! Places in a JSON text (RFC 6901).

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde_json::Value;

use super::text::are_alike;

/// A pointer of the configuration, such as `/action` or `/data/0/room`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// The path of a value during a scan.
#[derive(Debug, Clone, Default)]
pub(super) struct Path<'t>(Vec<Segment<'t>>);

/// A name differs from that of a pointer in case alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alike;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment<'t> {
    Name(Cow<'t, str>),
    Index(usize),
}

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

    /// Whether the last name of `path` is one of the pointer's, but for its case.
    pub(super) fn is_alike(&self, path: &Path<'_>) -> bool {
        let alike = |(wanted, segment): (&String, &Segment<'_>)| match segment {
            Segment::Name(name) => are_alike(wanted, name),
            Segment::Index(index) => wanted.parse() == Ok(*index),
        };
        let depth = path.0.len();
        let is_last_other = self.0.get(depth.wrapping_sub(1)).is_some_and(
            |wanted| matches!(path.0.last(), Some(Segment::Name(name)) if wanted != name),
        );
        is_last_other && self.0.iter().zip(&path.0).all(alike)
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
    pub(super) fn matches(&self, path: &Path<'_>) -> bool {
        self.0.len() == path.0.len()
            && self.0.iter().zip(&path.0).all(|(wanted, segment)| match segment {
                Segment::Name(name) => wanted == name,
                Segment::Index(at) => index(wanted) == Some(*at),
            })
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

fn escaped(f: &mut impl Write, name: &str) -> fmt::Result {
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

impl<'t> Path<'t> {
    pub(super) fn push(&mut self, segment: Segment<'t>) {
        self.0.push(segment);
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    /// Moves on to the next element of the array; returns its index.
    pub(super) fn next_index(&mut self) -> usize {
        match self.0.last_mut() {
            Some(Segment::Index(index)) => {
                *index += 1;
                *index
            }
            _ => 0,
        }
    }

    /// Moves on to the member `name` of the object.
    pub(super) fn rename(&mut self, name: Cow<'t, str>) {
        if let Some(last) = self.0.last_mut() {
            *last = Segment::Name(name);
        }
    }
}

/// The most characters of a path in a record: its names come from the sender.
const SHOWN: usize = 128;

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Name(name) => escaped(&mut text, name)?,
                Segment::Index(index) => write!(text, "/{index}")?,
            }
        }
        match text.char_indices().nth(SHOWN) {
            None => f.write_str(&text),
            Some((end, _)) => write!(f, "{}...", &text[..end]),
        }
    }
}
