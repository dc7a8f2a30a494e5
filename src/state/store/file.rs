//! A state file of the gateway: read and written as a whole, and never left half written.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::file;

/// Only the owner may read it: the file contains users and addresses.
const MODE: u32 = 0o600;
/// More than the largest number of entries takes with texts of usual length.
const MAX_FILE: u64 = 256 * 1024 * 1024;
/// The version of the format that is written. A file with another number was written by another
/// version of the program.
const VERSION: u32 = 1;

/// The description of a file's contents, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// The configuration key that names the file.
    pub key: &'static str,
    /// The name of its entries.
    pub entries: &'static str,
    /// The largest number of entries.
    pub most: usize,
    /// The consequence of continuing without the file.
    pub loss: &'static str,
}

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file exists and cannot be read.
    #[error(
        "{}: cannot read {}: {source}; let this user read it, or name another file",
        contents.key,
        path.display()
    )]
    Unreadable {
        /// The contents of the file.
        contents: &'static Contents,
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not in the written format.
    #[error(
        "{}: {} is broken: {what}; mend it or put back a copy. To go on without what it says, move it away: {}",
        contents.key,
        path.display(),
        contents.loss
    )]
    Broken {
        /// The contents of the file.
        contents: &'static Contents,
        /// The path of the file.
        path: PathBuf,
        /// The place and the kind of the damage.
        what: String,
    },
    /// The file has too many entries.
    #[error(
        "{}: {} has more than {} {} in force; take some out",
        contents.key,
        path.display(),
        contents.most,
        contents.entries
    )]
    TooMany {
        /// The contents of the file.
        contents: &'static Contents,
        /// The path of the file.
        path: PathBuf,
    },
    /// The file could not be written; the old one is unchanged.
    #[error(
        "{}: cannot write {}: {source}; is its folder there, may this user write to it, and is the disk full?",
        contents.key,
        path.display()
    )]
    Unwritable {
        /// The contents of the file.
        contents: &'static Contents,
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The `version` of a document: only the current version can be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            VERSION => Ok(Self),
            other => Err(D::Error::custom(format!("its version is {other}, not {VERSION}"))),
        }
    }
}

/// A file with one JSON document.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    contents: &'static Contents,
    /// Whether another process writes the file. Then this one does not.
    handed_over: bool,
}

impl StateFile {
    pub(super) fn new(path: PathBuf, contents: &'static Contents) -> Self {
        Self { path, contents, handed_over: false }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the file to another process, or takes it back: until then a write does nothing.
    pub(super) fn hand_over(&mut self, handed_over: bool) {
        self.handed_over = handed_over;
    }

    /// Reads the document; `None` if there is no file.
    pub(super) fn read<D: DeserializeOwned>(&self) -> Result<Option<D>, StoreError> {
        let text = match file::read(&self.path, MAX_FILE) {
            Ok(Some(text)) => text,
            Ok(None) => return Err(self.broken(format!("it has more than {MAX_FILE} bytes"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let (contents, path) = (self.contents, self.path.clone());
                return Err(StoreError::Unreadable { contents, path, source });
            }
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| self.broken(error.to_string()))
    }

    /// Replaces the file in one step: a reader finds either the complete old file or the complete
    /// new one, even after a crash at any moment.
    pub(super) fn write(&self, document: &impl Serialize) -> Result<(), StoreError> {
        if self.handed_over {
            return Ok(());
        }
        let beside = self.beside();
        let outcome = write_beside(&beside, document)
            .and_then(|()| fs::rename(&beside, &self.path))
            .and_then(|()| sync_folder(&self.path));
        outcome.map_err(|source| {
            // The incomplete file is useless; it may not even exist.
            let _ = fs::remove_file(&beside);
            StoreError::Unwritable { contents: self.contents, path: self.path.clone(), source }
        })
    }

    pub(super) fn broken(&self, what: String) -> StoreError {
        StoreError::Broken { contents: self.contents, path: self.path.clone(), what }
    }

    /// Fails if there are more entries than the file may have.
    pub(super) fn check_count(&self, count: usize) -> Result<(), StoreError> {
        if count <= self.contents.most {
            return Ok(());
        }
        Err(StoreError::TooMany { contents: self.contents, path: self.path.clone() })
    }

    /// The path of the new file: in the same folder, so that a rename replaces the old file.
    fn beside(&self) -> PathBuf {
        let mut name = self.path.file_name().map_or_else(OsString::new, OsString::from);
        name.push(".new");
        self.path.with_file_name(name)
    }
}

fn write_beside(beside: &Path, document: &impl Serialize) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // A leftover of a stopped process was removed, or there was none.
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside)?;
    let mut out = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut out, document)?;
    out.write_all(b"\n")?;
    out.into_inner()?.sync_all()
}

/// Syncs the folder, so that the renamed file is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
