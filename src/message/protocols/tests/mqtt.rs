//! MQTT: packets, however they are cut into messages.

use proptest::prelude::*;
use serde_json::json;

use super::super::mqtt;
use super::super::{Item, Message, MqttBounds, Part, Protocol, Reader, Refused, SharedState};
use crate::message::rules::{MessageFault, MessageKind};
use crate::message::tests::BOUNDS;
use crate::message::types::{TypePattern, TypeRules, Types};
use crate::values::{Endpoint, Reason};
use crate::wire::Answer;

const PROTOCOL: Protocol =
    Protocol::Mqtt(MqttBounds { max_packet: 4096, max_qos: 2, retain: true });

fn readers(protocol: &Protocol) -> (Box<dyn Reader>, Box<dyn Reader>) {
    let shared = SharedState::default();
    let mut client = protocol.reader(Endpoint::Client);
    let mut server = protocol.reader(Endpoint::Upstream);
    client.share(&shared);
    server.share(&shared);
    (client, server)
}

fn read(reader: &mut dyn Reader, payload: &[u8]) -> Result<Vec<Item>, MessageFault> {
    let mut items = Vec::new();
    let message = Message { kind: MessageKind::Binary, payload, bounds: &BOUNDS };
    reader.read(&message, &mut items).map(|()| items)
}

fn text(text: &str) -> Vec<u8> {
    data(text.as_bytes())
}

fn data(data: &[u8]) -> Vec<u8> {
    [&u16::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
}

fn packet(first: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.concat();
    let (low, high) = (fields.len() % 128, fields.len() / 128);
    let mut packet = vec![first];
    match high {
        0 => packet.push(u8::try_from(low).unwrap()),
        _ => packet.extend([u8::try_from(low).unwrap() | 0x80, u8::try_from(high).unwrap()]),
    }
    packet.extend(fields);
    packet
}

fn connect(level: u8) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    packet(0x10, &[&text("MQTT"), &[level, 2, 0, 60], properties, &text("ada")])
}

/// A reader of a client that has sent CONNECT.
fn connected(level: u8) -> Box<dyn Reader> {
    let mut client = readers(&PROTOCOL).0;
    read(&mut *client, &connect(level)).unwrap();
    client
}

fn publish(flags: u8, topic: &str, rest: &[u8]) -> Vec<u8> {
    packet(0x30 | flags, &[&text(topic), rest])
}

fn subscribe(filters: &[&str]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(|one| [text(one), vec![1]].concat()).collect();
    packet(0x82, &[&[0, 9], &filters])
}

fn names(items: &[Item]) -> Vec<&str> {
    items.iter().filter_map(|item| item.name.as_deref()).collect()
}

#[test]
fn connect_is_an_item_and_its_will_is_a_publish() {
    let (mut client, _) = readers(&PROTOCOL);
    let fields: [&[u8]; 7] = [
        &text("MQTT"),
        &[4, 0b1110_1100, 0, 30],
        &text("ada"),
        &text("rooms/red"),
        &data(b"[1]"),
        &text("user"),
        &data(b"\xff secret"),
    ];
    let bytes = packet(0x10, &fields);
    let items = read(&mut *client, &bytes).unwrap();
    assert_eq!(names(&items), ["connect", "publish rooms/red"]);
    assert_eq!(
        items[0].body,
        json!({ "version": 4, "client_id": "ada", "user_name": "user", "keep_alive": 30,
            "clean_start": false })
    );
    assert_eq!(
        items[1].body,
        json!({ "topic": "rooms/red", "levels": ["rooms", "red"], "qos": 1, "retain": true,
            "payload": [1] })
    );
}

