//! Tokens in query parameters.

use percent_encoding::percent_decode_str;

use super::names::is_like;
use super::{CredentialReading, token};

/// Reads the tokens of the parameters that decode to `name`. A parameter that only lenient parsers read
/// as `name`, or find after a `;`, is an error.
pub(super) fn read(target: &str, name: &str) -> Vec<CredentialReading> {
    let mut readings = Vec::new();
    for parameter in query(target).split('&') {
        let (given, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if is_called(given, name) {
            let value: Vec<u8> = percent_decode_str(value).collect();
            if !value.is_empty() {
                readings.push(token(&value));
            }
        } else if parameter.split(';').any(|part| !is_empty(part) && is_taken_for(part, name)) {
            readings.push(Err("another parameter can be taken for it"));
        }
    }
    readings
}

/// The target without those parameters, in every spelling; `None`: the target has no such parameter.
pub(super) fn without(target: &str, name: &str) -> Option<String> {
    let (path, query) = target.split_once('?')?;
    let kept: Vec<String> =
        query.split('&').filter_map(|parameter| without_part(parameter, name)).collect();
    let left = kept.join("&");
    if left == query {
        return None;
    }
    Some(if kept.is_empty() { path.to_owned() } else { format!("{path}?{left}") })
}

/// The rest of one parameter; `None`: nothing is left.
fn without_part(parameter: &str, name: &str) -> Option<String> {
    if is_taken_for(parameter, name) {
        return None;
    }
    let parts: Vec<&str> = parameter.split(';').filter(|part| !is_taken_for(part, name)).collect();
    (!parts.is_empty()).then(|| parts.join(";"))
}

fn query(target: &str) -> &str {
    target.split_once('?').map_or("", |(_, query)| query)
}

/// Whether a parameter's name in the query decodes to `name`.
fn is_called(given: &str, name: &str) -> bool {
    percent_decode_str(given).decode_utf8().is_ok_and(|given| given == name)
}

/// Whether some parser takes `part` for the parameter `name`.
fn is_taken_for(part: &str, name: &str) -> bool {
    let given = part.split('=').next().unwrap_or_default();
    is_like(given.as_bytes(), name)
}

fn is_empty(part: &str) -> bool {
    part.split_once('=').is_none_or(|(_, value)| value.is_empty())
}
