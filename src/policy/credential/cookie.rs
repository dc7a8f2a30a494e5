//! Tokens in cookies. Cookie lines are bytes (RFC 6265 section 5.4 lets user agents send any value that
//! a site once set): one pair is removed, and the rest is forwarded unchanged.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::names::is_like;
use super::{CredentialReading, token, trimmed};

/// Reads the tokens of the cookies called `name` on all lines. A pair that only lenient parsers find,
/// after a comma, a blank or a quote, or under another spelling of the name, is an error.
pub(super) fn read(headers: &HeaderMap, name: &str) -> Vec<CredentialReading> {
    let mut readings = Vec::new();
    for line in headers.get_all(COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            match named(pair) {
                Some((given, value)) if given == name.as_bytes() => {
                    let value = unquoted(value);
                    if !value.is_empty() {
                        readings.push(token(value));
                    }
                }
                _ if is_hidden_in(pair, name) => {
                    readings.push(Err("another cookie can be taken for it"));
                }
                _ => {}
            }
        }
    }
    readings
}

/// Removes the cookies called `name` from every line; a line without other cookies is removed. Several
/// lines are joined into one (RFC 6265 section 5.4): parsers that join lines with a comma could find
/// the beginning of a pair on one line and its `=` on the next.
pub(super) fn remove(headers: &mut HeaderMap, name: &str) {
    let lines = headers.get_all(COOKIE).iter();
    let kept: Vec<HeaderValue> = lines.filter_map(|line| without(line, name)).collect();
    headers.remove(COOKIE);
    let joined = kept.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    // Valid values joined by `; ` are a valid value.
    if let Some(line) = HeaderValue::from_bytes(&joined).ok().filter(|line| !line.is_empty()) {
        headers.insert(COOKIE, line);
    }
}

/// The rest of a line; `None`: nothing is left.
fn without(line: &HeaderValue, name: &str) -> Option<HeaderValue> {
    let is_it = |pair: &[u8]| named(pair).is_some_and(|(given, _)| given == name.as_bytes());
    let pairs: Vec<&[u8]> = line.as_bytes().split(|byte| *byte == b';').collect();
    if !pairs.iter().any(|pair| is_it(pair)) {
        return Some(line.clone());
    }
    let kept: Vec<&[u8]> = pairs.into_iter().filter(|pair| !is_it(pair)).collect();
    let kept = kept.join(&b';');
    let kept = trimmed(&kept);
    // Parts of a valid value are a valid value.
    HeaderValue::from_bytes(kept).ok().filter(|_| !kept.is_empty())
}

/// The name and value of a pair, without surrounding blanks; `None`: the pair has no `=`.
fn named(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((trimmed(&pair[..equals]), trimmed(&pair[equals + 1..])))
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    }
}

/// Whether some parser finds a cookie `name` in this pair: parsers also split at commas, blanks and
/// quotes, and fold spellings of names. ASP.NET Core compares cookie names without regard to case.
fn is_hidden_in(pair: &[u8], name: &str) -> bool {
    let apart = |byte: &u8| b" \t,\"".contains(byte);
    let mut words = pair.split(apart).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let equals = word.iter().position(|byte| *byte == b'=');
        let is_named = equals.is_some() || words.peek().is_some_and(|next| next[0] == b'=');
        if is_named && is_like(&word[..equals.unwrap_or(word.len())], name) {
            return true;
        }
    }
    // Only a whole pair can have blanks in its name.
    named(pair).is_some_and(|(given, _)| is_like(given, name))
}
