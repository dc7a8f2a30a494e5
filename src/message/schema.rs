//! JSON Schemas (draft 2020-12 unless a schema names another draft). They are compiled when the configuration is
//! loaded; nothing is ever fetched.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, ValidationOptions, Validator};
use serde_json::{Value, json};

use super::{email, path};
use crate::values::{file, json};

/// The largest schema file, in bytes.
pub const MAX_SCHEMA: u64 = 4 * 1024 * 1024;
/// The bound of one compiled regular expression of a schema, in bytes.
const MOST_COMPILED: usize = 4 * 1024 * 1024;

/// A compiled schema.
pub struct Schema {
    file: PathBuf,
    references: Vec<PathBuf>,
    validator: Validator,
}

/// The place at which a message breaks a schema. Neither part holds a value of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFault {
    /// The JSON pointer of the value, cut after 128 characters.
    pub instance: String,
    /// The JSON pointer of the keyword in the schema.
    pub keyword: String,
}

/// Why a schema cannot be used. The message follows the name of its file.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON, or with two members of one name.
    #[error("is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// Not a valid schema; the pointer leads to the keyword at fault.
    #[error("is not a valid schema{}: {detail}", shown(.pointer))]
    Invalid {
        /// The JSON pointer of the keyword at fault.
        pointer: String,
        /// The error.
        detail: String,
    },
}

fn shown(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" at {pointer}") }
}

impl Schema {
    /// Compiles the schema that `file` holds. References (`$ref`) lead to files in its folder and below alone; formats
    /// are asserted; regular expressions are matched in linear time.
    ///
    /// # Errors
    /// The text is no JSON or no schema, uses an unknown format, or a reference cannot be followed.
    pub fn compile(file: &Path, text: &[u8]) -> Result<Self, SchemaError> {
        let schema = json::value(text)?;
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new(".")).canonicalize();
        let folder = folder.map_err(|error| invalid("", &error))?;
        let name = file.file_name().unwrap_or_default();
        let references = Arc::<Mutex<Vec<PathBuf>>>::default();
        let retriever = BelowFolder { folder: folder.clone(), found: Arc::clone(&references) };
        let validator = options()
            .map_err(|error| invalid("", &error))?
            .with_base_uri(uri_of(&folder.join(name)))
            .with_retriever(retriever)
            .build(&schema)
            .map_err(|error| invalid(error.instance_path().as_str(), &error))?;
        let references =
            std::mem::take(&mut *references.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { file: file.to_owned(), references, validator })
    }

    /// The first place at which `value` breaks the schema.
    pub(super) fn judge(&self, value: &Value) -> Result<(), SchemaFault> {
        self.validator.validate(value).map_err(|error| SchemaFault {
            instance: path::shown(error.instance_path().as_str().to_owned()),
            keyword: error.schema_path().as_str().to_owned(),
        })
    }

    /// The file that it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The files that it refers to, and those that they refer to.
    #[must_use]
    pub fn references(&self) -> &[PathBuf] {
        &self.references
    }
}

/// How each schema is read.
fn options<'a>() -> Result<ValidationOptions<'a>, ValidationError<'static>> {
    Ok(jsonschema::options()
        .with_pattern_options(PatternOptions::regex().size_limit(MOST_COMPILED))
        .should_validate_formats(true)
        .with_format("email", email::check()?)
        .should_ignore_unknown_formats(false))
}

/// The check of one format, as in a schema.
pub(super) fn format(name: &str) -> Option<Validator> {
    options().ok()?.build(&json!({ "type": "string", "format": name })).ok()
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.file).finish()
    }
}

/// Whether the file is a JSON object whose `$schema` names a draft of JSON Schema; not if it cannot be read.
#[must_use]
pub fn is_schema(file: &Path) -> bool {
    let text = file::read(file, MAX_SCHEMA).ok().flatten();
    let value = text.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let draft = value.as_ref().and_then(|value| value.get("$schema")?.as_str());
    draft.is_some_and(|draft| draft.contains("://json-schema.org/"))
}

fn invalid(pointer: &str, error: &dyn fmt::Display) -> SchemaError {
    SchemaError::Invalid { pointer: pointer.to_owned(), detail: error.to_string() }
}

fn uri_of(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for part in path.components().skip(1) {
        let part = part.as_os_str().to_string_lossy();
        uri.push('/');
        uri.extend(percent_encoding::utf8_percent_encode(
            &part,
            percent_encoding::NON_ALPHANUMERIC,
        ));
    }
    uri
}

/// Reads the schemas that others refer to: regular files in one folder and below.
struct BelowFolder {
    folder: PathBuf,
    /// The files that were read.
    found: Arc<Mutex<Vec<PathBuf>>>,
}

impl Retrieve for BelowFolder {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let Some(path) = uri.as_str().strip_prefix("file://") else {
            return Err("a $ref leads to files alone, and nothing is fetched".into());
        };
        let path = percent_encoding::percent_decode_str(path).decode_utf8()?;
        // Links count where they lead to.
        let path = Path::new(&*path).canonicalize()?;
        if !path.starts_with(&self.folder) {
            return Err("a $ref leads out of the folder of the schema".into());
        }
        let text = file::read(&path, MAX_SCHEMA)?.ok_or("the file is larger than 4 MiB")?;
        let schema = json::value(&text)?;
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        Ok(schema)
    }
}
