//! A file of the gateway's own: read whole, written whole, and never half.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::file;

/// The owner alone: it names users and addresses.
const MODE: u32 = 0o600;
/// More than the largest number of entries with texts of a usual length takes.
const MAX_FILE: u64 = 256 * 1024 * 1024;
/// What is written now; another number is another program's.
const VERSION: u32 = 1;

/// What a file keeps, as errors say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// The key of the configuration that names the file.
    pub key: &'static str,
    /// What its entries are called.
    pub entries: &'static str,
    /// How many of them it may have.
    pub most: usize,
    /// What it means to go on without it.
    pub loss: &'static str,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is there and cannot be read.
    #[error(
        "{}: cannot read {}: {source}; let this user read it, or name another file",
        contents.key,
        path.display()
    )]
    Unreadable {
        /// What it keeps.
        contents: &'static Contents,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what was written.
    #[error(
        "{}: {} is broken: {what}; mend it or put back a copy. To go on without what it says, move it away: {}",
        contents.key,
        path.display(),
        contents.loss
    )]
    Broken {
        /// What it keeps.
        contents: &'static Contents,
        /// The file.
        path: PathBuf,
        /// Where and how.
        what: String,
    },
    /// It holds more than can be kept.
    #[error(
        "{}: {} has more than {} {} in force; take some out",
        contents.key,
        path.display(),
        contents.most,
        contents.entries
    )]
    TooMany {
        /// What it keeps.
        contents: &'static Contents,
        /// The file.
        path: PathBuf,
    },
    /// It could not be written; the old one is as it was.
    #[error(
        "{}: cannot write {}: {source}; is its folder there, may this user write to it, and is the disk full?",
        contents.key,
        path.display()
    )]
    Unwritable {
        /// What it keeps.
        contents: &'static Contents,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The `version` of a document: reads as this program's own, or not at all.
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

/// A file that holds one JSON document.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    contents: &'static Contents,
}

impl StateFile {
    pub(super) fn new(path: PathBuf, contents: &'static Contents) -> Self {
        Self { path, contents }
    }

    /// What the file says, or `None` if there is none.
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

    /// Puts a file with this in the place of the old one, in one step: whoever reads it, at whatever
    /// moment the machine stops, finds the old one whole or the new one whole.
    pub(super) fn write(&self, document: &impl Serialize) -> Result<(), StoreError> {
        let beside = self.beside();
        let outcome = write_beside(&beside, document)
            .and_then(|()| fs::rename(&beside, &self.path))
            .and_then(|()| sync_folder(&self.path));
        outcome.map_err(|source| {
            // What was begun is of no use; it may not even be there.
            let _ = fs::remove_file(&beside);
            StoreError::Unwritable { contents: self.contents, path: self.path.clone(), source }
        })
    }

    pub(super) fn broken(&self, what: String) -> StoreError {
        StoreError::Broken { contents: self.contents, path: self.path.clone(), what }
    }

    /// An error, if there are more entries than the file may have.
    pub(super) fn check_count(&self, count: usize) -> Result<(), StoreError> {
        if count <= self.contents.most {
            return Ok(());
        }
        Err(StoreError::TooMany { contents: self.contents, path: self.path.clone() })
    }

    /// In the same folder, so that a rename does.
    fn beside(&self) -> PathBuf {
        let mut name = self.path.file_name().map_or_else(OsString::new, OsString::from);
        name.push(".new");
        self.path.with_file_name(name)
    }
}

fn write_beside(beside: &Path, document: &impl Serialize) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // Left over from a process that was stopped in the middle, or not there.
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside)?;
    let mut out = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut out, document)?;
    out.write_all(b"\n")?;
    out.into_inner()?.sync_all()
}

/// The new name is on the disk, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
