//! Walks the syntax tree of the file, reads values by the table of keys, and collects all errors.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, DefaultTo, Key, Needed, Section, Texts};
use super::kinds::{Fault, Item, OFF_OR, ValueKind, Words};
use super::lints::{Acknowledged, FoundLint, LintName};
use super::lists::{Subtable, Subtables};
use super::report::{Problem, SourceText};
use super::units;

/// The longest name of a table that the operator names, in bytes.
const MAX_NAME: usize = 64;

/// A regular expression for the names that [`is_name`] accepts.
pub(super) const NAME: &str = "^[0-9A-Za-z_-]{1,64}$";

/// The state of reading one file: errors, lints and acknowledged lints so far.
pub(super) struct ReadContext {
    pub(super) source: Arc<SourceText>,
    /// The folder that relative paths are resolved against.
    pub(super) base: PathBuf,
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) lints: RefCell<Vec<FoundLint>>,
    /// The lints that the file acknowledges.
    pub(super) allowed: RefCell<Acknowledged>,
    new_files: RefCell<Vec<NewFile>>,
}

/// A check whether a file can be created at a path.
type Judge = fn(&Path) -> Result<(), Fault>;

/// A path where the gateway will create a file.
struct NewFile {
    key: String,
    span: Range<usize>,
    path: PathBuf,
    judge: Judge,
}

impl ReadContext {
    pub(super) fn new(source: Arc<SourceText>, base: PathBuf) -> Self {
        Self {
            source,
            base,
            problems: RefCell::default(),
            lints: RefCell::default(),
            allowed: RefCell::default(),
            new_files: RefCell::default(),
        }
    }

    /// Reports each path at which no file can be created.
    pub(super) fn judge_new_files(&self) {
        for NewFile { key, span, path, judge } in self.new_files.take() {
            if let Err(fault) = judge(&path) {
                self.refuse(Problem::of(&key, span, fault));
            }
        }
    }

    /// Records an error, if there is one; the file then yields no [`super::Config`].
    pub(super) fn refuse(&self, problem: impl Into<Option<Problem>>) {
        self.problems.borrow_mut().extend(problem.into());
    }
}

/// The key that a value belongs to.
pub(super) struct Place<'a> {
    pub(super) cx: &'a ReadContext,
    /// The full name of the key, such as `server.listen`.
    pub(super) key: String,
    /// A prefix to the description of the kind, for the label of a fault.
    or: &'static str,
}

impl<'a> Place<'a> {
    /// The place of a member of the table at this place.
    pub(super) fn within(&self, name: &str) -> Place<'a> {
        Place { cx: self.cx, key: format!("{}.{name}", self.key), or: "" }
    }

    /// The same place, where `"off"` is accepted too.
    pub(super) fn or_off(&self) -> Place<'a> {
        Place { cx: self.cx, key: self.key.clone(), or: OFF_OR }
    }

    /// Reports a bad value. Always returns `None`.
    pub(super) fn refuse<T>(&self, item: &Item<'_>, kind: &dyn Words, fault: Fault) -> Option<T> {
        let expected = format!("expected {}{}", self.or, kind.words());
        self.cx.refuse(Problem::of(&self.key, item.span(), fault).label(expected));
        None
    }

    /// Reports a value of another type. Always returns `None`.
    pub(super) fn wrong_type<T>(&self, item: &Item<'_>, kind: &dyn Words) -> Option<T> {
        let fault = Fault::new(format!("this is {}", type_of(item.get_ref())));
        let write = kind.rewritten(item).map(|text| format!("write {text}"));
        self.refuse(item, kind, write.into_iter().fold(fault, Fault::help))
    }

    /// Reads a string with `parse`.
    pub(super) fn text<T>(
        &self,
        item: &Item<'_>,
        kind: &dyn Words,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let Some(text) = item.get_ref().as_str() else {
            return self.wrong_type(item, kind);
        };
        parse(text).map_or_else(|fault| self.refuse(item, kind, fault), Some)
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Reads one table of the file, which may be absent. The constructor reports unknown keys.
pub(super) struct SectionReader<'a> {
    pub(super) cx: &'a ReadContext,
    /// The path of the table, such as `routes.chat`; empty for the root table.
    path: String,
    /// The table; `None`: it is absent.
    table: Option<&'a DeTable<'a>>,
    span: Option<Range<usize>>,
    /// Whether the file has a value of another type in place of the table, which was reported.
    malformed: bool,
    /// Known keys that unknown keys resemble: their absence is not reported a second time.
    misspelt: Vec<&'static str>,
}

