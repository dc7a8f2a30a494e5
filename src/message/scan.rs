//! Checks that a text is JSON (RFC 8259) that all parsers read alike, within bounds, before any tree is built: one
//! pass, without recursion. The memory that it takes is bounded by the text, and freed with the call.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use super::pointer::{Path, Segment};

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
    String(Cow<'t, str>),
    /// As it is written.
    Number(&'t str),
    Integer(i64),
    /// Finite.
    Double(f64),
    Bool(bool),
    Null,
}

/// Sees the names and scalars of a text in their order.
pub(super) trait Visitor<'t> {
    /// The name of a member, at its own path.
    fn name(&mut self, path: &Path<'t>, name: &str);
    /// An object or array begins at `path`.
    fn container(&mut self, path: &Path<'t>);
    /// A value that is a scalar, at `path`.
    fn scalar(&mut self, path: &Path<'t>, scalar: &Scalar<'t>);
}

/// Sees nothing.
pub(super) struct Nothing;

impl<'t> Visitor<'t> for Nothing {
    fn name(&mut self, _: &Path<'t>, _: &str) {}
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
            Self::String(text) => Value::String(text.clone().into_owned()),
            Self::Number(number) => serde_json::from_str(number).unwrap_or_default(),
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
    let scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        at: 0,
        bounds,
        path: Path::default(),
        open: Vec::new(),
        visitor,
    };
    scanner.run()
}

struct Scanner<'t, 'b, V> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    bounds: &'b Bounds,
    /// The path of the value that is read.
    path: Path<'t>,
    open: Vec<Container<'t>>,
    visitor: &'b mut V,
}

/// An object or array in progress.
enum Container<'t> {
    Object(Names<'t>),
    Array,
}

/// The names of an object so far.
#[derive(Default)]
pub(super) struct Names<'t> {
    count: usize,
    few: Vec<Cow<'t, str>>,
    many: HashSet<Cow<'t, str>>,
}

/// So many names are compared one by one.
const FEW: usize = 8;

impl<'t> Names<'t> {
    /// Adds a name; returns whether it is new.
    pub(super) fn add(&mut self, name: Cow<'t, str>) -> bool {
        if self.few.len() < FEW {
            let new = !self.few.contains(&name);
            self.few.push(name);
            return new;
        }
        if self.many.is_empty() {
            self.many.extend(self.few.iter().cloned());
        }
        self.many.insert(name)
    }
}

impl<'t, V: Visitor<'t>> Scanner<'t, '_, V> {
    fn run(mut self) -> Result<(), StructureFault> {
        if self.text.starts_with('\u{feff}') {
            return Err(self.fault(StructureRule::ByteOrderMark));
        }
        self.blanks();
        loop {
            if self.value()? {
                continue;
            }
            if !self.after_value()? {
                break;
            }
        }
        self.blanks();
        if self.at < self.bytes.len() {
            return Err(self.fault(StructureRule::Trailing));
        }
        Ok(())
    }

    /// Reads a scalar, an empty container, or the beginning of a container up to its first value. Returns whether a
    /// value comes next.
    fn value(&mut self) -> Result<bool, StructureFault> {
        match self.peek() {
            Some(b'{') => self.begin_object(),
            Some(b'[') => self.begin_array(),
            Some(b'"') => {
                let string = self.string()?;
                self.scalar(&Scalar::String(string));
                Ok(false)
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                self.scalar(&Scalar::Number(number));
                Ok(false)
            }
            Some(b't') => self.literal("true", &Scalar::Bool(true)),
            Some(b'f') => self.literal("false", &Scalar::Bool(false)),
            Some(b'n') => self.literal("null", &Scalar::Null),
            _ => Err(self.fault(StructureRule::Syntax)),
        }
    }

    fn begin_object(&mut self) -> Result<bool, StructureFault> {
        self.descend()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        self.open.push(Container::Object(Names::default()));
        self.path.push(Segment::Name(Cow::Borrowed("")));
        self.member()?;
        Ok(true)
    }

