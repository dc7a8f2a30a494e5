//! A thread that writes lines from a bounded queue. Pushing a line never blocks and never fails: a line
//! that finds the queue full, or fails to be written, is counted, and the thread writes the count as
//! soon as writing works again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::event::Event;
use super::{Journal, line, render};
use crate::config::LogFormat;

/// The bounds of the queue; further lines are lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Lines in the queue.
    pub(super) lines: usize,
    /// Bytes of those lines.
    pub(super) bytes: usize,
}

/// Half a second of a very busy gateway, and never more than 8 MiB.
pub(super) const BOUNDS: Bounds = Bounds { lines: 32 * 1024, bytes: 8 * 1024 * 1024 };

/// The number of lines after which losses are reported while the queue is never empty.
const REPORT_AFTER_LINES: u32 = 1024;

/// The interval at which losses are reported while the queue is empty.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

/// How long the thread lets lines gather if the first one came sooner than that, so that a busy gateway does not wake
/// it for each.
const GATHER: Duration = Duration::from_millis(1);

/// The producer side of the queue. Clones share the queue.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: Arc<Queue>,
}

/// The numbers of lost lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Lines that found the queue full.
    pub(super) queue_full: u64,
    /// Lines that could not be written.
    pub(super) write_failed: u64,
    /// Lines that were still queued when the flush timed out.
    pub(super) unwritten: u64,
    /// The last error of a write.
    pub(super) error: Option<String>,
}

#[derive(Debug)]
struct Queue {
    bounds: Bounds,
    state: Mutex<WriterState>,
    /// Signalled when the queue gets an entry, or when the thread must end.
    work: Condvar,
    /// Signalled when the thread ends.
    done: Condvar,
}

/// One task of the thread; the thread processes the tasks in order.
#[derive(Debug)]
enum QueueEntry {
    /// Writes a line, with its newline.
    Line(Arc<str>),
    /// Opens the output again: later lines belong in the file that has the name now.
    Reopen,
}

/// The state of the thread.
#[derive(Debug, Default, PartialEq, Eq)]
enum ThreadState {
    /// It is between two lines.
    #[default]
    Running,
    /// It has taken a line from the queue and not finished it.
    Writing,
    /// It sleeps until it is signalled.
    Waiting,
}

#[derive(Debug, Default)]
struct WriterState {
    entries: VecDeque<QueueEntry>,
    /// The number of entries that are lines.
    lines: usize,
    bytes: usize,
    thread: ThreadState,
    lost: Lost,
    /// Receives the events of the output. The thread drops it when it ends, because its sinks hold writers.
    journal: Journal,
    stopped: bool,
    finished: bool,
}

impl Writer {
    /// Starts the thread. Each line is one write to `out`, which must not buffer; `format` is the
    /// format of the lines about the output itself.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        format: LogFormat,
        bounds: Bounds,
    ) -> io::Result<Self> {
        Self::start_with(out, None, format, bounds)
    }

    /// Like [`Writer::start`], with an output that can be opened again with `open`.
    pub(super) fn start_reopening<W: Write + Send + 'static>(
        out: W,
        open: impl FnMut() -> io::Result<W> + Send + 'static,
        format: LogFormat,
        bounds: Bounds,
    ) -> io::Result<Self> {
        Self::start_with(out, Some(Box::new(open)), format, bounds)
    }

    fn start_with<W: Write + Send + 'static>(
        out: W,
        open: Option<OpenFile<W>>,
        format: LogFormat,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue {
            bounds,
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let worker =
            Worker { queue: Arc::clone(&queue), out, open, format, torn: false, since_report: 0 };
        thread::Builder::new().name("log".to_owned()).spawn(move || worker.run())?;
        Ok(Self { queue })
    }

    /// Adds a line, with its newline, to the queue. Does not wait for the write.
    pub(super) fn push(&self, line: Arc<str>) {
        let bounds = self.queue.bounds;
        let mut state = self.queue.lock();
        let full = state.lines >= bounds.lines || state.bytes + line.len() > bounds.bytes;
        if full || state.stopped {
            state.lost.queue_full += 1;
        } else {
            state.bytes += line.len();
            state.lines += 1;
            state.entries.push_back(QueueEntry::Line(line));
            self.queue.wake(&mut state);
        }
    }

    /// Makes the thread open the output again before it writes the lines that are pushed later.
    pub(super) fn reopen(&self) {
        let mut state = self.queue.lock();
        // A queued request is enough.
        if !state.stopped && !matches!(state.entries.back(), Some(QueueEntry::Reopen)) {
            state.entries.push_back(QueueEntry::Reopen);
            self.queue.wake(&mut state);
        }
    }

    /// Sets the journal that receives later events of the output: lost lines, and whether it was opened
    /// again.
    pub(super) fn tell(&self, journal: &Journal) {
        let mut state = self.queue.lock();
        if !state.finished {
            state.journal = journal.clone();
        }
    }

    /// Accepts no more lines; the thread writes the queued ones and ends.
    pub(super) fn stop(&self) {
        self.queue.lock().stopped = true;
        self.queue.work.notify_one();
    }

    /// Waits for the thread to end, and returns the losses that its output does not contain.
    pub(super) fn finish(&self, within: Duration) -> Lost {
        let (state, _) = self
            .queue
            .done
            .wait_timeout_while(self.queue.lock(), within, |state| !state.finished)
            .unwrap_or_else(PoisonError::into_inner);
        let left = state.lines + usize::from(state.thread == ThreadState::Writing);
        Lost { unwritten: u64::try_from(left).unwrap_or(u64::MAX), ..state.lost.clone() }
    }
}

