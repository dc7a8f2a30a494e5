//! `MessagePack` and CBOR: examples, and the same values as two other crates read.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::packed::{scan, tree};
use super::parsers::{Read, bytes_of, of_integer, of_members, of_serde_json};
use super::{BOUNDS, Collected, values};
use crate::message::{Bounds, Packed, StructureRule};

/// The rule that the bytes break, or their tree. The scalars that the scan sees must be those of the tree.
fn read(packed: Packed, bytes: &[u8], bounds: &Bounds) -> Result<Value, StructureRule> {
    let mut seen = Collected::default();
    scan(packed, bytes, bounds, &mut seen).map_err(|fault| fault.rule)?;
    let tree = tree(packed, bytes).expect("what the scan accepts has a tree");
    let mut scalars = Vec::new();
    super::scalars_of(&tree, "", &mut scalars);
    let sorted = |scalars: Vec<(String, Value)>| scalars.into_iter().collect::<BTreeMap<_, _>>();
    assert_eq!(sorted(seen.scalars), sorted(scalars));
    Ok(tree)
}

fn of_message_pack(hex: &str) -> Result<Value, StructureRule> {
    read(Packed::MessagePack, &bytes_of(hex), &BOUNDS)
}

fn of_cbor(hex: &str) -> Result<Value, StructureRule> {
    read(Packed::Cbor, &bytes_of(hex), &BOUNDS)
}

/// The examples of RFC 8949 appendix A that have the form of JSON.
#[test]
fn examples_of_cbor_are_read() {
    for (hex, value) in [
        ("00", json!(0)),
        ("17", json!(23)),
        ("1818", json!(24)),
        ("1903e8", json!(1000)),
        ("1a000f4240", json!(1_000_000)),
        ("1b000000e8d4a51000", json!(1_000_000_000_000_i64)),
        ("20", json!(-1)),
        ("3863", json!(-100)),
        ("3903e7", json!(-1000)),
        ("f90000", json!(0.0)),
        ("f98000", json!(-0.0)),
        ("f93c00", json!(1.0)),
        ("fb3ff199999999999a", json!(1.1)),
        ("f93e00", json!(1.5)),
        ("f97bff", json!(65504.0)),
        ("fa47c35000", json!(100_000.0)),
        ("fa7f7fffff", json!(3.402_823_466_385_288_6e38)),
        ("fb7e37e43c8800759c", json!(1.0e300)),
        ("f90001", json!(5.960_464_477_539_063e-8)),
        ("f90400", json!(6.103_515_625e-5)),
        ("f9c400", json!(-4.0)),
        ("fbc010666666666666", json!(-4.1)),
        ("f4", json!(false)),
        ("f5", json!(true)),
        ("f6", Value::Null),
        ("60", json!("")),
        ("6449455446", json!("IETF")),
        ("62225c", json!("\"\\")),
        ("62c3bc", json!("ü")),
        ("64f0908591", json!("\u{10151}")),
        ("80", json!([])),
        ("8301820203820405", json!([1, [2, 3], [4, 5]])),
        ("a0", json!({})),
        ("a26161016162820203", json!({ "a": 1, "b": [2, 3] })),
        ("826161a161626163", json!(["a", { "b": "c" }])),
        // Lengths that are longer than they need be.
        ("1b0000000000000001", json!(1)),
        ("bb00000000000000017800f6", json!({ "": null })),
        ("1b0020000000000000", json!(1_i64 << 53)),
        ("3b001fffffffffffff", json!(-(1_i64 << 53))),
    ] {
        assert_eq!(of_cbor(hex), Ok(value), "{hex}");
    }
}

#[test]
fn cbor_that_is_not_as_json_is_refused() {
    use StructureRule::{
        Depth, DuplicateKey, Foreign, Indefinite, Items, Malformed, Members, NameKind, Number,
        Trailing,
    };
    for (hex, rule) in [
        ("", Malformed),
        ("18", Malformed),
        ("19ff", Malformed),
        ("1c", Malformed),
        ("1f", Malformed),
        ("3f", Malformed),
        ("61", Malformed),
        ("61ff", Malformed),
        ("62c3", Malformed),
        ("63eda080", Malformed),
        ("7bffffffffffffffff", Malformed),
        ("81", Malformed),
        ("a1", Malformed),
        ("a16161", Malformed),
        ("fc", Malformed),
        ("ff", Malformed),
        ("df", Malformed),
        ("5c", Malformed),
        ("1b0020000000000001", Number),
        ("1bffffffffffffffff", Number),
        ("3b0020000000000000", Number),
        ("3bffffffffffffffff", Number),
        ("f97c00", Number),
        ("f97e00", Number),
        ("f9fc00", Number),
        ("fa7f800000", Number),
        ("fb7ff8000000000000", Number),
        // Large integers, dates, and CBOR that says what it is.
        ("c249010000000000000000", Foreign),
        ("c11a514b67b0", Foreign),
        ("d9d9f700", Foreign),
        ("f7", Foreign),
        ("e0", Foreign),
        ("f8ff", Foreign),
        ("f818", Foreign),
        ("4401020304", Foreign),
        ("40", Foreign),
        ("9f01ff", Indefinite),
        ("bf6161f5ff", Indefinite),
        ("7f6161ff", Indefinite),
        ("5f4101ff", Indefinite),
        ("a10102", NameKind),
        ("a1f600", NameKind),
        ("a1826161616200", NameKind),
        ("a1416100", Foreign),
        ("a2616101616102", DuplicateKey),
        ("a26161017801617801", DuplicateKey),
        ("0000", Trailing),
        ("8000", Trailing),
        ("7b22", Malformed),
        ("9a7fffffff", Items),
        ("9bffffffffffffffff", Items),
        ("ba7fffffff", Members),
        ("81*1000000", Depth),
    ] {
        assert_eq!(of_cbor(hex), Err(rule), "{hex}");
    }
}

