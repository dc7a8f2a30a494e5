//! The lint for schemas of messages that nothing uses: files beside the schemas in use. Only `framewall check` reads
//! their folders.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::lints::{FoundLint, LintName};
use super::reader::{ReadContext, SectionReader};
use super::report::Problem;
use crate::message::{Schema, is_schema};

/// The most files of one folder that are looked at.
const MOST_FILES: usize = 1000;
/// The most names in one lint.
const SHOWN: usize = 5;

/// A schema that a key names.
pub(super) struct UsedSchema {
    /// The path of the table that has the key.
    table: String,
    /// The place of the value.
    span: Range<usize>,
    file: PathBuf,
    /// The files that it refers to, canonical.
    references: Vec<PathBuf>,
}

impl UsedSchema {
    pub(super) fn new(reader: &SectionReader<'_>, span: Range<usize>, schema: &Schema) -> Self {
        let (table, file) = (reader.path().to_owned(), schema.file().to_owned());
        Self { table, span, file, references: schema.references().to_vec() }
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let named = self.file.canonicalize().ok();
        named.into_iter().chain(self.references.iter().cloned())
    }

    /// The folders of its files: each as it is shown, and canonical.
    fn folders(&self) -> Vec<(PathBuf, PathBuf)> {
        let shown = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let shown = shown.unwrap_or(Path::new("."));
        let Ok(folder) = shown.canonicalize() else {
            return Vec::new();
        };
        let below = self.references.iter().filter_map(|file| {
            let other = file.parent()?;
            Some((shown.join(other.strip_prefix(&folder).ok()?), other.to_owned()))
        });
        let below: Vec<_> = below.collect();
        std::iter::once((shown.to_owned(), folder)).chain(below).collect()
    }
}

/// Warns once for each folder of a schema in `used` that has schemas which are not used, at the first key that names one
/// of the folder.
pub(super) fn lint_unused(cx: &ReadContext, used: &[UsedSchema]) {
    let in_use: HashSet<PathBuf> = used.iter().flat_map(UsedSchema::files).collect();
    let mut seen = HashSet::new();
    for schema in used {
        for (shown, folder) in schema.folders() {
            if !seen.insert(folder.clone()) {
                continue;
            }
            let names = unused_in(&folder, &in_use);
            if names.is_empty() {
                continue;
            }
            let what = format!(
                "no `schema` and no $ref leads to these JSON Schemas in {}: {}",
                shown.display(),
                listed(&names)
            );
            let help = "name each in `schema` of the messages that it is for, or move it to another folder";
            let problem = Problem::at(schema.span.clone(), what).help(help);
            let table = schema.table.clone();
            let found = FoundLint { name: LintName::MessagesSchemaUnused, table, problem };
            cx.lints.borrow_mut().push(found);
        }
    }
}

/// The names of the JSON Schemas in `folder` that are not in use, sorted.
fn unused_in(folder: &Path, in_use: &HashSet<PathBuf>) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(MOST_FILES);
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_unused = |file: &PathBuf| {
        file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
            && file.canonicalize().is_ok_and(|file| !in_use.contains(&file))
            && is_schema(file)
    };
    let name = |file: PathBuf| Some(file.file_name()?.to_string_lossy().into_owned());
    let mut names: Vec<_> = files.filter(is_unused).filter_map(name).collect();
    names.sort();
    names
}

fn listed(names: &[String]) -> String {
    let (shown, others) = names.split_at(names.len().min(SHOWN));
    let shown = shown.join(", ");
    if others.is_empty() { shown } else { format!("{shown} and {} more", others.len()) }
}
