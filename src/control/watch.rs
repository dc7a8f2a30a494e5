//! Detects changed files. The watch compares their metadata once a second, which works on every file
//! system, and for files that are replaced by another file of the same name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::loading::WITHIN;
use super::{Control, ReloadError};

/// Interval between two scans.
const EVERY: Duration = Duration::from_secs(1);

/// The identity of one version of a file; `None`: the file does not exist, or its metadata cannot be read.
type FileStamp = Option<(u64, u64, u64, i64, i64)>;

/// The changed files that are not loaded yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Owed {
    /// Files of the firewall.
    lists: bool,
    /// Any file, including the configuration.
    files: bool,
}

/// The files as one scan found them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct FileSnapshot(BTreeMap<PathBuf, FileStamp>);

impl FileSnapshot {
    fn of(files: &[PathBuf]) -> Self {
        let stamp = |path: &PathBuf| {
            let found = fs::metadata(path).ok()?;
            Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        };
        Self(files.iter().map(|path| (path.clone(), stamp(path))).collect())
    }
}

/// Reports a change once the files are stable: a file that is still being written is awaited.
#[derive(Debug, Default)]
struct Watch {
    /// The files at the last load or failed load, or at the first scan.
    known: Option<FileSnapshot>,
    /// The files at the last scan, if they differ from `known`.
    moving: Option<FileSnapshot>,
}

impl Watch {
    /// Whether the files changed since the first scan or the last reported change, and did not change
    /// since the scan before this one.
    fn is_changed(&mut self, look: FileSnapshot) -> bool {
        if self.known.as_ref().is_none_or(|known| !known.0.keys().eq(look.0.keys())) {
            // This is the first scan, or the set of watched files changed.
            *self = Self { known: Some(look), moving: None };
            return false;
        }
        if self.known.as_ref() == Some(&look) {
            self.moving = None;
            return false;
        }
        if self.moving.as_ref() != Some(&look) {
            self.moving = Some(look);
            return false;
        }
        *self = Self { known: Some(look), moving: None };
        true
    }
}

/// Starts the task behind [`Service::watch`](super::Service::watch).
pub(super) fn watch(control: &Arc<Control>, all: bool) {
    let (lists, files) = control.watched(all);
    let (mut data, mut whole) = (Watch::default(), Watch::default());
    data.is_changed(FileSnapshot::of(&lists));
    whole.is_changed(FileSnapshot::of(&files));
    let runtime = control.runtime.clone();
    let control = Arc::clone(control);
    runtime.spawn_until_stop(async move {
        let mut owed = Owed::default();
        loop {
            tokio::time::sleep(EVERY).await;
            let (lists, files) = control.watched(all);
            let look = move || (FileSnapshot::of(&lists), FileSnapshot::of(&files));
            let Some((lists, files)) = control.look(look).await else {
                return;
            };
            owed.lists |= data.is_changed(lists);
            owed.files |= whole.is_changed(files);
            if owed == Owed::default() || control.reloading.is_hung() {
                continue;
            }
            let outcome = if owed.files { control.reload().await } else { control.refresh().await };
            // `reload` logs the outcome. A load that timed out is repeated once the file system
            // answers, since the file may not change again.
            if !matches!(outcome, Err(ReloadError::Slow(_))) {
                owed = Owed::default();
            }
        }
    });
}

impl Control {
    /// Runs `look` on a thread, because the file system may hang. A hang is logged, and its result is
    /// still awaited. `None`: `look` panicked.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let mut looking = tokio::task::spawn_blocking(look);
        if let Ok(looked) = timeout(WITHIN, &mut looking).await {
            return looked.ok();
        }
        self.record(&Err(ReloadError::Unwatched));
        looking.await.ok()
    }

    /// The files of the firewall and, with `all`, all files of the configuration.
    fn watched(&self, all: bool) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let in_force = self.current.get();
        let files = if all { in_force.files.clone() } else { Vec::new() };
        (in_force.policy.lists().to_vec(), files)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{FileSnapshot, Watch};

    #[test]
    fn a_change_is_reported_once_after_the_file_is_stable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "1").unwrap();
        let files = [path.clone()];
        let look = || FileSnapshot::of(&files);
        let mut watch = Watch::default();
        assert!(!watch.is_changed(look()), "the first look is what is known");
        assert!(!watch.is_changed(look()));
        fs::write(&path, "12").unwrap();
        assert!(!watch.is_changed(look()), "it may be half written");
        fs::write(&path, "123").unwrap();
        assert!(!watch.is_changed(look()), "it was");
        assert!(watch.is_changed(look()));
        assert!(!watch.is_changed(look()), "once");
        let other = folder.path().join("other");
        fs::write(&other, "123").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(!watch.is_changed(look()));
        assert!(watch.is_changed(look()), "replaced by another of the same size");
        fs::remove_file(&path).unwrap();
        assert!(!watch.is_changed(look()));
        assert!(watch.is_changed(look()), "gone");
    }

    #[test]
    fn a_file_that_is_restored_between_checks_is_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("list"), folder.path().join("aside"));
        fs::write(&path, "1").unwrap();
        let files = [path.clone()];
        let mut watch = Watch::default();
        assert!(!watch.is_changed(FileSnapshot::of(&files)));
        fs::rename(&path, &aside).unwrap();
        assert!(!watch.is_changed(FileSnapshot::of(&files)));
        fs::rename(&aside, &path).unwrap();
        assert!(!watch.is_changed(FileSnapshot::of(&files)));
        assert!(!watch.is_changed(FileSnapshot::of(&files)));
    }
}
