//! Reads files that others write: certificates, keys, lists, databases, configurations, state. Only
//! this module opens them, so that no kind of file can block the gateway: a named pipe or a device
//! is refused, and every read is bounded.

use std::cell::RefCell;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;

/// Reads a regular file; returns `None` for one of more than `most` bytes. The file is opened with
/// `O_NONBLOCK`: opening a named pipe would otherwise block until it has a writer.
///
/// # Errors
/// The system's error; an `InvalidInput` that wraps [`NotRegular`] for a named pipe, a socket or a
/// device; `IsADirectory` for a folder.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let _reading = Reading::begin(path);
    // O_NOCTTY: a terminal must not become the controlling terminal of the gateway.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    // Opening a socket fails with "no such device or address".
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) => return Err(unopened(path, error)),
    };
    let data = file.metadata()?;
    check_kind(data.file_type())?;
    if data.len() > most {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| u64::try_from(bytes.len()).is_ok_and(|length| length <= most)))
}

fn unopened(path: &Path, error: io::Error) -> io::Error {
    let kind = path.metadata().map(|data| data.file_type());
    kind.and_then(check_kind).err().filter(is_not_regular).unwrap_or(error)
}

fn check_kind(kind: std::fs::FileType) -> io::Result<()> {
    let found = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::new(ErrorKind::InvalidInput, NotRegular(found)))
}

/// Whether a file was refused because it is not a regular file.
pub(crate) fn is_not_regular(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<NotRegular>())
}

/// The path leads to something other than a regular file.
#[derive(Debug, thiserror::Error)]
pub(crate) struct NotRegular(&'static str);

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is {}, and only regular files are read", self.0)
    }
}

/// Reports the file that one thread is reading to another thread that waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadProgress(Arc<Mutex<Option<PathBuf>>>);

thread_local! {
    static PROGRESS: RefCell<Option<ReadProgress>> = const { RefCell::new(None) };
}

impl ReadProgress {
    /// Runs `work` and records each file that it reads on this thread.
    pub(crate) fn follow<T>(&self, work: impl FnOnce() -> T) -> T {
        // A panic of `work` ends the thread and drops this value, so that no cleanup is needed.
        PROGRESS.set(Some(self.clone()));
        let result = work();
        PROGRESS.set(None);
        result
    }

    /// Whether the followed thread has finished.
    pub(crate) fn is_over(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// The file that the thread is reading now.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, file: Option<PathBuf>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }
}

/// Records a read until it is dropped.
struct Reading(Option<ReadProgress>);

impl Reading {
    fn begin(path: &Path) -> Self {
        let progress = PROGRESS.with_borrow(Clone::clone);
        if let Some(progress) = &progress {
            progress.note(Some(path.to_owned()));
        }
        Self(progress)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.note(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::{ReadProgress, is_not_regular, read};

    #[test]
    fn a_regular_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap().unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap(), None);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read(&link, 5).unwrap().is_some(), "a link to a file is one");
    }

    #[test]
    fn files_that_are_not_regular_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        let refused = |path: &Path| {
            let error = read(path, 10).unwrap_err();
            assert!(is_not_regular(&error), "{error}");
            error.to_string()
        };
        assert!(refused(&pipe).contains("a named pipe"));
        assert!(refused(&socket).contains("a socket"));
        assert!(refused(Path::new("/dev/zero")).contains("a device"));
        let kind = |path: &Path| read(path, 10).unwrap_err().kind();
        assert_eq!(kind(folder.path()), std::io::ErrorKind::IsADirectory);
        assert_eq!(kind(&folder.path().join("none")), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn the_progress_names_the_file_being_read() {
        let progress = ReadProgress::default();
        progress.follow(|| {
            assert_eq!(progress.file(), None);
            let reading = super::Reading::begin(Path::new("a"));
            assert_eq!(progress.file().as_deref(), Some(Path::new("a")));
            drop(reading);
            assert_eq!(progress.file(), None);
        });
    }
}
