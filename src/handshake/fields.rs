//! Reading header fields strictly: lists over several lines, tokens, values that may come once.

use http::{HeaderMap, HeaderName};

/// The one value of a field: `Ok(None)` where it is absent, `Err` where it comes twice or is not
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
/// without empty ones. A value that is not visible ASCII has no elements to trust: `Err`.
pub(crate) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Vec<&'a str>, ()> {
    let mut elements = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| ())?;
        let parts = text.split(',').map(|part| part.trim_matches([' ', '\t']));
        elements.extend(parts.filter(|part| !part.is_empty()));
    }
    Ok(elements)
}

/// The elements of such a list from the right, up to the first that is not visible ASCII: each proxy
/// adds its own on the right, and what a client put on the left of them must not hide them. In the
/// order of the list.
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
