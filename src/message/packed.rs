//! Checks that a message is one item of `MessagePack` or CBOR (RFC 8949) that has the form of JSON, within the bounds of
//! JSON texts, before any tree is built: one pass, without recursion. What JSON does not have is refused: byte strings,
//! extensions, tags, undefined and other simple values, names that are no texts, NaN and infinity. So are indefinite
//! lengths, which some readers do not accept.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::path::{Path, Place};
use super::scan::{self, Bounds, Scalar, StructureFault, StructureRule, Visitor};

/// An encoding of binary messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// <https://github.com/msgpack/msgpack/blob/master/spec.md>
    MessagePack,
    /// RFC 8949.
    Cbor,
}

/// The largest integer that a double holds exactly, with all below it, as for JSON (RFC 8259 section 6).
const LARGEST: u64 = 1 << 53;

/// The beginning of a container, or a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'t> {
    /// Of so many members.
    Map(usize),
    /// Of so many elements.
    Array(usize),
    Text(&'t str),
    Integer(i64),
    Double(f64),
    Bool(bool),
    Null,
}

/// Reads tokens one by one.
struct Cursor<'t> {
    encoding: Packed,
    bytes: &'t [u8],
    at: usize,
}

/// Checks `bytes` against `bounds`; `visitor` sees their parts as far as they are valid.
pub(super) fn scan<'t>(
    encoding: Packed,
    bytes: &'t [u8],
    bounds: &Bounds,
    visitor: &mut impl Visitor<'t>,
) -> Result<(), StructureFault> {
    let mut cursor = Cursor { encoding, bytes, at: 0 };
    let mut path = Path::verbatim();
    // Of each container in progress, the values that are still to come.
    let mut open = Vec::new();
    loop {
        let offset = cursor.at;
        let fault = |rule| Err(StructureFault { rule, offset });
        let token = cursor.token()?;
        if let Token::Map(_) | Token::Array(_) = token {
            if open.len() >= bounds.max_depth {
                return fault(StructureRule::Depth);
            }
            visitor.container(&path);
        }
        match token {
            Token::Map(count) if count > bounds.max_members => {
                return fault(StructureRule::Members);
            }
            Token::Array(count) if count > bounds.max_items => return fault(StructureRule::Items),
            Token::Text(text) if text.len() > bounds.max_string => {
                return fault(StructureRule::StringLength);
            }
            Token::Map(left @ 1..) => {
                open.push(left);
                path.enter(Place::Object);
            }
            Token::Array(left @ 1..) => {
                open.push(left);
                path.enter(Place::Array);
                continue;
            }
            Token::Map(0) | Token::Array(0) => {}
            Token::Text(text) => {
                visitor.scalar(&path, &Scalar::String(Cow::Borrowed(text.as_bytes())));
            }
            Token::Integer(integer) => visitor.scalar(&path, &Scalar::Integer(integer)),
            Token::Double(double) => visitor.scalar(&path, &Scalar::Double(double)),
            Token::Bool(bool) => visitor.scalar(&path, &Scalar::Bool(bool)),
            Token::Null => visitor.scalar(&path, &Scalar::Null),
        }
        if !matches!(token, Token::Map(1..)) {
            end_value(&mut open, &mut path);
        }
        match path.place() {
            Place::Root if cursor.at < bytes.len() => {
                return Err(cursor.fault(StructureRule::Trailing));
            }
            Place::Root => return Ok(()),
            Place::Object => {
                cursor.name(bounds, &mut path)?;
                visitor.name(&path);
            }
            Place::Array => drop(path.next_index()),
        }
    }
}

/// Ends a value, and the containers of which it is the last.
fn end_value(open: &mut Vec<usize>, path: &mut Path<'_>) {
    while let Some(left) = open.last_mut() {
        *left -= 1;
        if *left > 0 {
            return;
        }
        open.pop();
        path.leave();
    }
}

/// The tree of a message that the scan accepted, with its depth.
pub(super) fn tree(encoding: Packed, bytes: &[u8]) -> Option<Value> {
    Cursor { encoding, bytes, at: 0 }.tree()
}

impl<'t> Cursor<'t> {
    fn tree(&mut self) -> Option<Value> {
        Some(match self.token().ok()? {
            Token::Map(count) => {
                let mut members = Map::new();
                for _ in 0..count {
                    let Token::Text(name) = self.token().ok()? else {
                        return None;
                    };
                    members.insert(name.to_owned(), self.tree()?);
                }
                Value::Object(members)
            }
            Token::Array(count) => (0..count).map(|_| self.tree()).collect::<Option<_>>()?,
            Token::Text(text) => text.into(),
            Token::Integer(integer) => integer.into(),
            Token::Double(double) => double.into(),
            Token::Bool(bool) => bool.into(),
            Token::Null => Value::Null,
        })
    }

    /// Moves `path` on to the next member, by its name.
    fn name(&mut self, bounds: &Bounds, path: &mut Path<'t>) -> Result<(), StructureFault> {
        let offset = self.at;
        let fault = |rule| Err(StructureFault { rule, offset });
        let Token::Text(name) = self.token()? else {
            return fault(StructureRule::NameKind);
        };
        if name.len() > bounds.max_string {
            return fault(StructureRule::StringLength);
        }
        let name = name.as_bytes();
        if !path.next_name(name, scan::mark(name)) && !bounds.duplicate_keys {
            return fault(StructureRule::DuplicateKey);
        }
        Ok(())
    }