impl Lost {
    /// The total number of lost lines.
    pub(super) fn lines(&self) -> u64 {
        self.queue_full + self.write_failed + self.unwritten
    }

    /// The event that reports the losses.
    pub(super) fn event(&self) -> Event<'_> {
        Event::LinesLost {
            queue_full: self.queue_full,
            write_failed: self.write_failed,
            error: self.error.as_deref(),
        }
    }
}

impl Queue {
    /// Locks the state. No code panics while it holds the lock, and the counts of a poisoned lock
    /// remain valid.
    fn lock(&self) -> MutexGuard<'_, WriterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread if it sleeps: a signal costs a system call even if nothing waits for it.
    fn wake(&self, state: &mut WriterState) {
        if state.thread == ThreadState::Waiting {
            state.thread = ThreadState::Running;
            self.work.notify_one();
        }
    }

    fn pop(&self) -> Option<QueueEntry> {
        let mut state = self.lock();
        let entry = state.entries.pop_front()?;
        if let QueueEntry::Line(line) = &entry {
            state.bytes -= line.len();
            state.lines -= 1;
            state.thread = ThreadState::Writing;
        }
        Some(entry)
    }

    fn settle(&self, result: io::Result<()>) {
        let mut state = self.lock();
        state.thread = ThreadState::Running;
        if let Err(error) = result {
            state.lost.write_failed += 1;
            state.lost.error = Some(error.to_string());
        }
    }

    /// Waits for an entry, at most `REPORT_AGAIN`. Returns false if the queue is empty and stopped.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        if state.stopped || !state.entries.is_empty() {
            return !state.entries.is_empty();
        }
        state.thread = ThreadState::Waiting;
        let began = Instant::now();
        let woken = self.work.wait_timeout(state, REPORT_AGAIN);
        let (mut state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        state.thread = ThreadState::Running;
        let gathers = !state.stopped && began.elapsed() < GATHER;
        drop(state);
        if gathers {
            thread::sleep(GATHER);
        }
        true
    }

    fn losses(&self) -> Lost {
        self.lock().lost.clone()
    }

    fn reported(&self, lost: &Lost) {
        let mut state = self.lock();
        state.lost.queue_full -= lost.queue_full;
        state.lost.write_failed -= lost.write_failed;
        if state.lost.write_failed == 0 {
            state.lost.error = None;
        }
    }
}

/// Opens an output again.
type OpenFile<W> = Box<dyn FnMut() -> io::Result<W> + Send>;

struct Worker<W> {
    queue: Arc<Queue>,
    out: W,
    /// `None`: the output cannot be opened again.
    open: Option<OpenFile<W>>,
    format: LogFormat,
    /// Whether the last write ended in the middle of a line.
    torn: bool,
    /// Lines that were taken from the queue since the last report of losses.
    since_report: u32,
}

impl<W: Write> Worker<W> {
    fn run(mut self) {
        loop {
            match self.queue.pop() {
                Some(QueueEntry::Line(line)) => {
                    let result = self.put(&line);
                    self.queue.settle(result);
                    self.since_report += 1;
                    if self.since_report == REPORT_AFTER_LINES {
                        self.report();
                    }
                }
                Some(QueueEntry::Reopen) => self.reopen(),
                None => {
                    self.report();
                    if !self.queue.wait() {
                        break;
                    }
                }
            }
        }
    }

    /// Continues with a newly opened output, or with the old one if opening fails, and logs the result.
    fn reopen(&mut self) {
        let Some(opened) = self.open.as_mut().map(|open| open()) else {
            return;
        };
        // If this line cannot be written, the next ones fail too, and are counted.
        let _ = match opened {
            Ok(out) => {
                self.out = out;
                self.torn = false;
                self.put_event(Event::LogReopened)
            }
            Err(error) => self.put_event(Event::LogReopenFailed { error: &error.to_string() }),
        };
    }

    /// Writes how many lines were lost since the last report. If that write fails, too, the count remains.
    fn report(&mut self) {
        self.since_report = 0;
        let lost = self.queue.losses();
        if lost.lines() > 0 && self.put_event(lost.event()).is_ok() {
            self.queue.reported(&lost);
        }
    }

    /// Writes an event of the output itself, and passes it to the journal. A loss is passed only after
    /// its line was written, because until then it is reported again.
    fn put_event(&mut self, event: Event<'_>) -> io::Result<()> {
        let line = render::line(&event, self.format, &line::now());
        let outcome = self.put(&line.finish());
        if outcome.is_ok() || !matches!(event, Event::LinesLost { .. }) {
            let journal = self.queue.lock().journal.clone();
            journal.record(event);
        }
        outcome
    }

    fn put(&mut self, line: &str) -> io::Result<()> {
        if self.torn {
            self.out.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<W> Drop for Worker<W> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.finished = true;
        let journal = std::mem::take(&mut state.journal);
        drop(state);
        drop(journal);
        self.queue.done.notify_all();
    }
}

#[cfg(test)]
mod tests;
