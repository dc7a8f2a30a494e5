//! The scan against three other parsers: what it accepts, all of them accept and read alike.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path as FilePath;

use jiter::JsonValue;
use proptest::prelude::*;
use serde_json::Value;
use simd_json::{OwnedValue, StaticNode};

use super::{BOUNDS, Collected, scan, values};
use crate::message::{Bounds, StructureRule};

/// A value as applications see it: a number is a double, and members have no order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Read {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Read>),
    Members(BTreeMap<String, Read>),
}

#[expect(clippy::cast_precision_loss, reason = "it is at most 2^53")]
pub(super) fn of_integer(integer: i64) -> Read {
    assert!(integer.unsigned_abs() <= 1 << 53, "{integer} is no double");
    Read::Number(integer as f64)
}

pub(super) fn of_members(members: impl ExactSizeIterator<Item = (String, Read)>) -> Read {
    let count = members.len();
    let members: BTreeMap<_, _> = members.collect();
    assert_eq!(members.len(), count, "two members have one name");
    Read::Members(members)
}

pub(super) fn of_serde_json(value: &Value) -> Read {
    match value {
        Value::Null => Read::Null,
        Value::Bool(bool) => Read::Bool(*bool),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => of_integer(integer),
            (None, Some(double)) => Read::Number(double),
            (None, None) => panic!("{number} is no double"),
        },
        Value::String(text) => Read::Text(text.clone()),
        Value::Array(items) => Read::List(items.iter().map(of_serde_json).collect()),
        Value::Object(members) => {
            of_members(members.iter().map(|(name, value)| (name.clone(), of_serde_json(value))))
        }
    }
}

fn of_simd_json(value: &OwnedValue) -> Read {
    match value {
        OwnedValue::Static(StaticNode::Null) => Read::Null,
        OwnedValue::Static(StaticNode::Bool(bool)) => Read::Bool(*bool),
        OwnedValue::Static(StaticNode::I64(integer)) => of_integer(*integer),
        OwnedValue::Static(StaticNode::U64(integer)) => {
            of_integer(i64::try_from(*integer).expect("it is at most 2^53"))
        }
        OwnedValue::Static(StaticNode::F64(double)) => Read::Number(*double),
        OwnedValue::String(text) => Read::Text(text.clone()),
        OwnedValue::Array(items) => Read::List(items.iter().map(of_simd_json).collect()),
        OwnedValue::Object(members) => {
            of_members(members.iter().map(|(name, value)| (name.clone(), of_simd_json(value))))
        }
    }
}

fn of_jiter(value: &JsonValue<'_>) -> Read {
    match value {
        JsonValue::Null => Read::Null,
        JsonValue::Bool(bool) => Read::Bool(*bool),
        JsonValue::Int(integer) => of_integer(*integer),
        JsonValue::Float(double) => Read::Number(*double),
        JsonValue::Str(text) => Read::Text(text.clone().into_owned()),
        JsonValue::Array(items) => Read::List(items.iter().map(of_jiter).collect()),
        JsonValue::Object(members) => of_members(
            members.iter().map(|(name, value)| (name.clone().into_owned(), of_jiter(value))),
        ),
    }
}

/// What each parser reads; an error is what it says.
fn readings(text: &str) -> [Result<Read, String>; 3] {
    let serde_json: Result<Value, _> = serde_json::from_str(text);
    let mut bytes = text.as_bytes().to_vec();
    let simd_json = simd_json::to_owned_value(&mut bytes);
    let jiter = JsonValue::parse(text.as_bytes(), false);
    [
        serde_json.map(|value| of_serde_json(&value)).map_err(|error| error.to_string()),
        simd_json.map(|value| of_simd_json(&value)).map_err(|error| error.to_string()),
        jiter.map(|value| of_jiter(&value)).map_err(|error| error.to_string()),
    ]
}

/// The rule that `bytes` break. If they break none, all parsers must read the same.
fn judged(bytes: &[u8], bounds: &Bounds) -> Result<(), Option<StructureRule>> {
    // A text message is UTF-8, and a binary one that is not is no JSON.
    let text = str::from_utf8(bytes).map_err(|_| None)?;
    scan(text, bounds, &mut Collected::default()).map_err(|fault| Some(fault.rule))?;
    let [first, second, third] = readings(text);
    let read = first.unwrap_or_else(|error| panic!("serde_json refuses {text}: {error}"));
    assert_eq!(Ok(&read), second.as_ref(), "simd-json reads {text} differently");
    assert_eq!(Ok(&read), third.as_ref(), "jiter reads {text} differently");
    Ok(())
}

/// Texts of the suite that every parser must accept, and that we refuse since their readers differ.
const STRICTER: &[(&str, StructureRule)] = &[
    ("object_duplicated_key", StructureRule::DuplicateKey),
    ("object_duplicated_key_and_value", StructureRule::DuplicateKey),
];

/// Texts of the suite on which parsers may differ, and that we accept: all of these parsers do, and read the same.
const ACCEPTED: &[&str] = &[
    "number_double_huge_neg_exp",
    "number_real_underflow",
    "number_1.0",
    "number_1.000000000000000005",
    "number_1000000000000000",
    "number_1e-999",
    "number_1e6",
    // Two names to each of these parsers; some others normalize them.
    "object_key_nfc_nfd",
    "object_key_nfd_nfc",
    "string_with_escaped_NULL",
];

/// The largest depth that can be configured.
const DEEP: Bounds = Bounds { max_depth: 127, ..BOUNDS };

/// The bytes of `hex*count+hex`.
pub(super) fn bytes_of(parts: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts.split('+') {
        let (digits, count) = part.split_once('*').unwrap_or((part, "1"));
        let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        let part: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        bytes.extend(part.repeat(count.parse().unwrap()));
    }
    bytes
}

