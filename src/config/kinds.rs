//! The kinds of values that keys have: what each accepts, in words and in code.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::reader::Place;
use super::report::Problem;
use super::units;

/// A value of the file with its place.
pub(super) type Item<'a> = Spanned<DeValue<'a>>;

/// What is wrong with a text, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a value is called in messages and in the reference, its bounds included.
pub(super) trait Words {
    fn words(&self) -> String;
}

/// A kind of value that is read from one item of the file.
pub(super) trait Kind: Words {
    type Value;

    /// The value, or `None` once what is wrong was reported at its place.
    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value>;

    /// The value as TOML.
    fn show(&self, value: &Self::Value) -> String;
}

/// A whole number from `min` to `max`.
pub(super) struct Integer {
    pub(super) min: u32,
    pub(super) max: u32,
}

impl Words for Integer {
    fn words(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}

impl Kind for Integer {
    type Value = u32;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<u32> {
        let DeValue::Integer(number) = item.get_ref() else {
            return place.wrong_type(item, self);
        };
        let value = u32::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.filter(|value| (self.min..=self.max).contains(value));
        value.or_else(|| place.refuse(item, self, Fault::new(format!("{number} is out of bounds"))))
    }

    fn show(&self, value: &u32) -> String {
        value.to_string()
    }
}

/// `true` or `false`.
pub(super) struct Bool;

impl Words for Bool {
    fn words(&self) -> String {
        "true or false".to_owned()
    }
}

impl Kind for Bool {
    type Value = bool;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<bool> {
        item.get_ref()
            .as_bool()
            .or_else(|| place.wrong_type(item, self))
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// A number of bytes from `min` to `max`.
pub(super) struct Size {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Words for Size {
    fn words(&self) -> String {
        let (min, max) = (units::show_size(self.min), units::show_size(self.max));
        format!("a size in quotes, from \"{min}\" to \"{max}\"")
    }
}

impl Kind for Size {
    type Value = u64;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<u64> {
        place.text(item, self, |text| {
            let size = units::parse_size(text)?;
            in_bounds(size, self.min, self.max, text)
        })
    }

    fn show(&self, value: &u64) -> String {
        format!("\"{}\"", units::show_size(*value))
    }
}

/// A time from `min` to `max`.
pub(super) struct Time {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Time {
    fn parse(&self, text: &str) -> Result<Duration, Fault> {
        in_bounds(units::parse_duration(text)?, self.min, self.max, text)
    }

    fn bounds(&self) -> String {
        let (min, max) = (
            units::show_duration(self.min),
            units::show_duration(self.max),
        );
        format!("from \"{min}\" to \"{max}\"")
    }
}

impl Words for Time {
    fn words(&self) -> String {
        format!("a duration in quotes, {}", self.bounds())
    }
}

impl Kind for Time {
    type Value = Duration;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Duration> {
        place.text(item, self, |text| self.parse(text))
    }

    fn show(&self, value: &Duration) -> String {
        format!("\"{}\"", units::show_duration(*value))
    }
}

/// A [`Time`], or `"off"`.
pub(super) struct TimeOrOff(pub(super) Time);

impl Words for TimeOrOff {
    fn words(&self) -> String {
        format!("\"off\" or a duration in quotes, {}", self.0.bounds())
    }
}

impl Kind for TimeOrOff {
    type Value = Option<Duration>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Option<Duration>> {
        place.text(item, self, |text| match text {
            "off" => Ok(None),
            text => self.0.parse(text).map(Some),
        })
    }

    fn show(&self, value: &Option<Duration>) -> String {
        value.map_or("\"off\"".to_owned(), |time| self.0.show(&time))
    }
}

fn in_bounds<T: PartialOrd>(value: T, min: T, max: T, text: &str) -> Result<T, Fault> {
    if value < min {
        return Err(Fault::new(format!("\"{text}\" is too small")));
    }
    if value > max {
        return Err(Fault::new(format!("\"{text}\" is too large")));
    }
    Ok(value)
}

/// One of some words.
pub(super) struct Choice<T: 'static> {
    pub(super) values: &'static [(&'static str, T)],
    /// Words that another version may know and this one refuses.
    pub(super) unavailable: &'static [&'static str],
}

impl<T> Choice<T> {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.values.iter().map(|(name, _)| *name)
    }
}

