//! Loads a configuration on a thread of its own and with a timeout: a file system that hangs must block
//! neither later reloads nor the shutdown.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ReloadError;
use crate::values::file::ReadProgress;

/// The timeout for reading and checking a configuration and all files that it names.
pub(super) const WITHIN: Duration = Duration::from_secs(20);

/// The thread that loads: at most one runs, however long it hangs.
#[derive(Debug, Default)]
pub(super) struct Loading(Mutex<Option<ReadProgress>>);

impl Loading {
    /// Runs `work` on a thread of its own. A result that arrives after [`WITHIN`] is discarded.
    ///
    /// # Errors
    /// Errors of `work`; [`ReloadError::Slow`] after the timeout, and immediately while an earlier
    /// `work` hangs.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReloadError> + Send + 'static,
    ) -> Result<T, ReloadError> {
        if let Some(hung) = self.hung() {
            return Err(ReloadError::Slow(hung.file()));
        }
        let progress = ReadProgress::default();
        let (done, outcome) = oneshot::channel();
        let followed = progress.clone();
        let reading = thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // After the timeout, the receiver is gone.
            let _ = done.send(followed.follow(work));
        });
        reading.map_err(ReloadError::Thread)?;
        if let Ok(outcome) = timeout(WITHIN, outcome).await {
            return outcome.unwrap_or(Err(ReloadError::Fault));
        }
        let file = progress.file();
        *self.locked() = Some(progress);
        Err(ReloadError::Slow(file))
    }

    /// The progress of an earlier load that hangs.
    pub(super) fn hung(&self) -> Option<ReadProgress> {
        let mut hung = self.locked();
        hung.take_if(|progress| progress.is_over());
        hung.clone()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<ReadProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{Loading, ReloadError};
    use crate::values::file;

    #[tokio::test(start_paused = true)]
    async fn a_hung_load_times_out_and_blocks_others_until_it_ends() {
        let loading = Loading::default();
        let (release, hang) = mpsc::channel::<()>();
        let failed = loading.run::<()>(move || {
            let _ = hang.recv();
            Ok(())
        });
        assert!(matches!(failed.await, Err(ReloadError::Slow(None))));
        assert!(loading.hung().is_some());
        let refused = loading.run(|| -> Result<(), _> { panic!("a second thread was started") });
        assert!(matches!(refused.await, Err(ReloadError::Slow(_))));
        drop(release);
        while loading.hung().is_some() {
            std::thread::yield_now();
        }
        tokio::time::resume();
        assert!(matches!(loading.run(|| Ok(7)).await, Ok(7)));
    }

    #[tokio::test]
    async fn a_panicked_load_fails_and_the_next_one_runs() {
        let loading = Loading::default();
        let failed = loading.run::<()>(|| panic!("in a test")).await;
        assert!(matches!(failed, Err(ReloadError::Fault)));
        let read = loading.run(|| Ok(file::read("Cargo.toml".as_ref(), 1 << 20)));
        assert!(read.await.unwrap().unwrap().is_some());
    }
}
