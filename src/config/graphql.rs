//! The keys of `[routes.*.messages]` with `protocol = "graphql-ws"`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Help, read_up_to};
use super::keys::{self, MessageKeys};
use super::kinds::Fault;
use super::load::Loader;
use super::reader::SectionReader;
use crate::message::{AllowedDocuments, GraphqlRules};

/// The largest list of documents, in bytes.
const MAX_LIST: u64 = 16 * 1024 * 1024;

/// The keys of this protocol alone.
pub(super) static OF_GRAPHQL: [&str; 9] = [
    keys::GRAPHQL_TYPES.name,
    keys::MAX_SELECTION_DEPTH.name,
    keys::MAX_ALIASES.name,
    keys::MAX_COMPLEXITY.name,
    keys::MAX_ROOT_FIELDS.name,
    keys::MAX_DIRECTIVES.name,
    keys::MAX_TOKENS.name,
    keys::INTROSPECTION.name,
    keys::ALLOWED_DOCUMENTS.name,
];

const LIST: Help = Help {
    missing: "correct the path, which is relative to this file's folder",
    wrong: "give the output of `sha256sum`, or a JSON object of documents by their SHA-256",
};

/// The rules that the keys give, without the list of documents.
pub(super) fn rules(keys: &MessageKeys) -> GraphqlRules {
    GraphqlRules {
        max_selection_depth: keys.max_selection_depth,
        max_aliases: keys.max_aliases,
        max_complexity: keys.max_complexity,
        max_root_fields: keys.max_root_fields,
        max_directives: keys.max_directives,
        max_tokens: keys.max_tokens,
        root_fields: keys.graphql_types,
        introspection: keys.introspection,
        allowed: None,
    }
}

/// Reads the list of documents, if there is one. `None`: it has a fault, which was reported.
pub(super) fn load(
    rules: GraphqlRules,
    reader: &SectionReader<'_>,
    documents: Option<&PathBuf>,
    loader: &Loader,
) -> Option<GraphqlRules> {
    let Some(file) = documents else {
        return Some(rules);
    };
    let allowed = loader.read(reader, keys::ALLOWED_DOCUMENTS.name, file, read_list)?;
    Some(GraphqlRules { allowed: Some(Arc::new(allowed)), ..rules })
}

fn read_list(path: &Path) -> Result<AllowedDocuments, Fault> {
    let list = read_up_to(path, MAX_LIST, &LIST)?;
    AllowedDocuments::parse(&list)
        .map_err(|error| Fault::new(format!("{} {error}", path.display())).help(LIST.wrong))
}