impl<'a> SectionReader<'a> {
    /// A reader of the root table.
    pub(super) fn root(cx: &'a ReadContext, table: &'a DeTable<'a>) -> Self {
        Self::new(cx, Section::File, String::new(), Some(table), None)
    }

    fn new(
        cx: &'a ReadContext,
        section: Section,
        path: String,
        table: Option<&'a DeTable<'a>>,
        span: Option<Range<usize>>,
    ) -> Self {
        let malformed = table.is_none() && span.is_some();
        let mut reader = Self { cx, path, table, span, malformed, misspelt: Vec::new() };
        if let (Some(table), false) = (table, section.is_named()) {
            let unknown = table.keys().filter(|key| !keys::is_known(section, key.get_ref()));
            for key in unknown {
                reader.misspelt.extend(reader.refuse_unknown(section, key.get_ref(), key.span()));
            }
        }
        reader
    }

    /// The full name of a key of this table.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The path of the table, such as `routes.chat`; empty for the root table.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A problem at the key `name`: its full name and `what`; `None` if the file does not have the key.
    pub(super) fn problem(&self, name: &str, what: &str) -> Option<Problem> {
        Some(Problem::at(self.span_of(name)?, format!("{} {what}", self.key(name))))
    }

    /// Reports a fault of the key `name`, at `span`.
    pub(super) fn refuse(&self, name: &str, span: Range<usize>, fault: Fault) {
        self.cx.refuse(Problem::of(&self.key(name), span, fault));
    }

    /// The value of `result`; reports its fault as one of the key `name`, at `span`.
    pub(super) fn accept<T>(
        &self,
        name: &str,
        span: Range<usize>,
        result: Result<T, Fault>,
    ) -> Option<T> {
        result.map_err(|fault| self.refuse(name, span, fault)).ok()
    }

    /// Records that the gateway will create a file at `path`, the value of the key `name`; the load step
    /// checks with `judge` whether it can.
    pub(super) fn will_create(&self, name: &str, path: Option<&PathBuf>, judge: Judge) {
        if let (Some(path), Some(span)) = (path, self.span_of(name)) {
            let file = NewFile { key: self.key(name), span, path: path.clone(), judge };
            self.cx.new_files.borrow_mut().push(file);
        }
    }

    /// Refuses a `second` path that is the same file as the `first`; each is a key and its value.
    pub(super) fn refuse_same_file(&self, files: [(&str, Option<&PathBuf>); 2], help: &str) {
        let [(first, path), (second, other)] = files;
        if let (Some(span), Some(place)) = (self.span_of(second), self.span_of(first))
            && path.is_some()
            && path == other
        {
            let (first, second) = (self.key(first), self.key(second));
            let problem = Problem::at(span, format!("{second} and {first} are the same file"));
            self.cx.refuse(problem.related(place, first).help(help));
        }
    }

    /// Records a lint about this table, if there is a problem. It is shown unless an `allow` in this
    /// table or in a parent table acknowledges it.
    pub(super) fn lint(&self, name: LintName, problem: impl Into<Option<Problem>>) {
        let found = |problem| FoundLint { name, table: self.path.clone(), problem };
        self.cx.lints.borrow_mut().extend(problem.into().map(found));
    }

