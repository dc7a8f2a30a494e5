//! Opens the log, and flushes it at shutdown.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::diagnostics::Diagnostics;
use super::sinks::{ErrorSink, LogSink};
use super::writer::{BOUNDS, Lost, Writer};
use super::{Journal, Sink};
use crate::config::{Log, LogFormat};

/// The timeout for flushing the log at the end of the program.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// The mode of log files: the owner reads and writes, the group reads, since a log contains addresses.
const MODE: u32 = 0o640;

/// The reason why the log could not be started. Except for `AlreadyStarted`, the operator can fix it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file could not be opened or created.
    #[error(
        "[log] {key}: cannot append to {}: {source}; create its folder and let this user write to it, or name another file",
        path.display()
    )]
    Open {
        /// The configuration key of the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The operating system refused a thread.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[source] io::Error),
    /// The process has a log already.
    #[error("the log was already started in this process")]
    AlreadyStarted,
}

/// Keeps the log open. Dropping it writes the queued lines for at most two seconds. The log itself
/// reports how many lines were lost; losses that a file does not report are written to standard error,
/// for at most one more second.
#[derive(Debug)]
#[must_use = "the log ends when its guard is dropped"]
pub struct LogGuard {
    /// The writers, each with its file; standard error has none.
    writers: Vec<(Option<PathBuf>, Writer)>,
    journal: Journal,
}

/// Opens the log files again, for log rotation: later lines go to the files that have the names then.
#[derive(Debug, Clone)]
pub struct LogFiles(Vec<Writer>);

impl LogFiles {
    /// Returns immediately: the writer threads open the files, and log the result.
    pub fn reopen(&self) {
        self.0.iter().for_each(Writer::reopen);
    }
}

impl LogGuard {
    /// The journal that writes its events to the log.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Adds a sink to the journal. The sink gets all events, including those about the log files.
    pub fn with(mut self, sink: Arc<dyn Sink>) -> Self {
        self.journal = self.journal.clone().with(sink);
        for (_, writer) in &self.writers {
            writer.tell(&self.journal);
        }
        self
    }

    /// The files of the log; none if it is written to standard error.
    #[must_use]
    pub fn files(&self) -> LogFiles {
        let files = self.writers.iter().filter(|(path, _)| path.is_some());
        LogFiles(files.map(|(_, writer)| writer.clone()).collect())
    }
}

/// Opens the log that `[log]` describes, and returns a guard with a journal that writes to it. The
/// tracing events of the process go to the log, too.
///
/// The level is that of the configuration; `RUST_LOG` is not read, and other crates write only warnings
/// and errors. Files are appended to, and created readable for owner and group. Call this function
/// once, and keep the guard until the end of `main`.
pub fn start(log: &Log) -> Result<LogGuard, LogError> {
    let (diagnostics, guard) = open(log, None)?;
    install(diagnostics)?;
    Ok(guard)
}

/// Opens the log like [`start`], and also writes every line of the log to `copy`.
pub fn start_with_copy(log: &Log, copy: impl Write + Send + 'static) -> Result<LogGuard, LogError> {
    let (diagnostics, guard) = open(log, Some(Box::new(copy)))?;
    install(diagnostics)?;
    Ok(guard)
}

fn install(diagnostics: Diagnostics) -> Result<(), LogError> {
    tracing::subscriber::set_global_default(Registry::default().with(diagnostics))
        .map_err(|_| LogError::AlreadyStarted)
}

pub(super) fn open(
    log: &Log,
    copy: Option<Box<dyn Write + Send>>,
) -> Result<(Diagnostics, LogGuard), LogError> {
    let format = format(log, io::stderr().is_terminal());
    let to_log = |writer: &Writer| LogSink { level: log.level, format, writer: writer.clone() };
    let writer = match &log.file {
        Some(path) => write_file("file", path, format)?,
        None => write_to(io::stderr(), format)?,
    };
    let mut logs = vec![to_log(&writer)];
    let mut writers = vec![(log.file.clone(), writer)];
    if let Some(copy) = copy {
        let writer = write_to(copy, format)?;
        logs.push(to_log(&writer));
        writers.push((None, writer));
    }
    let mut guard = LogGuard { writers, journal: Journal::default() };
    for log in &logs {
        guard = guard.with(Arc::new(log.clone()));
    }
    if let Some(path) = &log.error_file {
        let writer = write_file("error_file", path, format)?;
        guard.writers.push((Some(path.clone()), writer.clone()));
        guard = guard.with(Arc::new(ErrorSink { format, writer }));
    }
    Ok((Diagnostics(logs), guard))
}

/// Chooses the pretty format for a terminal, and JSON for everything else.
pub(super) fn format(log: &Log, terminal: bool) -> LogFormat {
    match log.format {
        Some(format) => format,
        None if log.file.is_none() && terminal => LogFormat::Pretty,
        None => LogFormat::Json,
    }
}

fn write_file(key: &'static str, path: &Path, format: LogFormat) -> Result<Writer, LogError> {
    let file =
        append(path).map_err(|source| LogError::Open { key, path: path.to_owned(), source })?;
    let again = path.to_owned();
    Writer::start_reopening(file, move || append(&again), format, BOUNDS).map_err(LogError::Thread)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

fn write_to(out: impl Write + Send + 'static, format: LogFormat) -> Result<Writer, LogError> {
    Writer::start(out, format, BOUNDS).map_err(LogError::Thread)
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        for (_, writer) in &self.writers {
            writer.stop();
        }
        let deadline = Instant::now() + FLUSH_WITHIN;
        let mut losses = String::new();
        for (path, writer) in &self.writers {
            let left = deadline.saturating_duration_since(Instant::now());
            let lost = writer.finish(left);
            if let Some(path) = path
                && lost.lines() > 0
            {
                losses.push_str(&loss_line(path, &lost));
            }
        }
        if !losses.is_empty() {
            write_stderr(losses);
        }
    }
}

/// One line of text about the lines that a file lacks.
fn loss_line(path: &Path, lost: &Lost) -> String {
    let why = lost.error.as_deref().unwrap_or("writing was too slow");
    format!("framewall: {} lines of {} were lost at the end: {why}\n", lost.lines(), path.display())
}

/// Writes to standard error with a timeout, since it may be a pipe without a reader.
fn write_stderr(text: String) {
    if let Ok(writer) = Writer::start(io::stderr(), LogFormat::Pretty, BOUNDS) {
        writer.push(text.into());
        writer.stop();
        writer.finish(Duration::from_secs(1));
    }
}
