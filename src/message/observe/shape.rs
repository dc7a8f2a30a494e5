//! The shape of JSON values: types, members and lengths, without the values, and the schema that it gives.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use super::formats::{FormatSet, Formats};
use super::{MOST_NODES, MOST_NODES_OF_TYPE, names};

/// The most depth of a schema; deeper values may be anything.
const MOST_DEPTH: usize = 16;
/// The most members of an object that are named.
const MOST_MEMBERS: usize = 64;
/// An object with more members than these, each in at most half of the objects, is a map.
const MAP: usize = 16;
/// The largest integer that every parser reads exactly.
const EXACT: i128 = (1 << 53) - 1;

/// The shape of the values at one place.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each kind of value was seen or not")]
pub(super) struct Shape {
    /// Values of any kind may be here: there was no room to note them.
    any: bool,
    null: bool,
    boolean: bool,
    /// The least and the greatest integer.
    integers: Option<(i128, i128)>,
    /// Numbers with a fraction.
    numbers: bool,
    strings: Option<Strings>,
    array: Option<Box<ArrayShape>>,
    object: Option<Box<ObjectShape>>,
    /// The number of places in this schema, of which this one is the root.
    nodes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Strings {
    formats: FormatSet,
    /// The characters of the longest.
    most: usize,
}

#[derive(Debug, Clone, Default)]
struct ArrayShape {
    items: Option<Shape>,
    /// Elements of any kind may be in it.
    open: bool,
    most: usize,
}

#[derive(Debug, Clone, Default)]
struct ObjectShape {
    count: u64,
    members: BTreeMap<Box<str>, Member>,
    /// The members whose names are not listed.
    rest: Option<Shape>,
    /// Members whose names were listed before are among the rest, so that no further name is listed.
    folded: bool,
    /// Members of any kind may be in it.
    open: bool,
    most: usize,
}

#[derive(Debug, Clone, Default)]
struct Member {
    count: u64,
    shape: Shape,
}

/// The room for further places in a schema.
#[derive(Debug)]
pub(super) struct Nodes<'a> {
    all: &'a mut usize,
    of_type: usize,
}

impl<'a> Nodes<'a> {
    /// The room that the observation has for the schema with this root.
    pub(super) fn new(all: &'a mut usize, root: &Shape) -> Self {
        Self { all, of_type: root.nodes }
    }

    fn take(&mut self) -> bool {
        let has_room = *self.all < MOST_NODES && self.of_type < MOST_NODES_OF_TYPE;
        if has_room {
            *self.all += 1;
            self.of_type += 1;
        }
        has_room
    }
}

impl Shape {
    /// Adds a value at the root.
    pub(super) fn add(&mut self, value: &Value, formats: &Formats, nodes: &mut Nodes<'_>) {
        self.note(value, formats, nodes, 0);
        self.nodes = nodes.of_type;
    }

    fn note(&mut self, value: &Value, formats: &Formats, nodes: &mut Nodes<'_>, depth: usize) {
        match value {
            _ if self.any => {}
            Value::Null => self.null = true,
            Value::Bool(_) => self.boolean = true,
            Value::Number(number) => self.note_number(number),
            Value::String(text) => {
                let before = self.strings.map_or(FormatSet::ALL, |strings| strings.formats);
                let formats = formats.of(value, text, before);
                let most = self.strings.map_or(0, |strings| strings.most);
                self.strings = Some(Strings { formats, most: most.max(text.chars().count()) });
            }
            Value::Array(_) | Value::Object(_) if depth >= MOST_DEPTH => {
                *self = Self { any: true, nodes: self.nodes, ..Self::default() };
            }
            Value::Array(items) => {
                let array = self.array.get_or_insert_default();
                array.most = array.most.max(items.len());
                for item in items {
                    match shape_in(&mut array.items, &mut array.open, nodes) {
                        Some(shape) => shape.note(item, formats, nodes, depth + 1),
                        None => break,
                    }
                }
            }
            Value::Object(members) => {
                let object = self.object.get_or_insert_default();
                object.note(members, formats, nodes, depth + 1);
            }
        }
    }

    fn note_number(&mut self, number: &Number) {
        let integer = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
        match (integer, self.integers) {
            (None, _) => self.numbers = true,
            (Some(one), None) => self.integers = Some((one, one)),
            (Some(one), Some((least, most))) => {
                self.integers = Some((least.min(one), most.max(one)));
            }
        }
    }

