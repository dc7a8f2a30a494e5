//! Opening the log, and closing it without losing its end.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::subscriber::Recorder;
use super::writer::{BOUNDS, Lost, Writer};
use crate::config::{Log, LogFormat};

/// How long the end of the program may wait for the log.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Owner reads and writes, group reads: a log names addresses.
const MODE: u32 = 0o640;

/// Why the log could not be started. The operator is at fault, but for `AlreadyStarted`.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// A file could not be opened or created.
    #[error(
        "[log] {key}: cannot append to {}: {source}; create its folder and let this user write to it, or name another file",
        path.display()
    )]
    Open {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a thread.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[source] io::Error),
    /// The process has a log already.
    #[error("the log was already started in this process")]
    AlreadyStarted,
}

/// Keeps the log open. Dropped, it writes what still waits, for at most two seconds. How many lines
/// were lost the log says itself; if a file could not, standard error is told, which is given one
/// second more.
#[derive(Debug)]
#[must_use = "the log ends when its guard is dropped"]
pub struct LogGuard {
    /// With the file that each writes to; standard error has none.
    writers: Vec<(Option<PathBuf>, Writer)>,
}

/// Opens the files of the log again, for programs that rotate them: lines from then on are in the files
/// that have the names now.
#[derive(Debug, Clone)]
pub struct LogFiles(Vec<Writer>);

impl LogFiles {
    /// Returns at once; the files are opened by the threads that write them, which say so in them.
    pub fn reopen(&self) {
        self.0.iter().for_each(Writer::reopen);
    }
}

impl LogGuard {
    /// The files of the log; none where it is written to standard error.
    #[must_use]
    pub fn files(&self) -> LogFiles {
        let files = self.writers.iter().filter(|(path, _)| path.is_some());
        LogFiles(files.map(|(_, writer)| writer.clone()).collect())
    }
}

/// Opens the log that `[log]` describes and sends every event of the process there.
///
/// The level is the configuration's own, `RUST_LOG` is not read, and other crates are heard from
/// warnings up. Files are appended to, and created readable for owner and group. Call it once, and
/// keep the guard until the end of `main`.
pub fn start(log: &Log) -> Result<LogGuard, ObserveError> {
    let (recorder, guard) = open(log)?;
    install(recorder)?;
    Ok(guard)
}

/// [`start`], and writes every line of the log to `copy`, too.
pub fn start_with_copy(
    log: &Log,
    copy: impl Write + Send + 'static,
) -> Result<LogGuard, ObserveError> {
    let (mut recorder, mut guard) = open(log)?;
    let writer = write_to(copy, recorder.format)?;
    guard.writers.push((None, writer.clone()));
    recorder.copy = Some(writer);
    install(recorder)?;
    Ok(guard)
}

fn install(recorder: Recorder) -> Result<(), ObserveError> {
    tracing::subscriber::set_global_default(Registry::default().with(recorder))
        .map_err(|_| ObserveError::AlreadyStarted)
}

pub(super) fn open(log: &Log) -> Result<(Recorder, LogGuard), ObserveError> {
    let format = format(log, io::stderr().is_terminal());
    let writer = match &log.file {
        Some(path) => write_file("file", path, format)?,
        None => write_to(io::stderr(), format)?,
    };
    let mut writers = vec![(log.file.clone(), writer.clone())];
    let mut errors = None;
    if let Some(path) = &log.error_file {
        let writer = write_file("error_file", path, format)?;
        writers.push((Some(path.clone()), writer.clone()));
        errors = Some(writer);
    }
    let recorder = Recorder { level: log.level, format, log: writer, errors, copy: None };
    Ok((recorder, LogGuard { writers }))
}

/// Pretty for people, JSON for everything else.
pub(super) fn format(log: &Log, terminal: bool) -> LogFormat {
    match log.format {
        Some(format) => format,
        None if log.file.is_none() && terminal => LogFormat::Pretty,
        None => LogFormat::Json,
    }
}

fn write_file(key: &'static str, path: &Path, format: LogFormat) -> Result<Writer, ObserveError> {
    let file =
        append(path).map_err(|source| ObserveError::Open { key, path: path.to_owned(), source })?;
    let again = path.to_owned();
    Writer::start_reopening(file, move || append(&again), format, BOUNDS)
        .map_err(ObserveError::Thread)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

fn write_to(out: impl Write + Send + 'static, format: LogFormat) -> Result<Writer, ObserveError> {
    Writer::start(out, format, BOUNDS).map_err(ObserveError::Thread)
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        for (_, writer) in &self.writers {
            writer.stop();
        }
        let deadline = Instant::now() + FLUSH_WITHIN;
        let mut last_words = String::new();
        for (path, writer) in &self.writers {
            let left = deadline.saturating_duration_since(Instant::now());
            let lost = writer.finish(left);
            if let Some(path) = path
                && lost.lines() > 0
            {
                last_words.push_str(&last_word(path, &lost));
            }
        }
        if !last_words.is_empty() {
            say(last_words);
        }
    }
}

/// One line for people about what a file does not say.
fn last_word(path: &Path, lost: &Lost) -> String {
    let why = lost.error.as_deref().unwrap_or("writing was too slow");
    format!("framewall: {} lines of {} were lost at the end: {why}\n", lost.lines(), path.display())
}

/// Standard error may be the very pipe that nobody reads, so it is not waited for either.
fn say(text: String) {
    if let Ok(writer) = Writer::start(io::stderr(), LogFormat::Pretty, BOUNDS) {
        writer.push(text.into());
        writer.stop();
        writer.finish(Duration::from_secs(1));
    }
}
