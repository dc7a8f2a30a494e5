//! Types of messages: the value at one place of a message selects further rules.

use std::cmp::Ordering;
use std::sync::Arc;

use super::pointer::Pointer;
use super::rules::OnViolation;
use super::schema::Schema;
use crate::values::{Rate, Requirement};

/// The types of the messages of one direction.
#[derive(Debug)]
pub struct Types {
    /// The place of the type, a string; `None`: the protocol gives the type.
    at: Option<Pointer>,
    rules: Vec<TypeRules>,
    /// By the whole name, in the order of [`by_length`].
    exact: Vec<(String, usize)>,
    /// By the beginning of the name, the longest first.
    prefixes: Vec<(String, usize)>,
    /// Whether a message without a listed type passes.
    allow_unlisted: bool,
    /// The pointers of `require_in`, each once.
    compared: Vec<Pointer>,
}

/// The names of a type: one, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypePattern {
    /// `"room:join"`
    Exact(String),
    /// `"room:*"`
    Prefix(String),
}

/// The rules of one type.
#[derive(Debug)]
pub struct TypeRules {
    /// The NAME of its table, as in the file.
    pub name: Arc<str>,
    /// The key under which the rates of users are counted.
    pub scope: Arc<str>,
    /// Its names.
    pub pattern: TypePattern,
    /// The schema of its messages.
    pub schema: Option<Schema>,
    /// The claims that the sender's token needs.
    pub require: Vec<Requirement>,
    /// Claims that must have the value at a place of the message among their values.
    pub require_in: Vec<(String, Pointer)>,
    /// The rate of one session.
    pub rate: Option<Rate>,
    /// The rate of all sessions of one user.
    pub rate_per_user: Option<Rate>,
    /// The outcome of a violation, if it differs from that of other messages.
    pub on_violation: Option<OnViolation>,
}

impl TypePattern {
    /// Reads a name; one star at its end stands for any characters.
    ///
    /// # Errors
    /// A star that is not at the end, or an empty name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        match (name, prefix) {
            (name, _) if name.contains('*') => Err("one star is allowed, at the end of the name"),
            ("", false) => Err("the name of a type is empty"),
            (name, true) => Ok(Self::Prefix(name.to_owned())),
            (name, false) => Ok(Self::Exact(name.to_owned())),
        }
    }
}

impl Types {
    /// The types that `rules` list, by the string at `at`, or as the protocol gives them.
    #[must_use]
    pub fn new(at: Option<Pointer>, rules: Vec<TypeRules>, allow_unlisted: bool) -> Self {
        let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            match &rule.pattern {
                TypePattern::Exact(name) => exact.push((name.clone(), index)),
                TypePattern::Prefix(prefix) => prefixes.push((prefix.clone(), index)),
            }
        }
        exact.sort_by(|(one, _), (other, _)| by_length(one, other));
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        let mut compared: Vec<Pointer> = Vec::new();
        for (_, pointer) in rules.iter().flat_map(|rule| &rule.require_in) {
            if !compared.contains(pointer) {
                compared.push(pointer.clone());
            }
        }
        Self { at, rules, exact, prefixes, allow_unlisted, compared }
    }

    /// The number and the rules of the type `name`: an exact name first, then the longest beginning.
    pub(super) fn find(&self, name: &str) -> Option<(usize, &TypeRules)> {
        let begins = || self.prefixes.iter().find(|(prefix, _)| name.starts_with(prefix));
        let exact = self.exact.binary_search_by(|(known, _)| by_length(known, name));
        let exact = exact.ok().and_then(|place| self.exact.get(place));
        let (_, index) = exact.or_else(begins)?;
        let index = *index;
        Some((index, self.rules.get(index)?))
    }

    /// Whether a type has exactly this name.
    pub(super) fn lists(&self, name: &str) -> bool {
        self.exact.binary_search_by(|(known, _)| by_length(known, name)).is_ok()
    }

    /// The rules of every type, in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[TypeRules] {
        &self.rules
    }

    /// The places of values that are compared with claims.
    pub(super) fn compared(&self) -> &[Pointer] {
        &self.compared
    }

    /// The places on which the verdict depends.
    pub(super) fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        self.at.iter().chain(&self.compared)
    }

    /// The place of the type; `None`: the protocol gives the type.
    pub(super) fn at(&self) -> Option<&Pointer> {
        self.at.as_ref()
    }

    /// Whether a message without a listed type passes.
    #[must_use]
    pub fn allows_unlisted(&self) -> bool {
        self.allow_unlisted
    }
}

/// The order of names that takes the fewest instructions to find one.
fn by_length(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}
