//! The values of the arguments of a document, with those of its variables in their places (GraphQL specification, October
//! 2021, sections 2.9 and 6.4.1). Without recursion, and with a bound of what variables add.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Number, Value};

use super::document::Operation;
use super::lexer::{Lexer, SyntaxError, Token};
use crate::message::protocols::broken;
use crate::message::rules::MessageFault;

/// The size of all arguments of an operation, in bytes, in which a variable counts twice: one variable may be used many
/// times, and one fragment be spread many times.
const MOST: usize = 4 << 20;
/// Integers beyond are read differently.
const LARGEST_INTEGER: u64 = 1 << 53;

/// The variables of an operation.
pub(super) struct Variables<'t, 'v> {
    text: &'t str,
    /// Each with the place of its default.
    defined: HashMap<&'t str, Option<usize>>,
    given: Option<&'v Map<String, Value>>,
    /// So many bytes may follow.
    left: usize,
}

/// A list or an object in progress.
enum Open<'t> {
    List(Vec<Value>),
    Object(Members<'t>),
}

/// The members of an object, or the arguments of a field.
#[derive(Default)]
struct Members<'t> {
    values: Map<String, Value>,
    names: HashSet<&'t str>,
    /// The member that is read.
    name: &'t str,
}

struct Reader<'t> {
    lexer: Lexer<'t>,
    token: Token<'t>,
}

type Read<T> = Result<T, MessageFault>;

impl<'t, 'v> Variables<'t, 'v> {
    /// The variables of an operation of `text`, with the values that are given for them.
    pub(super) fn new(
        text: &'t str,
        operation: &Operation<'t>,
        given: Option<&'v Map<String, Value>>,
    ) -> Read<Self> {
        let mut defined = HashMap::new();
        for variable in &operation.variables {
            if defined.insert(variable.name, variable.default).is_some() {
                return Err(broken("two variables of the query have one name"));
            }
        }
        Ok(Self { text, defined, given, left: MOST })
    }

    /// The arguments whose first name is at this byte of the text. An argument of a variable without a value is left out.
    pub(super) fn arguments(&mut self, at: usize) -> Read<Map<String, Value>> {
        let mut reader = Reader::at(self.text, at)?;
        let mut members = Members::default();
        while reader.token != Token::Mark(b')') {
            members.begin(&mut reader)?;
            let value = self.value(&mut reader)?;
            self.take(value.as_ref().unwrap_or(&Value::Null))?;
            members.end(value);
        }
        Ok(members.values)
    }

    /// The value of a variable; `None`: it has none.
    fn value_of(&mut self, name: &str) -> Read<Option<Value>> {
        let Some(default) = self.defined.get(name).copied() else {
            return Err(broken("the query uses a variable that its operation does not define"));
        };
        let value = match (self.given.and_then(|given| given.get(name)), default) {
            (Some(given), _) => {
                self.take(given)?;
                Some(given.clone())
            }
            (None, Some(at)) => {
                let value = self.value(&mut Reader::at(self.text, at)?)?.unwrap_or_default();
                self.take(&value)?;
                Some(value)
            }
            (None, None) => None,
        };
        Ok(value)
    }

    fn take(&mut self, value: &Value) -> Read<()> {
        let left = self.left.checked_sub(size(value));
        self.left = left.ok_or_else(|| broken("the arguments of the query are too large"))?;
        Ok(())
    }

    /// Reads a value; `None`: it is a variable without one.
    fn value(&mut self, reader: &mut Reader<'t>) -> Read<Option<Value>> {
        let mut open: Vec<Open<'t>> = Vec::new();
        loop {
            // The value that is complete.
            let mut whole = match reader.take()? {
                Token::Mark(b'[') => {
                    open.push(Open::List(Vec::new()));
                    None
                }
                Token::Mark(b'{') => {
                    open.push(Open::Object(Members::default()));
                    None
                }
                Token::Mark(b'$') => {
                    let name = reader.name()?;
                    Some(self.value_of(name)?)
                }
                token => Some(Some(scalar(token).ok_or_else(|| reader.error())?)),
            };
            loop {
                match (open.last_mut(), whole.take()) {
                    (None, Some(value)) => return Ok(value),
                    (Some(Open::List(items)), Some(value)) => items.push(value.unwrap_or_default()),
                    (Some(Open::Object(members)), Some(value)) => members.end(value),
                    (_, None) => {}
                }
                match (open.last_mut(), reader.token) {
                    (Some(Open::List(_)), Token::Mark(b']'))
                    | (Some(Open::Object(_)), Token::Mark(b'}')) => {
                        reader.take()?;
                        whole = open.pop().map(|closed| Some(closed.into()));
                    }
                    (Some(Open::Object(members)), _) => {
                        members.begin(reader)?;
                        break;
                    }
                    _ => break,
                }
            }
        }
    }
}

