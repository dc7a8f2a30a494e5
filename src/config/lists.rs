//! Kinds of values that are lists and tables.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Value as Json, json};

use super::keys::Section;
use super::kinds::{Fault, Item, ValueKind, Words};
use super::reader::Place;
use super::report::Problem;

/// A list without duplicates.
pub(super) struct ListOf<K> {
    of: K,
    /// The help text for an empty list; `None`: the list may be empty.
    never_empty: Option<&'static str>,
}

impl<K> ListOf<K> {
    /// A list that may be empty.
    pub(super) const fn new(of: K) -> Self {
        Self { of, never_empty: None }
    }

    /// A list that must not be empty; `instead` is the help text for an empty list.
    pub(super) const fn never_empty(of: K, instead: &'static str) -> Self {
        Self { of, never_empty: Some(instead) }
    }
}

impl<K: Words> Words for ListOf<K> {
    fn words(&self) -> String {
        format!("a list, each entry {}", self.of.words())
    }

    fn schema(&self) -> Json {
        let least = usize::from(self.never_empty.is_some());
        let items = self.of.schema();
        json!({ "type": "array", "items": items, "minItems": least, "uniqueItems": true })
    }

    fn rewritten(&self, item: &Item<'_>) -> Option<String> {
        item.get_ref().as_str().map(|text| format!("[{text:?}]"))
    }
}

impl<K: ValueKind<Value: PartialEq>> ValueKind for ListOf<K> {
    type Value = Vec<K::Value>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value> {
        let Some(items) = item.get_ref().as_array() else {
            return place.wrong_type(item, self);
        };
        if let (true, Some(instead)) = (items.is_empty(), self.never_empty) {
            return place.refuse(item, self, Fault::new("the list is empty").help(instead));
        }
        let values: Vec<_> = items.iter().map(|item| self.of.read(item, place)).collect();
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        let spans: Vec<_> = items.iter().map(Item::span).collect();
        self.are_distinct(&values, &spans, place).then_some(values)
    }

    fn show(&self, values: &Self::Value) -> String {
        let values: Vec<_> = values.iter().map(|value| self.of.show(value)).collect();
        format!("[{}]", values.join(", "))
    }
}

impl<K: ValueKind<Value: PartialEq>> ListOf<K> {
    /// Reports each value that is equal to an earlier one; whether there is none.
    fn are_distinct(&self, values: &[K::Value], spans: &[Range<usize>], place: &Place<'_>) -> bool {
        // Equal values have the same text, so a map finds duplicates in one pass, however long the list is.
        let mut shown: HashMap<String, Vec<usize>> = HashMap::with_capacity(values.len());
        let mut distinct = true;
        for (index, value) in values.iter().enumerate() {
            let text = self.of.show(value);
            let alike = shown.entry(text.clone()).or_default();
            let Some(first) = alike.iter().find(|first| values[**first] == *value) else {
                alike.push(index);
                continue;
            };
            distinct = false;
            place.cx.refuse(
                Problem::at(spans[index].clone(), format!("{}: {text} is said twice", place.key))
                    .related(spans[*first].clone(), "first said here")
                    .help("remove one of the two"),
            );
        }
        distinct
    }
}

/// A list, or one entry without brackets.
pub(super) struct OneOrMore<K>(pub(super) ListOf<K>);

impl<K: Words> Words for OneOrMore<K> {
    fn words(&self) -> String {
        format!("{}, or a list of such", self.0.of.words())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.of.schema(), self.0.schema()] })
    }
}

impl<K: ValueKind<Value: PartialEq>> ValueKind for OneOrMore<K> {
    type Value = Vec<K::Value>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value> {
        if item.get_ref().is_array() {
            return self.0.read(item, place);
        }
        Some(vec![self.0.of.read(item, place)?])
    }

    fn show(&self, values: &Self::Value) -> String {
        self.0.show(values)
    }
}

/// A table with the keys of a section.
pub(super) struct Subtable(pub(super) Section);

impl Words for Subtable {
    fn words(&self) -> String {
        "a table".to_owned()
    }

    fn schema(&self) -> Json {
        self.0.reference()
    }
}

/// A list of tables with the keys of a section, at least one.
pub(super) struct Subtables(pub(super) Section);

impl Words for Subtables {
    fn words(&self) -> String {
        "a list of tables, at least one".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": self.0.reference(), "minItems": 1 })
    }
}
