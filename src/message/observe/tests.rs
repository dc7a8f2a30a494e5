//! Drafts accept what was observed, show no value, and are bounded.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::formats::Formats;
use super::shape::{Nodes, Shape};
use super::{MOST_KEPT, MOST_NODES, MOST_TYPES, Observation, Observed, ObservedProtocol, Report};
use crate::message::Schema;
use crate::values::{Endpoint, Rate, UserShare};
use crate::wire::{MessageObserver, ObservedMessage};

/// An observation, and the instant at which it began.
fn begun(type_at: Option<&str>) -> (Arc<Observation>, Instant) {
    let now = Instant::now();
    let type_at = type_at.map(str::to_owned);
    let observed = Observed { sender: Endpoint::Client, type_at, protocol: None };
    (Arc::new(Observation::new(observed, now)), now)
}

fn say(observer: &mut dyn MessageObserver, text: &str, now: Instant) {
    say_bytes(observer, false, text.as_bytes(), now);
}

fn say_bytes(observer: &mut dyn MessageObserver, binary: bool, payload: &[u8], now: Instant) {
    let kept = observer.begin(now) && observer.reserve(payload.len());
    let size = payload.len() as u64;
    observer.end(&ObservedMessage { binary, size, payload: kept.then_some(payload), now });
}

fn report(observation: &Observation, now: Instant) -> Report {
    observation.report("chat", now)
}

/// The report on these texts of one session, 10 of them in a second.
fn observed(type_at: Option<&str>, texts: &[String]) -> Report {
    let (observation, begin) = begun(type_at);
    let mut observer = observation.observer();
    for (number, text) in (0..).zip(texts) {
        say(&mut *observer, text, begin + Duration::from_millis(100) * number);
    }
    report(&observation, begin + Duration::from_secs(600))
}

fn compiled(schema: &Value) -> Schema {
    Schema::compile(Path::new("draft.json"), schema.to_string().as_bytes()).unwrap()
}

fn draft(values: &[Value]) -> Value {
    let (formats, mut all) = (Formats::new(), 0);
    let mut shape = Shape::default();
    for value in values {
        let mut nodes = Nodes::new(&mut all, &shape);
        shape.add(value, &formats, &mut nodes);
    }
    shape.schema()
}

