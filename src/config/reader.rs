//! Walks the syntax tree of the file, reads values by the table of keys, and collects all errors.

use std::cell::RefCell;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, DefaultTo, Key, ListOf, Needed, Section};
use super::kinds::{Fault, Item, Kind, OFF_OR, Words};
use super::lints::{Acknowledged, FoundLint, LintName};
use super::lists::{Table, Tables};
use super::report::{Problem, Source};
use super::units;

/// The longest name of a table that the operator names, in bytes.
const MAX_NAME: usize = 64;

/// A regular expression for the names that [`is_name`] accepts.
pub(super) const NAME: &str = "^[0-9A-Za-z_-]{1,64}$";

/// The state of reading one file: errors, lints and acknowledged lints so far.
pub(super) struct ReadContext {
    pub(super) source: Arc<Source>,
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
    table: String,
    name: &'static str,
    path: Spanned<PathBuf>,
    judge: Judge,
}

impl ReadContext {
    pub(super) fn new(source: Arc<Source>, base: PathBuf) -> Self {
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
        for NewFile { table, name, path, judge } in self.new_files.take() {
            Scope { cx: self, path: table }.judge(name, &path, judge);
        }
    }

    /// Records an error; the file then yields no [`super::Config`].
    pub(super) fn refuse(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }
}

/// The path of one table of the file, for reporting faults and lints of its keys. It does not need the
/// syntax tree, so that the load step reports at the same places as the check step.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    pub(super) cx: &'a ReadContext,
    /// The path, such as `routes.chat`; empty for the root table.
    path: String,
}

impl Scope<'_> {
    /// The full name of a key of this table.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Reports a fault of the value of the key `name`.
    pub(super) fn refuse(&self, name: &str, span: Range<usize>, fault: Fault) {
        let problem = Problem::at(span, format!("{}: {}", self.key(name), fault.what));
        self.cx.refuse(match fault.help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    /// Applies `judge` to a path in this table; reports a fault at the path.
    pub(super) fn judge<T>(
        &self,
        name: &str,
        path: &Spanned<PathBuf>,
        judge: impl FnOnce(&Path) -> Result<T, Fault>,
    ) -> Option<T> {
        let refuse = |fault: Fault| self.refuse(name, path.span(), fault);
        judge(path.get_ref()).map_err(refuse).ok()
    }

    /// Records a path at which the gateway will create a file; the load step checks it.
    pub(super) fn will_create(&self, name: &'static str, path: &Spanned<PathBuf>, judge: Judge) {
        let file = NewFile { table: self.path.clone(), name, path: path.clone(), judge };
        self.cx.new_files.borrow_mut().push(file);
    }

    /// Records a lint about this table. It is shown unless an `allow` in this table or in a parent
    /// table acknowledges it.
    pub(super) fn lint(&self, name: LintName, problem: Problem) {
        self.cx.lints.borrow_mut().push(FoundLint { name, table: self.path.clone(), problem });
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
        let mut problem = Problem::at(item.span(), format!("{}: {}", self.key, fault.what))
            .label(format!("expected {}{}", self.or, kind.words()));
        if let Some(help) = fault.help {
            problem = problem.help(help);
        }
        self.cx.refuse(problem);
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
    scope: Scope<'a>,
    /// The table; `None`: it is absent.
    table: Option<&'a DeTable<'a>>,
    span: Option<Range<usize>>,
    /// Whether the file has a value of another type in place of the table, which was reported.
    malformed: bool,
    /// Known keys that unknown keys resemble: their absence is not reported a second time.
    misspelt: Vec<&'static str>,
}

impl<'a> Deref for SectionReader<'a> {
    type Target = Scope<'a>;

    fn deref(&self) -> &Scope<'a> {
        &self.scope
    }
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
        let scope = Scope { cx, path };
        let mut reader = Self { scope, table, span, malformed, misspelt: Vec::new() };
        if let (Some(table), false) = (table, section.is_named()) {
            let unknown = table.keys().filter(|key| !keys::is_known(section, key.get_ref()));
            for key in unknown {
                reader.misspelt.extend(reader.refuse_unknown(section, key.get_ref(), key.span()));
            }
        }
        reader
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
    pub(super) fn acknowledge<A>(&self, key: &Key<ListOf<LintName>, A>) {
        if let Some(names) = self.get(key) {
            self.cx.allowed.borrow_mut().add(names.into_inner(), &self.path);
        }
    }

    /// The place of a key's value, even if the value has a fault.
    pub(super) fn span_of(&self, name: &str) -> Option<Range<usize>> {
        Some(self.item(name)?.span())
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

    /// The key's value with its place; `None` if the key is absent, or if its value has a fault, which
    /// is reported.
    pub(super) fn get<K: Kind, A>(&self, key: &Key<K, A>) -> Option<Spanned<K::Value>> {
        let item = self.item(key.name)?;
        let value = key.kind.read(item, &self.place(key.name))?;
        Some(Spanned::new(item.span(), value))
    }

    /// The key's value, or its default.
    pub(super) fn value<K: Kind<Value: Clone>>(
        &self,
        key: &Key<K, DefaultTo<K::Value>>,
    ) -> K::Value {
        self.get(key).map_or_else(|| key.absent.value(), Spanned::into_inner)
    }

    /// The key's value; `base` if the key is absent, or its default if the value has a fault, which is
    /// reported.
    pub(super) fn value_or<K: Kind<Value: Clone>>(
        &self,
        key: &Key<K, DefaultTo<K::Value>>,
        base: K::Value,
    ) -> K::Value {
        if self.item(key.name).is_some() { self.value(key) } else { base }
    }

    /// The key's value; reports an absent key.
    pub(super) fn required<K: Kind>(&self, key: &Key<K, Needed>) -> Option<Spanned<K::Value>> {
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
    pub(super) fn table<A>(&self, key: &Key<Table, A>) -> SectionReader<'a> {
        let Table(section) = key.kind;
        match self.item(key.name) {
            Some(item) => self.enter(item, key.name, section, &key.kind),
            None => SectionReader::new(self.cx, section, self.key(key.name), None, None),
        }
    }

    /// Readers of all subtables with their names, in the order of the file.
    pub(super) fn entries(
        &self,
        section: Section,
    ) -> Vec<(String, Range<usize>, SectionReader<'a>)> {
        let mut entries: Vec<_> = self.table.into_iter().flat_map(DeTable::iter).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let enter = |(name, item): (&Spanned<_>, &'a Item<'a>)| {
            let text: &str = AsRef::<str>::as_ref(name.get_ref());
            (text.to_owned(), name.span(), self.enter(item, text, section, &Table(section)))
        };
        entries.into_iter().map(enter).collect()
    }

    /// Readers of the tables of a list.
    pub(super) fn tables<A>(&self, key: &Key<Tables, A>) -> Vec<SectionReader<'a>> {
        let Tables(section) = key.kind;
        let Some(item) = self.item(key.name) else {
            return Vec::new();
        };
        match item.get_ref().as_array() {
            Some(items) if !items.is_empty() => {
                let enter = |item| self.enter(item, key.name, section, &Table(section));
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