    /// Adds everything that another shape accepts.
    fn merge(&mut self, other: Self) {
        self.any |= other.any;
        self.null |= other.null;
        self.boolean |= other.boolean;
        self.numbers |= other.numbers;
        self.integers = match (self.integers, other.integers) {
            (Some((least, most)), Some((other_least, other_most))) => {
                Some((least.min(other_least), most.max(other_most)))
            }
            (one, other) => one.or(other),
        };
        self.strings = match (self.strings, other.strings) {
            (Some(one), Some(other)) => Some(Strings {
                formats: one.formats.and(other.formats),
                most: one.most.max(other.most),
            }),
            (one, other) => one.or(other),
        };
        match (&mut self.array, other.array) {
            (Some(one), Some(other)) => one.merge(*other),
            (one, other) => *one = one.take().or(other),
        }
        match (&mut self.object, other.object) {
            (Some(one), Some(other)) => one.merge(*other),
            (one, other) => *one = one.take().or(other),
        }
    }

    /// The schema of a whole message.
    pub(super) fn schema(&self) -> Value {
        let mut schema = Map::new();
        schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        self.write(&mut schema);
        Value::Object(schema)
    }

    fn part(&self) -> Value {
        let mut schema = Map::new();
        self.write(&mut schema);
        if schema.is_empty() { Value::Bool(true) } else { Value::Object(schema) }
    }

    fn write(&self, schema: &mut Map<String, Value>) {
        if self.any {
            return;
        }
        let kinds = [
            ("null", self.null),
            ("boolean", self.boolean),
            ("number", self.numbers),
            ("integer", self.integers.is_some() && !self.numbers),
            ("string", self.strings.is_some()),
            ("array", self.array.is_some()),
            ("object", self.object.is_some()),
        ];
        let kinds: Vec<&str> =
            kinds.into_iter().filter_map(|(name, seen)| seen.then_some(name)).collect();
        match kinds.as_slice() {
            [] => return,
            [kind] => schema.insert("type".into(), json!(kind)),
            kinds => schema.insert("type".into(), json!(kinds)),
        };
        if let Some((least, most)) = self.integers.filter(|_| !self.numbers) {
            write_range(schema, least, most);
        }
        if let Some(Strings { formats, most }) = self.strings {
            match formats.name() {
                Some(format) => schema.insert("format".into(), format.into()),
                None => schema.insert("maxLength".into(), with_room(most, 32).into()),
            };
        }
        if let Some(array) = &self.array {
            array.write(schema);
        }
        if let Some(object) = &self.object {
            object.write(schema);
        }
    }
}

/// The shape in `place`, made if there is room; `None`: anything may be there from now on.
fn shape_in<'s>(
    place: &'s mut Option<Shape>,
    open: &mut bool,
    nodes: &mut Nodes<'_>,
) -> Option<&'s mut Shape> {
    *open |= place.is_none() && !nodes.take();
    (!*open).then(|| place.get_or_insert_default())
}

/// Bounds that say what kind of number it is, and not which ones were seen.
fn write_range(schema: &mut Map<String, Value>, least: i128, most: i128) {
    let least = [0, i128::from(i32::MIN), -EXACT].into_iter().find(|bound| *bound <= least);
    let most = [i128::from(i32::MAX), EXACT].into_iter().find(|bound| *bound >= most);
    for (name, bound) in [("minimum", least), ("maximum", most)] {
        if let Some(bound) = bound.and_then(|bound| i64::try_from(bound).ok()) {
            schema.insert(name.into(), bound.into());
        }
    }
}

/// A bound for a length, at least `least` and at least twice the longest that was seen.
pub(super) fn with_room(most: usize, least: usize) -> usize {
    most.saturating_mul(2).max(least).checked_next_power_of_two().unwrap_or(usize::MAX)
}

impl ArrayShape {
    fn merge(&mut self, other: Self) {
        self.open |= other.open;
        self.most = self.most.max(other.most);
        match (&mut self.items, other.items) {
            (Some(one), Some(other)) => one.merge(other),
            (one, other) => *one = one.take().or(other),
        }
    }

    fn write(&self, schema: &mut Map<String, Value>) {
        schema.insert("maxItems".into(), with_room(self.most, 16).into());
        if let Some(items) = self.items.as_ref().filter(|_| !self.open) {
            schema.insert("items".into(), items.part());
        }
    }
}

