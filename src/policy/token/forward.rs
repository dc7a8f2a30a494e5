//! Forwards claims to the upstream as header fields. Two different claims never make the same field
//! value: decoding `%XX` yields the exact claim, and the value has no characters that HTTP trims,
//! splits or refuses.

use std::fmt::Write;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::compact::invalid;
use super::verified::VerifiedToken;
use crate::values::{Refusal, claims};

/// The longest field value, in bytes.
const MAX_VALUE: usize = 4 * 1024;

/// Refuses claims that are too long for a field.
pub(super) fn check(
    forward: &[(HeaderName, String)],
    claims: &Map<String, Value>,
) -> Result<(), Refusal> {
    let long = |claim: &&String| field(claims, claim).is_err();
    match forward.iter().map(|(_, claim)| claim).find(long) {
        None => Ok(()),
        Some(claim) => Err(invalid(format!(
            "the token's {claim} makes a header of over {MAX_VALUE} bytes, and forward names it"
        ))
        .by("forward")),
    }
}

/// The fields for a token, in the order of the configuration. A claim that is missing in it makes no
/// field.
pub(super) fn fields(
    forward: &[(HeaderName, String)],
    token: &VerifiedToken,
) -> Vec<(HeaderName, HeaderValue)> {
    let claims = token.claims();
    let value = |claim: &String| field(claims, claim).ok().flatten();
    forward.iter().filter_map(|(name, claim)| Some((name.clone(), value(claim)?))).collect()
}

/// The field value exceeds [`MAX_VALUE`] bytes.
#[derive(Debug)]
struct HeaderTooLong;

/// The field value for a claim, if the token has the claim.
fn field(claims: &Map<String, Value>, claim: &str) -> Result<Option<HeaderValue>, HeaderTooLong> {
    let text = match claims::find(claims, claim) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => safe(text, &[]),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            let texts = list.iter().filter_map(Value::as_str);
            texts.map(|text| safe(text, b",")).collect::<Vec<_>>().join(", ")
        }
        Some(other) => safe(&other.to_string(), &[]),
    };
    let value = HeaderValue::from_str(&text).ok().filter(|value| value.len() <= MAX_VALUE);
    value.map(Some).ok_or(HeaderTooLong)
}

/// Percent-encodes all bytes except visible ASCII; also `%`, the bytes of `more`, and spaces at
/// both ends.
fn safe(text: &str, more: &[u8]) -> String {
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_graphic() && byte != b'%' && !more.contains(&byte);
        let inner_space = byte == b' ' && index != 0 && index != last;
        if plain || inner_space {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::field;

    fn value(claim: &Value) -> Option<String> {
        let claims = Map::from_iter([("c".to_owned(), claim.clone())]);
        let value = field(&claims, "c").expect("short enough")?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn values_are_safe_and_never_the_same_for_two_claims() {
        let cases = [
            (json!("ann"), "ann"),
            (json!(""), ""),
            (json!("Ann Lee"), "Ann Lee"),
            (json!(" ann "), "%20ann%20"),
            (json!(" "), "%20"),
            (json!("a\r\nX-Admin: 1"), "a%0D%0AX-Admin: 1"),
            (json!("a%0A"), "a%250A"),
            (json!("J\u{fc}rgen"), "J%C3%BCrgen"),
            (json!("\t\u{0}\u{7f}"), "%09%00%7F"),
            (json!(42), "42"),
            (json!(-1), "-1"),
            (json!(0.5), "0.5"),
            (json!(true), "true"),
            (json!(["a", "b"]), "a, b"),
            (json!(["a, b"]), "a%2C b"),
            (json!([]), ""),
            (json!(["a", 1]), r#"["a",1]"#),
            (json!({"k": "\u{e9}"}), r#"{"k":"%C3%A9"}"#),
        ];
        for (claim, expected) in cases {
            assert_eq!(value(&claim).as_deref(), Some(expected), "{claim}");
        }
        assert_eq!(value(&Value::Null), None);
    }

    #[test]
    fn a_value_has_a_bound() {
        let long = |length| Map::from_iter([("c".to_owned(), json!("x".repeat(length)))]);
        assert!(field(&long(4096), "c").unwrap().is_some());
        assert!(field(&long(4097), "c").is_err());
        assert!(field(&long(1), "d").unwrap().is_none());
    }
}