    fn begin_array(&mut self) -> Result<bool, StructureFault> {
        self.descend()?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(false);
        }
        if self.bounds.max_items == 0 {
            return Err(self.fault(StructureRule::Items));
        }
        self.open.push(Container::Array);
        self.path.push(Segment::Index(0));
        Ok(true)
    }

    fn descend(&mut self) -> Result<(), StructureFault> {
        if self.open.len() >= self.bounds.max_depth {
            return Err(self.fault(StructureRule::Depth));
        }
        self.visitor.container(&self.path);
        self.at += 1;
        self.blanks();
        Ok(())
    }

    /// Reads what follows a value: the ends of containers, and the beginning of the next member or element. Returns
    /// whether a value comes next.
    fn after_value(&mut self) -> Result<bool, StructureFault> {
        loop {
            self.blanks();
            let next = self.peek();
            let Some(container) = self.open.last() else {
                return Ok(false);
            };
            match (container, next) {
                (Container::Object(_), Some(b'}')) | (Container::Array, Some(b']')) => {
                    self.at += 1;
                    self.open.pop();
                    self.path.pop();
                }
                (Container::Object(_), Some(b',')) => {
                    self.at += 1;
                    self.blanks();
                    self.member()?;
                    return Ok(true);
                }
                (Container::Array, Some(b',')) => {
                    let next = self.path.next_index();
                    if next >= self.bounds.max_items {
                        return Err(self.fault(StructureRule::Items));
                    }
                    self.at += 1;
                    self.blanks();
                    return Ok(true);
                }
                _ => return Err(self.fault(StructureRule::Syntax)),
            }
        }
    }

    /// Reads the name of a member and its colon.
    fn member(&mut self) -> Result<(), StructureFault> {
        let begin = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.fault(StructureRule::Syntax));
        }
        let name = self.string()?;
        let fault = |rule| Err(StructureFault { rule, offset: begin });
        if let Some(Container::Object(names)) = self.open.last_mut() {
            names.count += 1;
            if names.count > self.bounds.max_members {
                return fault(StructureRule::Members);
            }
            if !self.bounds.duplicate_keys && !names.add(name.clone()) {
                return fault(StructureRule::DuplicateKey);
            }
        }
        self.path.rename(name.clone());
        self.visitor.name(&self.path, &name);
        self.blanks();
        if self.peek() != Some(b':') {
            return Err(self.fault(StructureRule::Syntax));
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    fn scalar(&mut self, scalar: &Scalar<'t>) {
        self.visitor.scalar(&self.path, scalar);
    }

    fn literal(&mut self, word: &str, scalar: &Scalar<'t>) -> Result<bool, StructureFault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fault(StructureRule::Syntax));
        }
        self.at += word.len();
        self.scalar(scalar);
        Ok(false)
    }

    /// Reads a string with its quotes; unescapes it.
    fn string(&mut self) -> Result<Cow<'t, str>, StructureFault> {
        let begin = self.at;
        self.at += 1;
        let mut plain = self.at;
        let mut unescaped: Option<String> = None;
        let string = loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = &self.text[plain..self.at];
                    self.at += 1;
                    break match unescaped {
                        None => Cow::Borrowed(rest),
                        Some(text) => Cow::Owned(text + rest),
                    };
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[plain..self.at]);
                    let character = self.escape()?;
                    text.push(character);
                    plain = self.at;
                }
                Some(0..0x20) | None => return Err(self.fault(StructureRule::Syntax)),
                Some(_) => self.at += 1,
            }
        };
        if string.len() > self.bounds.max_string {
            return Err(StructureFault { rule: StructureRule::StringLength, offset: begin });
        }
        Ok(string)
    }

    /// Reads an escape, with its partner if it is a surrogate.
    fn escape(&mut self) -> Result<char, StructureFault> {
        let begin = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(begin),
            _ => return Err(self.fault(StructureRule::Syntax)),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self, begin: usize) -> Result<char, StructureFault> {
        let lone = StructureFault { rule: StructureRule::LoneSurrogate, offset: begin };
        let unit = self.hex()?;
        match unit {
            0xd800..0xdc00 => {
                if !self.bytes[self.at..].starts_with(b"\\u") {
                    return Err(lone);
                }
                self.at += 1;
                let low = self.hex()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(lone);
                }
                char::from_u32(0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00))).ok_or(lone)
            }
            _ => char::from_u32(unit).ok_or(lone),
        }
    }

    /// Reads `u` and four hexadecimal digits.
    fn hex(&mut self) -> Result<u32, StructureFault> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.fault(StructureRule::Syntax));
            };
            value = value << 4 | digit;
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<&'t str, StructureFault> {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.fault(StructureRule::Syntax)),
        }
        let integer = &self.text[begin..self.at];
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = &self.text[begin..self.at];
        let fits = if number.len() == integer.len() {
            is_exact(integer)
        } else {
            number.parse::<f64>().is_ok_and(f64::is_finite)
        };
        if fits {
            Ok(number)
        } else {
            Err(StructureFault { rule: StructureRule::Number, offset: begin })
        }
    }

    /// Reads one digit or more.
    fn digits(&mut self) -> Result<(), StructureFault> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == begin { Err(self.fault(StructureRule::Syntax)) } else { Ok(()) }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault(&self, rule: StructureRule) -> StructureFault {
        StructureFault { rule, offset: self.at }
    }
}

/// Whether every parser reads the integer alike: its absolute value is at most 2^53 (RFC 8259 section 6).
fn is_exact(integer: &str) -> bool {
    const LARGEST: u64 = 1 << 53;
    let digits = integer.trim_start_matches('-');
    // 2^53 has 16 digits.
    digits.len() < 16 || digits.parse::<u64>().is_ok_and(|value| value <= LARGEST)
}
