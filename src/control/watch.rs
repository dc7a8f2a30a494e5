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
struct PendingLoad {
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
    unstable: Option<FileSnapshot>,
}

impl Watch {
    /// Whether the files changed since the first scan or the last reported change, and did not change
    /// since the scan before this one.
    fn is_changed(&mut self, scan: FileSnapshot) -> bool {
        if self.known.as_ref().is_none_or(|known| !known.0.keys().eq(scan.0.keys())) {
            // This is the first scan, or the set of watched files changed.
            *self = Self { known: Some(scan), unstable: None };
            return false;
        }
        if self.known.as_ref() == Some(&scan) {
            self.unstable = None;
            return false;
        }
        if self.unstable.as_ref() != Some(&scan) {
            self.unstable = Some(scan);
            return false;
        }
        *self = Self { known: Some(scan), unstable: None };
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
        let mut pending = PendingLoad::default();
        loop {
            tokio::time::sleep(EVERY).await;
            let (lists, files) = control.watched(all);
            let scan = move || (FileSnapshot::of(&lists), FileSnapshot::of(&files));
            let Some((lists, files)) = control.scan(scan).await else {
                return;
            };
            pending.lists |= data.is_changed(lists);
            pending.files |= whole.is_changed(files);
            if pending == PendingLoad::default() || control.reloading.is_hung() {
                continue;
            }
            let outcome =
                if pending.files { control.reload().await } else { control.refresh().await };
            // `reload` logs the outcome. A load that timed out is repeated once the file system
            // answers, since the file may not change again.
            if !matches!(outcome, Err(ReloadError::Slow(_))) {
                pending = PendingLoad::default();
            }
        }
    });
}

impl Control {
    /// Runs `scan` on a thread, because the file system may hang. A hang is logged, and its result is
    /// still awaited. `None`: `scan` panicked.
    async fn scan<T: Send + 'static>(
        &self,
        scan: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let mut looking = tokio::task::spawn_blocking(scan);
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
        let scan = || FileSnapshot::of(&files);
        let mut watch = Watch::default();
        assert!(!watch.is_changed(scan()), "the first look is what is known");
        assert!(!watch.is_changed(scan()));
        fs::write(&path, "12").unwrap();
        assert!(!watch.is_changed(scan()), "it may be half written");
        fs::write(&path, "123").unwrap();
        assert!(!watch.is_changed(scan()), "it was");
        assert!(watch.is_changed(scan()));
        assert!(!watch.is_changed(scan()), "once");
        let other = folder.path().join("other");
        fs::write(&other, "123").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(!watch.is_changed(scan()));
        assert!(watch.is_changed(scan()), "replaced by another of the same size");
        fs::remove_file(&path).unwrap();
        assert!(!watch.is_changed(scan()));
        assert!(watch.is_changed(scan()), "gone");
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
