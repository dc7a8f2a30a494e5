//! The path of a value during a scan, and the names of the objects around it. For a message of a few members it
//! allocates nothing.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write};

use super::pointer::escaped;
use super::text;

/// The objects and arrays around a value.
#[derive(Debug, Default)]
pub(super) struct Path<'t> {
    /// Whether a backslash in a name is itself.
    is_verbatim: bool,
    here: Container,
    /// The containers around `here`, the outermost first; the first is [`Place::Root`].
    outer: Stack<Container, 4>,
    /// The names of each object so far, as they are between their quotes, those of the outermost first. Of an object
    /// with a set, the last one alone, which may have escapes.
    names: Stack<&'t [u8], FEW>,
    /// The names of each object that has a set, unescaped, the outermost first.
    sets: Vec<HashSet<Cow<'t, [u8]>>>,
}

/// So many names of an object are compared one by one. More of them are put in a set, and so are those of an object of
/// which one is escaped.
const FEW: usize = 8;

/// The kind of the innermost container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    /// None: the value is the whole text.
    #[default]
    Root,
    Object,
    Array,
}

#[derive(Debug, Clone, Copy, Default)]
struct Container {
    place: Place,
    has_set: bool,
    /// The members of an object so far, or the index in an array.
    count: usize,
    /// The number of names in [`Path::names`] that belong to the objects around it.
    before: usize,
    /// The marks of its names so far: a name whose mark is not among them is new.
    marks: u64,
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment<'t> {
    Name(Cow<'t, [u8]>),
    Index(usize),
}

impl<'t> Path<'t> {
    /// A path in an encoding without escapes.
    pub(super) fn verbatim() -> Self {
        Self { is_verbatim: true, ..Self::default() }
    }

    /// The number of containers around the value.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.outer.len
    }

    /// The kind of the innermost container.
    #[inline]
    pub(super) fn place(&self) -> Place {
        self.here.place
    }

    /// Enters an object or array.
    #[inline]
    pub(super) fn enter(&mut self, place: Place) {
        self.outer.push(self.here);
        self.here = Container { place, before: self.names.len, ..Container::default() };
    }

    /// Leaves the innermost container.
    #[inline]
    pub(super) fn leave(&mut self) {
        if self.here.has_set {
            self.sets.pop();
        }
        self.names.truncate(self.here.before);
        self.here = self.outer.pop();
    }

    /// Moves on to the next element of the array; returns its index.
    #[inline]
    pub(super) fn next_index(&mut self) -> usize {
        self.here.count += 1;
        self.here.count
    }

    /// The members of the object so far.
    #[inline]
    pub(super) fn members(&self) -> usize {
        self.here.count
    }

    /// Moves on to the member `name` of the object, which has no escapes. Equal names have one `mark`, which is one bit.
    /// Returns whether no member before has this name.
    #[inline]
    pub(super) fn next_name(&mut self, name: &'t [u8], mark: u64) -> bool {
        let is_known = self.here.marks & mark != 0;
        if is_known || self.here.count >= FEW {
            return self.next_known_name(name);
        }
        self.here.marks |= mark;
        self.here.count += 1;
        self.names.push(name);
        true
    }

    /// The same for a name whose mark is that of another one, or that comes after [`FEW`] others.
    #[cold]
    fn next_known_name(&mut self, name: &'t [u8]) -> bool {
        if self.here.has_set || self.here.count >= FEW {
            return self.next_escaped_name(name);
        }
        self.here.count += 1;
        let is_new = (self.here.before..self.names.len).all(|at| self.names.get(at) != name);
        self.names.push(name);
        is_new
    }

    /// The same for a name that may have escapes.
    #[cold]
    pub(super) fn next_escaped_name(&mut self, name: &'t [u8]) -> bool {
        self.here.count += 1;
        if !self.here.has_set {
            (self.here.has_set, self.here.marks) = (true, u64::MAX);
            let few =
                (self.here.before..self.names.len).map(|at| Cow::Borrowed(self.names.get(at)));
            self.sets.push(few.collect());
        }
        self.names.truncate(self.here.before);
        self.names.push(name);
        let name = self.unescaped(name);
        self.sets.last_mut().is_none_or(|names| names.insert(name))
    }

    /// The name of the last member of the innermost object, if it has no escapes.
    #[inline]
    pub(super) fn last_plain_name(&self) -> Option<&'t [u8]> {
        (!self.here.has_set).then(|| self.names.last())
    }

    /// The name of the last member of the innermost object.
    pub(super) fn last_name(&self) -> Cow<'t, [u8]> {
        self.last_plain_name().map_or_else(|| self.unescaped(self.names.last()), Cow::Borrowed)
    }

    /// A name without its escapes.
    fn unescaped(&self, name: &'t [u8]) -> Cow<'t, [u8]> {
        if self.is_verbatim || !name.contains(&b'\\') {
            return Cow::Borrowed(name);
        }
        let name = String::from_utf8_lossy(name);
        Cow::Owned(text::unescaped(&name).into_owned().into_bytes())
    }

    /// The steps from the whole text to the value.
    #[inline]
    pub(super) fn segments(&self) -> impl Iterator<Item = Segment<'t>> {
        (1..=self.outer.len).map(|depth| self.segment(depth))
    }

    /// The step that leads into the container at this depth.
    fn segment(&self, depth: usize) -> Segment<'t> {
        let container = if depth == self.outer.len { self.here } else { self.outer.get(depth) };
        if container.place == Place::Array {
            return Segment::Index(container.count);
        }
        if container.has_set {
            return Segment::Name(self.unescaped(self.names.get(container.before)));
        }
        let last = (container.before + container.count).saturating_sub(1);
        Segment::Name(Cow::Borrowed(self.names.get(last)))
    }
}

/// The most characters of a path in a record: its names come from the sender.
const SHOWN: usize = 128;

/// A path as it is shown in a record.
pub(super) fn shown(mut path: String) -> String {
    if let Some((end, _)) = path.char_indices().nth(SHOWN) {
        path.truncate(end);
        path.push_str("...");
    }
    path
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for segment in self.segments() {
            match segment {
                Segment::Name(name) => escaped(&mut text, &String::from_utf8_lossy(&name))?,
                Segment::Index(index) => write!(text, "/{index}")?,
            }
        }
        f.write_str(&shown(text))
    }
}

/// A stack that allocates for more than `N` values.
#[derive(Debug)]
struct Stack<T, const N: usize> {
    len: usize,
    few: [T; N],
    more: Vec<T>,
}

impl<T: Copy + Default, const N: usize> Default for Stack<T, N> {
    fn default() -> Self {
        Self { len: 0, few: [T::default(); N], more: Vec::new() }
    }
}

impl<T: Copy + Default, const N: usize> Stack<T, N> {
    #[inline]
    fn push(&mut self, value: T) {
        match self.few.get_mut(self.len) {
            Some(place) => *place = value,
            None => self.more.push(value),
        }
        self.len += 1;
    }

    #[inline]
    fn get(&self, at: usize) -> T {
        match self.few.get(at) {
            Some(value) => *value,
            None => self.more.get(at - N).copied().unwrap_or_default(),
        }
    }

    #[inline]
    fn last(&self) -> T {
        self.get(self.len.wrapping_sub(1))
    }

    #[inline]
    fn pop(&mut self) -> T {
        let last = self.last();
        self.truncate(self.len.saturating_sub(1));
        last
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        if self.len > N {
            self.more.truncate(len.saturating_sub(N));
        }
        self.len = len;
    }
}