#[test]
fn examples_of_message_pack_are_read() {
    for (hex, value) in [
        ("00", json!(0)),
        ("7f", json!(127)),
        ("cc80", json!(128)),
        ("cd0100", json!(256)),
        ("ce00010000", json!(65536)),
        ("cf0020000000000000", json!(1_i64 << 53)),
        ("ff", json!(-1)),
        ("e0", json!(-32)),
        ("d0df", json!(-33)),
        ("d1ff7f", json!(-129)),
        ("d2ffff7fff", json!(-32769)),
        ("d3ffe0000000000000", json!(-(1_i64 << 53))),
        ("d30000000000000001", json!(1)),
        ("ca3f800000", json!(1.0)),
        ("cb3ff199999999999a", json!(1.1)),
        ("c0", Value::Null),
        ("c2", json!(false)),
        ("c3", json!(true)),
        ("a0", json!("")),
        ("a3616263", json!("abc")),
        ("d903616263", json!("abc")),
        ("da0003616263", json!("abc")),
        ("db00000003616263", json!("abc")),
        ("90", json!([])),
        ("920102", json!([1, 2])),
        ("dc00020102", json!([1, 2])),
        ("dd000000020102", json!([1, 2])),
        ("80", json!({})),
        // The example of msgpack.org.
        ("82a7636f6d70616374c3a6736368656d6100", json!({ "compact": true, "schema": 0 })),
        ("de0001a16190", json!({ "a": [] })),
        ("df00000001a16181a16201", json!({ "a": { "b": 1 } })),
        ("9382a16101a16290c3a0", json!([{ "a": 1, "b": [] }, true, ""])),
    ] {
        assert_eq!(of_message_pack(hex), Ok(value), "{hex}");
    }
}

#[test]
fn message_pack_that_is_not_as_json_is_refused() {
    use StructureRule::{
        Depth, DuplicateKey, Foreign, Items, Malformed, Members, NameKind, Number, Trailing,
    };
    for (hex, rule) in [
        ("", Malformed),
        ("c1", Malformed),
        ("a1", Malformed),
        ("a1ff", Malformed),
        ("a2c3", Malformed),
        ("a3eda080", Malformed),
        ("cc", Malformed),
        ("cd01", Malformed),
        ("91", Malformed),
        ("81", Malformed),
        ("81a161", Malformed),
        ("dbffffffff", Malformed),
        ("cf0020000000000001", Number),
        ("cfffffffffffffffff", Number),
        ("d3ffdfffffffffffff", Number),
        ("d38000000000000000", Number),
        ("ca7f800000", Number),
        ("ca7fc00000", Number),
        ("cbfff0000000000000", Number),
        ("cb7ff8000000000000", Number),
        ("c400", Foreign),
        ("c5000161", Foreign),
        ("c60000000161", Foreign),
        ("c70100ff", Foreign),
        ("d40001", Foreign),
        // A timestamp.
        ("d6ff00000000", Foreign),
        ("d8010102030405060708090a0b0c0d0e0f10", Foreign),
        ("810102", NameKind),
        ("81c000", NameKind),
        ("8191a16100", NameKind),
        ("81c4016100", Foreign),
        ("82a16101a16102", DuplicateKey),
        ("82a16101d9016102", DuplicateKey),
        ("0000", Trailing),
        ("c0c0", Trailing),
        // JSON: `{"a":1}`
        ("7b2261223a317d", Trailing),
        ("ddffffffff", Items),
        ("dc03e9", Items),
        ("dfffffffff", Members),
        ("de03e9", Members),
        ("91*1000000", Depth),
    ] {
        assert_eq!(of_message_pack(hex), Err(rule), "{hex}");
    }
}

