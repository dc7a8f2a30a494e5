//! Patterns that no message may match.

use regex::{RegexSet, RegexSetBuilder};

/// The bound of the compiled patterns of one direction, in bytes.
const MOST_COMPILED: usize = 16 * 1024 * 1024;

/// Regular expressions, which are matched in linear time.
#[derive(Debug, Clone)]
pub struct Patterns(RegexSet);

impl Patterns {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// A pattern is no regular expression, needs backtracking (a look-around or a back-reference), or all together
    /// are too large.
    pub fn new(patterns: &[String]) -> Result<Self, regex::Error> {
        RegexSetBuilder::new(patterns).size_limit(MOST_COMPILED).build().map(Self)
    }

    /// The number, from 0, of the first pattern that matches a part of `text`.
    pub(super) fn first_in(&self, text: &str) -> Option<usize> {
        if !self.0.is_match(text) {
            return None;
        }
        self.0.matches(text).iter().next()
    }
}
