//! Errors and lints of a configuration file, shown at their places.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::kinds::Fault;
use super::lints::LintName;
use super::mask::{self, Masked};

/// The largest number of problems of one file that are shown; further ones are only counted.
const SHOWN: usize = 100;

/// The reason why a configuration was not loaded. `Display` shows the whole message as plain text.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be opened or read.
    #[error("cannot read the configuration {}: {}", file.display(), io_reason(source))]
    Unreadable {
        /// The configuration file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is larger than 1 MiB.
    #[error("the configuration {} is larger than 1 MiB: is it the right file?", file.display())]
    TooLarge {
        /// The configuration file.
        file: PathBuf,
    },
    /// The file is not UTF-8, as TOML must be.
    #[error(
        "the configuration {} is not UTF-8 at byte {offset}: save it as UTF-8",
        file.display()
    )]
    NotUtf8 {
        /// The configuration file.
        file: PathBuf,
        /// The offset of the first byte that is not UTF-8, counted from 0.
        offset: usize,
    },
    /// The file was read, but has errors.
    #[error("{0}")]
    Invalid(Report),
}

impl LoadError {
    /// The message as text, with ANSI colours if `styled`. It ends with a line break.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        match self {
            Self::Invalid(report) => report.render(styled),
            other => {
                let title = Level::ERROR.primary_title(other.to_string());
                renderer(styled).render(&[Group::with_title(title)]) + "\n"
            }
        }
    }
}

/// All errors of one file, in the order of the file.
#[derive(Debug)]
pub struct Report {
    source: Arc<SourceText>,
    problems: Vec<Problem>,
}

impl Report {
    /// `problems` must not be empty.
    pub(super) fn new(source: Arc<SourceText>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(Problem::start);
        Self { source, problems }
    }

    /// The number of errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.problems.len()
    }

    /// All errors with their source lines, then a line with their count.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let mut text = String::new();
        for problem in self.problems.iter().take(SHOWN) {
            text += &problem.render(&Level::ERROR, None, &self.source, styled);
            text += "\n";
        }
        let hidden = match self.problems.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(", {more} of them not shown"),
        };
        let count = match self.problems.len() {
            1 => "1 error".to_owned(),
            more => format!("{more} errors"),
        };
        text + &format!("{count} in {}{hidden}\n", self.source.name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// A valid but unsafe choice, at its place in the file.
#[derive(Debug, Clone)]
pub struct Lint {
    source: Arc<SourceText>,
    name: LintName,
    problem: Problem,
}

impl Lint {
    /// `problems`, in the order of the file.
    pub(super) fn all(
        source: &Arc<SourceText>,
        mut problems: Vec<(LintName, Problem)>,
    ) -> Vec<Self> {
        problems.sort_by_key(|(_, problem)| problem.start());
        let lint = |(name, problem)| Self { source: Arc::clone(source), name, problem };
        problems.into_iter().map(lint).collect()
    }

    /// The name that `allow` acknowledges.
    #[must_use]
    pub fn name(&self) -> LintName {
        self.name
    }

    /// The warning in one line, without its place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.problem.what
    }

    /// The number of the line that the lint points to, counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        let span = self.problem.span.as_ref()?;
        Some(self.source.line(span.start))
    }

    /// The warning with its source line, with ANSI colours if `styled`. It ends with a line break.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let name = Some(self.name.name());
        self.problem.render(&Level::WARNING, name, &self.source, styled)
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// The text of a configuration file.
pub(super) struct SourceText {
    /// The name of the file as the caller gave it.
    pub(super) name: String,
    /// The whole text.
    pub(super) text: String,
    /// The ranges that are masked in messages.
    hidden: Vec<Range<usize>>,
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({:?})", self.name)
    }
}

impl SourceText {
    pub(super) fn new(name: String, text: String) -> Self {
        let hidden = mask::hidden(&text);
        Self { name, text, hidden }
    }