/// Any JSON; few names, so that documents share some.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-c]{0,3}",
        any::<String>(),
        Just("ann@example.org".to_owned()),
        Just("2026-03-09T08:15:42Z".to_owned()),
        Just("c0ffee00-1234-4567-89ab-00c0ffee0000".to_owned()),
        Just("https://example.org/a".to_owned()),
        Just("192.0.2.7".to_owned()),
        Just("2001:db8::7".to_owned()),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..100_i64).prop_map(Value::from),
    ];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        text.prop_map(Value::from),
    ];
    scalar.prop_recursive(20, 200, 24, |inner| {
        let name = prop_oneof!["[a-e]", "[a-z]{1,2}", "[0-9]{1,5}", any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Objects of many names, beyond every bound of a draft.
fn wide(names: u32, depth: u32) -> Value {
    let inner = |depth| if depth == 0 { json!(1) } else { wide(names, depth - 1) };
    (0..names).map(|name| (format!("n{name}"), inner(depth))).collect::<Map<_, _>>().into()
}

proptest! {
    #[test]
    fn a_draft_accepts_every_document_that_it_was_drafted_from(
        values in prop::collection::vec(any_json(), 1..12)
    ) {
        let draft = draft(&values);
        let schema = compiled(&draft);
        for value in &values {
            prop_assert_eq!(schema.judge(value), Ok(()), "{} by {}", value, draft);
        }
    }

    /// The rate that is suggested lets every session pass that was seen, wherever seconds and minutes begin.
    #[test]
    fn the_suggested_rate_has_room_for_what_was_seen(
        pauses in prop::collection::vec(prop_oneof![0..50_u64, 0..5_000_u64, 0..90_000_u64], 1..200)
    ) {
        let (observation, begin) = begun(Some("/type"));
        let mut observer = observation.observer();
        let mut now = begin;
        let mut times = Vec::new();
        for pause in pauses {
            now += Duration::from_millis(pause);
            say(&mut *observer, "{\"type\":\"a\"}", now);
            times.push(now.into_std());
        }
        let toml = report(&observation, now).toml(None);
        let (_, rate) = toml.split_once("\nrate = \"").unwrap();
        let (count, unit) = rate.split_once('"').unwrap().0.split_once('/').unwrap();
        let count = count.parse().unwrap();
        let per = Duration::from_secs(if unit == "s" { 1 } else { 60 });
        let share = UserShare::new(&Rate { count, per, burst: count }, times[0]);
        for time in times {
            prop_assert!(share.take(time).is_ok(), "{}", toml);
        }
    }

    /// A value of one kind at one place is not shown, in whatever form it comes.
    #[test]
    fn no_value_is_in_a_draft(secret in "[A-Z]{12}[0-9]{6}", number in 100_000..2_000_000_000_i64) {
        let values = [
            json!({ "text": secret, "number": number, "list": [secret, { "a": [number] }] }),
            json!({ "text": "x", "number": -number, "list": [], secret.clone(): { secret.clone(): number } }),
        ];
        let draft = draft(&values).to_string();
        prop_assert!(!draft.contains(&secret) && !draft.contains(&number.to_string()), "{}", draft);
    }
}

#[test]
fn wide_and_deep_documents_are_accepted_beyond_every_bound() {
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!([{ "a": deep }]);
    }
    let many = |from: u32| -> Value {
        (from..from + 50)
            .map(|name| (format!("n{name}"), json!(name)))
            .collect::<Map<_, _>>()
            .into()
    };
    let cases = [
        vec![wide(63, 2), wide(70, 1)],
        vec![wide(200, 1), wide(1, 1)],
        vec![deep, json!({})],
        (0..40).map(|step| many(step * 7)).collect(),
        // Maps of objects with different members, which are merged.
        vec![
            json!({ "m": (0..200).map(|name| (format!("k{name}"), many(name))).collect::<Map<_, _>>() }),
        ],
    ];
    for values in cases {
        let draft = draft(&values);
        let schema = compiled(&draft);
        for value in &values {
            assert_eq!(schema.judge(value), Ok(()));
        }
    }
}

/// Members whose shapes are merged: in one object a name is among the rest, and in the others it is listed.
#[test]
fn a_name_that_is_listed_in_one_of_two_merged_objects_is_accepted_in_both() {
    let listed = |key: u32| (format!("k{key:03}"), json!({ "n0": "text" }));
    for place in [0, 40, 99] {
        let mut members: Map<String, Value> = (0..100).map(listed).collect();
        members.insert(format!("k{place:03}"), wide(100, 0));
        let value = json!({ "m": members });
        let draft = draft(std::slice::from_ref(&value));
        assert_eq!(compiled(&draft).judge(&value), Ok(()), "{place}");
    }
}

#[test]
fn a_draft_names_types_members_formats_and_ranges() {
    let values = [
        json!({ "id": "c0ffee00-1234-4567-89ab-00c0ffee0000", "mail": "ann@example.org", "age": 41,
                "at": "2026-03-09T08:15:42Z", "url": "https://example.org/", "ip": "192.0.2.7", "tags": ["a", "b"] }),
        json!({ "id": "c0ffee00-1234-4567-89ab-00c0ffee0001", "mail": "bob@example.org", "age": 17,
                "at": "2026-03-09T08:15:43Z", "url": "wss://example.org/", "ip": "192.0.2.8", "note": null }),
    ];
    let wanted = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["age", "at", "id", "ip", "mail", "url"],
        "additionalProperties": false,
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "mail": { "type": "string", "format": "email" },
            "age": { "type": "integer", "minimum": 0, "maximum": i32::MAX },
            "at": { "type": "string", "format": "date-time" },
            "url": { "type": "string", "format": "uri" },
            "ip": { "type": "string", "format": "ipv4" },
            "tags": { "type": "array", "maxItems": 16, "items": { "type": "string", "maxLength": 32 } },
            "note": { "type": "null" },
        },
    });
    assert_eq!(draft(&values), wanted);
}

#[test]
fn a_map_becomes_additional_properties() {
    let of = |from: u32| -> Value {
        let users: Map<_, _> = (from..from + 8)
            .map(|user| {
                (
                    format!(
                        "user{}",
                        "abcdefghijklmnopqrstuvwxyz".chars().nth(user as usize).unwrap()
                    ),
                    json!(1),
                )
            })
            .collect();
        json!({ "type": "presence", "users": users, "by": { "ann@example.org": true } })
    };
    let draft = draft(&[of(0), of(8), of(16)]);
    let users = &draft["properties"]["users"];
    assert_eq!(users["properties"], Value::Null);
    assert_eq!(users["additionalProperties"]["type"], "integer");
    assert_eq!(draft["properties"]["by"]["additionalProperties"]["type"], "boolean");
    assert_eq!(draft["properties"]["by"]["properties"], Value::Null);
}

