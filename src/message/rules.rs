//! The rules of one direction of a route, and the verdict on one message.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::binary_types::BinaryType;
use super::packed::{self, Packed};
use super::path::Path;
use super::patterns::Patterns;
use super::pointer::Pointer;
use super::protocols::{Item, Protocol, Reader};
use super::scan::{self, Bounds, Scalar, StructureFault, StructureRule, Visitor};
use super::schema::Schema;
use super::text;
use super::types::{TypeRules, Types};
use crate::values::{Endpoint, Reason, claims};

/// The kind of a message (RFC 6455 section 5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Opcode 1.
    Text,
    /// Opcode 2.
    Binary,
}

/// The outcome of a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnViolation {
    /// The session is closed.
    Close,
    /// The message is discarded.
    Drop,
    /// The message is discarded, and its sender gets an answer.
    Answer,
}

/// The rules for the messages of one direction. Without a rule a message passes.
#[derive(Debug)]
pub struct MessageRules {
    /// The sender of the messages.
    pub sender: Endpoint,
    /// The protocol that they speak; `None`: the rules apply to a message as it is.
    pub protocol: Option<Protocol>,
    /// The largest message, in bytes. It is held until it is judged.
    pub max_size: u64,
    /// The outcome of a violation.
    pub on_violation: OnViolation,
    /// The answer to a violation, with `{reason}` and `{request_id}`.
    pub error_reply: Option<String>,
    /// Whether violations are only recorded.
    pub report: bool,
    /// Whether each refused message of a client is a strike against its address.
    pub strike: bool,
    /// The kinds that may be sent; empty: both.
    pub kinds: Vec<MessageKind>,
    /// The types of binary messages, which then are no JSON; empty: they meet the same rules as text messages.
    pub binary_types: Vec<BinaryType>,
    /// The bounds of JSON; `Some`: a message must be JSON, unless [`Types::allows_unlisted`].
    pub bounds: Option<Bounds>,
    /// The encoding of binary messages, which has the rules and bounds of JSON; `None`: they are JSON, too.
    pub packed: Option<Packed>,
    /// The schema of every message.
    pub schema: Option<Schema>,
    /// Patterns that no text may match: neither the message nor a name or string of its JSON.
    pub deny: Option<Patterns>,
    /// The types of messages.
    pub types: Option<Types>,
}

/// A message that breaks a rule. It holds no value of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFault {
    /// The reason of the table.
    pub reason: Reason,
    /// The key of the rule in the table of the rules, such as `schema`.
    pub rule: &'static str,
    /// Whether the session cannot go on without the message, so that it is closed whatever `on_violation` says.
    pub closes: bool,
    /// The number of the pattern, the pointer, or another place of the rule or the message.
    pub detail: String,
}

/// The verdict on a message.
#[derive(Debug, Default)]
pub(super) struct Verdict<'r> {
    /// The number and the rules of its listed types whose rates it may use: of each item at most one, in their order.
    pub(super) listed: Vec<(usize, &'r TypeRules)>,
    /// The rules of the type that is at fault; `None`: its type is not the cause, or not listed.
    pub(super) at_fault: Option<&'r TypeRules>,
    /// The items of a protocol.
    pub(super) items: Vec<Item>,
    /// The rule that it breaks.
    pub(super) fault: Option<MessageFault>,
}

/// A message and its sender, to be judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'m> {
    pub(super) kind: MessageKind,
    pub(super) payload: &'m [u8],
    /// The claims of the sender's token.
    pub(super) claims: Option<&'m Map<String, Value>>,
}

/// The parts of a JSON text that the rules need.
struct Seen<'r, 't> {
    rules: &'r MessageRules,
    /// The type so far.
    found: Option<Cow<'t, [u8]>>,
    /// The value at the place of the type is an object or array.
    nested: bool,
    /// A name differs from that of a pointer in case alone: some parsers ignore case.
    alike: bool,
    /// The number of a pattern that a string or name matches, with its place.
    denied: Option<(usize, String)>,
    /// Scalars at the places that `require_in` of any type names.
    values: Vec<(&'r Pointer, Value)>,
}

/// The rules that a message was tried against, for `framewall explain`.
#[derive(Debug)]
pub struct Trial {
    /// The keys of the rules that it passed, in the order in which they are checked.
    pub passed: Vec<&'static str>,
    /// The NAME of its type, if it has a listed one.
    pub listed: Option<Arc<str>>,
    /// The rule that it breaks.
    pub fault: Option<MessageFault>,
}

impl MessageRules {
    /// The name of their table.
    #[must_use]
    pub fn table(&self) -> &'static str {
        match self.sender {
            Endpoint::Client => "messages",
            Endpoint::Upstream => "replies",
        }
    }