#[test]
fn publishes_and_filters_have_their_topics_as_types() {
    let mut client = connected(4);
    let items = read(&mut *client, &publish(0, "a/b", b"{\"x\":1}")).unwrap();
    assert_eq!(names(&items), ["publish a/b"]);
    assert_eq!(
        items[0].body,
        json!({ "topic": "a/b", "levels": ["a", "b"], "qos": 0, "retain": false,
            "payload": { "x": 1 } })
    );
    for (payload, member) in [
        (&b"{\"x\":1,\"x\":2}"[..], Some(json!("{\"x\":1,\"x\":2}"))),
        (b"hello", Some(json!("hello"))),
        (b"\xff", None),
    ] {
        let items = read(&mut *client, &publish(1, "a", payload)).unwrap();
        assert_eq!(items[0].body.get("payload"), None);
        assert_eq!(items[0].body.get("text").cloned(), member);
        assert_eq!(items[0].body["retain"], true);
    }
    let items = read(&mut *client, &subscribe(&["a/+/#", "$share/g/b"])).unwrap();
    assert_eq!(names(&items), ["subscribe a/+/#", "subscribe b"]);
    assert_eq!(items[1].body, json!({ "topic": "b", "levels": ["b"], "qos": 1, "share": "g" }));
    // An unsubscription, pings and acknowledgements.
    let unsubscribe = packet(0xa2, &[&[0, 1], &text("a/#")]);
    for own in [&unsubscribe[..], &[0xc0, 0], &[0x40, 2, 0, 1], &[0x62, 2, 0, 1], &[0xe0, 0]] {
        assert_eq!(read(&mut *client, own), Ok(vec![]));
    }
}