fn texts(values: impl IntoIterator<Item = Value>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

#[test]
fn the_place_of_the_type_is_guessed() {
    let action = |number: u32| json!({ "action": (["say", "join"][number as usize % 2]), "text": format!("t{number}") });
    let seen = observed(None, &texts((0..10).map(action)));
    assert_eq!((seen.type_at.as_deref(), seen.guessed), (Some("/action"), true));
    let names: Vec<&str> = seen.types.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["join", "say"]);
    assert_eq!(seen.types[0].messages.messages, 5);

    let unusual = |number: u32| json!({ "what": (["say", "join"][number as usize % 2]), "text": format!("t{number}") });
    assert_eq!(observed(None, &texts((0..10).map(unusual))).type_at, None, "too few");
    let seen = observed(None, &texts((0..40).map(unusual)));
    assert_eq!(seen.type_at.as_deref(), Some("/what"));
    let free = |number: u32| json!({ "text": format!("t{number}") });
    let seen = observed(None, &texts((0..300).map(free)));
    assert_eq!((seen.type_at, seen.untyped.messages), (None, 300));
    assert_eq!(observed(None, &[]).type_at, None);
}

/// The name of a user is the same in each message of a session.
#[test]
fn the_name_of_a_user_is_not_taken_for_a_type() {
    let (observation, begin) = begun(None);
    let mut observers: Vec<_> = (0..3).map(|_| observation.observer()).collect();
    for number in 0..60 {
        let user = number % 3;
        let text = json!({ "user": (["ann", "bob", "cid"][user]), "n": number }).to_string();
        say(&mut *observers[user], &text, begin);
    }
    let seen = report(&observation, begin);
    assert_eq!((seen.type_at, seen.sessions), (None, 3));
}

#[test]
fn messages_are_counted_by_what_they_are() {
    let (observation, begin) = begun(Some("/type"));
    let mut observer = observation.observer();
    let said = [
        "{\"type\":\"room:42\"}",
        "{\"type\":\"room:43\"}",
        "{\"type\":\"ann@example.org\"}",
        "{\"type\":7}",
        "{\"type\":\"a\",\"type\":\"b\"}",
        "{\"type\":",
        "hello",
    ];
    for text in said {
        say(&mut *observer, text, begin);
    }
    say_bytes(&mut *observer, true, &[0xff], begin);
    let large = ObservedMessage { binary: true, size: 1 << 20, payload: None, now: begin };
    observer.begin(begin);
    observer.end(&large);
    let seen = report(&observation, begin);
    let groups =
        [&seen.untyped, &seen.unnamed, &seen.ambiguous, &seen.other, &seen.unread, &seen.all];
    assert_eq!(groups.map(|group| group.messages), [1, 1, 2, 2, 1, 9]);
    assert_eq!((seen.types.len(), &*seen.types[0].name), (1, "room:*"));
    assert_eq!(
        (seen.all.text, seen.all.binary, seen.all.size.most, seen.skipped),
        (7, 2, 1 << 20, 0)
    );
}

#[test]
fn the_most_of_a_second_and_a_minute_are_counted_by_session() {
    let (observation, begin) = begun(Some("/type"));
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let mut observers: Vec<_> = (0..2).map(|_| observation.observer()).collect();
    for (session, seconds) in [(0, 0), (1, 0), (0, 0), (1, 0), (0, 0), (0, 5), (0, 60), (0, 61)] {
        say(&mut *observers[session], "{\"type\":\"a\"}", at(seconds));
    }
    let seen = report(&observation, at(600));
    let rates = |messages: &super::Messages| {
        let of_session = messages.session_rate.unwrap();
        (messages.rate.second, messages.rate.minute, of_session.second, of_session.minute)
    };
    assert_eq!(rates(&seen.types[0].messages), (5, 6, 3, 4));
    assert_eq!(rates(&seen.all), (5, 6, 3, 4));
    assert!(seen.toml(None).contains("rate = \"10/m\""), "{}", seen.toml(None));
}

/// Above so many messages in a second, the rest is counted and not read, and no rate is suggested.
#[test]
fn a_flood_is_counted_and_read_in_part() {
    let texts: Vec<String> = texts((0..1500).map(|_| json!({ "type": "a" })));
    let (observation, begin) = begun(Some("/type"));
    let mut observer = observation.observer();
    for text in &texts {
        say(&mut *observer, text, begin);
    }
    let seen = report(&observation, begin);
    assert_eq!((seen.all.messages, seen.unread.messages, seen.skipped), (1500, 500, 500));
    assert!(!seen.toml(None).contains("\nrate"), "{}", seen.toml(None));
    say(&mut *observer, "{\"type\":\"a\"}", begin + Duration::from_secs(1));
    assert_eq!(report(&observation, begin).unread.messages, 500, "the next second has room");
}

