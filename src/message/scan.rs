//! Checks that a text is JSON (RFC 8259) that all parsers read alike, within bounds, before any tree is built: one
//! pass, without recursion. The memory that it takes is bounded by the text, and freed with the call.

mod strings;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

pub(super) use self::strings::mark;
use self::strings::{plain_name, plain_string};
use super::path::{Path, Place};

/// The bounds of a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Objects and arrays within each other, at most; 1 allows `[]`, and 0 scalars alone.
    pub max_depth: usize,
    /// Members of one object, at most.
    pub max_members: usize,
    /// Elements of one array, at most.
    pub max_items: usize,
    /// Bytes of one string or name after unescaping, at most.
    pub max_string: usize,
    /// Whether an object may have two members of one name, also if their spelling differs.
    pub duplicate_keys: bool,
}

/// A rule of the structure that a text breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StructureRule {
    /// It is not JSON.
    Syntax,
    /// A byte order mark comes first (RFC 8259 section 8.1).
    ByteOrderMark,
    /// Bytes follow the value.
    Trailing,
    /// A `\u` escape of a surrogate has no partner (RFC 8259 section 8.2).
    LoneSurrogate,
    /// An integer beyond 2^53, or a number too large for a double (RFC 8259 section 6).
    Number,
    /// Two members of an object have one name (RFC 8259 section 4).
    DuplicateKey,
    /// More depth than [`Bounds::max_depth`].
    Depth,
    /// More members than [`Bounds::max_members`].
    Members,
    /// More elements than [`Bounds::max_items`].
    Items,
    /// A longer string than [`Bounds::max_string`].
    StringLength,
    /// It is not well-formed in its binary encoding, or a string is not UTF-8.
    Malformed,
    /// A value of a binary encoding that JSON does not have: a byte string, an extension, a tag or undefined.
    Foreign,
    /// A length of a binary encoding is indefinite (RFC 8949 section 3.2).
    Indefinite,
    /// The name of a member is no text.
    NameKind,
}

/// The place at which a text breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StructureFault {
    /// The rule.
    pub rule: StructureRule,
    /// The byte at which it is broken, from 0.
    pub offset: usize,
}

/// A scalar value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'t> {
    /// Without its escapes.
    String(Cow<'t, [u8]>),
    /// As it is written.
    Number(&'t [u8]),
    Integer(i64),
    /// Finite.
    Double(f64),
    Bool(bool),
    Null,
}

/// Sees the names and scalars of a text in their order.
pub(super) trait Visitor<'t> {
    /// A member begins; its name is the last one of `path`. Returns whether its value is to be seen, if it is a scalar.
    fn name(&mut self, path: &Path<'t>) -> bool;
    /// An object or array begins at `path`.
    fn container(&mut self, path: &Path<'t>);
    /// A value that is a scalar, at `path`: that of a member that is to be seen, or of no member.
    fn scalar(&mut self, path: &Path<'t>, scalar: &Scalar<'t>);
}

/// Sees nothing.
pub(super) struct Nothing;

impl<'t> Visitor<'t> for Nothing {
    fn name(&mut self, _: &Path<'t>) -> bool {
        false
    }
    fn container(&mut self, _: &Path<'t>) {}
    fn scalar(&mut self, _: &Path<'t>, _: &Scalar<'t>) {}
}

impl StructureRule {
    /// The key that sets the bound; `encoding` for the rules of JSON itself.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Depth => "max_depth",
            Self::Members => "max_members",
            Self::Items => "max_items",
            Self::StringLength => "max_string",
            Self::DuplicateKey => "duplicate_keys",
            _ => "encoding",
        }
    }
}

impl fmt::Display for StructureRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "it is not JSON",
            Self::ByteOrderMark => "it begins with a byte order mark",
            Self::Trailing => "bytes follow its value",
            Self::LoneSurrogate => "it escapes half of a surrogate pair",
            Self::Number => "parsers read one of its numbers differently",
            Self::DuplicateKey => "an object has two members of one name",
            Self::Depth => "it is nested too deep",
            Self::Members => "an object has too many members",
            Self::Items => "an array has too many elements",
            Self::StringLength => "a string is too long",
            Self::Malformed => "it is malformed",
            Self::Foreign => "JSON has no such value",
            Self::Indefinite => "a length is indefinite",
            Self::NameKind => "the name of a member is no text",
        })
    }
}

impl Scalar<'_> {
    /// The value, as it is compared with a claim.
    pub(super) fn value(&self) -> Value {
        match self {
            Self::String(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
            Self::Number(number) => serde_json::from_slice(number).unwrap_or_default(),
            Self::Integer(integer) => Value::from(*integer),
            Self::Double(double) => Value::from(*double),
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Null => Value::Null,
        }
    }
}

