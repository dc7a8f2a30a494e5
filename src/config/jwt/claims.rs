//! `require` and `forward`: tables with keys that the operator chooses.

use http::HeaderName;
use serde_json::{Value, json};
use toml::Spanned;
use toml::de::DeValue;

use super::super::kinds::{Fault, Item, Text, ValueKind, Words};
use super::super::reader::Place;
use super::super::report::Problem;
use crate::config::messages::parse_pointer;
use crate::message::Pointer;
use crate::values::Requirement;
use crate::values::{fold, is_reserved};

/// The longest name or string value of a claim, in bytes.
const MAX_TEXT: usize = 1024;

/// A regular expression for the names and string values of claims.
pub(in super::super) const CLAIM: &str = r"^[\s\S]+$";

/// Reads the name or a string value of a claim.
pub(in super::super) fn parse_name(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Err(Fault::new("the text is empty"));
    }
    if text.len() > MAX_TEXT {
        return Err(Fault::new(format!("the text is longer than {MAX_TEXT} bytes")));
    }
    Ok(text.to_owned())
}

/// Reads the name of a claim, or a JSON pointer to a nested claim.
fn parse_claim(text: &str) -> Result<String, Fault> {
    let text = parse_name(text)?;
    match text.strip_prefix('/') {
        Some(pointer) => check_pointer(pointer).map(|()| text),
        None => Ok(text),
    }
}

/// Reads a JSON pointer.
pub(in super::super) fn parse_path(text: &str) -> Result<String, Fault> {
    match text.strip_prefix('/') {
        Some(pointer) => check_pointer(pointer).and_then(|()| parse_name(text)),
        None => Err(Fault::new("a path begins with /").help(format!("write \"/{text}\""))),
    }
}

/// Checks the syntax of RFC 6901 section 3, and refuses empty names: a stray `/` is more likely than a
/// claim without a name.
fn check_pointer(pointer: &str) -> Result<(), Fault> {
    let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !escapes {
        let fault = Fault::new("a ~ in a path is written ~0, and a / in a name ~1 (RFC 6901)");
        return Err(fault.help("for example \"/https:~1~1example.com~1roles\""));
    }
    if pointer.split('/').any(str::is_empty) {
        return Err(Fault::new("a name in this path is empty")
            .help("a path is / and a name for each step: \"/realm_access/roles\""));
    }
    Ok(())
}

/// The name of a claim, or the path to a nested claim.
pub(in super::super) const CLAIM_NAME: Text<String> =
    Text::new("the name of a claim, or a path such as \"/realm_access/roles\"", CLAIM, parse_claim);

/// The place of a value in a message.
pub(in super::super) const POINTER: Text<Pointer> =
    Text::new("a JSON pointer such as \"/room\"", r"^(/([^~]|~[01])*)?$", parse_pointer);

/// A table of claims and their allowed values.
pub(in super::super) struct Require;

impl Words for Require {
    fn words(&self) -> String {
        "a table, claim = text, whole number, true or false, or a list of those".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "minProperties": 1, "additionalProperties": Allowed.schema() })
    }
}

impl ValueKind for Require {
    type Value = Vec<Requirement>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value> {
        entries(self, item, place, |name, place, item| {
            let claim = parse_claim(name.get_ref());
            let claim = claim.map_err(|fault| refuse_name(name, place, fault)).ok()?;
            Some(Requirement { allowed: allowed(&claim, item, place)?, claim })
        })
    }
}

/// A table of claims, each with the place of a value in a message.
pub(in super::super) struct RequireIn;

impl Words for RequireIn {
    fn words(&self) -> String {
        "a table, claim = JSON pointer".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "minProperties": 1, "additionalProperties": POINTER.schema() })
    }
}

impl ValueKind for RequireIn {
    type Value = Vec<(String, Pointer)>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value> {
        entries(self, item, place, |name, place, item| {
            let claim = parse_claim(name.get_ref());
            let claim = claim.map_err(|fault| refuse_name(name, place, fault)).ok()?;
            Some((claim, POINTER.read(item, place)?))
        })
    }
}

/// A table of header fields, each with the claim that it is set from.
pub(in super::super) struct Forward;

impl Words for Forward {
    fn words(&self) -> String {
        "a table, header = claim".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "minProperties": 1, "additionalProperties": CLAIM_NAME.schema() })
    }
}

impl ValueKind for Forward {
    type Value = Vec<(HeaderName, String)>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value> {
        let fields = entries(self, item, place, |name, place, item| {
            let header = header(name.get_ref()).map_err(|fault| refuse_name(name, place, fault));
            let claim = CLAIM_NAME.read(item, place);
            Some((Spanned::new(name.span(), header.ok()?), claim?))
        })?;
        check_distinct(&fields, place)?;
        Some(fields.into_iter().map(|(name, claim)| (name.into_inner(), claim)).collect())
    }
}

