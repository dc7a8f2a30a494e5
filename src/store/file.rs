//! The file of revocations: read whole, written whole, and never half.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{MAX_REVOCATIONS, Revocation};

/// The owner alone: it names users.
const MODE: u32 = 0o600;
/// More than the largest number of revocations with texts of a usual length takes.
const MAX_FILE: u64 = 256 * 1024 * 1024;
/// What is written now; another number is another program's.
const VERSION: u32 = 1;

/// Why the file of revocations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is there and cannot be read.
    #[error(
        "[admin] revocations: cannot read {}: {source}; let this user read it, or name another file",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what was written.
    #[error(
        "[admin] revocations: {} is broken: {what}; mend it or put back a copy. To go on without what it says, move it away: whoever it revoked can come back then",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where and how.
        what: String,
    },
    /// It holds more than can be kept.
    #[error(
        "[admin] revocations: {} has more than {MAX_REVOCATIONS} revocations in force; take some out",
        path.display()
    )]
    TooMany {
        /// The file.
        path: PathBuf,
    },
    /// It could not be written; the old one is as it was.
    #[error(
        "[admin] revocations: cannot write {}: {source}; is its folder there, may this user write to it, and is the disk full?",
        path.display()
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    revocations: &'a [Revocation],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    revocations: Vec<Revocation>,
}

/// What the file says, or `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<Revocation>>, StoreError> {
    let broken = |what: String| StoreError::Broken { path: path.to_owned(), what };
    let text = match read_bounded(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(broken(format!("it has more than {MAX_FILE} bytes")));
        }
        Err(source) => return Err(StoreError::Unreadable { path: path.to_owned(), source }),
    };
    let contents: Contents =
        serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    if contents.version != VERSION {
        return Err(broken(format!("its version is {}, not {VERSION}", contents.version)));
    }
    if let Some(bad) = contents.revocations.iter().find(|revocation| !revocation.is_bounded()) {
        return Err(broken(format!("a {} of it is empty or too long", bad.kind.name())));
    }
    Ok(Some(contents.revocations))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    let fits = u64::try_from(text.len()).is_ok_and(|length| length <= MAX_FILE);
    if fits { Ok(text) } else { Err(io::ErrorKind::FileTooLarge.into()) }
}

/// Puts a file with these in the place of the old one, in one step: whoever reads it, at whatever
/// moment the machine stops, finds the old one whole or the new one whole.
pub(super) fn write(path: &Path, revocations: &[Revocation]) -> Result<(), StoreError> {
    let beside = beside(path);
    let outcome = write_beside(&beside, revocations)
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path));
    outcome.map_err(|source| {
        // What was begun is of no use; it may not even be there.
        let _ = fs::remove_file(&beside);
        StoreError::Unwritable { path: path.to_owned(), source }
    })
}

fn write_beside(beside: &Path, revocations: &[Revocation]) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // Left over from a process that was stopped in the middle, or not there.
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside)?;
    let mut out = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut out, &Written { version: VERSION, revocations })?;
    out.write_all(b"\n")?;
    out.into_inner()?.sync_all()
}

/// The new name is on the disk, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// In the same folder, so that a rename does.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".new");
    path.with_file_name(name)
}
