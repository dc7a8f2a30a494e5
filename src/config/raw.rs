//! The first step: parses the text of a file into its syntax tree, in which every node has its place.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, Error};

use super::reader::{ReadContext, SectionReader};
use super::report::{LoadError, Problem, Report, SourceText};

/// The largest number of syntax errors that are shown: one often causes the next.
const SYNTAX_SHOWN: usize = 10;

/// A file that is valid TOML; its values are not checked yet.
pub(super) struct Raw<'a> {
    pub(super) source: Arc<SourceText>,
    table: Spanned<DeTable<'a>>,
}

impl<'a> Raw<'a> {
    /// Parses the text of a file; `name` is the name of the file in errors.
    pub(super) fn read(text: &'a str, name: &Path) -> Result<Self, LoadError> {
        let source = Arc::new(SourceText::new(name.display().to_string(), text.to_owned()));
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { source, table });
        }
        let problems = syntax_problems(&source, &errors);
        Err(LoadError::Invalid(Report::new(source, problems)))
    }

    /// A reader of the root table, for the second step.
    pub(super) fn reader(&'a self, cx: &'a ReadContext) -> SectionReader<'a> {
        SectionReader::root(cx, self.table.get_ref())
    }
}

/// The first error of each line, up to the first error within a list: an unclosed list causes an error
/// at everything after it.
fn syntax_problems(source: &SourceText, errors: &[Error]) -> Vec<Problem> {
    let mut errors: Vec<_> = errors.iter().map(|error| (start(error), error)).collect();
    errors.sort_by_key(|(start, _)| *start);
    let breaks: Vec<_> = source.text.match_indices('\n').map(|(at, _)| at).collect();
    errors.dedup_by_key(|(start, _)| breaks.partition_point(|at| at < start));
    let in_list = errors.iter().position(|(_, error)| is_in_list(error));
    let shown = in_list.map_or(errors.len(), |last| last + 1).min(SYNTAX_SHOWN);
    let shown = errors.into_iter().take(shown);
    shown.map(|(_, error)| syntax_problem(error)).collect()
}

fn start(error: &Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

fn is_in_list(error: &Error) -> bool {
    error.message().contains("array")
}

fn syntax_problem(error: &Error) -> Problem {
    let what = format!("this is not TOML: {}", error.message());
    let problem = Problem::at(error.span().unwrap_or(0..0), what);
    if is_in_list(error) {
        problem.help("is the list before this place closed with ]?")
    } else {
        problem
    }
}