#[test]
fn the_json_test_suite_agrees_but_for_what_is_listed() {
    let path = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/suites/json_texts.txt");
    let (mut stricter, mut accepted) = (Vec::new(), Vec::new());
    let list = fs::read_to_string(path).unwrap();
    for line in list.lines() {
        let mut columns = line.split(' ');
        let [expected, name, bytes] = [(); 3].map(|()| columns.next().unwrap());
        let bytes = bytes_of(bytes);
        match (expected, judged(&bytes, &DEEP)) {
            ("y", Ok(())) | ("n" | "i" | "t", Err(_)) => {}
            ("y", Err(rule)) => stricter.push((name, rule.unwrap())),
            ("n", Ok(())) => panic!("{name} passes"),
            (_, Ok(())) => accepted.push(name),
            (other, _) => panic!("{other} is no expectation"),
        }
    }
    assert_eq!(list.lines().count(), 340);
    assert_eq!(stricter, STRICTER);
    assert_eq!(accepted, ACCEPTED);
}

#[test]
fn all_parsers_read_the_largest_depth() {
    for (begin, end) in [("[", "]"), ("{\"a\":", "}")] {
        let text = begin.repeat(127) + "0" + &end.repeat(127);
        assert_eq!(judged(text.as_bytes(), &DEEP), Ok(()));
    }
}

/// Parts of texts on which parsers have differed.
const PARTS: &[&str] = &[
    "\"",
    "\\",
    "\\\"",
    "\\u0000",
    "\\u0061",
    "\\ud83d",
    "\\ude00",
    "\\uD83D\\uDE00",
    "\\/",
    "\\x41",
    "\u{0}",
    "\u{1f}",
    "\u{7f}",
    "\u{a0}",
    "\u{feff}",
    "\u{2028}",
    "\u{fffe}",
    "\u{10ffff}",
    "é",
    "e\u{301}",
    " ",
    "\t",
    "\r\n",
    "\u{b}",
    "\u{c}",
    ",",
    ",,",
    ":",
    "[",
    "]",
    "{",
    "}",
    "[]",
    "{}",
    "{\"a\":1,\"a\":2}",
    "null",
    "true",
    "nul",
    "NaN",
    "Infinity",
    "undefined",
    "0",
    "-0",
    "00",
    "1",
    "-",
    "+",
    ".",
    "e",
    "E",
    "1.",
    ".5",
    "1e5",
    "1E+5",
    "1e-5",
    "1e308",
    "1e309",
    "-1e400",
    "1e-400",
    "5e-324",
    "2.2250738585072011e-308",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740993",
    "18446744073709551616",
    "0.1",
    "100000000000000000000.0",
    "123456789.123456789e-30",
    "0.000000000000000000000000000001",
    "3.141592653589793238462643383279",
    "1e23",
    "8.41e21",
    "9.5367431640625e-7",
    "179769313486231580793e289",
    "0e999999999999",
    "0.0e-99999999999",
    "//",
    "/*",
    "*/",
    "#",
    "'",
    "`",
    "\"a\":",
];

#[derive(Debug, Clone)]
enum Mutation {
    Insert(prop::sample::Index, &'static str),
    Replace(prop::sample::Index, char),
    Delete(prop::sample::Index, u8),
    Repeat(prop::sample::Index, u8),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<prop::sample::Index>;
    let mutation = prop_oneof![
        3 => (at(), prop::sample::select(PARTS)).prop_map(|(at, part)| Mutation::Insert(at, part)),
        1 => (at(), any::<char>()).prop_map(|(at, character)| Mutation::Replace(at, character)),
        1 => (at(), 1..4_u8).prop_map(|(at, count)| Mutation::Delete(at, count)),
        1 => (at(), 1..9_u8).prop_map(|(at, count)| Mutation::Repeat(at, count)),
    ];
    prop::collection::vec(mutation, 0..4)
}

fn mutated(text: &str, mutations: &[Mutation]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for mutation in mutations {
        let length = text.len();
        let clipped = |at: usize, count: u8| at..(at + usize::from(count)).min(length);
        match mutation {
            Mutation::Insert(at, part) => {
                let at = at.index(length + 1);
                text.splice(at..at, part.chars());
            }
            Mutation::Replace(at, character) if length > 0 => text[at.index(length)] = *character,
            Mutation::Delete(at, count) if length > 0 => {
                text.drain(clipped(at.index(length), *count));
            }
            Mutation::Repeat(at, count) if length > 0 => {
                let range = clipped(at.index(length), *count);
                let again = text[range.clone()].to_vec();
                text.splice(range.end..range.end, again);
            }
            _ => {}
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Texts of generated values, changed in some places.
    #[test]
    fn what_the_scan_accepts_all_parsers_read_alike(value in values(), changes in mutations()) {
        let text = mutated(&serde_json::to_string(&value).unwrap(), &changes);
        let _ = judged(text.as_bytes(), &BOUNDS);
    }

    /// Numbers of every form.
    #[test]
    fn numbers_that_the_scan_accepts_all_parsers_read_alike(
        text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?",
    ) {
        let _ = judged(text.as_bytes(), &BOUNDS);
    }

    /// Strings with every escape.
    #[test]
    fn strings_that_the_scan_accepts_all_parsers_read_alike(
        text in "\"(\\\\[\"\\\\/bfnrtux0]|\\\\u[dD][89aAcCfF][0-9a-f]{2}|\\\\u[0-9a-fA-F]{4}|[^\"\\\\]){0,12}\"",
    ) {
        let _ = judged(text.as_bytes(), &BOUNDS);
    }
}