    /// Whether a sender may get an answer.
    #[must_use]
    pub fn answers(&self) -> bool {
        let answer = OnViolation::Answer;
        let mut types = self.types.iter().flat_map(Types::rules);
        self.on_violation == answer || types.any(|one| one.on_violation == Some(answer))
    }

    /// Whether a verdict depends on the claims of the sender's token.
    #[must_use]
    pub fn needs_claims(&self) -> bool {
        let types = self.types.iter().flat_map(Types::rules);
        types.into_iter().any(|one| !one.require.is_empty() || !one.require_in.is_empty())
    }

    /// A reader of the protocol, from the first message of a session on.
    pub(super) fn reader(&self) -> Option<Box<dyn Reader>> {
        Some(self.protocol.as_ref()?.reader(self.sender))
    }

    /// Whether a message that is refused is a strike against its sender.
    #[must_use]
    pub fn strikes(&self) -> bool {
        self.strike && !self.report
    }

    /// Judges the first message of a session with a token of these `claims`, and charges no rate.
    #[must_use]
    pub fn try_out(
        &self,
        kind: MessageKind,
        payload: &[u8],
        claims: Option<&Map<String, Value>>,
    ) -> Trial {
        if payload.len() as u64 > self.max_size {
            let detail = format_args!("it has {} bytes", payload.len());
            let fault = Some(fault(Reason::MessageTooBig, "max_size", detail));
            return Trial { passed: Vec::new(), listed: None, fault };
        }
        if kind == MessageKind::Text && std::str::from_utf8(payload).is_err() {
            let detail = "a text message that is not UTF-8 ends the session with 1007";
            let fault = Some(fault(Reason::MessageStructure, "encoding", detail));
            return Trial { passed: Vec::new(), listed: None, fault };
        }
        let message = Judged { kind, payload, claims };
        let Verdict { listed, at_fault, fault, .. } =
            self.judge(&message, self.reader().as_deref_mut());
        let listed = at_fault.or(listed.last().map(|(_, rules)| *rules));
        let mut passed = self.keys(listed);
        if let Some(fault) = &fault {
            let before = passed.iter().position(|key| *key == fault.rule);
            // A fault of the structure is named by the bound that is broken.
            let structure =
                || passed.iter().position(|key| matches!(*key, "encoding" | "protocol"));
            passed.truncate(before.or_else(structure).unwrap_or(0));
        }
        Trial { passed, listed: listed.map(|rules| Arc::clone(&rules.name)), fault }
    }