    /// The line number of a byte offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = &self.text[..floor_boundary(&self.text, offset)];
        1 + before.matches('\n').count()
    }

    /// The number of the line that `span` starts on, a snippet of the masked line, and the range of `span`
    /// within it.
    fn excerpt(&self, span: &Range<usize>) -> (usize, Snippet<'_, Annotation<'_>>, Range<usize>) {
        let start = floor_boundary(&self.text, span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].split('\n').next().unwrap_or("");
        let line = line.strip_suffix('\r').unwrap_or(line);
        let within = |at: usize| floor_boundary(line, at.saturating_sub(line_start));
        let place = within(start)..within(span.end.max(start));
        let masked = Masked::line(line, line_start, &self.hidden);
        let (place, number) = (masked.place(&place), self.line(start));
        let snippet = Snippet::source(masked.text).path(self.name.as_str()).line_start(number);
        (number, snippet, place)
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// One error or lint.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    span: Option<Range<usize>>,
    what: String,
    label: Option<String>,
    help: Option<String>,
    related: Option<(Range<usize>, String)>,
}

impl Problem {
    /// The problem `what` at the place `span`.
    pub(super) fn at(span: Range<usize>, what: impl Into<String>) -> Self {
        Self { span: Some(span), ..Self::somewhere(what) }
    }

    /// A fault of the key with this full name.
    pub(super) fn of(key: &str, span: Range<usize>, fault: Fault) -> Self {
        Self { help: fault.help, ..Self::at(span, format!("{key}: {}", fault.what)) }
    }

    /// The problem `what` with the file as a whole.
    pub(super) fn somewhere(what: impl Into<String>) -> Self {
        Self { span: None, what: what.into(), label: None, help: None, related: None }
    }

    /// Adds the text beside the caret: the expected value.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds the help text.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place that is related to the problem, if there is one.
    pub(super) fn related(
        mut self,
        span: impl Into<Option<Range<usize>>>,
        label: impl Into<String>,
    ) -> Self {
        self.related = span.into().map(|span| (span, label.into()));
        self
    }

    fn start(&self) -> usize {
        self.span.as_ref().map_or(usize::MAX, |span| span.start)
    }

    /// The message as text; `name` is shown in brackets after the level.
    fn render(
        &self,
        level: &Level<'_>,
        name: Option<&str>,
        source: &SourceText,
        styled: bool,
    ) -> String {
        let mut title = level.clone().primary_title(self.what.as_str());
        if let Some(name) = name {
            title = title.id(name);
        }
        let mut group = Group::with_title(title);
        group = match &self.span {
            Some(span) => group.elements(self.snippets(source, span)),
            None => group.element(Origin::path(source.name.as_str())),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer(styled).render(&[group]) + "\n"
    }

    /// The line of the place, and the line of the related place if it is a different line.
    fn snippets<'a>(
        &'a self,
        source: &'a SourceText,
        span: &Range<usize>,
    ) -> Vec<Snippet<'a, Annotation<'a>>> {
        let (number, first, place) = source.excerpt(span);
        let place = AnnotationKind::Primary.span(place);
        let first = first.annotation(place.label(self.label.as_deref()));
        let Some((span, label)) = &self.related else {
            return vec![first];
        };
        let (other, second, place) = source.excerpt(span);
        let place = AnnotationKind::Context.span(place).label(label);
        if number == other {
            vec![first.annotation(place)]
        } else {
            vec![first, second.annotation(place)]
        }
    }
}

fn renderer(styled: bool) -> Renderer {
    if styled { Renderer::styled() } else { Renderer::plain() }
}

/// The reason of an I/O error on a file, in words that do not depend on the operating system.
pub(super) fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Problem, SourceText};
    use annotate_snippets::Level;

    fn show(text: &str, span: std::ops::Range<usize>) -> String {
        let source = SourceText::new("f.toml".into(), text.into());
        Problem::at(span, "odd").render(&Level::ERROR, None, &source, false)
    }

    #[test]
    fn the_caret_is_under_the_place() {
        assert_eq!(
            show("a = 1\nb = [1, 22]\n", 14..16),
            "error: odd\n --> f.toml:2:9\n  |\n2 | b = [1, 22]\n  |         ^^\n"
        );
    }

    #[test]
    fn spans_outside_the_text_are_shown() {
        let backwards = std::ops::Range { start: 9, end: 2 };
        for span in [0..0, 3..3, 3..9, backwards, 1..2, 2..100, 100..100] {
            assert!(show("\u{e4}b\r\nc", span.clone()).starts_with("error: odd"), "{span:?}");
            assert!(show("", span).starts_with("error: odd"));
        }
    }
}
