//! The result of an observation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::group::Group;
use super::seen::{Seen, TypeAt};

/// The messages of a route in one direction, without a value of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The NAME of `[routes.NAME]`.
    pub route: String,
    /// The direction.
    pub direction: Direction,
    /// The time of the observation.
    pub seconds: u64,
    /// The sessions that had a message.
    pub sessions: u64,
    /// The protocol whose items are counted as types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The most items of one message of the protocol.
    pub most_items: usize,
    /// The JSON pointer to the type; `None`: no place is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_at: Option<String>,
    /// Whether that place was guessed.
    pub guessed: bool,
    /// All messages.
    pub all: Messages,
    /// By type, in the order of their names.
    pub types: Vec<TypeReport>,
    /// JSON without a type, and items of the protocol itself.
    pub untyped: Messages,
    /// The schema of JSON without a type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untyped_schema: Option<Value>,
    /// JSON of types that are not listed: there are too many, or a name is too long or looks like an id.
    pub unnamed: Messages,
    /// JSON that parsers read in different ways, which rules for JSON refuse; with a protocol all that is not of it.
    pub ambiguous: Messages,
    /// Not JSON.
    pub other: Messages,
    /// Counted, and not read: larger than 64 KiB, or there were too many.
    pub unread: Messages,
    /// Those of them that were not too large.
    pub skipped: u64,
    /// The largest parts of JSON.
    pub extent: ExtentReport,
}

/// The direction of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Of the client.
    Messages,
    /// Of the application.
    Replies,
}

/// One type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TypeReport {
    /// Its name, as in a `[routes.NAME.messages.types."TYPE"]`.
    pub name: String,
    /// Its messages.
    #[serde(flatten)]
    pub messages: Messages,
    /// The draft of its schema.
    pub schema: Value,
}

/// Some messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// Their number.
    pub messages: u64,
    /// Those of them that are text.
    pub text: u64,
    /// Those of them that are binary.
    pub binary: u64,
    /// The sizes of their payload, inflated.
    pub size: Sizes,
    /// The most of them in one second and in one minute, of all sessions.
    pub rate: Rates,
    /// The same of one session; `None`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_rate: Option<Rates>,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The smallest.
    pub least: u64,
    /// The largest.
    pub most: u64,
    /// The mean.
    pub mean: u64,
}

/// The most messages in a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// In one second.
    pub second: u32,
    /// In one minute.
    pub minute: u32,
}

/// The largest parts of JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtentReport {
    /// Objects and arrays within each other.
    pub depth: usize,
    /// Members of an object.
    pub members: usize,
    /// Elements of an array.
    pub items: usize,
    /// Bytes of a string or name.
    pub string: usize,
}

impl Direction {
    /// The name of the table of rules.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Replies => "replies",
        }
    }
}

pub(super) fn report(
    seen: &Seen,
    route: &str,
    direction: Direction,
    protocol: Option<String>,
    seconds: u64,
) -> Report {
    let has_shape = protocol.is_none() && seen.untyped.count > 0;
    let (type_at, guessed) = match &seen.type_at {
        TypeAt::Known { pointer, guessed } => (pointer.clone(), *guessed),
        TypeAt::Undecided { .. } => (None, false),
    };
    let types = seen.types.iter().map(|(name, group)| TypeReport {
        name: name.clone(),
        messages: messages(group),
        schema: group.shape.schema(),
    });
    let extent = seen.extent;
    Report {
        route: route.to_owned(),
        direction,
        seconds,
        sessions: seen.sessions,
        protocol,
        most_items: seen.most_items,
        type_at,
        guessed,
        all: messages(&seen.all),
        types: types.collect(),
        untyped: messages(&seen.untyped),
        untyped_schema: has_shape.then(|| seen.untyped.shape.schema()),
        unnamed: messages(&seen.unnamed),
        ambiguous: messages(&seen.ambiguous),
        other: messages(&seen.other),
        unread: messages(&seen.unread),
        skipped: seen.skipped,
        extent: ExtentReport {
            depth: extent.depth,
            members: extent.members,
            items: extent.items,
            string: extent.string,
        },
    }
}

fn messages(group: &Group) -> Messages {
    let &Group { count, text, binary, least, most, bytes, uncounted, .. } = group;
    let of_session = Rates { second: group.session_second, minute: group.session_minute };
    Messages {
        messages: count,
        text,
        binary,
        size: Sizes { least, most, mean: bytes.checked_div(count).unwrap_or(0) },
        rate: Rates { second: group.most_in_second, minute: group.most_in_minute },
        session_rate: (!uncounted && count > 0).then_some(of_session),
    }
}