#[test]
fn packets_that_peers_may_read_differently_are_refused() {
    let v5 = |id: u8, value: &[u8]| [&[u8::try_from(value.len() + 1).unwrap(), id], value].concat();
    let twice = [&[10, 3], &*text("a"), &[3], &text("b"), &[0, 0]].concat();
    for (level, bytes) in [
        (4, connect(4)),
        (4, packet(0x31, &[&text("")])),
        (4, publish(0, "a/+", b"")),
        (4, publish(0, "a\0", b"")),
        (4, publish(0, "a\u{7}", b"")),
        (4, publish(0, &"/".repeat(200), b"")),
        (4, packet(0x30, &[&data(b"\xed\xa0\x80")])),
        (4, publish(8, "a", b"")),
        (4, publish(6, "a", &[0, 1])),
        (4, publish(2, "a", &[0, 0])),
        (4, publish(2, "a", &[0])),
        (4, vec![0x30, 0x83, 0x00, 0, 1, b'a']),
        (4, vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x01]),
        (4, vec![0x30, 0x80, 0x80, 0x00]),
        (4, packet(0x80, &[&[0, 1], &text("a"), &[0]])),
        (4, packet(0x82, &[&[0, 1]])),
        (4, packet(0x82, &[&[0, 1], &text("a"), &[3]])),
        (4, packet(0x82, &[&[0, 1], &text("a"), &[4]])),
        (4, packet(0x82, &[&[0, 0], &text("a"), &[0]])),
        (4, subscribe(&["a/#/b"])),
        (4, subscribe(&["a+"])),
        (4, subscribe(&["#a"])),
        (4, subscribe(&["$share/g"])),
        (4, subscribe(&["$share//a"])),
        (4, subscribe(&["$share/+/a"])),
        (4, subscribe(&[""])),
        (4, packet(0xa2, &[&[0, 1], &text("a+")])),
        (4, vec![0xc0, 1, 0]),
        (4, vec![0xc1, 0]),
        (4, vec![0x60, 2, 0, 1]),
        (4, vec![0x40, 2, 0, 0]),
        (4, vec![0x40, 3, 0, 1, 0]),
        (4, vec![0xf0, 0]),
        (4, vec![0x00, 0]),
        (4, vec![0x20, 2, 0, 0]),
        (4, vec![0xd0, 0]),
        (5, publish(0, "", &[0])),
        (5, publish(0, "", &v5(0x23, &[0, 7]))),
        (5, publish(0, "a", &v5(0x23, &[0, 0]))),
        (5, publish(0, "a", &v5(0x0b, &[1]))),
        (5, publish(0, "a", &v5(0x11, &[0, 0, 0, 1]))),
        (5, publish(0, "a", &v5(0x01, &[2]))),
        (5, publish(0, "a", &[&*v5(0x01, &[1]), b"\xff"].concat())),
        (5, publish(0, "a", &v5(0x08, &text("b/#")))),
        (5, publish(0, "a", &twice)),
        (5, publish(0, "a", &[9, 1])),
        (5, packet(0x82, &[&[0, 1, 0], &text("a"), &[0b0011_0000]])),
        (5, packet(0x82, &[&[0, 1, 0], &text("$share/g/a"), &[0b100]])),
        (5, vec![0x40, 4, 0, 1, 0x11, 0]),
        (5, vec![0xf0, 1, 0]),
    ] {
        let fault = read(&mut *connected(level), &bytes).unwrap_err();
        assert_eq!((fault.reason, fault.closes), (Reason::MessageStructure, true), "{bytes:?}");
    }
    for fields in [
        [&text("MQIsdp")[..], &[3, 2, 0, 0], &text("a")].concat(),
        [&text("MQTT")[..], &[3, 2, 0, 0], &text("a")].concat(),
        [&text("MQTT")[..], &[6, 2, 0, 0], &text("a")].concat(),
        [&text("MQTT")[..], &[4, 3, 0, 0], &text("a")].concat(),
        [&text("MQTT")[..], &[4, 0b1_1110, 0, 0], &text("a"), &text("w"), &text("")].concat(),
        [&text("MQTT")[..], &[4, 0b10_0000, 0, 0], &text("a")].concat(),
        [&text("MQTT")[..], &[4, 0b100_0000, 0, 0], &text("a"), &text("p")].concat(),
        [&text("MQTT")[..], &[4, 0b110, 0, 0], &text("a"), &text("w/#"), &text("")].concat(),
        [&text("MQTT")[..], &[4, 2, 0, 0], &text("a"), &text("b")].concat(),
        [&text("MQTT")[..], &[5, 2, 0, 0, 5, 0x16, 0, 2, 1, 1], &text("a")].concat(),
    ] {
        assert!(read(&mut *readers(&PROTOCOL).0, &packet(0x10, &[&fields])).is_err(), "{fields:?}");
    }
    let mut client = readers(&PROTOCOL).0;
    assert!(read(&mut *client, &publish(0, "a", b"")).is_err(), "the first packet is CONNECT");
    assert!(read(&mut *client, &connect(4)).is_err(), "nothing can follow it");
    let mut client = connected(4);
    read(&mut *client, &[0xe0, 0]).unwrap();
    assert!(read(&mut *client, &[0xc0, 0]).is_err(), "nothing follows DISCONNECT");
}

#[test]
fn packets_of_the_server_are_read_in_the_version_of_the_client() {
    for (level, good, bad) in [
        (4, &[0x90_u8, 3, 0, 9, 0x80][..], &[0x90_u8, 3, 0, 9, 0x87][..]),
        (5, &[0x90, 4, 0, 9, 0, 0x87], &[0x90, 3, 0, 9, 0x87]),
    ] {
        let mut early = readers(&PROTOCOL).1;
        assert!(read(&mut *early, &[0x20, 2, 0, 0]).is_err(), "there was no CONNECT");
        let (mut client, mut server) = readers(&PROTOCOL);
        read(&mut *client, &connect(level)).unwrap();
        let connack: &[u8] = if level == 5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
        assert_eq!(read(&mut *server, connack), Ok(vec![]));
        assert_eq!(read(&mut *server, good), Ok(vec![]));
        let rest: &[u8] = if level == 5 { &[4, 0x0b, 1, 0x0b, 2] } else { &[] };
        let items = read(&mut *server, &publish(0, "a", rest)).unwrap();
        assert_eq!(names(&items), ["publish a"]);
        assert!(read(&mut *server, bad).is_err());
    }
}

