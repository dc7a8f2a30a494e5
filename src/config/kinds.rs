//! The kinds of values: each kind describes, reads and shows the values that it accepts.

use std::fmt::Display;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::reader::Place;
use super::units;

/// A TOML value with its place in the file.
pub(super) type Item<'a> = Spanned<DeValue<'a>>;

/// The error for a value, and the help text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None }
    }

    /// The fault in one line, for the command line.
    pub(super) fn in_a_line(self) -> String {
        match self.help {
            Some(help) => format!("{}: {help}", self.what),
            None => self.what,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Describes a kind in messages, in the reference and in the JSON Schema, including its bounds.
pub(super) trait Words {
    fn words(&self) -> String;

    /// The JSON Schema of a value. It is as narrow as possible without refusing a valid value.
    fn schema(&self) -> Json;

    /// The suggestion for a value of another type with a clear meaning: `"10s"` for `10`.
    fn rewritten(&self, _: &Item<'_>) -> Option<String> {
        None
    }
}

/// The digits of a whole number that the file writes in decimal.
pub(super) fn whole_number<'a>(item: &'a Item<'_>) -> Option<&'a str> {
    match item.get_ref() {
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
        _ => None,
    }
}

/// The content of a string that consists of decimal digits only.
fn number_in_quotes(item: &Item<'_>) -> Option<String> {
    let text = item.get_ref().as_str()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.to_owned())
}

/// A kind of value that is read from one TOML value.
pub(super) trait ValueKind: Words {
    type Value;

    /// Reads the value. Returns `None` after it reported a fault at `place`.
    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Self::Value>;

    /// The value as TOML; empty for a kind of values that are never shown.
    fn show(&self, _: &Self::Value) -> String {
        String::new()
    }
}

/// A whole number from `min` to `max`, as a `T`.
pub(super) struct Integer<T = u32> {
    min: u32,
    max: u32,
    of: PhantomData<T>,
}

impl<T> Integer<T> {
    /// The bounds, which must be values of `T`.
    pub(super) const fn new(min: u32, max: u32) -> Self {
        Self { min, max, of: PhantomData }
    }
}

impl<T> Words for Integer<T> {
    fn words(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.min, "maximum": self.max })
    }

    fn rewritten(&self, item: &Item<'_>) -> Option<String> {
        number_in_quotes(item)
    }
}

impl<T: TryFrom<u32> + Display> ValueKind for Integer<T> {
    type Value = T;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<T> {
        let DeValue::Integer(number) = item.get_ref() else {
            return place.wrong_type(item, self);
        };
        let value = u32::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.filter(|value| (self.min..=self.max).contains(value));
        value
            .and_then(|value| T::try_from(value).ok())
            .or_else(|| place.refuse(item, self, Fault::new(format!("{number} is out of bounds"))))
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }
}

/// `true` or `false`.
pub(super) struct Bool;

impl Words for Bool {
    fn words(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }

    fn rewritten(&self, item: &Item<'_>) -> Option<String> {
        match item.get_ref().as_str()? {
            "true" | "yes" | "on" => Some("true".to_owned()),
            "false" | "no" | "off" => Some("false".to_owned()),
            _ => None,
        }
    }
}

impl ValueKind for Bool {
    type Value = bool;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<bool> {
        item.get_ref().as_bool().or_else(|| place.wrong_type(item, self))
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// A number of bytes from `min` to `max`, as a `T`.
pub(super) struct Size<T = u64> {
    min: u64,
    max: u64,
    of: PhantomData<T>,
}

impl<T> Size<T> {
    /// The bounds, which must be values of `T`.
    pub(super) const fn new(min: u64, max: u64) -> Self {
        Self { min, max, of: PhantomData }
    }
}

impl<T> Words for Size<T> {
    fn words(&self) -> String {
        let (min, max) = (units::show_size(self.min), units::show_size(self.max));
        format!("a size in quotes, from \"{min}\" to \"{max}\"")
    }

    fn schema(&self) -> Json {
        matching(&format!("^{}$", units::SIZE_PATTERN))
    }

    fn rewritten(&self, item: &Item<'_>) -> Option<String> {
        whole_number(item).map(|number| format!("\"{number}B\""))
    }
}

impl<T: TryFrom<u64> + TryInto<u64> + Copy> ValueKind for Size<T> {
    type Value = T;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<T> {
        place.text(item, self, |text| {
            let size = in_bounds(units::parse_size(text)?, &self.min, &self.max, text)?;
            T::try_from(size).map_err(|_| Fault::new(format!("\"{text}\" is too large")))
        })
    }

    fn show(&self, value: &T) -> String {
        format!("\"{}\"", units::show_size((*value).try_into().unwrap_or(u64::MAX)))
    }
}

/// A duration from `min` to `max`.
pub(super) struct Time {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Words for Time {
    fn words(&self) -> String {
        let (min, max) = (units::show_duration(self.min), units::show_duration(self.max));
        format!("a duration in quotes, from \"{min}\" to \"{max}\"")
    }

    fn schema(&self) -> Json {
        matching(&format!("^{}$", units::TIME_PATTERN))
    }

    fn rewritten(&self, item: &Item<'_>) -> Option<String> {
        whole_number(item).map(|number| format!("\"{number}s\""))
    }
}

impl ValueKind for Time {
    type Value = Duration;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Duration> {
        place.text(item, self, |text| {
            in_bounds(units::parse_duration(text)?, &self.min, &self.max, text)
        })
    }

    fn show(&self, value: &Duration) -> String {
        format!("\"{}\"", units::show_duration(*value))
    }
}

/// A value of the kind `K`, or `"off"`.
pub(super) struct OrOff<K>(pub(super) K);

/// The prefix of the description of [`OrOff`].
pub(super) const OFF_OR: &str = "\"off\" or ";

impl<K: Words> Words for OrOff<K> {
    fn words(&self) -> String {
        format!("{OFF_OR}{}", self.0.words())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "const": "off" }, self.0.schema()] })
    }

    fn rewritten(&self, item: &Item<'_>) -> Option<String> {
        self.0.rewritten(item)
    }
}