    /// The keys that have a rule for a message of the type `listed`, in the order in which they are checked.
    fn keys(&self, listed: Option<&TypeRules>) -> Vec<&'static str> {
        let given = |key, given: bool| given.then_some(key);
        let of_type = |key, has: fn(&TypeRules) -> bool| given(key, listed.is_some_and(has));
        let keys = [
            Some("max_size"),
            given("kinds", !self.kinds.is_empty()),
            given("binary_types", !self.binary_types.is_empty()),
            given("deny_patterns", self.deny.is_some()),
            given("encoding", self.bounds.is_some() && self.protocol.is_none()),
            given("protocol", self.protocol.is_some()),
            given("schema", self.schema.is_some()),
            given("unlisted", self.types.is_some()),
            of_type("types.schema", |rules| rules.schema.is_some()),
            of_type("types.require", |rules| !rules.require.is_empty()),
            of_type("types.require_in", |rules| !rules.require_in.is_empty()),
        ];
        keys.into_iter().flatten().collect()
    }

    /// Judges a message without the rates of its types; with a `reader` if there is a protocol.
    pub(super) fn judge(
        &self,
        message: &Judged<'_>,
        reader: Option<&mut (dyn Reader + 'static)>,
    ) -> Verdict<'_> {
        let mut verdict = Verdict::default();
        let judged = match reader {
            Some(reader) => self.check_items(message, reader, &mut verdict),
            None => self.check(message, &mut verdict),
        };
        verdict.fault = judged.err();
        verdict
    }

    /// Refuses a message of a kind that is not accepted.
    pub(super) fn check_kind(&self, kind: MessageKind) -> Result<(), MessageFault> {
        if !self.kinds.is_empty() && !self.kinds.contains(&kind) {
            let detail = match kind {
                MessageKind::Text => "a text message",
                MessageKind::Binary => "a binary message",
            };
            return Err(fault(Reason::MessageKind, "kinds", detail));
        }
        Ok(())
    }

    fn check<'r>(
        &'r self,
        message: &Judged<'_>,
        verdict: &mut Verdict<'r>,
    ) -> Result<(), MessageFault> {
        let Judged { kind, payload, .. } = *message;
        self.check_kind(kind)?;
        if kind == MessageKind::Binary && !self.binary_types.is_empty() {
            return self.check_binary_type(payload);
        }
        if let (Some(packed), Some(bounds), MessageKind::Binary) = (self.packed, &self.bounds, kind)
        {
            return self.check_packed(packed, bounds, message, verdict);
        }
        // The rules of frames have checked the encoding of a text message.
        if kind == MessageKind::Binary && std::str::from_utf8(payload).is_err() {
            self.check_bytes(payload)?;
            return self.check_not_text(payload);
        }
        let mut seen = Seen::new(self);
        let scanned = match &self.bounds {
            Some(bounds) => scan::scan_bytes(payload, bounds, &mut seen),
            None => Ok(()),
        };
        seen.check_strings()?;
        self.check_bytes(payload)?;
        if self.bounds.is_none() {
            return Ok(());
        }
        if let Err(structure) = scanned {
            return self.check_malformed(payload, structure);
        }
        let value = Tree::new(|| serde_json::from_slice(payload).ok());
        self.check_seen(&seen, value, message, verdict)
    }

    /// Judges a binary message that must be a file of some types. Of the other rules the patterns alone apply to it.
    fn check_binary_type(&self, payload: &[u8]) -> Result<(), MessageFault> {
        if !self.binary_types.iter().any(|one| one.begins(payload)) {
            let detail = "a binary message of another type";
            return Err(fault(Reason::MessageKind, "binary_types", detail));
        }
        self.check_bytes(payload)
    }

    /// Judges a binary message that has an encoding of its own.
    fn check_packed<'r>(
        &'r self,
        packed: Packed,
        bounds: &Bounds,
        message: &Judged<'_>,
        verdict: &mut Verdict<'r>,
    ) -> Result<(), MessageFault> {
        let mut seen = Seen::new(self);
        let scanned = packed::scan(packed, message.payload, bounds, &mut seen);
        seen.check_strings()?;
        scanned.map_err(broken_structure)?;
        let value = Tree::new(|| packed::tree(packed, message.payload));
        self.check_seen(&seen, value, message, verdict)
    }

    /// Judges a message that the scan accepted.
    fn check_seen<'r>(
        &'r self,
        seen: &Seen<'r, '_>,
        mut value: Tree<impl Fn() -> Option<Value>>,
        message: &Judged<'_>,
        verdict: &mut Verdict<'r>,
    ) -> Result<(), MessageFault> {
        if seen.alike {
            let detail = "a name differs from that of a pointer in case alone";
            return Err(fault(Reason::MessageStructure, "type_at", detail));
        }
        if let Some(schema) = &self.schema {
            check_schema(schema, "schema", value.get())?;
        }
        let Some(types) = &self.types else {
            return Ok(());
        };
        if seen.nested {
            return Err(fault(Reason::MessageType, "type_at", "its type is no string"));
        }
        let found = seen.found.as_deref().and_then(|name| std::str::from_utf8(name).ok());
        let Some((index, rules)) = found.and_then(|name| types.find(name)) else {
            return unlisted(types, "it has no listed type");
        };
        if rules.rate.is_some() || rules.rate_per_user.is_some() {
            verdict.listed.push((index, rules));
        }
        verdict.at_fault = Some(rules);
        if let Some(schema) = &rules.schema {
            check_schema(schema, "types.schema", value.get()).map_err(|fault| fault.of(rules))?;
        }
        let found = |pointer: &Pointer| {
            let value = seen.values.iter().find(|(at, _)| *at == pointer);
            value.map(|(_, value)| value)
        };
        check_claims(rules, message.claims, found).map_err(|fault| fault.of(rules))
    }

    /// Refuses a text that matches a denied pattern: as it came, with its escapes replaced, or one of its strings.
    pub(super) fn check_patterns(&self, text: &str) -> Result<(), MessageFault> {
        let Some(deny) = &self.deny else {
            return Ok(());
        };
        if let Some(index) = deny.first_in(text) {
            return Err(denied(index, "in the text of the message"));
        }
        let replaced = text::unescaped(text);
        if let Some(index) = deny.first_in(&replaced) {
            return Err(denied(index, "in its text with the escapes replaced"));
        }
        // The scan has seen the strings of a text that it accepts; a text that it refuses may still be read by others.
        let mut strings = text::quoted(text).map(text::unescaped);
        match strings.find_map(|string| deny.first_in(&string)) {
            Some(index) => Err(denied(index, "in one of its strings")),
            None => Ok(()),
        }
    }

    /// Refuses a payload whose text matches a denied pattern. Bytes that are not UTF-8 become U+FFFD, as for applications
    /// that decode leniently.
    pub(super) fn check_bytes(&self, payload: &[u8]) -> Result<(), MessageFault> {
        if self.deny.is_none() {
            return Ok(());
        }
        self.check_patterns(&String::from_utf8_lossy(payload))
    }

    /// Judges a binary message that is not UTF-8, so that it cannot be JSON (RFC 8259 section 8.1).
    fn check_not_text(&self, payload: &[u8]) -> Result<(), MessageFault> {
        match (&self.bounds, &self.types) {
            (None, _) => Ok(()),
            (Some(_), Some(types))
                if types.allows_unlisted() && self.schema.is_none() && !resembles_json(payload) =>
            {
                Ok(())
            }
            _ => Err(fault(Reason::MessageStructure, "encoding", "it is not UTF-8")),
        }
    }

    /// Judges a message that is not JSON, or not JSON within the bounds. Only a message that no parser takes for JSON
    /// has no type.
    fn check_malformed(
        &self,
        payload: &[u8],
        structure: StructureFault,
    ) -> Result<(), MessageFault> {
        let other = matches!(structure.rule, StructureRule::Syntax | StructureRule::Trailing)
            && !resembles_json(payload);
        match &self.types {
            Some(types) if other && self.schema.is_none() => unlisted(types, "it is not JSON"),
            _ => Err(broken_structure(structure)),
        }
    }
}

