//! Tokens in header fields: Authorization (RFC 6750 section 2.1) and custom fields.

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::{CredentialReading, token, trimmed};
use crate::values::fold;
use crate::values::is_token_byte;

const SCHEME: &[u8] = b"bearer";

/// Reads the bearer tokens of Authorization. A line with another scheme has none; a line that is not a
/// scheme, a space and the rest (RFC 9110 section 11.4) is an error.
pub(super) fn authorization(headers: &HeaderMap) -> Vec<CredentialReading> {
    headers.get_all(AUTHORIZATION).iter().filter_map(credentials).collect()
}

/// Reads the token of one Authorization line; `None`: the line is empty, or has another scheme.
fn credentials(line: &HeaderValue) -> Option<CredentialReading> {
    let line = trimmed(line.as_bytes());
    if line.is_empty() {
        return None;
    }
    let scheme = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
    let (scheme, rest) = line.split_at(scheme);
    if scheme.is_empty() || !matches!(rest.first(), None | Some(b' ')) {
        return Some(Err("a scheme, a space and a token are expected"));
    }
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let start = rest.iter().position(|byte| *byte != b' ')?;
    Some(token(&rest[start..]))
}

/// Reads the tokens of the fields called `name`: the token alone, or after `Bearer `. Another spelling
/// of the name is an error, because many servers fold it to the same variable.
pub(super) fn named(headers: &HeaderMap, name: &HeaderName) -> Vec<CredentialReading> {
    let mut readings = Vec::new();
    for (given, value) in headers {
        let value = trimmed(value.as_bytes());
        if value.is_empty() || !is_spelling(given, name) {
            continue;
        }
        readings.push(if given == name {
            match value.split_at_checked(SCHEME.len() + 1) {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => token(rest),
                _ => token(value),
            }
        } else {
            Err("the name of its field is spelt in another way")
        });
    }
    readings
}

/// Removes the fields called `name`, in every spelling.
pub(super) fn remove(headers: &mut HeaderMap, name: &HeaderName) {
    let spellings: Vec<HeaderName> =
        headers.keys().filter(|given| is_spelling(given, name)).cloned().collect();
    for spelling in spellings {
        headers.remove(spelling);
    }
}

fn is_spelling(given: &HeaderName, name: &HeaderName) -> bool {
    given == name || (given.as_str().len() == name.as_str().len() && fold(given) == fold(name))
}

/// Removes Authorization; with `judged` it keeps the lines that hold the token.
pub(super) fn empty_authorization(headers: &mut HeaderMap, judged: bool) {
    let kept: Vec<HeaderValue> = headers
        .get_all(AUTHORIZATION)
        .iter()
        .filter(|line| judged && credentials(line).is_some_and(|reading| reading.is_ok()))
        .cloned()
        .collect();
    headers.remove(AUTHORIZATION);
    for line in kept {
        headers.append(AUTHORIZATION, line);
    }
}