#[test]
fn an_alias_stands_for_its_topic() {
    let mut client = connected(5);
    let alias = |topic: &str, alias: u8| publish(0, topic, &[3, 0x23, 0, alias]);
    assert_eq!(names(&read(&mut *client, &alias("a", 1)).unwrap()), ["publish a"]);
    assert!(client.part() == Part::Forwarded, "the server would not know the alias");
    assert_eq!(names(&read(&mut *client, &alias("", 1)).unwrap()), ["publish a"]);
    assert!(client.part() == Part::First);
    assert_eq!(names(&read(&mut *client, &alias("b", 1)).unwrap()), ["publish b"]);
    assert_eq!(names(&read(&mut *client, &alias("", 1)).unwrap()), ["publish b"]);
    for number in 2..=64 {
        read(&mut *client, &alias("c", number)).unwrap();
    }
    assert!(read(&mut *client, &alias("c", 65)).is_err());
    let mut client = connected(5);
    let long = "x".repeat(3000);
    let set = (1..10).map(|number| read(&mut *client, &alias(&long, number)).is_ok());
    assert_eq!(set.filter(|ok| *ok).count(), 5);
}

#[test]
fn a_packet_in_parts_awaits_its_end() {
    let bytes = publish(2, "rooms/red", &[0, 7, b'x']);
    let mut client = connected(5);
    let bytes = [&bytes[..1], &[bytes[1] + 1], &bytes[2..bytes.len() - 1], &[0, b'x']].concat();
    let (last, parts) = bytes.split_last().unwrap();
    for part in parts.chunks(1) {
        assert_eq!(read(&mut *client, part), Ok(vec![]));
        assert!(client.awaits_next());
        assert!(client.part() == Part::Forwarded);
    }
    assert_eq!(names(&read(&mut *client, &[*last]).unwrap()), ["publish rooms/red"]);
    assert!(!client.awaits_next());
    assert!(client.part() == Part::First);
    // The beginning of a packet that came with the end of another is not held.
    let two = [&bytes[..], &bytes[..4]].concat();
    assert_eq!(read(&mut *client, &two).map(|items| items.len()), Ok(1));
    assert!(!client.awaits_next() && client.is_incomplete() && client.part() == Part::Forwarded);
    assert_eq!(names(&read(&mut *client, &bytes[4..]).unwrap()), ["publish rooms/red"]);
    assert!(client.part() == Part::Forwarded);
    let both = [&bytes[..], &bytes].concat();
    assert_eq!(read(&mut *client, &both).map(|items| items.len()), Ok(2));
    assert!(client.part() == Part::Forwarded);
}

/// Patterns apply to it.
#[test]
fn a_packet_in_parts_is_an_item_of_its_whole_text() {
    let mut client = connected(4);
    let bytes = publish(0, "a", b"<script>\xff");
    assert_eq!(read(&mut *client, &bytes[..9]), Ok(vec![]));
    let items = read(&mut *client, &bytes[9..]).unwrap();
    let whole = items.last().unwrap();
    assert_eq!(whole.name, None);
    assert!(whole.body.as_str().unwrap().contains("<script>"), "{whole:?}");
}

#[test]
fn a_reader_that_begins_late_accepts_nothing() {
    let mut client = readers(&PROTOCOL).0;
    client.begin_late();
    let fault = read(&mut *client, &connect(5)).unwrap_err();
    assert!(fault.closes, "the packet may be a part of another one");
}