    /// Reports an unknown key. Returns the known key that it resembles.
    fn refuse_unknown(
        &self,
        section: Section,
        name: &str,
        span: Range<usize>,
    ) -> Option<&'static str> {
        let problem = Problem::at(span, format!("{}: there is no such key", self.key(name)));
        if let Some(instead) = keys::instead_of(section, name) {
            self.cx.refuse(problem.help(instead));
            return None;
        }
        let is_table = self.item(name).is_some_and(|item| item.get_ref().as_table().is_some());
        let home = keys::home(name).filter(|_| !is_table);
        if let (None, Some(later)) = (home, keys::later(name)) {
            self.cx.refuse(problem.help(format!("Framewall does not do that yet: {later}")));
            return None;
        }
        let known = keys::names(section);
        let near = units::nearest(name, known.iter().copied());
        self.cx.refuse(match (near, home) {
            (Some(near), _) => problem.help(format!("did you mean `{near}`?")),
            (None, Some(Section::File)) => {
                problem.help(format!("`{name}` belongs at the top of the file, before every table"))
            }
            (None, Some(home)) => problem.help(format!("`{name}` belongs in {home}")),
            (None, None) => problem.label(format!("expected one of {}", known.join(", "))),
        });
        near
    }

    fn place(&self, name: &str) -> Place<'a> {
        Place { cx: self.cx, key: self.key(name), or: "" }
    }

    /// Records the lints that `allow` acknowledges in this table and its subtables.
    pub(super) fn acknowledge<A>(&self, key: &Key<Texts<LintName>, A>) {
        if let Some(names) = self.get(key) {
            self.cx.allowed.borrow_mut().add(names, &self.path);
        }
    }

    /// The place of a key's value, even if the value has a fault.
    pub(super) fn span_of(&self, name: &str) -> Option<Range<usize>> {
        Some(self.item(name)?.span())
    }

    /// The entries of the list `values`, which is the value of the key `name`, with their places; no
    /// entries if the file does not have the key.
    pub(super) fn entries<'v, T>(&self, name: &str, values: &'v [T]) -> Vec<Spanned<&'v T>> {
        let Some(item) = self.item(name) else {
            return Vec::new();
        };
        let spans = match item.get_ref().as_array() {
            Some(items) => items.iter().map(Spanned::span).collect(),
            None => vec![item.span()],
        };
        spans.into_iter().zip(values).map(|(span, value)| Spanned::new(span, value)).collect()
    }

    /// A key's value as the file has it, if it is a string.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.item(name)?.get_ref().as_str()
    }

    /// Whether a key is given with a value other than `"off"`.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.item(name).is_some() && self.text(name) != Some("off")
    }

    /// Whether a list is absent or empty; a value of another type is neither.
    pub(super) fn is_empty_list(&self, name: &str) -> bool {
        let Some(item) = self.item(name) else {
            return true;
        };
        item.get_ref().as_array().is_some_and(|list| list.is_empty())
    }

    /// Reports a table that is given but empty.
    pub(super) fn refuse_empty(&self, what: &str, help: &str) {
        if let (Some(span), false) = (&self.span, self.malformed) {
            self.cx.refuse(Problem::at(span.clone(), what).help(help));
        }
    }

    fn item(&self, name: &str) -> Option<&'a Item<'a>> {
        self.table?.get(name)
    }

    /// The key's value; `None` if the key is absent, or if its value has a fault, which is reported.
    pub(super) fn get<K: ValueKind, A>(&self, key: &Key<K, A>) -> Option<K::Value> {
        key.kind.read(self.item(key.name)?, &self.place(key.name))
    }

    /// The key's value, or its default.
    pub(super) fn value<K: ValueKind<Value: Clone>>(
        &self,
        key: &Key<K, DefaultTo<K::Value>>,
    ) -> K::Value {
        self.get(key).unwrap_or_else(|| key.absent.value())
    }

    /// The key's value; `base` if the key is absent, or its default if the value has a fault, which is
    /// reported.
    pub(super) fn value_or<K: ValueKind<Value: Clone>>(
        &self,
        key: &Key<K, DefaultTo<K::Value>>,
        base: K::Value,
    ) -> K::Value {
        if self.item(key.name).is_some() { self.value(key) } else { base }
    }

    /// The key's value; reports an absent key.
    pub(super) fn required<K: ValueKind>(&self, key: &Key<K, Needed>) -> Option<K::Value> {
        self.demand(key.name, key.absent.0);
        self.get(key)
    }

    /// Reports the key `name` if it is absent; `help` is the help text.
    pub(super) fn demand(&self, name: &str, help: &str) {
        if self.malformed || self.item(name).is_some() || self.misspelt.contains(&name) {
            return;
        }
        let what = format!("{} is missing", self.key(name));
        let problem = match &self.span {
            Some(span) => Problem::at(span.clone(), what).label(format!("expected `{name}` here")),
            None => Problem::somewhere(what),
        };
        self.cx.refuse(problem.help(help));
    }

    /// A reader of a subtable; the subtable may be absent.
    pub(super) fn table<A>(&self, key: &Key<Subtable, A>) -> SectionReader<'a> {
        let Subtable(section) = key.kind;
        match self.item(key.name) {
            Some(item) => self.enter(item, key.name, section, &key.kind),
            None => SectionReader::new(self.cx, section, self.key(key.name), None, None),
        }
    }

    /// Whether the file has the table.
    pub(super) fn is_given(&self) -> bool {
        self.table.is_some()
    }

    /// All subtables, in the order of the file.
    pub(super) fn named_tables(&self, section: Section) -> Vec<NamedTable<'a>> {
        let mut tables: Vec<_> = self.table.into_iter().flat_map(DeTable::iter).collect();
        tables.sort_by_key(|(name, _)| name.span().start);
        let enter = |(name, item): (&Spanned<_>, &'a Item<'a>)| {
            let text: &str = AsRef::<str>::as_ref(name.get_ref());
            let reader = self.enter(item, text, section, &Subtable(section));
            NamedTable { name: text.to_owned(), span: name.span(), reader }
        };
        tables.into_iter().map(enter).collect()
    }

    /// Readers of the tables of a list.
    pub(super) fn tables<A>(&self, key: &Key<Subtables, A>) -> Vec<SectionReader<'a>> {
        let Subtables(section) = key.kind;
        let Some(item) = self.item(key.name) else {
            return Vec::new();
        };
        match item.get_ref().as_array() {
            Some(items) if !items.is_empty() => {
                let enter = |item| self.enter(item, key.name, section, &Subtable(section));
                items.iter().map(enter).collect()
            }
            Some(_) => {
                let fault = Fault::new("the list is empty");
                self.place(key.name).refuse::<()>(item, &key.kind, fault);
                Vec::new()
            }
            None => {
                self.place(key.name).wrong_type::<()>(item, &key.kind);
                Vec::new()
            }
        }
    }

    fn enter(
        &self,
        item: &'a Item<'a>,
        name: &str,
        section: Section,
        kind: &dyn Words,
    ) -> SectionReader<'a> {
        let table = item.get_ref().as_table();
        if table.is_none() {
            self.place(name).wrong_type::<()>(item, kind);
        }
        SectionReader::new(self.cx, section, self.key(name), table, Some(item.span()))
    }
}

/// A table with a name that the operator chose.
pub(super) struct NamedTable<'a> {
    pub(super) name: String,
    /// The place of the name.
    pub(super) span: Range<usize>,
    pub(super) reader: SectionReader<'a>,
}

/// Reports a `name` that is not valid for the kind of table that `what` describes.
pub(super) fn check_name(reader: &SectionReader<'_>, name: &str, span: Range<usize>, what: &str) {
    if !is_name(name) {
        reader.cx.refuse(
            Problem::at(span, format!("this cannot be the name of {what}"))
                .label(format!("expected 1 to {MAX_NAME} letters, digits, - and _")),
        );
    }
}

/// Whether `text` is 1 to 64 letters, digits, `-` and `_`.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed)
}
