//! Everything that an observation saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::formats::Formats;
use super::group::{Group, Peak};
use super::shape::Nodes;
use super::{ENOUGH, MOST_PEAKS, MOST_TYPES, MOST_UNDECIDED, guess, names};
use crate::message::protocols::Item;
use crate::message::rules::resembles_json;
use crate::message::scan::{self, Bounds, StructureRule};
use crate::wire::{MOST_OBSERVED, ObservedMessage};

/// The bounds of JSON that can be observed.
pub(super) const BOUNDS: Bounds = Bounds {
    max_depth: 127,
    max_members: usize::MAX,
    max_items: usize::MAX,
    max_string: usize::MAX,
    duplicate_keys: false,
};

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) begun: Instant,
    pub(super) type_at: TypeAt,
    /// By the name of the type.
    pub(super) types: BTreeMap<String, Group>,
    /// Every message.
    pub(super) all: Group,
    /// JSON without a type.
    pub(super) untyped: Group,
    /// JSON of a type that is not listed: its name cannot be shown, or there are too many.
    pub(super) unnamed: Group,
    /// JSON that parsers read in different ways.
    pub(super) ambiguous: Group,
    /// Not JSON.
    pub(super) other: Group,
    /// Not read.
    pub(super) unread: Group,
    /// Of those, the ones that came too fast, or for which there was no room.
    pub(super) skipped: u64,
    pub(super) extent: Extent,
    /// The most items of one message of a protocol.
    pub(super) most_items: usize,
    pub(super) nodes: usize,
    /// The rates of each session, by the type's name.
    pub(super) peaks: BTreeMap<u32, Peaks>,
    pub(super) peaks_held: usize,
    pub(super) next_session: u32,
    /// The sessions that sent a message.
    pub(super) sessions: u64,
}

/// The rates of one session, by the name of the type; empty: JSON without one; `None`: every message.
type Peaks = Vec<(Option<Arc<str>>, Peak)>;

/// The place of the type.
#[derive(Debug)]
pub(super) enum TypeAt {
    /// It is to be guessed from these messages.
    Undecided { samples: Vec<Sample>, bytes: usize },
    /// A pointer, or no place.
    Known { pointer: Option<String>, guessed: bool },
}

/// A message that waits until the place of the type is known.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) text: Box<str>,
    pub(super) session: u32,
    pub(super) size: u64,
    pub(super) binary: bool,
    pub(super) now: Instant,
}

/// What is known of a message beside its content.
#[derive(Debug, Clone, Copy)]
struct Facts {
    size: u64,
    binary: bool,
    now: Instant,
}

/// The largest parts of the JSON that was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) depth: usize,
    pub(super) members: usize,
    pub(super) items: usize,
    pub(super) string: usize,
}

/// The content of a message.
pub(super) enum Content<'a> {
    Json(&'a str, Value),
    /// The items of a protocol.
    Items(Vec<Item>),
    Ambiguous,
    Other,
    Unread,
}

/// Whether JSON was seen, in the form that a route with types or a schema requires.
pub(super) fn read(payload: Option<&[u8]>) -> Content<'_> {
    let Some(payload) = payload else {
        return Content::Unread;
    };
    let Ok(text) = std::str::from_utf8(payload) else {
        return Content::Other;
    };
    match scan::scan(text, &BOUNDS, &mut scan::Nothing) {
        Ok(()) => match serde_json::from_str(text) {
            Ok(value) => Content::Json(text, value),
            Err(_) => Content::Ambiguous,
        },
        Err(fault) => match fault.rule {
            StructureRule::Syntax | StructureRule::Trailing if !resembles_json(payload) => {
                Content::Other
            }
            _ => Content::Ambiguous,
        },
    }
}

impl Seen {
    /// With a protocol, no place of a type is guessed.
    pub(super) fn new(type_at: Option<String>, has_protocol: bool, now: Instant) -> Self {
        let type_at = match type_at {
            Some(pointer) => TypeAt::Known { pointer: Some(pointer), guessed: false },
            None if has_protocol => TypeAt::Known { pointer: None, guessed: false },
            None => TypeAt::Undecided { samples: Vec::new(), bytes: 0 },
        };
        Self {
            begun: now,
            type_at,
            types: BTreeMap::new(),
            all: Group::default(),
            untyped: Group::default(),
            unnamed: Group::default(),
            ambiguous: Group::default(),
            other: Group::default(),
            unread: Group::default(),
            skipped: 0,
            extent: Extent::default(),
            most_items: 0,
            nodes: 0,
            peaks: BTreeMap::new(),
            peaks_held: 0,
            next_session: 0,
            sessions: 0,
        }
    }