#[test]
fn topics_that_brokers_take_for_several_are_refused() {
    for topic in ["rooms/red/*", "rooms/red,admin/x"] {
        for bytes in [publish(0, topic, b""), subscribe(&[topic])] {
            let fault = read(&mut *connected(4), &bytes).unwrap_err();
            assert_eq!(fault.reason, Reason::MessageStructure, "{topic}");
        }
    }
    let fields: [&[u8]; 5] =
        [&text("MQTT"), &[4, 0b0000_0110, 0, 30], &text("ada"), &text("rooms/red,x"), &data(b"1")];
    assert!(read(&mut *readers(&PROTOCOL).0, &packet(0x10, &fields)).is_err(), "a will");
    // In a topic from the broker they are literal.
    let (mut client, mut server) = readers(&PROTOCOL);
    read(&mut *client, &connect(4)).unwrap();
    read(&mut *server, &packet(0x20, &[&[0, 0]])).unwrap();
    let items = read(&mut *server, &publish(0, "rooms/red,x", b"")).unwrap();
    assert_eq!(names(&items), ["publish rooms/red,x"]);
    let client = connected(4);
    assert!(client.must_be_listed("subscribe $queue/secret/#"));
    assert!(!client.must_be_listed("subscribe secret/#"));
}

#[test]
fn bounds_of_the_route_are_kept() {
    let protocol = Protocol::Mqtt(MqttBounds { max_packet: 64, max_qos: 1, retain: false });
    let mut client = readers(&protocol).0;
    read(&mut *client, &connect(5)).unwrap();
    let large = read(&mut *client, &[0x30, 0x7f]).unwrap_err();
    assert_eq!((large.reason, large.rule, large.closes), (Reason::MessageTooBig, "max_size", true));
    for (bytes, rule) in [
        (publish(4, "a", &[0, 1, 0]), "max_qos"),
        (publish(1, "a", &[0]), "retain"),
        (packet(0x82, &[&[0, 1, 0], &text("a"), &[2]]), "max_qos"),
    ] {
        let mut client = readers(&protocol).0;
        read(&mut *client, &connect(5)).unwrap();
        let fault = read(&mut *client, &bytes).unwrap_err();
        assert_eq!((fault.rule, fault.closes), (rule, false));
        assert!(client.part() == Part::First);
        assert!(read(&mut *client, &[0xc0, 0]).is_ok());
    }
    let will = [&text("MQTT")[..], &[4, 0b11_0110, 0, 0], &text("a"), &text("w"), &text("")];
    let fault = read(&mut *readers(&protocol).0, &packet(0x10, &[&will.concat()])).unwrap_err();
    assert_eq!(fault.rule, "retain");
    let many = [publish(0, "a", b"")].concat().repeat(1001);
    assert!(read(&mut *connected(4), &many).is_err());
    let message = Message { kind: MessageKind::Text, payload: b"", bounds: &BOUNDS };
    assert!(connected(4).read(&message, &mut Vec::new()).is_err());
}

/// The answer to a message that is refused for `reason`.
fn answer(level: u8, bytes: &[u8], reason: Reason) -> Option<Vec<u8>> {
    let mut client = connected(level);
    if bytes[0] == 0x10 {
        client = readers(&PROTOCOL).0;
    }
    let items = read(&mut *client, bytes).unwrap();
    if client.part() == Part::Forwarded {
        return None;
    }
    let refused = Refused { items: &items, reason, request_id: "r1" };
    let answer = client.answer(&refused);
    client.discard();
    if bytes[0] == 0x10 {
        assert!(read(&mut *client, &connect(level)).is_ok(), "the client may try again");
    }
    answer.map(|Answer { payload, .. }| payload.to_vec())
}

