//! Kinds of values that are lists and tables.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use toml::Spanned;

use super::keys::Section;
use super::kinds::{Fault, Item, Kind, Text, Words};
use super::reader::Place;
use super::report::Problem;

/// A list without duplicates.
pub(super) struct List<K> {
    pub(super) of: K,
    /// The help text for an empty list; `None`: the list may be empty.
    pub(super) never_empty: Option<&'static str>,
}

impl<T> List<Text<T>> {
    /// A list that must not be empty; `instead` is the help text for an empty list.
    pub(super) const fn never_empty(of: Text<T>, instead: &'static str) -> Self {
        Self { of, never_empty: Some(instead) }
    }
}

impl<K: Words> Words for List<K> {
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

impl<K: Kind<Value: PartialEq>> Kind for List<K> {
    type Value = Vec<Spanned<K::Value>>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value> {
        let Some(items) = item.get_ref().as_array() else {
            return place.wrong_type(item, self);
        };
        if let (true, Some(instead)) = (items.is_empty(), self.never_empty) {
            return place.refuse(item, self, Fault::new("the list is empty").help(instead));
        }
        let read = |item: &Item<'_>| Some(Spanned::new(item.span(), self.of.read(item, place)?));
        let values: Vec<_> = items.iter().map(read).collect();
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        self.check_distinct(values, place)
    }

    fn show(&self, values: &Self::Value) -> String {
        let values: Vec<_> = values.iter().map(|value| self.of.show(value.get_ref())).collect();
        format!("[{}]", values.join(", "))
    }
}

impl<K: Kind<Value: PartialEq>> List<K> {
    fn check_distinct(
        &self,
        values: Vec<Spanned<K::Value>>,
        place: &Place<'_>,
    ) -> Option<Vec<Spanned<K::Value>>> {
        let mut distinct: Vec<Spanned<K::Value>> = Vec::with_capacity(values.len());
        // Equal values have the same text, so a map finds duplicates in one pass, however long the list is.
        let mut shown: HashMap<String, Vec<usize>> = HashMap::with_capacity(values.len());
        let mut repeated = false;
        for value in values {
            let alike = shown.entry(self.of.show(value.get_ref())).or_default();
            let mut seen = alike.iter().map(|index| &distinct[*index]);
            if let Some(first) = seen.find(|seen| seen.get_ref() == value.get_ref()) {
                repeated = true;
                let what =
                    format!("{}: {} is said twice", place.key, self.of.show(first.get_ref()));
                place.cx.refuse(
                    Problem::at(value.span(), what)
                        .related(first.span(), "first said here")
                        .help("remove one of the two"),
                );
            } else {
                alike.push(distinct.len());
                distinct.push(value);
            }
        }
        (!repeated).then_some(distinct)
    }
}

/// A list, or one entry without brackets.
pub(super) struct OneOrMore<K>(pub(super) List<K>);

impl<K: Words> Words for OneOrMore<K> {
    fn words(&self) -> String {
        format!("{}, or a list of such", self.0.of.words())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.of.schema(), self.0.schema()] })
    }
}

impl<K: Kind<Value: PartialEq>> Kind for OneOrMore<K> {
    type Value = Vec<Spanned<K::Value>>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value> {
        if item.get_ref().is_array() {
            return self.0.read(item, place);
        }
        let value = self.0.of.read(item, place)?;
        Some(vec![Spanned::new(item.span(), value)])
    }

    fn show(&self, values: &Self::Value) -> String {
        self.0.show(values)
    }
}

/// A table with the keys of a section.
pub(super) struct Table(pub(super) Section);

impl Words for Table {
    fn words(&self) -> String {
        "a table".to_owned()
    }

    fn schema(&self) -> Json {
        self.0.reference()
    }
}

/// A list of tables with the keys of a section, at least one.
pub(super) struct Tables(pub(super) Section);

impl Words for Tables {
    fn words(&self) -> String {
        "a list of tables, at least one".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": self.0.reference(), "minItems": 1 })
    }
}