    /// The seconds since the observation began.
    pub(super) fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs()
    }

    pub(super) fn add(
        &mut self,
        session: u32,
        message: &ObservedMessage<'_>,
        content: Content<'_>,
        formats: &Formats,
    ) {
        let ObservedMessage { binary, size, now, .. } = *message;
        let second = self.second(now);
        let of_session = self.count_session(session, None, second);
        self.all.add(binary, size, second, of_session);
        match content {
            Content::Json(text, value) => {
                self.add_json(session, text, &value, message, formats);
            }
            Content::Items(items) => self.add_items(session, &items, message, formats),
            Content::Ambiguous => self.ambiguous.add(binary, size, second, None),
            Content::Other => self.other.add(binary, size, second, None),
            Content::Unread => {
                self.skipped += u64::from(size <= MOST_OBSERVED as u64);
                self.unread.add(binary, size, second, None);
            }
        }
    }

    fn add_json(
        &mut self,
        session: u32,
        text: &str,
        value: &Value,
        message: &ObservedMessage<'_>,
        formats: &Formats,
    ) {
        let ObservedMessage { binary, size, now, .. } = *message;
        let sample = || Sample { text: text.into(), session, size, binary, now };
        let decided = match &mut self.type_at {
            TypeAt::Undecided { samples, bytes } => {
                samples.push(sample());
                *bytes += text.len();
                samples.len() >= ENOUGH || *bytes >= MOST_UNDECIDED
            }
            TypeAt::Known { pointer, .. } => {
                let pointer = pointer.clone();
                self.file(pointer.as_deref(), &sample(), value, formats);
                false
            }
        };
        if decided {
            self.decide(formats);
        }
    }

    /// Guesses the place of the type, if it is not known.
    pub(super) fn decide(&mut self, formats: &Formats) {
        let TypeAt::Undecided { samples, .. } = &mut self.type_at else {
            return;
        };
        let samples = std::mem::take(samples);
        let pointer = guess::type_at(&samples);
        for sample in &samples {
            // It was read before.
            let value: Value = serde_json::from_str(&sample.text).unwrap_or_default();
            self.file(pointer.as_deref(), sample, &value, formats);
        }
        self.type_at = TypeAt::Known { guessed: pointer.is_some(), pointer };
    }

    /// Adds a JSON message to the group of its type.
    fn file(&mut self, pointer: Option<&str>, sample: &Sample, value: &Value, formats: &Formats) {
        let &Sample { session, size, binary, now, .. } = sample;
        let second = self.second(now);
        self.extent.add(value, 0);
        let name = pointer.and_then(|pointer| value.pointer(pointer)).and_then(Value::as_str);
        let Some(name) = name else {
            let of_session = self.count_session(session, Some(""), second);
            let mut nodes = Nodes::new(&mut self.nodes, &self.untyped.shape);
            self.untyped.shape.add(value, formats, &mut nodes);
            return self.untyped.add(binary, size, second, of_session);
        };
        self.file_as(session, name, value, &sample.facts(), formats);
    }

    /// Adds the items of a protocol's message to the groups of their types.
    fn add_items(
        &mut self,
        session: u32,
        items: &[Item],
        message: &ObservedMessage<'_>,
        formats: &Formats,
    ) {
        self.most_items = self.most_items.max(items.len());
        let facts = Facts { size: message.size, binary: message.binary, now: message.now };
        for Item { name, body, .. } in items {
            if let Some(name) = name {
                self.file_as(session, name, body, &facts, formats);
            } else {
                let second = self.second(facts.now);
                self.untyped.add(facts.binary, facts.size, second, None);
            }
        }
    }

    /// Adds a value to the group of the type `name`.
    fn file_as(
        &mut self,
        session: u32,
        name: &str,
        value: &Value,
        facts: &Facts,
        formats: &Formats,
    ) {
        let &Facts { size, binary, now } = facts;
        let second = self.second(now);
        let name = names::of_type(name)
            .filter(|name| self.types.contains_key(name) || self.types.len() < MOST_TYPES);
        let Some(name) = name else {
            return self.unnamed.add(binary, size, second, None);
        };
        let of_session = self.count_session(session, Some(&name), second);
        let group = self.types.entry(name).or_default();
        let mut nodes = Nodes::new(&mut self.nodes, &group.shape);
        group.shape.add(value, formats, &mut nodes);
        group.add(binary, size, second, of_session);
    }

    /// Counts a message of a session; `name`: of a type, empty for JSON without one. Returns the number in the present
    /// second and minute; `None`: there is no room for them.
    fn count_session(
        &mut self,
        session: u32,
        name: Option<&str>,
        second: u64,
    ) -> Option<(u32, u32)> {
        let peaks = self.peaks.entry(session).or_default();
        if let Some((_, peak)) = peaks.iter_mut().find(|(of, _)| of.as_deref() == name) {
            return Some(peak.add(second));
        }
        if self.peaks_held >= MOST_PEAKS {
            return None;
        }
        self.peaks_held += 1;
        let mut peak = Peak::default();
        let counts = peak.add(second);
        peaks.push((name.map(Arc::from), peak));
        Some(counts)
    }
}

impl Sample {
    fn facts(&self) -> Facts {
        Facts { size: self.size, binary: self.binary, now: self.now }
    }
}

impl Extent {
    fn add(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.string = self.string.max(text.len()),
            Value::Array(items) => {
                self.depth = self.depth.max(depth + 1);
                self.items = self.items.max(items.len());
                for item in items {
                    self.add(item, depth + 1);
                }
            }
            Value::Object(members) => {
                self.depth = self.depth.max(depth + 1);
                self.members = self.members.max(members.len());
                for (name, value) in members {
                    self.string = self.string.max(name.len());
                    self.add(value, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