#[test]
fn refused_packets_are_answered_with_a_code() {
    let (claim, rate, schema) = (Reason::MessageClaim, Reason::MessageRate, Reason::MessageSchema);
    let subscribe5 = packet(0x82, &[&[0, 9, 0], &text("a"), &[0], &text("b"), &[0]]);
    for (level, bytes, reason, expected) in [
        (4, publish(0, "a", b""), claim, None),
        (4, publish(2, "a", &[0, 7]), claim, None),
        (4, subscribe(&["a", "b"]), claim, Some(vec![0x90, 4, 0, 9, 0x80, 0x80])),
        (4, connect(4), claim, Some(vec![0x20, 2, 0, 5])),
        (5, publish(0, "a", &[0]), claim, None),
        (5, publish(2, "a", &[0, 7, 0]), claim, Some(vec![0x40, 3, 0, 7, 0x87])),
        (5, publish(2, "a", &[0, 7, 0]), rate, Some(vec![0x40, 3, 0, 7, 0x97])),
        (5, publish(4, "a", &[0, 7, 0]), schema, Some(vec![0x50, 3, 0, 7, 0x99])),
        (5, subscribe5.clone(), claim, Some(vec![0x90, 5, 0, 9, 0, 0x87, 0x87])),
        (5, subscribe5, schema, Some(vec![0x90, 5, 0, 9, 0, 0x83, 0x83])),
        (5, packet(0xa2, &[&[0, 1, 0], &text("a")]), claim, None),
    ] {
        assert_eq!(answer(level, &bytes, reason), expected, "{level} {bytes:?}");
    }
    let explained = answer(5, &connect(5), claim).unwrap();
    let (mut client, mut server) = readers(&PROTOCOL);
    read(&mut *client, &connect(5)).unwrap();
    assert_eq!(read(&mut *server, &explained), Ok(vec![]));
    assert!(explained.windows(13).any(|part| part == b"message.claim"));
    let terse = packet(0x10, &[&text("MQTT"), &[5, 2, 0, 60, 2, 0x17, 0], &text("ada")]);
    assert_eq!(answer(5, &terse, claim), Some(vec![0x20, 3, 0, 0x87, 0]));
}

fn types(names: &[&str]) -> Types {
    let of_type = |name: &&str| TypeRules {
        name: (*name).into(),
        scope: (*name).into(),
        pattern: TypePattern::parse(name).unwrap(),
        schema: None,
        require: Vec::new(),
        require_in: Vec::new(),
        rate: None,
        rate_per_user: None,
        on_violation: None,
    };
    Types::new(None, names.iter().map(of_type).collect(), false)
}

