//! The blocks of docs/applications.md, which the tests run as they stand there.

use std::fs;
use std::path::Path;

/// The page, or a section of it.
pub(super) struct Section(String);

impl Section {
    /// The section with this heading.
    pub(super) fn find(heading: &str) -> Self {
        let page = page();
        let line = format!("\n## {heading}\n");
        let (_, text) = page.split_once(&line).unwrap_or_else(|| panic!("no section {heading}"));
        Self(text.split("\n## ").next().unwrap().to_owned())
    }

    /// The one block of the section in this language.
    pub(super) fn block(&self, language: &str) -> String {
        let found = blocks(&self.0, language);
        let [block] = &*found else { panic!("{} blocks of {language}", found.len()) };
        block.clone()
    }

    /// The whole configuration: the lines that all sections begin with, and those of this one.
    pub(super) fn configuration(&self) -> String {
        let common = blocks(page().split("\n## ").next().unwrap(), "toml");
        [common, vec![self.block("toml")]].concat().join("\n")
    }
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/applications.md");
    fs::read_to_string(path).unwrap()
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let inside = |rest: &str| rest.split("```").next().unwrap().to_owned();
    text.split(&fence).skip(1).map(inside).collect()
}