impl<K: ValueKind> ValueKind for OrOff<K> {
    type Value = Option<K::Value>;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<Option<K::Value>> {
        match item.get_ref().as_str() {
            Some("off") => Some(None),
            _ => self.0.read(item, &place.or_off()).map(Some),
        }
    }

    fn show(&self, value: &Option<K::Value>) -> String {
        value.as_ref().map_or("\"off\"".to_owned(), |value| self.0.show(value))
    }
}

/// Returns `value` if it is within the bounds; `text` is its source text, for the error.
pub(super) fn in_bounds<T: PartialOrd>(value: T, min: &T, max: &T, text: &str) -> Result<T, Fault> {
    if value < *min {
        return Err(Fault::new(format!("\"{text}\" is too small")));
    }
    if value > *max {
        return Err(Fault::new(format!("\"{text}\" is too large")));
    }
    Ok(value)
}

/// One of a fixed set of words.
pub(super) struct Choice<T: 'static> {
    values: &'static [(&'static str, T)],
}

impl<T> Choice<T> {
    /// Accepts the words in `values`, each with the value that it stands for.
    pub(super) const fn of(values: &'static [(&'static str, T)]) -> Self {
        Self { values }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.values.iter().map(|(name, _)| *name)
    }
}

impl<T: Copy> Choice<T> {
    fn parse(&self, text: &str) -> Result<T, Fault> {
        if let Some((_, value)) = self.values.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let near = units::nearest(text, self.names());
        let near = near.map(|name| format!("did you mean \"{name}\"?"));
        Err(Fault { what: format!("\"{text}\" is none of its values"), help: near })
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

    fn schema(&self) -> Json {
        json!({ "enum": self.names().collect::<Vec<_>>() })
    }
}

impl<T: Copy + PartialEq> ValueKind for Choice<T> {
    type Value = T;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<T> {
        place.text(item, self, |text| self.parse(text))
    }

    fn show(&self, value: &T) -> String {
        let name = self.values.iter().find(|(_, known)| known == value);
        name.map_or(String::new(), |(name, _)| format!("\"{name}\""))
    }
}

/// The schema of a string that matches a regular expression.
pub(super) fn matching(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": pattern })
}

/// A string with a syntax of its own.
pub(super) struct Text<T> {
    words: &'static str,
    parse: fn(&str) -> Result<T, Fault>,
    form: KindForm,
}

/// The part of the syntax that a JSON Schema can check.
enum KindForm {
    Pattern(&'static str),
    OneOf(fn() -> Vec<&'static str>),
}

impl<T> Text<T> {
    /// A string that `parse` reads. The regular expression `pattern` must match every string that
    /// `parse` accepts.
    pub(super) const fn new(
        words: &'static str,
        pattern: &'static str,
        parse: fn(&str) -> Result<T, Fault>,
    ) -> Self {
        Self { words, parse, form: KindForm::Pattern(pattern) }
    }

    /// A string that is one of `names`; `parse` makes the error for any other string.
    pub(super) const fn one_of(
        words: &'static str,
        names: fn() -> Vec<&'static str>,
        parse: fn(&str) -> Result<T, Fault>,
    ) -> Self {
        Self { words, parse, form: KindForm::OneOf(names) }
    }
}

impl<T> Words for Text<T> {
    fn words(&self) -> String {
        self.words.to_owned()
    }

    fn schema(&self) -> Json {
        match self.form {
            KindForm::Pattern(pattern) => matching(pattern),
            KindForm::OneOf(names) => json!({ "enum": names() }),
        }
    }
}

impl<T: Display> ValueKind for Text<T> {
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

    fn schema(&self) -> Json {
        matching(r"^[^\x00-\x1f]+$")
    }
}

impl ValueKind for File {
    type Value = PathBuf;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<PathBuf> {
        place.text(item, self, |text| check_path(text).map(|()| place.cx.base.join(text)))
    }

    fn show(&self, value: &PathBuf) -> String {
        format!("\"{}\"", value.display())
    }
}

/// Refuses a text that cannot be the path of a file. The error does not quote the text: it may be a key.
pub(super) fn check_path(text: &str) -> Result<(), Fault> {
    if text.contains("-----BEGIN") {
        let fault = Fault::new("this is what a file holds, not its path");
        return Err(fault.help("save it as a file and give the path of that"));
    }
    if text.is_empty() || text.contains(char::is_control) {
        return Err(Fault::new("this cannot be the path of a file"));
    }
    Ok(())
}