fn broken_structure(StructureFault { rule, offset }: StructureFault) -> MessageFault {
    fault(Reason::MessageStructure, rule.key(), format_args!("{rule}, at byte {offset}"))
}

/// Whether lenient parsers may take a message for a JSON object or array, in whatever encoding: it begins with one after
/// blanks, NUL bytes (of UTF-16 and UTF-32) and byte order marks.
pub(super) fn resembles_json(payload: &[u8]) -> bool {
    let skipped = |byte: &u8| {
        matches!(byte, 0 | b' ' | b'\t' | b'\n' | b'\r' | 0xef | 0xbb | 0xbf | 0xfe | 0xff)
    };
    payload.iter().find(|byte| !skipped(byte)).is_some_and(|byte| matches!(byte, b'{' | b'['))
}

pub(super) fn unlisted(types: &Types, detail: &str) -> Result<(), MessageFault> {
    if types.allows_unlisted() {
        return Ok(());
    }
    Err(fault(Reason::MessageType, "unlisted", detail))
}

/// The tree of a message that the scan accepted; built once, if a rule needs it.
struct Tree<F> {
    build: F,
    value: Option<Value>,
}

impl<F: Fn() -> Option<Value>> Tree<F> {
    fn new(build: F) -> Self {
        Self { build, value: None }
    }

    fn get(&mut self) -> Option<&Value> {
        if self.value.is_none() {
            self.value = (self.build)();
        }
        self.value.as_ref()
    }
}

pub(super) fn check_schema(
    schema: &Schema,
    rule: &'static str,
    value: Option<&Value>,
) -> Result<(), MessageFault> {
    let Some(value) = value else {
        // The scan accepts no text that serde_json refuses.
        return Err(fault(Reason::MessageStructure, rule, "it could not be read"));
    };
    schema.judge(value).map_err(|broken| {
        let detail = format_args!("\"{}\" breaks {}", broken.instance, broken.keyword);
        fault(Reason::MessageSchema, rule, detail)
    })
}

