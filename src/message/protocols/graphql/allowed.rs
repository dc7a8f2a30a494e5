//! The documents that a route accepts, by the SHA-256 of their text.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::values::json;

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// Documents that may be executed.
#[derive(PartialEq, Eq)]
pub struct AllowedDocuments(HashMap<Hash, Option<Box<str>>>);

/// A fault of the file; the message follows its name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedDocumentsError {
    /// It is not UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// It begins with a brace, and is not a JSON object of texts.
    #[error("is no JSON object of documents")]
    NotDocuments,
    /// A name of the JSON object is not the hash of its document.
    #[error("has a document, number {0}, whose name is not its SHA-256")]
    OtherHash(usize),
    /// A line is not a hash.
    #[error("has no SHA-256 of 64 hexadecimal digits in line {0}")]
    NotAHash(usize),
    /// It lists nothing.
    #[error("lists no document")]
    Empty,
}

impl AllowedDocuments {
    /// Reads a list: a line for each hash, as `sha256sum` prints them, or a JSON object whose names are the hashes and
    /// whose values are the documents.
    ///
    /// # Errors
    /// The first fault of the list.
    pub fn parse(list: &[u8]) -> Result<Self, AllowedDocumentsError> {
        let text = std::str::from_utf8(list).map_err(|_| AllowedDocumentsError::NotText)?;
        let documents =
            if text.trim_start().starts_with('{') { of_object(list) } else { of_lines(text) }?;
        if documents.is_empty() {
            return Err(AllowedDocumentsError::Empty);
        }
        Ok(Self(documents))
    }

    /// Whether the document with this hash is listed.
    pub(super) fn has(&self, hash: &Hash) -> bool {
        self.0.contains_key(hash)
    }

    /// The document with this hash, in lower case, if it is listed; its text, if the list has it.
    #[expect(clippy::option_option, reason = "not listed, listed without its text, listed with it")]
    pub(super) fn find(&self, hash: &str) -> Option<Option<&str>> {
        self.0.get(&parse_lower(hash)?).map(Option::as_deref)
    }
}

impl fmt::Debug for AllowedDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AllowedDocuments({})", self.0.len())
    }
}

fn of_object(list: &[u8]) -> Result<HashMap<Hash, Option<Box<str>>>, AllowedDocumentsError> {
    let object = json::object(list).map_err(|_| AllowedDocumentsError::NotDocuments)?;
    let documents = object.into_iter().enumerate().map(|(index, (name, document))| {
        let Value::String(text) = document else {
            return Err(AllowedDocumentsError::NotDocuments);
        };
        match parse_hash(&name) {
            Some(hash) if hash == hash_of(&text) => Ok((hash, Some(text.into()))),
            _ => Err(AllowedDocumentsError::OtherHash(index + 1)),
        }
    });
    documents.collect()
}

fn of_lines(text: &str) -> Result<HashMap<Hash, Option<Box<str>>>, AllowedDocumentsError> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let hashes = lines.map(|(number, line)| {
        // The name of a file may follow.
        let word = line.split_ascii_whitespace().next().unwrap_or_default();
        let hash = parse_hash(word).ok_or(AllowedDocumentsError::NotAHash(number))?;
        Ok((hash, None))
    });
    hashes.collect()
}

pub(super) fn hash_of(text: &str) -> Hash {
    let digest = digest(&SHA256, text.as_bytes());
    let mut hash = Hash::default();
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// A hash in lower case: applications compare texts.
pub(super) fn parse_lower(text: &str) -> Option<Hash> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { None } else { parse_hash(text) }
}

fn parse_hash(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = Hash::default();
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}
