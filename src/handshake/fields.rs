//! Strict reading of header fields: lists over several lines, tokens, single values.

use http::{HeaderMap, HeaderName};

/// The single value of a field: `Ok(None)` if it is absent, `Err` if it occurs twice or is not
/// visible ASCII.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(());
    }
    value.to_str().map(|text| Some(text.trim_matches([' ', '\t']))).map_err(|_| ())
}

/// The elements of a comma-separated list over all lines of a field (RFC 9110 section 5.6.1),
/// without empty ones. `Err` if a value is not visible ASCII, since then no element can be trusted.
pub(crate) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Vec<&'a str>, ()> {
    let mut elements = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| ())?;
        let parts = text.split(',').map(|part| part.trim_matches([' ', '\t']));
        elements.extend(parts.filter(|part| !part.is_empty()));
    }
    Ok(elements)
}

/// The elements of such a list to the right of the last one that is not visible ASCII, in the order
/// of the list. Each proxy appends on the right, and values that a client put to their left must
/// not hide them.
pub(super) fn list_from_right<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().rev();
    let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let readable = elements.map_while(visible).map(|part| part.trim_matches([' ', '\t']));
    let mut elements: Vec<_> = readable.filter(|part| !part.is_empty()).collect();
    elements.reverse();
    elements
}

fn visible(bytes: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    std::str::from_utf8(bytes).ok().filter(|text| text.as_bytes().iter().all(is_visible))
}
