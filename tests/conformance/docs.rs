//! `docs/conformance.md` says what the data and the tests say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::case::Case;
use super::{FAMILIES, Family};

const HEAD: &str =
    "| family | | cases | runs | beside compressed messages |\n|---|---|---|---|---|\n";

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A row of the rules is one with a section and five cells.
fn rules(page: &str) -> Vec<Vec<&str>> {
    let cells = |line| str::split(line, " | ").collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with("| ")).map(cells);
    rows.filter(|row| row.len() == 5 && row[0].contains('.')).collect()
}

/// Each `FILE::FUNCTION` of the page.
fn named_tests(page: &str) -> Vec<(&str, &str)> {
    page.split('`')
        .filter_map(|code| code.split_once(".rs::").map(|_| code))
        .map(|code| code.split_once("::").unwrap())
        .collect()
}

#[test]
fn each_test_that_the_page_names_exists() {
    let page = read("docs/conformance.md");
    let named = named_tests(&page);
    assert!(named.len() > 40, "{named:?}");
    let mut files = BTreeMap::new();
    for (file, function) in named {
        let text = files.entry(file).or_insert_with(|| read(file));
        let start = text.find(&format!("fn {function}("));
        let start = start.unwrap_or_else(|| panic!("{file} has no test {function}"));
        let before = text[..start].trim_end();
        assert!(before.ends_with("#[test]"), "{function} of {file} is not a test");
    }
}

/// The sections about frames, each with a test.
#[test]
fn each_rule_has_a_test() {
    let page = read("docs/conformance.md");
    let rules = rules(&page);
    for section in [
        "5.1",
        "5.2",
        "5.3",
        "5.4",
        "5.5",
        "5.5.1",
        "5.5.2",
        "5.5.3",
        "5.6",
        "5.7",
        "5.8",
        "6.1",
        "6.2",
        "7.1.1",
        "7.1.2",
        "7.1.3",
        "7.1.4",
        "7.1.5",
        "7.1.6",
        "7.1.7",
        "7.2.1",
        "7.3",
        "7.4",
        "8.1",
        "9.1",
        "10.3",
        "10.4",
        "10.7",
        "RFC 7692 6.1",
        "RFC 7692 7.1",
        "RFC 7692 7.2.1",
        "RFC 7692 7.2.2",
        "RFC 7692 7.2.3",
    ] {
        let about = |row: &&Vec<&str>| row[0][2..].split(", ").any(|of| of == section);
        let rows: Vec<_> = rules.iter().filter(about).collect();
        assert!(!rows.is_empty(), "nothing about section {section}");
        assert!(rows.iter().all(|row| row[4].contains(".rs::")), "no test of section {section}");
    }
}

/// `UPDATE_DOCS=1` writes the counts anew.
#[test]
fn the_counts_are_those_of_the_data() {
    let page = read("docs/conformance.md");
    let start = page.find(HEAD).unwrap() + HEAD.len();
    let end = start + page[start..].find("\n\n").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = [&page[..start], &counts(), &page[end..]].concat();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
        fs::write(path, updated).unwrap();
        return;
    }
    assert_eq!(page[start..end], counts(), "run UPDATE_DOCS=1 cargo test --test conformance docs");
}

/// A line a family, and the sum.
fn counts() -> String {
    let (mut text, mut all) = (String::new(), [0; 3]);
    for family in FAMILIES {
        let runs = |cases: &[Case]| cases.iter().map(Case::runs).sum::<usize>();
        let (cases, beside) = ((family.cases)(), runs(&family.cases_where_agreed()));
        let counts = [cases.len(), runs(&cases), beside];
        all = [0, 1, 2].map(|column| all[column] + counts[column]);
        let Family { number, name, .. } = family;
        let beside = if beside == 0 { "-".to_owned() } else { beside.to_string() };
        writeln!(text, "| {number} | {name} | {} | {} | {beside} |", counts[0], counts[1]).unwrap();
    }
    write!(text, "| | all | {} | {} | {} |", all[0], all[1], all[2]).unwrap();
    text
}

/// A case that is there twice, or that has the number of another, is a mistake.
#[test]
fn each_case_has_a_number_of_its_own() {
    for family in FAMILIES {
        let cases = (family.cases)();
        let ids: BTreeMap<_, _> = cases.iter().map(|case| (&case.id, &case.what)).collect();
        assert_eq!(ids.len(), cases.len(), "family {}", family.number);
        assert!(ids.keys().all(|id| id.starts_with(&format!("{}.", family.number))));
    }
}
