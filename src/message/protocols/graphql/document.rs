//! Reads the structure of a GraphQL document (GraphQL specification, October 2021, section 2): its operations, its
//! fragments, and the number and depth of their fields. One pass without recursion. Descriptions of operations and
//! variables are read as in the edition of September 2025; definitions of types are refused.

use std::fmt;

use super::lexer::{Lexer, SyntaxError, Token};
use super::literals::text_of;
use crate::message::protocols::broken;
use crate::message::rules::{MessageFault, fault};
use crate::values::Reason;

/// Selection sets, or lists and objects of a value, within each other, at most: parsers of applications use recursion.
const MOST_NESTED: usize = 250;

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Query,
    Mutation,
    Subscription,
}

/// The fields of an operation or fragment, without those of the fragments that it spreads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part<'t> {
    pub(super) fields: u64,
    pub(super) aliases: u64,
    /// Fields that no other field is around.
    pub(super) roots: Vec<RootField<'t>>,
    /// Fields within each other.
    pub(super) depth: u64,
    pub(super) spreads: Vec<Spread<'t>>,
}

/// A field of the operation itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RootField<'t> {
    pub(super) name: &'t str,
    /// The byte of the text at which its arguments begin.
    pub(super) arguments: Option<usize>,
}

/// A fragment that is spread by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spread<'t> {
    pub(super) name: &'t str,
    /// The number of fields around it.
    pub(super) level: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation<'t> {
    pub(super) kind: Kind,
    pub(super) name: Option<&'t str>,
    pub(super) variables: Vec<Variable<'t>>,
    pub(super) part: Part<'t>,
}

/// A variable that an operation defines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable<'t> {
    pub(super) name: &'t str,
    /// The byte of the text at which its default begins.
    pub(super) default: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fragment<'t> {
    pub(super) name: &'t str,
    pub(super) part: Part<'t>,
}

/// A document that may be executed. Names are not resolved yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Document<'t> {
    pub(super) operations: Vec<Operation<'t>>,
    pub(super) fragments: Vec<Fragment<'t>>,
    pub(super) directives: usize,
    /// The texts of its strings that are written in another way.
    pub(super) texts: Vec<String>,
    /// It selects a field whose name is reserved for introspection, `__typename` aside.
    pub(super) introspects: bool,
}

impl Kind {
    fn of(keyword: &str) -> Option<Self> {
        match keyword {
            "query" => Some(Self::Query),
            "mutation" => Some(Self::Mutation),
            "subscription" => Some(Self::Subscription),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        })
    }
}

impl<'t> Document<'t> {
    /// Reads a document of at most `max_tokens` tokens.
    pub(super) fn read(text: &'t str, max_tokens: usize) -> Result<Self, MessageFault> {
        let mut lexer = Lexer::new(text);
        let token = lexer.next()?;
        let document = Self::default();
        Parser { lexer, token, left: max_tokens, max_tokens, document }.read()
    }
}

impl From<SyntaxError> for MessageFault {
    fn from(SyntaxError(at): SyntaxError) -> Self {
        broken(format_args!("the query is no GraphQL, at its byte {at}"))
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The token that is read next.
    token: Token<'t>,
    /// So many tokens may follow.
    left: usize,
    max_tokens: usize,
    document: Document<'t>,
}

type Read<T> = Result<T, MessageFault>;

impl<'t> Parser<'t> {
    fn read(mut self) -> Read<Document<'t>> {
        loop {
            self.definition()?;
            if self.token == Token::End {
                return Ok(self.document);
            }
        }
    }

