//! The scan against lists of texts and against `serde_json`; rules on messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::path::Path;
use super::pointer::Pointer;
use super::rules::{Judged, MessageKind, Verdict};
use super::scan::{Scalar, Visitor, scan};
use super::{
    Bounds, Judge, MessageRules, OnViolation, Patterns, Protocol, Schema, StructureRule, Types,
};
use crate::message::{TypePattern, TypeRules};
use crate::values::{Endpoint, Reason, Requirement};
use crate::wire::{MessageJudge, Outcome};

pub(super) const BOUNDS: Bounds = Bounds {
    max_depth: 32,
    max_members: 1000,
    max_items: 1000,
    max_string: 1 << 16,
    duplicate_keys: false,
};

/// Collects the paths of scalars and names.
#[derive(Default)]
struct Collected {
    scalars: Vec<(String, Value)>,
    names: Vec<String>,
}

impl<'t> Visitor<'t> for Collected {
    fn name(&mut self, path: &Path<'t>) -> bool {
        self.names.push(String::from_utf8(path.last_name().into_owned()).unwrap());
        true
    }

    fn container(&mut self, _: &Path<'t>) {}

    fn scalar(&mut self, path: &Path<'t>, scalar: &Scalar<'t>) {
        self.scalars.push((path.to_string(), scalar.value()));
    }
}

fn judged(text: &str) -> Result<(), StructureRule> {
    scan(text, &BOUNDS, &mut Collected::default()).map_err(|fault| fault.rule)
}

/// Texts that every parser must accept by `JSONTestSuite` (Nicolas Seriot, "Parsing JSON is a Minefield").
#[test]
fn texts_that_parsers_read_alike_pass_and_others_do_not() {
    for text in [
        "[]",
        "{}",
        "[ ]",
        "\t[]\r\n ",
        "null",
        "true",
        "\"\"",
        "0",
        "-0",
        "-0.0",
        "1e5",
        "1E+2",
        "0e1",
        "[1,2]",
        "{\"a\":[{}]}",
        "\"\\u0000\"",
        "\"\\uD834\\udd1e\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "{\"\":0}",
        "\"\u{7f}\"",
        "\"\u{2028}\"",
        "9007199254740992",
        "-9007199254740992",
        "123.456e-7",
        "{\"a\":{\"b\":1},\"b\":1}",
        "1e308",
        "1e-400",
        "\"\\uFFFF\"",
    ] {
        assert_eq!(judged(text), Ok(()), "{text}");
    }
}

#[test]
fn texts_that_parsers_read_differently_are_refused() {
    for (rule, texts) in REFUSED {
        for text in *texts {
            assert_eq!(judged(text), Err(*rule), "{text}");
        }
    }
}

/// Texts that are not JSON, and those on which the suite lets parsers differ.
const REFUSED: &[(StructureRule, &[&str])] = &[
    (
        StructureRule::Syntax,
        &[
            "",
            " ",
            "[",
            "{",
            "]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "[\"a]",
            "\"\t\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12G4\"",
            "+1",
            "1.",
            ".1",
            "1.e2",
            "1e",
            "1e+",
            "-",
            "--1",
            "NaN",
            "Infinity",
            "-Infinity",
            "tru",
            "True",
            "nul",
            "[1}",
            "{\"a\":1]",
            "//x\n1",
            "/**/1",
            "\u{a0}1",
            "\u{c}1",
            "{\"a\":1 \"b\":2}",
            "{1:1}",
            "\"\\\"",
            "\"\\uD834\\uXXXX\"",
            "[1,,2]",
            "{,}",
            "[:]",
        ],
    ),
    (
        StructureRule::Trailing,
        &[
            "1 2",
            "{}}",
            "[]]",
            "{}x",
            "1x",
            "\"\"\"",
            "null null",
            "[]\u{0}",
            "0 1",
            "00",
            "0x1",
            "01",
            "-01",
            "truex",
        ],
    ),
    (
        StructureRule::LoneSurrogate,
        &[
            "\"\\uD800\"",
            "\"\\udc00\"",
            "\"\\uD800\\n\"",
            "\"\\uD800\\uD800\"",
            "\"\\udd1e\\uD834\"",
        ],
    ),
    (StructureRule::ByteOrderMark, &["\u{feff}{}"]),
    (
        StructureRule::Number,
        &[
            "9007199254740993",
            "-9007199254740993",
            "123123123123123123123",
            "1e309",
            "-1e999",
            "0.4e00669999999999",
            "1.5e999",
        ],
    ),
    (
        StructureRule::DuplicateKey,
        &[
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"\\ud83d\\ude00\":1,\"😀\":2}",
            "[{\"\":1,\"\":2}]",
            "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"i\":1}",
        ],
    ),
];

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(judged(&nested(32)), Ok(()));
    assert_eq!(judged(&nested(33)), Err(StructureRule::Depth));
    assert_eq!(judged(&"[".repeat(1_000_000)), Err(StructureRule::Depth));
    assert_eq!(judged(&"{\"a\":".repeat(33)), Err(StructureRule::Depth));
    let bounds = Bounds { max_depth: 1_000_000, ..BOUNDS };
    assert_eq!(scan(&nested(100_000), &bounds, &mut Collected::default()), Ok(()));
}

/// Names are compared in three ways: by marks, one by one, and in a set.
#[test]
fn duplicate_names_are_found_wherever_they_are() {
    let name = |number: usize| match number % 4 {
        0 => format!("n{number}"),
        1 => format!("a-name-longer-than-a-word-{number}"),
        2 => format!("\\u00e9{number}"),
        _ => "x".repeat(number),
    };
    for count in [2, 7, 8, 9, 10, 40] {
        let names: Vec<_> = (0..count).map(name).collect();
        let object = |names: &[String]| {
            let members: Vec<_> = names.iter().map(|name| format!("\"{name}\":{{}}")).collect();
            format!("[{{{}}},{{\"n0\":[{{\"n0\":0}}]}}]", members.join(","))
        };
        assert_eq!(judged(&object(&names)), Ok(()), "{count}");
        for first in 0..count {
            let again = [names.clone(), vec![name(first)]].concat();
            assert_eq!(judged(&object(&again)), Err(StructureRule::DuplicateKey), "{again:?}");
        }
    }
    assert_eq!(judged("{\"é\":1,\"\\u00e9\":2}"), Err(StructureRule::DuplicateKey));
    assert_eq!(judged("{\"\\u00e9\":1,\"é\":2}"), Err(StructureRule::DuplicateKey));
    assert_eq!(judged("{\"a\":1,\"a\":2}"), Err(StructureRule::DuplicateKey));
}

#[test]
fn scalars_have_their_pointers() {
    let mut seen = Collected::default();
    let text = "{\"a\":[1,{\"b/c\":\"x\"},[],true],\"d~\":null,\"e\":{\"f\":2}}";
    scan(text, &BOUNDS, &mut seen).unwrap();
    let expected = [
        ("/a/0", json!(1)),
        ("/a/1/b~1c", json!("x")),
        ("/a/3", json!(true)),
        ("/d~0", Value::Null),
        ("/e/f", json!(2)),
    ];
    assert_eq!(seen.scalars, expected.map(|(path, value)| (path.to_owned(), value)));
    assert_eq!(seen.names, ["a", "b/c", "d~", "e", "f"]);
}

/// The scalars of a tree, by their pointers.
fn scalars_of(value: &Value, path: &str, into: &mut Vec<(String, Value)>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            scalars_of(value, &format!("{path}/{}", escaped(name)), into);
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| scalars_of(value, &format!("{path}/{index}"), into)),
        scalar => into.push((path.to_owned(), scalar.clone())),
    }
}

fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=(1 << 53)).prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| json!(number)),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c/~\"\\\\é]{0,2}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever the scan accepts, `serde_json` reads, and both see the same scalars at the same places.
    #[test]
    fn the_scan_and_serde_json_agree(text in "[\\[\\]{}\",:0-9a-c.eE+\\-\\\\u tfn]{0,24}") {
        let mut seen = Collected::default();
        if scan(&text, &BOUNDS, &mut seen).is_ok() {
            let value: Value = serde_json::from_str(&text).expect("what the scan accepts is JSON");
            let mut expected = Vec::new();
            scalars_of(&value, "", &mut expected);
            let sort = |scalars: Vec<(String, Value)>| -> BTreeSet<(String, String)> {
                scalars.into_iter().map(|(path, value)| (path, value.to_string())).collect()
            };
            prop_assert_eq!(sort(seen.scalars), sort(expected));
        }
    }

    #[test]
    fn every_generated_value_passes_with_its_scalars(value in values(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let mut seen = Collected::default();
        prop_assert_eq!(scan(&text, &BOUNDS, &mut seen), Ok(()));
        let mut expected = Vec::new();
        scalars_of(&value, "", &mut expected);
        prop_assert_eq!(seen.scalars.len(), expected.len());
    }

    /// A text that `serde_json` refuses is refused by the scan, wherever it was damaged.
    #[test]
    fn a_damaged_text_is_refused_by_both(value in values(), at: prop::sample::Index, byte in "[ -~]") {
        let mut text: Vec<char> = serde_json::to_string(&value).unwrap().chars().collect();
        let at = at.index(text.len());
        text[at] = byte.chars().next().unwrap();
        let text: String = text.into_iter().collect();
        if serde_json::from_str::<Value>(&text).is_err() {
            prop_assert!(scan(&text, &BOUNDS, &mut Collected::default()).is_err(), "{}", text);
        }
    }
}