#[test]
fn a_filter_meets_the_rules_of_every_topic_that_it_matches() {
    // The listed types, a name, the type that lists it, and the others that apply.
    for (listed, name, found, others) in [
        (&["subscribe rooms/*"][..], "subscribe rooms/#", Some(0), &[][..]),
        (&["subscribe rooms/*"], "subscribe rooms/+/x", Some(0), &[]),
        (&["subscribe rooms/*"], "subscribe rooms", None, &[]),
        (&["subscribe rooms/*"], "subscribe #", None, &[0]),
        (&["subscribe rooms/*"], "subscribe +/x", None, &[0]),
        (&["subscribe rooms/*"], "subscribe +", None, &[]),
        (&["subscribe rooms/*"], "publish rooms/a", None, &[]),
        (&["subscribe rooms/*", "subscribe rooms/secret"], "subscribe rooms/#", Some(0), &[1]),
        (&["subscribe rooms/*", "subscribe rooms/secret"], "subscribe rooms/+", Some(0), &[1]),
        (&["subscribe rooms/*", "subscribe rooms/secret"], "subscribe rooms/+/x", Some(0), &[]),
        (&["subscribe rooms/*", "subscribe rooms/secret"], "subscribe rooms/secret", Some(1), &[]),
        (&["subscribe rooms/*", "subscribe rooms/secret"], "subscribe rooms/red", Some(0), &[]),
        (&["subscribe rooms/*", "subscribe rooms/se*"], "subscribe rooms/+", Some(0), &[1]),
        (&["subscribe rooms/*", "subscribe rooms/a/*"], "subscribe rooms/a/+", Some(1), &[]),
        // "rooms/a/#" matches "rooms/a", too.
        (&["subscribe rooms/*", "subscribe rooms/a/*"], "subscribe rooms/a/#", Some(1), &[0]),
        (&["subscribe rooms/*", "subscribe rooms"], "subscribe rooms/#", Some(0), &[1]),
        (&["subscribe #", "subscribe rooms/*"], "subscribe #", Some(0), &[]),
        (&["subscribe #", "subscribe rooms/*"], "subscribe rooms/#", Some(1), &[0]),
        (&["subscribe #"], "subscribe rooms/a", Some(0), &[]),
        (&["subscribe #"], "subscribe $SYS/a", None, &[]),
        (&["subscribe *"], "subscribe #", Some(0), &[]),
        (&["subscribe *"], "subscribe $SYS/#", None, &[]),
        (&["*"], "subscribe a", Some(0), &[]),
        (&["*"], "publish $SYS/a", None, &[]),
        (&["subscribe $SYS/*"], "subscribe $SYS/#", Some(0), &[]),
        (&["subscribe $SYS/*", "subscribe *"], "subscribe #", Some(1), &[]),
        (&["publish rooms/+/say"], "publish rooms/a/say", Some(0), &[]),
        (&["publish rooms/+/say"], "publish rooms/a/b/say", None, &[]),
        (&["publish rooms/+/say"], "publish rooms/a", None, &[]),
        (&["publish *", "publish +/say"], "publish rooms/say", Some(0), &[1]),
        (&["publish *", "publish +/say"], "publish rooms/red", Some(0), &[]),
        (&["subscribe rooms/+"], "subscribe rooms/#", None, &[0]),
        (&["subscribe rooms/#"], "subscribe rooms/+/x", Some(0), &[]),
        (&["subscribe rooms/#"], "subscribe rooms", Some(0), &[]),
        (&["connect"], "subscribe a", None, &[]),
        (&["connect"], "connect", Some(0), &[]),
    ] {
        let (types, client) = (types(listed), readers(&PROTOCOL).0);
        assert_eq!(client.find_type(&types, name), found, "{listed:?} {name}");
        assert_eq!(client.other_types(&types, name), others, "{listed:?} {name}");
    }
}

#[test]
fn types_that_no_packet_has_are_refused() {
    let check = |name: &str| mqtt::check_type(&TypePattern::parse(name).unwrap());
    for good in
        ["connect", "publish a", "publish a/+", "subscribe #", "subscribe a*", "publish *", "*"]
    {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "say",
        "publish",
        "publish a/#/b",
        "publish a/+/*",
        "subscribe $share/g/a",
        "subscribe ",
        "con*",
        "publish\u{9}a",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn the_items_do_not_depend_on_the_cuts(cuts in prop::collection::vec(1..40_usize, 1..30)) {
        let stream = [
            connect(5),
            publish(0, "a/b", &[&[0][..], &[b'x'; 300]].concat()),
            vec![0xc0, 0],
            packet(0x82, &[&[0, 9, 0], &text("a/#"), &[0]]),
            publish(2, "c", &[0, 1, 0, b'1']),
        ]
        .concat();
        let mut client = readers(&PROTOCOL).0;
        let mut follower = PROTOCOL.follower().unwrap();
        let mut items = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (part, others) = rest.split_at(rest.len().min(*cut));
            rest = others;
            follower.begin(true);
            follower.read(part);
            items.extend(read(&mut *client, part).unwrap());
            prop_assert_eq!(follower.is_incomplete(), client.is_incomplete());
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(names(&items), ["connect", "publish a/b", "subscribe a/#", "publish c"]);
        let last = items.iter().rfind(|item| item.name.is_some()).unwrap();
        prop_assert_eq!(&last.body["payload"], &json!(1));
    }

    #[test]
    fn any_bytes_are_read(
        level in 4..6_u8,
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        cut in 0..60_usize,
    ) {
        let mut client = connected(level);
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        for part in [first, second] {
            let _ = read(&mut *client, part);
            let refused = Refused { items: &[], reason: Reason::MessageClaim, request_id: "r1" };
            let _: Option<Answer> = client.answer(&refused);
        }
    }
}
