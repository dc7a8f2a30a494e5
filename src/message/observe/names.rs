//! Which names of members and types may be shown: names that look like identifiers of people or things are not.

/// The most bytes of a name that is shown.
const MOST: usize = 64;
/// A run of so many digits is a number of something.
const DIGITS: usize = 4;
/// So many hexadecimal digits, of which one is no letter, are an id.
const HEX: usize = 16;

/// Whether the name of a member may be shown in a schema.
pub(super) fn is_shown(name: &str) -> bool {
    is_plain(name) && !is_number(name) && !is_id(name)
}

/// The name of a type as it is listed: `room:42` becomes `room:*`. `None`: it cannot be listed.
pub(super) fn of_type(name: &str) -> Option<String> {
    if !is_plain(name) || name.contains('*') {
        return None;
    }
    if let Some(at) = name.rfind([':', '/', '.']) {
        let (head, tail) = name.split_at(at + 1);
        if is_number(tail) || is_id(tail) {
            return (!is_id(head)).then(|| format!("{head}*"));
        }
    }
    (!is_id(name)).then(|| name.to_owned())
}

/// Whether a name is short, and of letters, digits and the signs that names have.
fn is_plain(name: &str) -> bool {
    let is_sign = |character: char| "_-$.@:/#, ".contains(character);
    !name.is_empty()
        && name.len() <= MOST
        && name.chars().all(|character| character.is_alphanumeric() || is_sign(character))
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a name looks like an address of a person, or like an id.
fn is_id(name: &str) -> bool {
    let is_address = name.split_once('@').is_some_and(|(user, _)| !user.is_empty());
    let mut digits = 0;
    let mut longest = 0;
    for byte in name.bytes() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        longest = longest.max(digits);
    }
    let hex = name.bytes().filter(|byte| *byte != b'-');
    let is_hex = name.len() >= HEX
        && hex.clone().all(|byte| byte.is_ascii_hexdigit())
        && hex.clone().any(|byte| byte.is_ascii_digit());
    is_address || longest >= DIGITS || is_hex
}

#[cfg(test)]
mod tests {
    use super::{is_shown, of_type};

    #[test]
    fn names_of_people_and_things_are_not_shown() {
        for name in ["room", "first_name", "line2", "sha256", "@type", "$ref", "größe", "a b"] {
            assert!(is_shown(name), "{name}");
        }
        let long = "x".repeat(65);
        for name in [
            "",
            "7",
            "2026",
            "ann@example.org",
            "user-10345",
            "c0ffee00-1234-4567-89ab-00c0ffee0000",
            "deadbeefdeadbee1",
            "a\nb",
            "<script>",
            &long,
        ] {
            assert!(!is_shown(name), "{name}");
        }
    }

    #[test]
    fn types_with_a_number_share_a_beginning() {
        for (name, listed) in [
            ("say", Some("say")),
            ("room:join", Some("room:join")),
            ("room:42", Some("room:*")),
            ("room/c0ffee00-1234-4567-89ab-00c0ffee0000", Some("room/*")),
            ("ann@example.org:42", None),
            ("7", Some("7")),
            ("10345", None),
            ("a*", None),
            ("", None),
        ] {
            assert_eq!(of_type(name).as_deref(), listed, "{name}");
        }
    }
}