fn rules() -> MessageRules {
    MessageRules {
        sender: Endpoint::Client,
        protocol: None,
        max_size: 1 << 16,
        on_violation: OnViolation::Close,
        error_reply: None,
        report: false,
        strike: false,
        kinds: Vec::new(),
        binary_types: Vec::new(),
        bounds: None,
        packed: None,
        schema: None,
        deny: None,
        types: None,
    }
}

fn a_type(name: &str) -> TypeRules {
    TypeRules {
        name: name.into(),
        scope: name.into(),
        pattern: TypePattern::parse(name).unwrap(),
        schema: None,
        require: Vec::new(),
        require_in: Vec::new(),
        rate: None,
        rate_per_user: None,
        on_violation: None,
    }
}

fn judge<'r>(
    rules: &'r MessageRules,
    kind: MessageKind,
    payload: &[u8],
    claims: Option<&Map<String, Value>>,
) -> Verdict<'r> {
    let message = Judged { kind, payload, claims };
    rules.judge(&message, rules.reader().as_deref_mut())
}

fn reason(rules: &MessageRules, text: &str, claims: Option<&Map<String, Value>>) -> Option<Reason> {
    judge(rules, MessageKind::Text, text.as_bytes(), claims).fault.map(|fault| fault.reason)
}

#[test]
fn the_exact_type_wins_then_the_longest_beginning() {
    let types = Types::new(
        Some(Pointer::parse("/t").unwrap()),
        ["*", "a*", "a:b", "a:*"].map(a_type).into_iter().collect(),
        false,
    );
    let rules = MessageRules { bounds: Some(BOUNDS), types: Some(types), ..rules() };
    for (name, expected) in [("a:b", "a:b"), ("a:bc", "a:*"), ("ab", "a*"), ("x", "*"), ("", "*")] {
        let text = json!({ "t": name }).to_string();
        let Verdict { at_fault, fault, .. } =
            judge(&rules, MessageKind::Text, text.as_bytes(), None);
        assert_eq!((&*at_fault.unwrap().name, fault), (expected, None), "{name}");
    }
    assert!(TypePattern::parse("a*b").is_err() && TypePattern::parse("").is_err());
}

#[test]
fn a_claim_of_the_token_is_compared_with_the_place_in_the_message() {
    let mut one = a_type("join");
    one.require_in = vec![("/app/rooms".to_owned(), Pointer::parse("/data/0/room").unwrap())];
    one.require = vec![Requirement { claim: "scope".into(), allowed: vec![json!("chat")] }];
    let types = Types::new(Some(Pointer::parse("/t").unwrap()), vec![one], false);
    let rules = MessageRules { bounds: Some(BOUNDS), types: Some(types), ..rules() };
    let claims = json!({ "app": { "rooms": ["red", 7] }, "scope": "read chat" });
    let claims = claims.as_object();
    let message = |room: Value| json!({ "t": "join", "data": [{ "room": room }] }).to_string();
    assert_eq!(reason(&rules, &message(json!("red")), claims), None);
    assert_eq!(reason(&rules, &message(json!(7)), claims), None);
    for room in [json!("blue"), json!("7"), json!(null), json!(["red"]), json!("")] {
        assert_eq!(reason(&rules, &message(room), claims), Some(Reason::MessageClaim));
    }
    assert_eq!(reason(&rules, &message(json!("red")), None), Some(Reason::MessageClaim));
}

#[test]
fn patterns_see_every_name_and_string_unescaped() {
    let deny = Patterns::new(&["^secret$".to_owned()]).unwrap();
    let rules = MessageRules { deny: Some(deny), ..rules() };
    for text in
        ["secret", "{\"secret\":1}", "[[\"s\\u0065cret\"]]", "{\"a\":{\"\\u0073ecret\":[]}}"]
    {
        assert_eq!(reason(&rules, text, None), Some(Reason::MessagePattern), "{text}");
    }
    for text in ["a secret", "{\"secrets\":\"not secret\"}", "{", "{\"a\":1,\"a\":2}"] {
        assert_eq!(reason(&rules, text, None), None, "{text}");
    }
    let binary = judge(&rules, MessageKind::Binary, &[0xff, 0xfe], None);
    assert_eq!(binary.fault, None);
    let deny = Patterns::new(&["<script".to_owned()]).unwrap();
    let rules = MessageRules { deny: Some(deny), ..self::rules() };
    let binary = judge(&rules, MessageKind::Binary, b"<script>\xff", None);
    assert_eq!(binary.fault.unwrap().reason, Reason::MessagePattern, "lenient decoders read it");
    assert!(Patterns::new(&["(a)\\1".to_owned()]).is_err());
    assert!(Patterns::new(&["(?=a)".to_owned()]).is_err());
}

