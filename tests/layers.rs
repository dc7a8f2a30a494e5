//! The folders of src/ are layers. ARCHITECTURE.md prints which layer may import which others; this test reads
//! that table and every import of the code, and names each import that the table does not allow.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders within a layer that are layers of their own.
const NESTED: [&str; 7] = [
    "gateway/exchange",
    "gateway/listen",
    "gateway/relay",
    "gateway/runtime",
    "gateway/session",
    "gateway/upstream",
    "policy/token",
];

/// Imports that the table does not allow and that are still there: the importing file and the layer.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// The layer that the row is about, and the layers that it may import.
type Edges = BTreeMap<String, BTreeSet<String>>;

fn allowed() -> Edges {
    let page = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let table = page.split("| layer | may import |").nth(1).expect("the table of layers");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(names);
        let layer = cells.next().unwrap().pop().expect("a row names its layer");
        (layer, cells.next().unwrap().into_iter().collect())
    })
    .collect()
}

/// The names in backquotes, without a trailing slash.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/').to_owned()).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "tests" || name == "tests.rs" {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules that lead to what a file defines: `src/gateway/relay/pump.rs` is `gateway relay pump`.
fn module(file: &Path) -> Vec<String> {
    let inner = file.strip_prefix("src").unwrap().with_extension("");
    let mut modules: Vec<String> =
        inner.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if ["mod", "lib", "main"].contains(&modules.last().unwrap().as_str()) {
        modules.pop();
    }
    modules
}

/// The layer that a path of modules is in; `None` for the crate itself.
fn layer(modules: &[String]) -> Option<String> {
    let nested = modules.get(..2).map(|two| two.join("/"));
    match nested {
        Some(nested) if NESTED.contains(&nested.as_str()) => Some(nested),
        _ => modules.first().cloned(),
    }
}

/// The code without comments, text in quotes, the paths of visibilities, and everything from a test module on.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut code = String::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap();
        let line = line.replace("(in crate::", "(in ");
        code.extend(line.split('"').step_by(2));
        code.push('\n');
    }
    code
}

/// The path that begins at `text`, split into its modules; those in braces end it.
fn paths(root: &[String], text: &str) -> Vec<Vec<String>> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let (path, rest) = text.split_at(end.unwrap_or(text.len()));
    let begun: Vec<String> =
        path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let begun = [root, &begun].concat();
    match rest.strip_prefix('{') {
        Some(group) if begun.len() < 2 => {
            let group = group.split('}').next().unwrap();
            group.split(',').flat_map(|item| paths(&begun, item.trim())).collect()
        }
        _ => vec![begun],
    }
}

/// Every path of the crate that the code of a file names.
fn named(file: &Path) -> Vec<Vec<String>> {
    let code = code(&fs::read_to_string(file).unwrap());
    let modules = module(file);
    let absolute = code.split("crate::").skip(1).flat_map(|text| paths(&[], text));
    let relative = relative(&code, &modules);
    absolute.chain(relative).collect()
}

fn relative(code: &str, modules: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("super::") {
        rest = &rest[at..];
        let mut up = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            rest = next;
            up += 1;
        }
        let root = &modules[..modules.len().saturating_sub(up)];
        found.extend(paths(root, rest));
    }
    found
}

#[test]
fn imports_keep_to_the_table_of_layers() {
    let allowed = allowed();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    assert!(files.len() > 100, "the sources are read");
    let mut wrong = BTreeSet::new();
    let mut used = BTreeSet::new();
    for file in &files {
        let Some(from) = layer(&module(file)) else { continue };
        let may = allowed.get(&from).unwrap_or_else(|| panic!("the table has no row for {from}"));
        for to in named(file).iter().filter_map(|path| layer(path)) {
            if to == from || may.contains(&to) || !allowed.contains_key(&to) {
                continue;
            }
            let name = file.to_str().unwrap();
            match EXCEPTIONS.iter().find(|exception| **exception == (name, to.as_str())) {
                Some(exception) => _ = used.insert(*exception),
                None => _ = wrong.insert(format!("{name} imports {to}")),
            }
        }
    }
    let wrong: Vec<_> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "not in the table of ARCHITECTURE.md:\n{}", wrong.join("\n"));
    let stale: Vec<_> = EXCEPTIONS.iter().filter(|exception| !used.contains(*exception)).collect();
    assert!(stale.is_empty(), "no longer needed: {stale:?}");
}

/// A layer may import only rows above its own, so that the table has no circle.
#[test]
fn the_table_of_layers_has_no_circle() {
    let page = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let table = page.split("| layer | may import |").nth(1).unwrap();
    let mut above = BTreeSet::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let mut cells = row.split('|').skip(1).map(names);
        let layer = cells.next().unwrap().pop().unwrap();
        for import in cells.next().unwrap() {
            assert!(above.contains(&import), "{layer} may not import {import}, a row below it");
        }
        above.insert(layer);
    }
}

#[test]
fn imports_of_every_form_are_found() {
    let paths_of = |text: &str| -> Vec<String> {
        let code = code(text);
        let modules = module(Path::new("src/gateway/relay/pump.rs"));
        let absolute = code.split("crate::").skip(1).flat_map(|text| paths(&[], text));
        let found = absolute.chain(relative(&code, &modules));
        let layers: BTreeSet<String> = found.filter_map(|path| layer(&path)).collect();
        layers.into_iter().collect()
    };
    assert_eq!(paths_of("use crate::values::{Reason, Refusal};"), ["values"]);
    assert_eq!(paths_of("use crate::{tls, wire::Gate};"), ["tls", "wire"]);
    assert_eq!(
        paths_of("use crate::gateway::{session::Session, relay};"),
        ["gateway/relay", "gateway/session"]
    );
    assert_eq!(paths_of("fn f(_: &crate::config::Config) {}"), ["config"]);
    assert_eq!(paths_of("use super::super::session::Live;"), ["gateway/session"]);
    assert_eq!(paths_of("use super::side::Side;"), ["gateway/relay"]);
    assert_eq!(paths_of("use super::super::super::cli::run;"), ["cli"]);
    assert_eq!(paths_of("// use crate::cli;\nlet x = \"crate::cli\";"), [""; 0]);
}