impl From<Open<'_>> for Value {
    fn from(open: Open<'_>) -> Self {
        match open {
            Open::List(items) => Self::Array(items),
            Open::Object(members) => Self::Object(members.values),
        }
    }
}

impl<'t> Members<'t> {
    /// Reads a name and its colon.
    fn begin(&mut self, reader: &mut Reader<'t>) -> Read<()> {
        self.name = reader.name()?;
        if !self.names.insert(self.name) {
            return Err(broken("two arguments of the query have one name"));
        }
        match reader.take()? {
            Token::Mark(b':') => Ok(()),
            _ => Err(reader.error()),
        }
    }

    fn end(&mut self, value: Option<Value>) {
        if let Some(value) = value {
            self.values.insert(self.name.to_owned(), value);
        }
    }
}

impl<'t> Reader<'t> {
    fn at(text: &'t str, at: usize) -> Read<Self> {
        let mut lexer = Lexer::at(text, at);
        let token = lexer.next()?;
        Ok(Self { lexer, token })
    }

    fn take(&mut self) -> Read<Token<'t>> {
        let token = self.token;
        self.token = self.lexer.next()?;
        Ok(token)
    }

    fn name(&mut self) -> Read<&'t str> {
        match self.take()? {
            Token::Name(name) => Ok(name),
            _ => Err(self.error()),
        }
    }

    fn error(&self) -> MessageFault {
        SyntaxError(self.lexer.place()).into()
    }
}

/// The value of a token; an enumerated value is a text.
fn scalar(token: Token<'_>) -> Option<Value> {
    match token {
        Token::Name("true") => Some(Value::Bool(true)),
        Token::Name("false") => Some(Value::Bool(false)),
        Token::Name("null") => Some(Value::Null),
        Token::Name(name) => Some(Value::String(name.to_owned())),
        Token::Text(raw) => text_of(raw).map(Value::String),
        Token::Number(number) => {
            let number: Number = number.parse().ok()?;
            let is_float = !number.is_i64() && !number.is_u64();
            let whole = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
            (is_float || whole.is_some_and(|whole| whole <= LARGEST_INTEGER))
                .then_some(Value::Number(number))
        }
        _ => None,
    }
}

/// The bytes that a value takes, about.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 16,
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 16,
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + 16 + size(value)).sum::<usize>() + 16
        }
        _ => 16,
    }
}

/// The text of a string or block string with its quotes. `None`: an escape stands for no character.
pub(super) fn text_of(raw: &str) -> Option<String> {
    if let Some(block) = raw.strip_prefix("\"\"\"") {
        return Some(block_text(&block.strip_suffix("\"\"\"")?.replace("\\\"\"\"", "\"\"\"")));
    }
    let mut rest = raw.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        let kind = escaped.chars().next()?;
        rest = &escaped[kind.len_utf8()..];
        text.push(match kind {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = code_point(rest)?;
                rest = after;
                character
            }
            other => other,
        });
    }
    text.push_str(rest);
    Some(text)
}

/// The character whose digits come after `\u`, and the rest of the text.
fn code_point(digits: &str) -> Option<(char, &str)> {
    if let Some(braced) = digits.strip_prefix('{') {
        let (digits, rest) = braced.split_once('}')?;
        return Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, rest));
    }
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let (first, rest) = (unit(digits)?, digits.get(4..)?);
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let low = rest.strip_prefix("\\u")?;
    let second = unit(low).filter(|unit| (0xdc00..0xe000).contains(unit))?;
    let character = char::from_u32(0x10000 + ((first - 0xd800) << 10 | (second - 0xdc00)))?;
    Some((character, low.get(4..)?))
}

/// The lines of a block string without their common indentation, and without blank lines around them (section 2.9.4).
fn block_text(block: &str) -> String {
    let block = block.replace("\r\n", "\n").replace('\r', "\n");
    let indentation = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let is_blank = |line: &str| indentation(line) == line.len();
    let rest = block.split('\n').skip(1);
    let common = rest.filter(|line| !is_blank(line)).map(indentation).min().unwrap_or(0);
    let lines = block.split('\n').enumerate();
    let mut lines: Vec<_> = lines
        .map(|(index, line)| if index == 0 { line } else { line.get(common..).unwrap_or_default() })
        .collect();
    while lines.last().is_some_and(|line| is_blank(line)) {
        lines.pop();
    }
    let first = lines.iter().position(|line| !is_blank(line)).unwrap_or(lines.len());
    lines.split_off(first).join("\n")
}