impl<T: Copy> Choice<T> {
    fn parse(&self, text: &str) -> Result<T, Fault> {
        if let Some((_, value)) = self.values.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        if self.unavailable.contains(&text) {
            let what = format!("\"{text}\" is not available in this version");
            return Err(Fault::new(what));
        }
        let fault = Fault::new(format!("\"{text}\" is none of its values"));
        Err(match units::nearest(text, self.names()) {
            Some(name) => fault.help(format!("did you mean \"{name}\"?")),
            None => fault,
        })
    }
}

impl<T> Words for Choice<T> {
    fn words(&self) -> String {
        let names: Vec<_> = self.names().map(|name| format!("\"{name}\"")).collect();
        match names.split_last() {
            Some((last, [])) => format!("only {last}"),
            Some((last, before)) => format!("{} or {last}", before.join(", ")),
            None => String::new(),
        }
    }
}

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<T> {
        place.text(item, self, |text| self.parse(text))
    }

    fn show(&self, value: &T) -> String {
        let name = self.values.iter().find(|(_, known)| known == value);
        name.map_or(String::new(), |(name, _)| format!("\"{name}\""))
    }
}

/// A text with a form of its own.
pub(super) struct Text<T> {
    pub(super) words: &'static str,
    pub(super) parse: fn(&str) -> Result<T, Fault>,
}

impl<T> Words for Text<T> {
    fn words(&self) -> String {
        self.words.to_owned()
    }
}

impl<T: Display> Kind for Text<T> {
    type Value = T;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<T> {
        place.text(item, self, self.parse)
    }

    fn show(&self, value: &T) -> String {
        format!("\"{value}\"")
    }
}

/// The path of a file, resolved against the configuration file's folder.
pub(super) struct File;

impl Words for File {
    fn words(&self) -> String {
        "the path of a file".to_owned()
    }
}

impl Kind for File {
    type Value = PathBuf;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<PathBuf> {
        place.text(item, self, |text| {
            if text.is_empty() || text.contains('\0') {
                return Err(Fault::new("this cannot be the path of a file"));
            }
            Ok(place.cx.base.join(text))
        })
    }

    fn show(&self, value: &PathBuf) -> String {
        format!("\"{}\"", value.display())
    }
}

/// A list without repetition.
pub(super) struct List<K> {
    pub(super) of: K,
    /// What to do instead of an empty list; `None`: it may be empty.
    pub(super) never_empty: Option<&'static str>,
}

impl<K: Words> Words for List<K> {
    fn words(&self) -> String {
        format!("a list, each entry {}", self.of.words())
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
        let values: Vec<_> = values
            .iter()
            .map(|value| self.of.show(value.get_ref()))
            .collect();
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
        let mut repeated = false;
        for value in values {
            if let Some(first) = distinct
                .iter()
                .find(|seen| seen.get_ref() == value.get_ref())
            {
                repeated = true;
                let what = format!(
                    "{}: {} is said twice",
                    place.key,
                    self.of.show(first.get_ref())
                );
                place.cx.refuse(
                    Problem::at(value.span(), what)
                        .related(first.span(), "first said here")
                        .help("remove one of the two"),
                );
            } else {
                distinct.push(value);
            }
        }
        (!repeated).then_some(distinct)
    }
}

/// A table of a section of its own.
pub(super) struct Table;

impl Words for Table {
    fn words(&self) -> String {
        "a table".to_owned()
    }
}

/// A list of tables, at least one.
pub(super) struct Tables;

impl Words for Tables {
    fn words(&self) -> String {
        "a list of tables, at least one".to_owned()
    }
}
