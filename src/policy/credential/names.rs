//! The names of parameters and cookies as lenient parsers read them.

/// Whether some parser takes `given`, as it stands in the request, for `name`. Covers one
/// percent-decoding (also `%uXXXX`), `+` as a space, names that end at a NUL, surrounding blanks and
/// bytes above 0x7f, PHP's `_` for `.`, space and `[`, names of list members (`name[]`), and ASP.NET
/// Core, which ignores case.
pub(super) fn is_like(given: &[u8], name: &str) -> bool {
    is_spelling(&decoded(given).to_ascii_lowercase(), &name.to_ascii_lowercase())
}

fn is_spelling(decoded: &[u8], name: &str) -> bool {
    let (given, name) = (until_nul(decoded), folded(name.as_bytes()));
    let around = |byte: &u8| !byte.is_ascii_graphic();
    let start = given.iter().position(|byte| !around(byte)).unwrap_or(given.len());
    let end = given.iter().rposition(|byte| !around(byte)).map_or(start, |last| last + 1);
    let given = &given[start..end];
    let bracket = given.iter().position(|byte| *byte == b'[');
    folded(given) == name || bracket.is_some_and(|at| folded(&given[..at]) == name)
}

fn folded(name: &[u8]) -> Vec<u8> {
    let fold = |byte: &u8| if b". [".contains(byte) { b'_' } else { *byte };
    name.iter().map(fold).collect()
}

fn until_nul(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match first {
            b'+' => (b' ', behind),
            b'%' => escaped(behind).unwrap_or((b'%', behind)),
            byte => (*byte, behind),
        };
        out.push(byte);
        rest = behind;
    }
    out
}

/// The byte that an escape after `%` encodes, and the rest of the text.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (high, low, behind) = match text {
        [b'u' | b'U', b'0', b'0', high, low, behind @ ..] | [high, low, behind @ ..] => {
            (*high, *low, behind)
        }
        _ => return None,
    };
    Some((hex(high, low)?, behind))
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn spellings_of_a_name() {
        for given in [
            "access_token",
            "access.token",
            "access%2etoken",
            "access+token",
            "access%20token",
            "access[token",
            "access_token[]",
            "access_token%5B0%5D",
            "access_token[a][b]",
            "access_token%00",
            "access_token%00.x",
            "%20access_token",
            "+access_token",
            "access_token%20",
            "%u0061ccess_token",
            "%61ccess%5Ftoken",
            "%A0access_token%C2%A0",
            "Access_Token",
            "ACCESS%2ETOKEN",
            "%41ccess_token",
        ] {
            assert!(is_like(given.as_bytes(), "access_token"), "{given}");
        }
        for given in [
            "",
            "access",
            "access-token",
            "access_tokens",
            "xaccess_token",
            "access%255Ftoken",
            "[access_token]",
            "user[access_token]",
            "access_token%",
            "%access_token",
        ] {
            assert!(!is_like(given.as_bytes(), "access_token"), "{given}");
        }
        assert!(is_like(b"a_b", "a.b") && is_like(b"a.b", "a.b") && is_like(b"a_B", "A.b"));
    }
}