impl ObjectShape {
    fn note(
        &mut self,
        members: &Map<String, Value>,
        formats: &Formats,
        nodes: &mut Nodes<'_>,
        depth: usize,
    ) {
        self.count += 1;
        self.most = self.most.max(members.len());
        for (name, value) in members {
            if let Some(member) = self.members.get_mut(name.as_str()) {
                member.count += 1;
                member.shape.note(value, formats, nodes, depth);
                continue;
            }
            if !self.folded && self.members.len() >= MOST_MEMBERS {
                self.fold_rare();
            }
            if names::is_shown(name) && !self.folded {
                if nodes.take() {
                    let mut member = Member { count: 1, shape: Shape::default() };
                    member.shape.note(value, formats, nodes, depth);
                    self.members.insert(name.as_str().into(), member);
                } else {
                    self.open = true;
                }
            } else if let Some(shape) = shape_in(&mut self.rest, &mut self.open, nodes) {
                shape.note(value, formats, nodes, depth);
            }
        }
    }

    /// Moves the members that at most half of the objects have to the rest; all, if there are no such members.
    fn fold_rare(&mut self) {
        let is_rare = |member: &Member| member.count * 2 <= self.count;
        let all = !self.members.values().any(is_rare);
        let mut rest = self.rest.take().unwrap_or_default();
        let mut kept = BTreeMap::new();
        for (name, member) in std::mem::take(&mut self.members) {
            if all || is_rare(&member) {
                rest.merge(member.shape);
            } else {
                kept.insert(name, member);
            }
        }
        (self.members, self.rest, self.folded) = (kept, Some(rest), true);
    }

    fn merge(&mut self, mut other: Self) {
        self.merge_rest(other.rest.take());
        // Of a name that one side alone lists, the other side may have values that it did not note, or among its rest.
        let (own, theirs) = (std::mem::take(&mut self.members), std::mem::take(&mut other.members));
        let (mut both, mut one_sided) = (BTreeMap::new(), Vec::new());
        let mut theirs = theirs;
        for (name, mut member) in own {
            match theirs.remove(&name) {
                Some(Member { count, shape }) => {
                    member.count += count;
                    member.shape.merge(shape);
                    both.insert(name, member);
                }
                None => one_sided.push((name, member, other.open, other.folded)),
            }
        }
        let (open, folded) = (self.open, self.folded);
        one_sided.extend(theirs.into_iter().map(|(name, member)| (name, member, open, folded)));
        for (name, member, is_open, is_folded) in one_sided {
            match (is_open, is_folded) {
                (true, _) => {}
                (false, true) => self.merge_rest(Some(member.shape)),
                (false, false) => drop(both.insert(name, member)),
            }
        }
        self.members = both;
        self.count += other.count;
        self.open |= other.open;
        self.folded |= other.folded;
        self.most = self.most.max(other.most);
        if self.members.len() > MOST_MEMBERS {
            self.fold_rare();
        }
    }

    fn merge_rest(&mut self, other: Option<Shape>) {
        match (&mut self.rest, other) {
            (Some(one), Some(other)) => one.merge(other),
            (one, other) => *one = one.take().or(other),
        }
    }

    fn write(&self, schema: &mut Map<String, Value>) {
        let rare = self.members.values().filter(|member| member.count * 2 <= self.count).count();
        if rare > MAP || (rare > 0 && self.rest.is_some()) {
            let mut map = self.clone();
            map.fold_rare();
            return map.write(schema);
        }
        let properties: Map<String, Value> = self
            .members
            .iter()
            .map(|(name, member)| (name.to_string(), member.shape.part()))
            .collect();
        let required: Vec<&str> = self
            .members
            .iter()
            .filter(|(_, member)| member.count == self.count)
            .map(|(name, _)| &**name)
            .collect();
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        if !properties.is_empty() {
            schema.insert("properties".into(), Value::Object(properties));
        }
        if self.open {
            return;
        }
        match &self.rest {
            None => drop(schema.insert("additionalProperties".into(), false.into())),
            Some(rest) => {
                schema.insert("additionalProperties".into(), rest.part());
                schema.insert("maxProperties".into(), with_room(self.most, 16).into());
            }
        }
    }
}