#[test]
fn the_bytes_of_messages_in_progress_are_bounded() {
    let (observation, begin) = begun(None);
    let mut observers: Vec<_> = (0..100).map(|_| observation.observer()).collect();
    let mut kept = 0;
    for observer in &mut observers {
        observer.begin(begin);
        kept += if observer.reserve(64 * 1024) { 64 * 1024 } else { 0 };
    }
    assert_eq!(kept, MOST_KEPT);
    drop(observers);
    assert_eq!(observation.pace().kept, 0);
}

#[test]
fn types_and_places_are_bounded() {
    let (observation, begin) = begun(Some("/type"));
    let mut observer = observation.observer();
    for number in 0..400_u32 {
        let letters: String =
            number.to_string().bytes().map(|digit| char::from(digit + 50)).collect();
        let mut message = wide(40, 1);
        message["type"] = json!(letters);
        let second = Duration::from_secs(number.into());
        say(&mut *observer, &message.to_string(), begin + second);
    }
    let seen = report(&observation, begin);
    assert_eq!((seen.types.len(), seen.unnamed.messages), (MOST_TYPES, 400 - MOST_TYPES as u64));
    assert_eq!(observation.seen().nodes, MOST_NODES);
}

/// What was observed passes the rules that the draft gives, other than the messages that its comments name.
#[test]
fn the_toml_of_a_draft_is_read_by_the_configuration() {
    let texts = texts([
        json!({ "action": "say", "text": "hello" }),
        json!({ "action": "room:42" }),
        json!({ "action": "a \"quoted\" name" }),
        json!({ "action": "größe" }),
    ]);
    let seen = observed(Some("/action"), &texts);
    let toml: toml::Table = toml::from_str(&seen.toml(Some("schemas"))).unwrap();
    let rules = &toml["routes"]["chat"]["messages"];
    assert_eq!(rules["type_at"].as_str(), Some("/action"));
    assert_eq!(rules["kinds"].as_array().unwrap().len(), 1);
    assert_eq!(rules["max_size"].as_str(), Some("1KiB"));
    let types = rules["types"].as_table().unwrap();
    let names: Vec<&str> = types.keys().map(String::as_str).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(types["say"]["schema"].as_str(), Some("schemas/say.json"));
    let files: Vec<String> = seen.schemas().into_iter().map(|file| file.name).collect();
    assert!(files.contains(&"gr--e.json".to_owned()) || files.len() == 3, "{files:?}");
}

#[test]
fn the_items_of_a_protocol_are_its_types() {
    let report = |name: &str, said: &[&str]| {
        let now = Instant::now();
        let protocol = Some(ObservedProtocol::named(name).unwrap());
        let spoken = Observed { sender: Endpoint::Client, type_at: None, protocol };
        let observation = Arc::new(Observation::new(spoken, now));
        let mut observer = observation.observer();
        for text in said {
            say(&mut *observer, text, now);
        }
        report(&observation, now)
    };
    let names = |seen: &Report| -> Vec<_> {
        seen.types.iter().map(|one| (one.name.clone(), one.messages.messages)).collect()
    };
    let of = |name: &str, count: u64| (name.to_owned(), count);

    let seen = report(
        "socketio",
        &["40", "42[\"say\",{\"room\":\"red\"}]", "42/admin,[\"delete\",7]", "3", "x"],
    );
    assert_eq!(names(&seen), [of("/admin,delete", 1), of("say", 1)]);
    assert_eq!((seen.all.messages, seen.ambiguous.messages), (5, 1));
    let say = &seen.types[1].schema;
    assert_eq!(
        (&say["type"], &say["items"]["properties"]["room"]["type"]),
        (&json!("array"), &json!("string"))
    );
    assert!(seen.toml(None).contains("\nprotocol = \"socketio\"\n"), "{}", seen.toml(None));

    let batch: Vec<_> = (0..30)
        .map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "add", "params": [1] }))
        .collect();
    let seen = report("jsonrpc", &[&Value::from(batch).to_string()]);
    assert_eq!((names(&seen), seen.most_items), (vec![of("add", 30)], 30));
    assert!(seen.toml(None).contains("\nmax_batch = 64\n"), "{}", seen.toml(None));

    let seen = report("phoenix", &["[\"1\",\"1\",\"room:42\",\"phx_join\",{}]"]);
    assert_eq!(names(&seen), [of("phx_join room:*", 1)]);
    let query =
        "{\"id\":\"1\",\"type\":\"subscribe\",\"payload\":{\"query\":\"mutation Say { say }\"}}";
    assert_eq!(names(&report("graphql-ws", &[query])), [of("mutation:Say", 1)]);
}
