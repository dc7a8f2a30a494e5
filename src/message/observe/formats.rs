//! The formats of strings that a drafted schema asserts. Each is checked by the same code as in a schema that was
//! loaded, so a draft accepts the strings that it was drafted from.

use jsonschema::Validator;
use serde_json::Value;

use crate::message::schema;

/// The names of the formats, in the order in which they are preferred.
const NAMES: [&str; 7] = ["uuid", "date-time", "date", "ipv4", "ipv6", "email", "uri"];

/// A set of formats, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FormatSet(u8);

/// The checks of the formats.
#[derive(Debug)]
pub(super) struct Formats(Vec<Option<Validator>>);

impl FormatSet {
    /// Every format: no string was seen.
    pub(super) const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The formats of both sets.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The name of the first format.
    pub(super) fn name(self) -> Option<&'static str> {
        (0..).zip(NAMES).find(|(bit, _)| self.has(*bit)).map(|(_, name)| name)
    }

    fn has(self, bit: u8) -> bool {
        self.0 & 1 << bit != 0
    }
}

impl Formats {
    pub(super) fn new() -> Self {
        Self(NAMES.iter().map(|name| schema::format(name)).collect())
    }

    /// Those of the formats `of` that the string `value` has.
    pub(super) fn of(&self, value: &Value, text: &str, of: FormatSet) -> FormatSet {
        let mut set = 0;
        for ((bit, name), check) in (0..).zip(NAMES).zip(&self.0) {
            let check = check.as_ref().filter(|_| of.has(bit) && may_be(name, text));
            if check.is_some_and(|check| check.is_valid(value)) {
                set |= 1 << bit;
            }
        }
        FormatSet(set)
    }
}

/// A cheap test before the check. A URI without an authority is not taken for one: `room:join` would be.
fn may_be(format: &str, text: &str) -> bool {
    match format {
        "uuid" => text.len() == 36,
        "date-time" => text.len() >= 20 && text.contains(['T', 't']),
        "date" => text.len() == 10,
        "ipv4" => text.len() <= 15 && text.contains('.'),
        "ipv6" => text.len() <= 45 && text.contains(':'),
        "email" => text.contains('@'),
        _ => text.contains("://"),
    }
}