#[test]
fn bounds_are_those_of_json() {
    let bounds =
        Bounds { max_depth: 2, max_members: 2, max_items: 2, max_string: 3, duplicate_keys: true };
    for (packed, hex, expected) in [
        (Packed::MessagePack, "9190", None),
        (Packed::MessagePack, "919190", Some(StructureRule::Depth)),
        (Packed::MessagePack, "83a16100a16200a16300", Some(StructureRule::Members)),
        (Packed::MessagePack, "93000000", Some(StructureRule::Items)),
        (Packed::MessagePack, "a3616161", None),
        (Packed::MessagePack, "a461616161", Some(StructureRule::StringLength)),
        (Packed::MessagePack, "81a46161616100", Some(StructureRule::StringLength)),
        (Packed::MessagePack, "82a16101a16101", None),
        (Packed::Cbor, "8180", None),
        (Packed::Cbor, "818180", Some(StructureRule::Depth)),
        (Packed::Cbor, "a3616100616200616300", Some(StructureRule::Members)),
        (Packed::Cbor, "83000000", Some(StructureRule::Items)),
        (Packed::Cbor, "6461616161", Some(StructureRule::StringLength)),
        (Packed::Cbor, "a2616101616101", None),
    ] {
        let bytes = bytes_of(hex);
        let judged = scan(packed, &bytes, &bounds, &mut Collected::default());
        assert_eq!(judged.err().map(|fault| fault.rule), expected, "{hex}");
    }
}

fn packed(encoding: Packed, value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    match encoding {
        Packed::Cbor => ciborium::into_writer(value, &mut bytes).unwrap(),
        Packed::MessagePack => {
            let value = rmpv::ext::to_value(value).unwrap();
            rmpv::encode::write_value(&mut bytes, &value).unwrap();
        }
    }
    bytes
}

fn of_rmpv(value: &rmpv::Value) -> Read {
    match value {
        rmpv::Value::Nil => Read::Null,
        rmpv::Value::Boolean(bool) => Read::Bool(*bool),
        rmpv::Value::Integer(integer) => of_integer(integer.as_i64().expect("at most 2^53")),
        rmpv::Value::F32(float) => Read::Number((*float).into()),
        rmpv::Value::F64(double) => Read::Number(*double),
        rmpv::Value::String(text) => Read::Text(text.as_str().expect("UTF-8").to_owned()),
        rmpv::Value::Array(items) => Read::List(items.iter().map(of_rmpv).collect()),
        rmpv::Value::Map(members) => of_members(members.iter().map(|(name, value)| {
            (name.as_str().expect("a name is a text").to_owned(), of_rmpv(value))
        })),
        other => panic!("JSON has no {other}"),
    }
}

fn of_ciborium(value: &ciborium::Value) -> Read {
    use ciborium::Value as Cbor;
    match value {
        Cbor::Null => Read::Null,
        Cbor::Bool(bool) => Read::Bool(*bool),
        Cbor::Integer(integer) => of_integer((*integer).try_into().expect("at most 2^53")),
        Cbor::Float(double) => Read::Number(*double),
        Cbor::Text(text) => Read::Text(text.clone()),
        Cbor::Array(items) => Read::List(items.iter().map(of_ciborium).collect()),
        Cbor::Map(members) => of_members(members.iter().map(|(name, value)| {
            (name.as_text().expect("a name is a text").to_owned(), of_ciborium(value))
        })),
        other => panic!("JSON has no {other:?}"),
    }
}

/// What the scan accepts, the other crate reads to the end and as the same value.
fn agree(encoding: Packed, bytes: &[u8]) {
    let Ok(value) = read(encoding, bytes, &BOUNDS) else {
        return;
    };
    let mut rest = bytes;
    let other = match encoding {
        Packed::MessagePack => of_rmpv(&rmpv::decode::read_value(&mut rest).unwrap()),
        Packed::Cbor => of_ciborium(&ciborium::from_reader(&mut rest).unwrap()),
    };
    assert_eq!(of_serde_json(&value), other);
    assert_eq!(rest, b"");
}

const BOTH: [Packed; 2] = [Packed::MessagePack, Packed::Cbor];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_other_crates_write_is_read(value in values()) {
        for encoding in BOTH {
            let bytes = packed(encoding, &value);
            let expected = of_serde_json(&value);
            prop_assert_eq!(read(encoding, &bytes, &BOUNDS).map(|value| of_serde_json(&value)), Ok(expected));
            for end in 0..bytes.len() {
                prop_assert!(read(encoding, &bytes[..end], &BOUNDS).is_err());
            }
        }
    }

    #[test]
    fn changed_bytes_are_refused_or_read_alike(
        value in values(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        for encoding in BOTH {
            let mut bytes = packed(encoding, &value);
            for (at, byte, kind) in &changes {
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = *byte,
                    1 => bytes.insert(at, *byte),
                    _ if bytes.len() > 1 => drop(bytes.remove(at)),
                    _ => {}
                }
            }
            agree(encoding, &bytes);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_alike(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        for encoding in BOTH {
            agree(encoding, &bytes);
        }
    }
}