    /// Returns the token, and moves on to the next one.
    fn take(&mut self) -> Read<Token<'t>> {
        let Some(left) = self.left.checked_sub(1) else {
            let detail = format_args!("the query has more than {} tokens", self.max_tokens);
            return Err(fault(Reason::MessageStructure, "max_tokens", detail));
        };
        self.left = left;
        let token = self.token;
        if let Token::Text(raw) = token
            && (raw.contains('\\') || raw.starts_with("\"\"\""))
        {
            let Some(text) = text_of(raw) else {
                return self.error();
            };
            self.document.texts.push(text);
        }
        self.token = self.lexer.next()?;
        Ok(token)
    }

    fn error<T>(&self) -> Read<T> {
        Err(SyntaxError(self.lexer.place()).into())
    }

    /// Takes the mark `wanted`, if it comes next; returns whether it did.
    fn skip(&mut self, wanted: u8) -> Read<bool> {
        let comes = self.token == Token::Mark(wanted);
        if comes {
            self.take()?;
        }
        Ok(comes)
    }

    fn expect(&mut self, wanted: u8) -> Read<()> {
        if self.skip(wanted)? { Ok(()) } else { self.error() }
    }

    fn name(&mut self) -> Read<&'t str> {
        match self.token {
            Token::Name(name) => {
                self.take()?;
                Ok(name)
            }
            _ => self.error(),
        }
    }

    fn description(&mut self) -> Read<bool> {
        let comes = matches!(self.token, Token::Text(_));
        if comes {
            self.take()?;
        }
        Ok(comes)
    }

    fn definition(&mut self) -> Read<()> {
        let described = self.description()?;
        if self.token == Token::Mark(b'{') && !described {
            let part = self.selections()?;
            let (kind, variables) = (Kind::Query, Vec::new());
            self.document.operations.push(Operation { kind, name: None, variables, part });
            return Ok(());
        }
        let keyword = self.name()?;
        if let Some(kind) = Kind::of(keyword) {
            return self.operation(kind);
        }
        if keyword != "fragment" {
            return self.error();
        }
        let name = self.name()?;
        if name == "on" || self.name()? != "on" {
            return self.error();
        }
        self.name()?;
        self.directives(false)?;
        let part = self.selections()?;
        self.document.fragments.push(Fragment { name, part });
        Ok(())
    }

    fn operation(&mut self, kind: Kind) -> Read<()> {
        let name = match self.token {
            Token::Name(_) => Some(self.name()?),
            _ => None,
        };
        let mut variables = Vec::new();
        if self.skip(b'(')? {
            loop {
                variables.push(self.variable()?);
                if self.skip(b')')? {
                    break;
                }
            }
        }
        self.directives(false)?;
        let part = self.selections()?;
        self.document.operations.push(Operation { kind, name, variables, part });
        Ok(())
    }

    /// Reads the definition of a variable.
    fn variable(&mut self) -> Read<Variable<'t>> {
        self.description()?;
        self.expect(b'$')?;
        let name = self.name()?;
        self.expect(b':')?;
        self.type_name()?;
        let default = (self.token == Token::Mark(b'=')).then(|| self.lexer.place());
        if self.skip(b'=')? {
            self.value(true)?;
        }
        self.directives(true)?;
        Ok(Variable { name, default })
    }

    fn type_name(&mut self) -> Read<()> {
        let mut lists = 0;
        while self.skip(b'[')? {
            lists += 1;
        }
        if lists > MOST_NESTED {
            return Err(nested("protocol"));
        }
        self.name()?;
        self.skip(b'!')?;
        for _ in 0..lists {
            self.expect(b']')?;
            self.skip(b'!')?;
        }
        Ok(())
    }

    fn directives(&mut self, constant: bool) -> Read<()> {
        while self.skip(b'@')? {
            self.document.directives += 1;
            self.name()?;
            self.arguments(constant)?;
        }
        Ok(())
    }

    fn arguments(&mut self, constant: bool) -> Read<()> {
        if !self.skip(b'(')? {
            return Ok(());
        }
        loop {
            self.name()?;
            self.expect(b':')?;
            self.value(constant)?;
            if self.skip(b')')? {
                return Ok(());
            }
        }
    }

    /// Reads a value, in which `constant` allows no variable.
    fn value(&mut self, constant: bool) -> Read<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.take()? {
                Token::Mark(b'$') if !constant => drop(self.name()?),
                Token::Mark(begin @ (b'[' | b'{')) => {
                    if open.len() >= MOST_NESTED {
                        return Err(nested("protocol"));
                    }
                    open.push(begin);
                }
                Token::Name(_) | Token::Number(_) | Token::Text(_) => {}
                _ => return self.error(),
            }
            // The ends of lists and objects, up to the next element or member.
            loop {
                match open.last() {
                    None => return Ok(()),
                    Some(b'[') if self.skip(b']')? => {}
                    Some(b'{') if self.skip(b'}')? => {}
                    Some(b'{') => {
                        self.name()?;
                        self.expect(b':')?;
                        break;
                    }
                    Some(_) => break,
                }
                open.pop();
            }
        }
    }

    /// Reads a selection set with all that are in it.
    fn selections(&mut self) -> Read<Part<'t>> {
        let mut part = Part::default();
        // Whether each open set is that of a field.
        let mut open = vec![false];
        let mut level = 0;
        self.expect(b'{')?;
        let mut empty = true;
        while let Some(&of_field) = open.last() {
            if self.token == Token::Mark(b'}') && !empty {
                self.take()?;
                open.pop();
                level -= u64::from(of_field);
                continue;
            }
            let opens = match self.token {
                Token::Spread => self.spread(level, &mut part)?.then_some(false),
                _ => self.field(level, &mut part)?.then_some(true),
            };
            empty = opens.is_some();
            if let Some(of_field) = opens {
                if open.len() >= MOST_NESTED {
                    return Err(nested("max_selection_depth"));
                }
                open.push(of_field);
                level += u64::from(of_field);
            }
        }
        Ok(part)
    }

    /// Reads a field up to its selection set. Returns whether it has one; its brace was taken.
    fn field(&mut self, level: u64, part: &mut Part<'t>) -> Read<bool> {
        let mut name = self.name()?;
        if self.skip(b':')? {
            part.aliases += 1;
            name = self.name()?;
        }
        part.fields += 1;
        if level == 0 {
            let arguments = (self.token == Token::Mark(b'(')).then(|| self.lexer.place());
            part.roots.push(RootField { name, arguments });
        }
        part.depth = part.depth.max(level + 1);
        self.document.introspects |= name.starts_with("__") && name != "__typename";
        self.arguments(false)?;
        self.directives(false)?;
        self.skip(b'{')
    }

    /// Reads a spread or the beginning of an inline fragment. Returns whether a selection set follows; its brace was
    /// taken.
    fn spread(&mut self, level: u64, part: &mut Part<'t>) -> Read<bool> {
        self.take()?;
        if let Token::Name(name) = self.token
            && name != "on"
        {
            self.take()?;
            self.directives(false)?;
            part.spreads.push(Spread { name, level });
            return Ok(false);
        }
        if self.token == Token::Name("on") {
            self.take()?;
            self.name()?;
        }
        self.directives(false)?;
        self.expect(b'{')?;
        Ok(true)
    }
}

fn nested(rule: &'static str) -> MessageFault {
    let detail = format_args!("the query is nested more than {MOST_NESTED} times");
    fault(Reason::MessageStructure, rule, detail)
}