/// Checks `text` against `bounds`; `visitor` sees its parts as far as it is valid.
pub(super) fn scan<'t>(
    text: &'t str,
    bounds: &Bounds,
    visitor: &mut impl Visitor<'t>,
) -> Result<(), StructureFault> {
    scan_bytes(text.as_bytes(), bounds, visitor)
}

/// The same for a text that an earlier check has found to be UTF-8; the frame rules check every text message.
pub(super) fn scan_bytes<'t>(
    text: &'t [u8],
    bounds: &Bounds,
    visitor: &mut impl Visitor<'t>,
) -> Result<(), StructureFault> {
    Scanner { text, bounds, path: Path::default(), visitor }.run()
}

struct Scanner<'t, 'b, V> {
    text: &'t [u8],
    bounds: &'b Bounds,
    /// The path of the value that is read.
    path: Path<'t>,
    visitor: &'b mut V,
}

/// Whether a value was read whole, or is a container whose first name or value comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Whole,
    Begun,
}

/// Each method gets the text that is left, and returns the text behind what it read.
impl<'t, V: Visitor<'t>> Scanner<'t, '_, V> {
    fn run(mut self) -> Result<(), StructureFault> {
        if self.text.starts_with("\u{feff}".as_bytes()) {
            return Err(self.fault(StructureRule::ByteOrderMark, self.text));
        }
        let mut rest = blanks(self.text);
        loop {
            let mut is_seen = true;
            if self.path.place() == Place::Object {
                (rest, is_seen) = self.name(rest)?;
            }
            let progress;
            (rest, progress) = self.value(rest, is_seen)?;
            if progress == Progress::Whole {
                rest = self.after_value(rest)?;
                if self.path.place() == Place::Root {
                    break;
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(self.fault(StructureRule::Trailing, rest)) }
    }

    /// Reads the name of a member and its colon. Also returns whether its value is to be seen.
    #[inline]
    fn name(&mut self, text: &'t [u8]) -> Result<(&'t [u8], bool), StructureFault> {
        let [b'"', rest @ ..] = text else {
            return Err(self.fault(StructureRule::Syntax, text));
        };
        if self.path.members() >= self.bounds.max_members {
            return Err(self.fault(StructureRule::Members, text));
        }
        let (length, is_new, rest) = match plain_name(rest) {
            Some((name, mark, rest)) => (name.len(), self.path.next_name(name, mark), rest),
            None => self.escaped_name(rest)?,
        };
        if length > self.bounds.max_string {
            return Err(self.fault(StructureRule::StringLength, text));
        }
        if !is_new && !self.bounds.duplicate_keys {
            return Err(self.fault(StructureRule::DuplicateKey, text));
        }
        let is_seen = self.visitor.name(&self.path);
        match blanks(rest) {
            [b':', rest @ ..] => Ok((blanks(rest), is_seen)),
            rest => Err(self.fault(StructureRule::Syntax, rest)),
        }
    }

    /// Reads a scalar, an empty container, or the beginning of a container up to its first name or value.
    #[inline]
    fn value(
        &mut self,
        text: &'t [u8],
        is_seen: bool,
    ) -> Result<(&'t [u8], Progress), StructureFault> {
        let rest = match text {
            [b'"', rest @ ..] => match plain_string(rest) {
                Some((string, rest)) if string.len() <= self.bounds.max_string => {
                    if is_seen {
                        self.scalar(&Scalar::String(Cow::Borrowed(string)));
                    }
                    rest
                }
                _ => self.other_string(text, rest)?,
            },
            [b'-' | b'0'..=b'9', ..] => {
                let (number, rest) = self.number(text)?;
                if is_seen {
                    self.scalar(&Scalar::Number(number));
                }
                rest
            }
            [b'{', rest @ ..] => return self.begin(Place::Object, b'}', text, rest),
            [b'[', rest @ ..] => return self.begin(Place::Array, b']', text, rest),
            _ => self.literal(text)?,
        };
        Ok((rest, Progress::Whole))
    }

    #[inline(never)]
    fn scalar(&mut self, scalar: &Scalar<'t>) {
        self.visitor.scalar(&self.path, scalar);
    }

    /// Reads a string that is not plain, or too long.
    #[cold]
    fn other_string(&mut self, text: &'t [u8], rest: &'t [u8]) -> Result<&'t [u8], StructureFault> {
        let (string, rest) = self.escaped_string(rest)?;
        if string.len() > self.bounds.max_string {
            return Err(self.fault(StructureRule::StringLength, text));
        }
        self.scalar(&Scalar::String(Cow::Owned(string)));
        Ok(rest)
    }

    #[inline(never)]
    fn literal(&mut self, text: &'t [u8]) -> Result<&'t [u8], StructureFault> {
        let (scalar, rest) = match text {
            [b't', b'r', b'u', b'e', rest @ ..] => (Scalar::Bool(true), rest),
            [b'f', b'a', b'l', b's', b'e', rest @ ..] => (Scalar::Bool(false), rest),
            [b'n', b'u', b'l', b'l', rest @ ..] => (Scalar::Null, rest),
            _ => return Err(self.fault(StructureRule::Syntax, text)),
        };
        self.scalar(&scalar);
        Ok(rest)
    }

    /// Reads the beginning of a container, or all of it, if it is empty. `rest` is the text behind its bracket.
    #[inline(never)]
    fn begin(
        &mut self,
        place: Place,
        end: u8,
        text: &'t [u8],
        rest: &'t [u8],
    ) -> Result<(&'t [u8], Progress), StructureFault> {
        if self.path.depth() >= self.bounds.max_depth {
            return Err(self.fault(StructureRule::Depth, text));
        }
        self.visitor.container(&self.path);
        let rest = blanks(rest);
        if let Some((first, rest)) = rest.split_first()
            && *first == end
        {
            return Ok((rest, Progress::Whole));
        }
        if place == Place::Array && self.bounds.max_items == 0 {
            return Err(self.fault(StructureRule::Items, rest));
        }
        self.path.enter(place);
        Ok((rest, Progress::Begun))
    }

    /// Reads the comma after a value, unless that was the whole text. Before the comma the containers may end.
    #[inline]
    fn after_value(&mut self, text: &'t [u8]) -> Result<&'t [u8], StructureFault> {
        match blanks(text) {
            [b',', rest @ ..] if self.path.place() == Place::Object => Ok(blanks(rest)),
            text => self.after_other_value(text),
        }
    }

    /// The same for a value that is not followed by another member of its object.
    #[inline(never)]
    fn after_other_value(&mut self, mut text: &'t [u8]) -> Result<&'t [u8], StructureFault> {
        loop {
            text = match (self.path.place(), text) {
                (Place::Root, _) => return Ok(text),
                (Place::Object, [b',', rest @ ..]) => return Ok(blanks(rest)),
                (Place::Array, [b',', rest @ ..]) => {
                    if self.path.next_index() >= self.bounds.max_items {
                        return Err(self.fault(StructureRule::Items, text));
                    }
                    return Ok(blanks(rest));
                }
                (Place::Object, [b'}', rest @ ..]) | (Place::Array, [b']', rest @ ..]) => {
                    self.path.leave();
                    blanks(rest)
                }
                _ => return Err(self.fault(StructureRule::Syntax, text)),
            };
        }
    }

    #[inline(never)]
    fn number(&self, text: &'t [u8]) -> Result<(&'t [u8], &'t [u8]), StructureFault> {
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let (integer, mut rest) = match unsigned {
            [b'0', rest @ ..] => (&unsigned[..1], rest),
            _ => self.digits(unsigned)?,
        };
        let mut is_integer = true;
        if let [b'.', fraction @ ..] = rest {
            is_integer = false;
            rest = self.digits(fraction)?.1;
        }
        if let [b'e' | b'E', exponent @ ..] = rest {
            is_integer = false;
            let sign = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-"));
            let digits = sign.unwrap_or(exponent);
            rest = self.digits(digits)?.1;
        }
        let number = &text[..text.len() - rest.len()];
        let fits = if is_integer { is_exact(integer) } else { is_finite(number) };
        if fits { Ok((number, rest)) } else { Err(self.fault(StructureRule::Number, text)) }
    }

    /// Reads one digit or more.
    #[inline]
    fn digits(&self, text: &'t [u8]) -> Result<(&'t [u8], &'t [u8]), StructureFault> {
        let count = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        if count == 0 {
            return Err(self.fault(StructureRule::Syntax, text));
        }
        Ok(text.split_at(count))
    }

    /// A fault at the beginning of `rest`.
    #[cold]
    fn fault(&self, rule: StructureRule, rest: &[u8]) -> StructureFault {
        StructureFault { rule, offset: self.text.len() - rest.len() }
    }
}

/// The text behind blanks (RFC 8259 section 2).
#[inline]
fn blanks(text: &[u8]) -> &[u8] {
    match text {
        [..=b' ', ..] => skip_blanks(text),
        _ => text,
    }
}

#[cold]
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Whether every parser reads the integer of these digits alike: its absolute value is at most 2^53 (RFC 8259 section 6).
fn is_exact(digits: &[u8]) -> bool {
    const LARGEST: u64 = 1 << 53;
    // 2^53 has 16 digits.
    digits.len() < 16 || parsed::<u64>(digits).is_some_and(|value| value <= LARGEST)
}

/// Whether the number is one of a double (RFC 8259 section 6).
fn is_finite(number: &[u8]) -> bool {
    parsed(number).is_some_and(f64::is_finite)
}

fn parsed<N: FromStr>(number: &[u8]) -> Option<N> {
    std::str::from_utf8(number).ok()?.parse().ok()
}