#[test]
fn a_schema_that_cannot_be_used_says_where() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("outside.json"), "{}").unwrap();
    std::fs::create_dir(folder.path().join("schemas")).unwrap();
    let file = folder.path().join("schemas/chat.json");
    std::fs::write(folder.path().join("schemas/part.json"), r#"{ "type": "integer" }"#).unwrap();
    std::os::unix::fs::symlink("../outside.json", folder.path().join("schemas/link.json")).unwrap();
    for (text, expected) in [
        (r#"{"properties":{"a":{"type":"text"}}}"#, "at /properties/a/type"),
        (r#"{"properties":{"a":{"pattern":"(?=b)"}}}"#, "at /properties/a/pattern"),
        (r#"{"format":"e-mail"}"#, "e-mail"),
        (r#"{"$ref":"https://127.0.0.1:9/schema.json"}"#, "nothing is fetched"),
        (r#"{"$ref":"../outside.json"}"#, "leads out of the folder"),
        (r#"{"$ref":"link.json"}"#, "leads out of the folder"),
        (r#"{"$ref":"none.json"}"#, "No such file"),
        (r#"{"type":"object","type":"string"}"#, "is not JSON: "),
        ("{", "is not JSON: "),
    ] {
        let error = Schema::compile(&file, text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let schema = Schema::compile(&file, br#"{"properties":{"n":{"$ref":"part.json"}}}"#).unwrap();
    assert_eq!(schema.judge(&json!({ "n": 1 })), Ok(()));
    assert_eq!(schema.judge(&json!({ "n": "1" })).unwrap_err().instance, "/n");
    // The client chose the name.
    let schema = Schema::compile(&file, br#"{"additionalProperties":{"type":"null"}}"#).unwrap();
    let instance = schema.judge(&json!({ ("\u{e9}".repeat(1000)): 1 })).unwrap_err().instance;
    assert_eq!(instance, format!("/{}...", "\u{e9}".repeat(127)));
}

#[test]
fn attachments_of_a_refused_event_are_not_refused_once_more() {
    let rules = MessageRules {
        protocol: Some(Protocol::SocketIo { max_attachments: 2, max_size: 100 }),
        on_violation: OnViolation::Drop,
        bounds: Some(BOUNDS),
        types: Some(Types::new(None, vec![a_type("say")], false)),
        ..rules()
    };
    let mut judge = Judge::new(Arc::new(rules), None, Vec::new(), "r1");
    let event = |name: &str| {
        let place = |number| format!(r#"{{"_placeholder":true,"num":{number}}}"#);
        format!(r#"452-["{name}",{},{}]"#, place(0), place(1))
    };
    let (say, other, attachments) = (event("say"), event("other"), "bAQID\u{1e}bAQID");
    let body = format!("{other}\u{1e}{attachments}\u{1e}{say}\u{1e}{attachments}");
    let verdict = judge.judge_body(&body, Instant::now());
    assert_eq!((verdict.refused, verdict.judged.len()), (vec![Reason::MessageType], 1));
    assert_eq!(verdict.kept, Some(format!("{say}\u{1e}{attachments}")));
    assert!(judge.judge(false, other.as_bytes(), Instant::now()).is_some());
    let judged = judge.judge(true, b"attachment", Instant::now()).unwrap();
    assert_eq!(judged.outcome, Outcome::Discard);
}

/// Formats by the RFCs that draft 2020-12 names for them.
#[test]
fn formats_are_asserted() {
    for (format, good, bad) in [
        (
            "email",
            &["a@b.example", "a+b@b.example"][..],
            &["", "a", "a@", "@b.example", "a b@c.example"][..],
        ),
        (
            "uuid",
            &["2eb8aa08-aa98-11ea-b4aa-73b441d16380"],
            &["2eb8aa08aa9811eab4aa73b441d16380", "x"],
        ),
        (
            "date-time",
            &["1963-06-19T08:30:06.283185Z"],
            &["1963-06-19", "1990-02-31T15:59:59.123-08:00"],
        ),
        ("uri", &["https://example.com/a?b#c"], &["//example.com", "a b"]),
        ("ipv4", &["192.0.2.1"], &["192.0.2.256", "192.0.2", "0x7f.0.0.1"]),
        ("ipv6", &["::1", "2001:db8::7"], &["::g", "1.2.3.4"]),
        ("hostname", &["example.com"], &["-a.example", "a_b.example"]),
    ] {
        let text = json!({ "format": format }).to_string();
        let schema = Schema::compile(std::path::Path::new("x.json"), text.as_bytes()).unwrap();
        for text in good {
            assert_eq!(schema.judge(&json!(text)), Ok(()), "{format}: {text}");
        }
        for text in bad {
            assert!(schema.judge(&json!(text)).is_err(), "{format}: {text}");
        }
    }
}

/// Texts that real parsers accept although the scan does not, and others in which escapes hide a pattern.
#[test]
fn a_text_that_is_not_strict_json_hides_no_pattern() {
    let deny = Patterns::new(&["(?i)<script".to_owned(), "^secret$".to_owned()]).unwrap();
    let plain = MessageRules { deny: Some(deny), ..rules() };
    let deny = Patterns::new(&["(?i)<script".to_owned(), "^secret$".to_owned()]).unwrap();
    let types = Types::new(Some(Pointer::parse("/t").unwrap()), vec![a_type("x")], true);
    let listing =
        MessageRules { deny: Some(deny), bounds: Some(BOUNDS), types: Some(types), ..rules() };
    for text in [
        r#"{"a":9007199254740993,"b":"\u003cscript"}"#,
        r#"{"a":"\ud800","b":"\u003cscript"}"#,
        r#"{"a":NaN,"b":"\u003cscript"}"#,
        r#"42["m","\u003cscript"]"#,
        r#"42"["m","\u003cscript"]"#,
        r#"42["m","s\u0065cret"]"#,
        r"'\u003cscript'",
        r#"{} "\u003CSCRIPT"#,
    ] {
        for rules in [&plain, &listing] {
            assert_eq!(reason(rules, text, None), Some(Reason::MessagePattern), "{text}");
        }
    }
}

#[test]
fn a_type_is_not_hidden_from_the_rules_by_lenient_json() {
    let mut one = a_type("delete");
    one.require = vec![Requirement { claim: "role".into(), allowed: vec![json!("admin")] }];
    let types = Types::new(Some(Pointer::parse("/action").unwrap()), vec![one], true);
    let rules = MessageRules { bounds: Some(BOUNDS), types: Some(types), ..rules() };
    for text in [
        r#"{"action":"delete","x":NaN}"#,
        "\u{feff}{\"action\":\"delete\"}",
        r#"{"action":"delete"}{}"#,
        r#"{"action":["delete"]}"#,
        r#"{"Action":"delete"}"#,
        r#"{"action":"say","ACTION":"delete"}"#,
        r#" {"action":"delete",}"#,
        "{\0\"\0",
        "\0{",
    ] {
        assert!(reason(&rules, text, None).is_some(), "{text}");
    }
    for payload in [&b"\xff\xfe{\0"[..], b"\xfe\xff\0{", b"\xff["] {
        assert!(judge(&rules, MessageKind::Binary, payload, None).fault.is_some());
    }
    for text in ["hello", "42[\"say\"]", "{\"action\":\"say\"}", "{\"action\":1}", "{}", "[]"] {
        assert_eq!(reason(&rules, text, None), None, "{text}");
    }
    assert_eq!(judge(&rules, MessageKind::Binary, &[0x89, b'P', 0xff], None).fault, None);
}

#[test]
fn an_empty_value_is_in_no_claim() {
    let mut one = a_type("join");
    one.require_in = vec![("rooms".to_owned(), Pointer::parse("/room").unwrap())];
    let types = Types::new(Some(Pointer::parse("/t").unwrap()), vec![one], false);
    let rules = MessageRules { bounds: Some(BOUNDS), types: Some(types), ..rules() };
    for claim in ["a  b", "a ", ""] {
        let claims = json!({ "rooms": claim });
        let judged = reason(&rules, "{\"t\":\"join\",\"room\":\"\"}", claims.as_object());
        assert_eq!(judged, Some(Reason::MessageClaim), "{claim:?}");
    }
}

#[test]
fn pointers_follow_rfc_6901() {
    for (text, shown) in [("", ""), ("/a", "/a"), ("/a~1b/~0", "/a~1b/~0"), ("/0", "/0")] {
        assert_eq!(Pointer::parse(text).unwrap().to_string(), shown);
    }
    for text in ["a", "/~", "/~2", "/a~"] {
        assert!(Pointer::parse(text).is_err(), "{text}");
    }
}

mod packed;
mod parsers;
mod schemas;