/// Checks the claims that a type requires.
pub(super) fn check_claims<'v>(
    rules: &TypeRules,
    claims: Option<&Map<String, Value>>,
    find: impl Fn(&Pointer) -> Option<&'v Value>,
) -> Result<(), MessageFault> {
    let of = |name: &str| claims.and_then(|claims| claims::find(claims, name));
    for requirement in &rules.require {
        let name = &requirement.claim;
        if !of(name).is_some_and(|claim| requirement.is_met_by(claim)) {
            let detail = format_args!("the claim {name} has no allowed value");
            return Err(fault(Reason::MessageClaim, "types.require", detail));
        }
    }
    for (name, pointer) in &rules.require_in {
        let value = find(pointer);
        let allowed = |value: &Value| {
            // A claim of null must not allow a message without a value.
            let compared = value.is_number() || value.as_str().is_some_and(|text| !text.is_empty());
            compared && of(name).is_some_and(|claim| claims::says(claim, value))
        };
        if !value.is_some_and(allowed) {
            let detail = format_args!("the value at {pointer} is not in the claim {name}");
            return Err(fault(Reason::MessageClaim, "types.require_in", detail));
        }
    }
    Ok(())
}

pub(super) fn fault(reason: Reason, rule: &'static str, detail: impl fmt::Display) -> MessageFault {
    MessageFault { reason, rule, closes: false, detail: detail.to_string() }
}

pub(super) fn denied(index: usize, place: impl fmt::Display) -> MessageFault {
    fault(Reason::MessagePattern, "deny_patterns", format_args!("pattern {} {place}", index + 1))
}

impl MessageFault {
    /// Names the type whose rule it is.
    pub(super) fn of(mut self, rules: &TypeRules) -> Self {
        self.detail = format!("type \"{}\": {}", rules.name, self.detail);
        self
    }
}

impl<'r> Seen<'r, '_> {
    fn new(rules: &'r MessageRules) -> Self {
        Self { rules, found: None, nested: false, alike: false, denied: None, values: Vec::new() }
    }

    /// Refuses a text of which the scan found a string that matches a denied pattern.
    fn check_strings(&self) -> Result<(), MessageFault> {
        match &self.denied {
            Some((index, place)) => Err(denied(*index, format_args!("at \"{place}\""))),
            None => Ok(()),
        }
    }

    /// Looks at a name that may be one of a pointer.
    #[inline(never)]
    fn compare_name(&mut self, path: &Path<'_>) {
        if let Some(types) = &self.rules.types {
            self.alike |= types.pointers().any(|pointer| pointer.is_alike(path));
        }
    }

    fn check_text(&mut self, deny: &Patterns, path: &Path<'_>, text: &[u8]) {
        if self.denied.is_none()
            && let Some(index) = deny.first_in(&String::from_utf8_lossy(text))
        {
            self.denied = Some((index, path.to_string()));
        }
    }
}

impl<'t> Visitor<'t> for Seen<'_, 't> {
    #[inline]
    fn name(&mut self, path: &Path<'t>) -> bool {
        // Not by an iterator over all pointers, which takes a third of the instructions of a name.
        let is_named = self.rules.types.as_ref().is_some_and(|types| {
            types.at().is_some_and(|at| at.may_name(path))
                || types.compared().iter().any(|pointer| pointer.may_name(path))
        });
        if is_named {
            self.compare_name(path);
        }
        if let Some(deny) = &self.rules.deny {
            self.check_text(deny, path, &path.last_name());
        }
        is_named || self.rules.deny.is_some()
    }

    fn container(&mut self, path: &Path<'t>) {
        self.nested |= self
            .rules
            .types
            .as_ref()
            .is_some_and(|types| types.at().is_some_and(|at| at.matches(path)));
    }

    #[inline]
    fn scalar(&mut self, path: &Path<'t>, scalar: &Scalar<'t>) {
        if let (Scalar::String(text), Some(deny)) = (scalar, &self.rules.deny) {
            self.check_text(deny, path, text);
        }
        let Some(types) = &self.rules.types else {
            return;
        };
        if let Scalar::String(text) = scalar
            && types.at().is_some_and(|at| at.matches(path))
        {
            self.found = Some(text.clone());
        }
        for pointer in types.compared().iter().filter(|pointer| pointer.matches(path)) {
            self.values.push((pointer, scalar.value()));
        }
    }
}