    fn token(&mut self) -> Result<Token<'t>, StructureFault> {
        let offset = self.at;
        let token = match self.encoding {
            Packed::MessagePack => self.message_pack(),
            Packed::Cbor => self.cbor(),
        };
        token.map_err(|rule| StructureFault { rule, offset })
    }

    fn message_pack(&mut self) -> Result<Token<'t>, StructureRule> {
        let marker = self.byte()?;
        match marker {
            0x00..=0x7f => Ok(Token::Integer(marker.into())),
            0x80..=0x8f => Ok(Token::Map(usize::from(marker & 0xf))),
            0x90..=0x9f => Ok(Token::Array(usize::from(marker & 0xf))),
            0xa0..=0xbf => self.text(u64::from(marker & 0x1f)),
            0xc0 => Ok(Token::Null),
            0xc2 | 0xc3 => Ok(Token::Bool(marker == 0xc3)),
            0xca => double(f32::from_be_bytes(self.array()?).into()),
            0xcb => double(f64::from_be_bytes(self.array()?)),
            0xcc..=0xcf => positive(self.unsigned(marker - 0xcc)?),
            0xd0 => Ok(Token::Integer(i8::from_be_bytes(self.array()?).into())),
            0xd1 => Ok(Token::Integer(i16::from_be_bytes(self.array()?).into())),
            0xd2 => Ok(Token::Integer(i32::from_be_bytes(self.array()?).into())),
            0xd3 => integer(i64::from_be_bytes(self.array()?).into()),
            0xd9..=0xdb => {
                let length = self.unsigned(marker - 0xd9)?;
                self.text(length)
            }
            0xdc | 0xdd => Ok(Token::Array(count(self.unsigned(marker - 0xdc + 1)?))),
            0xde | 0xdf => Ok(Token::Map(count(self.unsigned(marker - 0xde + 1)?))),
            0xe0.. => Ok(Token::Integer(i64::from(marker) - 0x100)),
            // Never used.
            0xc1 => Err(StructureRule::Malformed),
            // Byte strings and extensions, timestamps among them.
            0xc4..=0xc9 | 0xd4..=0xd8 => Err(StructureRule::Foreign),
        }
    }

    fn cbor(&mut self) -> Result<Token<'t>, StructureRule> {
        let initial = self.byte()?;
        let (major, info) = (initial >> 5, initial & 0x1f);
        if major == 7 {
            return self.cbor_simple(info);
        }
        let argument = match info {
            0..24 => u64::from(info),
            24..28 => self.unsigned(info - 24)?,
            31 if (2..6).contains(&major) => return Err(StructureRule::Indefinite),
            _ => return Err(StructureRule::Malformed),
        };
        match major {
            0 => positive(argument),
            1 => integer(-1 - i128::from(argument)),
            3 => self.text(argument),
            4 => Ok(Token::Array(count(argument))),
            5 => Ok(Token::Map(count(argument))),
            // Byte strings and tags, large integers among them.
            _ => Err(StructureRule::Foreign),
        }
    }

    /// Reads a float or a simple value (RFC 8949 section 3.3).
    fn cbor_simple(&mut self, info: u8) -> Result<Token<'t>, StructureRule> {
        match info {
            20 | 21 => Ok(Token::Bool(info == 21)),
            22 => Ok(Token::Null),
            25 => double(half(u16::from_be_bytes(self.array()?))),
            26 => double(f32::from_be_bytes(self.array()?).into()),
            27 => double(f64::from_be_bytes(self.array()?)),
            0..=24 => Err(StructureRule::Foreign),
            _ => Err(StructureRule::Malformed),
        }
    }

    fn byte(&mut self) -> Result<u8, StructureRule> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Reads an integer of two to the power of `size` bytes.
    fn unsigned(&mut self, size: u8) -> Result<u64, StructureRule> {
        Ok(match size {
            0 => self.byte()?.into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            2 => u32::from_be_bytes(self.array()?).into(),
            _ => u64::from_be_bytes(self.array()?),
        })
    }

    fn text(&mut self, length: u64) -> Result<Token<'t>, StructureRule> {
        let text = str::from_utf8(self.take(count(length))?);
        text.map(Token::Text).map_err(|_| StructureRule::Malformed)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StructureRule> {
        self.take(N)?.try_into().map_err(|_| StructureRule::Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'t [u8], StructureRule> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let taken = rest.ok_or(StructureRule::Malformed)?;
        self.at += length;
        Ok(taken)
    }

    fn fault(&self, rule: StructureRule) -> StructureFault {
        StructureFault { rule, offset: self.at }
    }
}

/// A declared length or count; one that does not fit is beyond every bound.
fn count(declared: u64) -> usize {
    usize::try_from(declared).unwrap_or(usize::MAX)
}

fn positive<'t>(value: u64) -> Result<Token<'t>, StructureRule> {
    integer(value.into())
}

fn integer<'t>(value: i128) -> Result<Token<'t>, StructureRule> {
    match i64::try_from(value) {
        Ok(value) if value.unsigned_abs() <= LARGEST => Ok(Token::Integer(value)),
        _ => Err(StructureRule::Number),
    }
}

fn double<'t>(value: f64) -> Result<Token<'t>, StructureRule> {
    if value.is_finite() { Ok(Token::Double(value)) } else { Err(StructureRule::Number) }
}

/// The value of a half-precision float (RFC 8949 appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let value = match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2_f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { value } else { -value }
}