struct Allowed;

impl Words for Allowed {
    fn words(&self) -> String {
        "a text, a whole number, true or false, or a list of those".to_owned()
    }

    fn schema(&self) -> Value {
        let one = ["string", "integer", "boolean"];
        json!({ "anyOf": [
            { "type": one },
            { "type": "array", "items": { "type": one }, "minItems": 1 },
        ] })
    }
}

type Name<'a> = Spanned<std::borrow::Cow<'a, str>>;

/// Reads each key and value of a table, which must not be empty, in the order of the file. Returns `None`
/// after it reported every fault.
fn entries<T>(
    kind: &dyn Words,
    item: &Item<'_>,
    place: &Place<'_>,
    read: impl Fn(&Name<'_>, &Place<'_>, &Item<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(table) = item.get_ref().as_table() else {
        return place.wrong_type(item, kind);
    };
    if table.is_empty() {
        return place.refuse(item, kind, Fault::new("the table is empty").help("leave it out"));
    }
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    all(entries.into_iter().map(|(name, item)| read(name, &place.within(name.get_ref()), item)))
}

/// Collects all values, or returns `None` after reading all of them, so that every fault is reported.
fn all<T>(found: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let found: Vec<_> = found.collect();
    found.into_iter().collect()
}

fn refuse_name(name: &Name<'_>, place: &Place<'_>, fault: Fault) {
    place.cx.refuse(Problem::of(&place.key, name.span(), fault));
}

fn allowed(claim: &str, item: &Item<'_>, place: &Place<'_>) -> Option<Vec<Value>> {
    match item.get_ref() {
        DeValue::Array(items) if items.is_empty() => {
            let fault = Fault::new("the list is empty").help("no value would be allowed");
            place.refuse(item, &Allowed, fault)
        }
        DeValue::Array(items) => all(items.iter().map(|item| value(item, place))),
        DeValue::Table(_) => {
            let fault = Fault::new("this is a table");
            let path = path_to(claim, item);
            let fault = fault.help(format!(
                "a claim inside another is written as a path: \"{path}\" = \"VALUE\"; a claim with a dot in its \
                 own name in quotes"
            ));
            place.refuse(item, &Allowed, fault)
        }
        _ => Some(vec![value(item, place)?]),
    }
}

/// The JSON pointer to the first value in nested tables.
fn path_to(claim: &str, item: &Item<'_>) -> String {
    let escaped = |name: &str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let mut path = escaped(claim);
    let mut inside = item.get_ref().as_table();
    while let Some((name, item)) = inside.and_then(|table| table.iter().next()) {
        path += &escaped(name.get_ref());
        inside = item.get_ref().as_table();
    }
    path
}

fn value(item: &Item<'_>, place: &Place<'_>) -> Option<Value> {
    match item.get_ref() {
        DeValue::String(text) => Some(Value::from(text.as_ref())),
        DeValue::Boolean(truth) => Some(Value::from(*truth)),
        DeValue::Integer(number) => {
            let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
            let fault = || Fault::new(format!("{number} is out of bounds"));
            value.map(Value::from).or_else(|| place.refuse(item, &Allowed, fault()))
        }
        _ => place.wrong_type(item, &Allowed),
    }
}

/// Reads the name of a header field that the gateway may set from a claim.
fn header(text: &str) -> Result<HeaderName, Fault> {
    let header = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(format!("\"{text}\" is not the name of a header field"))
            .help("write the header first: \"X-User-Id\" = \"sub\"")
    })?;
    if is_reserved(&header) {
        let fault = Fault::new(format!("\"{text}\" is not free to carry a claim"));
        return Err(fault.help(
            "the handshake, the client or the gateway gives it its meaning: choose a name of your own, \
             such as \"X-User-Id\"",
        ));
    }
    Ok(header)
}

/// Refuses names that differ only in spelling: servers that map field names to variables merge them.
fn check_distinct(fields: &[(Spanned<HeaderName>, String)], place: &Place<'_>) -> Option<()> {
    let mut distinct = Some(());
    for (at, (name, _)) in fields.iter().enumerate() {
        let same =
            |(other, _): &&(Spanned<HeaderName>, _)| fold(other.get_ref()) == fold(name.get_ref());
        if let Some((first, _)) = fields[..at].iter().find(same) {
            let what = format!("{}: two spellings of one header field", place.key);
            place.cx.refuse(
                Problem::at(name.span(), what)
                    .related(first.span(), "the same name to many servers")
                    .help("case, -, _ and . make no difference: remove one of the two"),
            );
            distinct = None;
        }
    }
    distinct
}
