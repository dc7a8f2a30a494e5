//! A key: how it is read, and how it is described.

use serde_json::Value as Json;

use super::Section;
use crate::config::kinds::{ValueKind, Words};
use crate::config::reader::SectionReader;

/// A key: its section, the kind of its value, and the rule for its absence.
pub(in crate::config) struct Key<K, A> {
    pub(in crate::config) section: Section,
    pub(in crate::config) name: &'static str,
    pub(in crate::config) kind: K,
    pub(in crate::config) absent: A,
    pub(in crate::config) meaning: &'static str,
}

/// The key has this default.
pub(in crate::config) enum DefaultTo<V: 'static> {
    Value(V),
    /// A default that a function builds, because it cannot be a constant.
    Made(fn() -> V),
    /// A default that depends on other keys, as the text says. The value applies until those keys are
    /// read and the derived value replaces it.
    Derived(V, &'static str),
}

impl<V: Clone> DefaultTo<V> {
    pub(in crate::config) fn value(&self) -> V {
        match self {
            Self::Value(value) | Self::Derived(value, _) => value.clone(),
            Self::Made(make) => make(),
        }
    }
}

/// The key is required; the text is the help for its absence.
pub(in crate::config) struct Needed(pub(in crate::config) &'static str);

/// The key is optional; the text describes its absence.
pub(in crate::config) struct Omittable(pub(in crate::config) &'static str);

/// Describes a missing key for the reference.
pub(in crate::config) trait Absence<K> {
    /// Whether the key is required.
    const REQUIRED: bool = false;

    /// The text for a key without a constant default.
    fn words(&self) -> &'static str;

    /// The default as TOML, if it is a constant.
    fn default(&self, _: &K) -> Option<String> {
        None
    }
}

impl<K: ValueKind<Value: Clone>> Absence<K> for DefaultTo<K::Value> {
    fn words(&self) -> &'static str {
        if let Self::Derived(_, words) = self { words } else { "" }
    }

    fn default(&self, kind: &K) -> Option<String> {
        match self {
            Self::Derived(..) => None,
            _ => Some(kind.show(&self.value())),
        }
    }
}

impl<K> Absence<K> for Needed {
    const REQUIRED: bool = true;

    fn words(&self) -> &'static str {
        "required"
    }
}

impl<K> Absence<K> for Omittable {
    fn words(&self) -> &'static str {
        self.0
    }
}

/// Reads a key as a field of the type `F`. After a fault, which is reported, the field has its default or
/// is empty.
pub(in crate::config) trait Field<F> {
    fn read(&self, reader: &SectionReader<'_>) -> F;
}

impl<K: ValueKind<Value: Clone>> Field<K::Value> for Key<K, DefaultTo<K::Value>> {
    fn read(&self, reader: &SectionReader<'_>) -> K::Value {
        reader.value(self)
    }
}

impl<K: ValueKind> Field<Option<K::Value>> for Key<K, Omittable> {
    fn read(&self, reader: &SectionReader<'_>) -> Option<K::Value> {
        reader.get(self)
    }
}

impl<T, K: ValueKind<Value = Vec<T>>> Field<Vec<T>> for Key<K, Omittable> {
    fn read(&self, reader: &SectionReader<'_>) -> Vec<T> {
        reader.get(self).unwrap_or_default()
    }
}

impl<K: ValueKind> Field<Option<K::Value>> for Key<K, Needed> {
    fn read(&self, reader: &SectionReader<'_>) -> Option<K::Value> {
        reader.required(self)
    }
}

impl<T, K: ValueKind<Value = Vec<T>>> Field<Vec<T>> for Key<K, Needed> {
    fn read(&self, reader: &SectionReader<'_>) -> Vec<T> {
        reader.required(self).unwrap_or_default()
    }
}

/// A key as the reference and the JSON Schema describe it.
pub(in crate::config) struct Row {
    pub(in crate::config) section: Section,
    pub(in crate::config) name: &'static str,
    /// The description of the kind.
    pub(in crate::config) words: String,
    /// The description of the absence.
    pub(in crate::config) absent: String,
    pub(in crate::config) meaning: &'static str,
    pub(in crate::config) required: bool,
    /// The default as TOML, if it is a constant.
    pub(in crate::config) default: Option<String>,
    /// The JSON Schema of the value.
    pub(in crate::config) schema: Json,
}

impl<K: Words, A: Absence<K>> Key<K, A> {
    pub(in crate::config) fn row(&self) -> Row {
        let default = self.absent.default(&self.kind);
        let words = || self.absent.words().to_owned();
        Row {
            section: self.section,
            name: self.name,
            words: self.kind.words(),
            absent: default.as_ref().map_or_else(words, |toml| format!("`{toml}`")),
            meaning: self.meaning,
            required: A::REQUIRED,
            default,
            schema: self.kind.schema(),
        }
    }
}
