use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{BOUNDS, Bounds, Lost, Writer};
use crate::config::LogFormat;

/// A timeout longer than any of these tests, in case the thread hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The written bytes, shared with the test.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Signals that a write has begun, then waits until the gate is dropped.
struct Gated {
    page: Page,
    begun: Sender<()>,
    gate: Receiver<()>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Both channels may be closed: then the test no longer waits, and neither must this write.
        let _ = self.begun.send(());
        let _ = self.gate.recv();
        self.page.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gated() -> (Gated, Page, Receiver<()>, Sender<()>) {
    let page = Page::default();
    let (begun, has_begun) = channel();
    let (open, gate) = channel();
    let writer = Gated { page: page.clone(), begun, gate };
    (writer, page, has_begun, open)
}

/// Answers each write with the next of `answers`: accepts so many bytes, or fails (`None`). Then it
/// accepts everything.
struct Failing<W> {
    out: W,
    answers: std::vec::IntoIter<Option<usize>>,
}

impl<W: Write> Write for Failing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.answers.next() {
            None => self.out.write(bytes),
            Some(Some(count)) => self.out.write(&bytes[..count]),
            Some(None) => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(out: impl Write + Send + 'static, bounds: Bounds) -> Writer {
    Writer::start(out, LogFormat::Pretty, bounds).unwrap()
}

fn push(writer: &Writer, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        writer.push(format!("line {number}\n").into());
    }
}

fn close(writer: &Writer) -> Lost {
    writer.stop();
    writer.finish(TIMEOUT)
}

/// The report of losses without its time.
fn report(line: &str) -> &str {
    line.split_once(' ').unwrap().1
}

#[test]
fn queued_lines_are_written_in_order_before_the_end() {
    let page = Page::default();
    let writer = start(page.clone(), BOUNDS);
    push(&writer, 0..10_000);
    assert_eq!(close(&writer), Lost::default());
    let expected: Vec<_> = (0..10_000).map(|number| format!("line {number}")).collect();
    assert_eq!(page.lines(), expected);
}

#[test]
fn a_slow_writer_does_not_block_and_its_losses_are_logged() {
    let (out, page, begun, gate) = gated();
    let bounds = Bounds { lines: 3, ..BOUNDS };
    let writer = start(out, bounds);
    push(&writer, [0]);
    begun.recv().unwrap();
    // The thread is inside a write. If this call blocked, the test would never end.
    push(&writer, 1..=10);
    drop(gate);
    assert_eq!(close(&writer).lines(), 0, "the log itself said it");
    let lines = page.lines();
    assert_eq!(lines[..4], ["line 0", "line 1", "line 2", "line 3"]);
    assert_eq!(
        report(&lines[4]),
        " WARN lines of this log were lost event=log.lost queue_full=7 write_failed=0"
    );
    assert_eq!(lines.len(), 5);
}

#[test]
fn bytes_are_bounded_as_lines_are() {
    let (out, page, begun, gate) = gated();
    let bounds = Bounds { bytes: "line 1\n".len() * 2, ..BOUNDS };
    let writer = start(out, bounds);
    push(&writer, [0]);
    begun.recv().unwrap();
    push(&writer, 1..=5);
    drop(gate);
    close(&writer);
    let lines = page.lines();
    assert_eq!(lines[..3], ["line 0", "line 1", "line 2"]);
    assert!(lines[3].contains("queue_full=3"), "{}", lines[3]);
}

#[test]
fn losses_are_logged_while_the_queue_is_busy() {
    let (out, page, begun, gate) = gated();
    let bounds = Bounds { lines: 2000, ..BOUNDS };
    let writer = start(out, bounds);
    push(&writer, [0]);
    begun.recv().unwrap();
    push(&writer, 1..=2001);
    drop(gate);
    close(&writer);
    let lines = page.lines();
    let said = lines.iter().position(|line| line.contains("log.lost"));
    assert_eq!(said, Some(1024), "before the queue ran empty");
    assert_eq!(lines.len(), 2002);
}

#[test]
fn failed_writes_are_logged_after_the_next_successful_write() {
    let (out, page, begun, gate) = gated();
    let out = Failing { out, answers: vec![Some(7), None, None, None].into_iter() };
    let writer = start(out, BOUNDS);
    push(&writer, [0]);
    begun.recv().unwrap();
    push(&writer, 1..=5);
    drop(gate);
    assert_eq!(close(&writer).lines(), 0);
    let lines = page.lines();
    assert_eq!(lines[..3], ["line 0", "line 4", "line 5"]);
    assert_eq!(
        report(&lines[3]),
        " WARN lines of this log were lost event=log.lost queue_full=0 write_failed=3 \
         detail=\"no storage space\""
    );
    assert_eq!(lines.len(), 4, "said once");
}

#[test]
fn a_partly_written_line_does_not_break_the_next() {
    let page = Page::default();
    let out = Failing { out: page.clone(), answers: vec![Some(4), None].into_iter() };
    let writer = start(out, BOUNDS);
    push(&writer, 0..=1);
    close(&writer);
    let lines = page.lines();
    assert_eq!(lines[0], "line");
    assert!(lines.contains(&"line 1".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("write_failed=1")));
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_full_disk_is_reported_at_the_end() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let writer = start(full, BOUNDS);
    push(&writer, 0..3);
    let lost = close(&writer);
    assert_eq!((lost.write_failed, lost.lines()), (3, 3));
    let error = lost.error.unwrap();
    assert!(error.starts_with("No space left on device"), "{error}");
}

#[test]
fn the_end_does_not_wait_for_a_stuck_writer() {
    let (out, _page, begun, gate) = gated();
    let writer = start(out, BOUNDS);
    push(&writer, [0]);
    begun.recv().unwrap();
    push(&writer, 1..=2);
    writer.stop();
    push(&writer, [3]);
    let lost = writer.finish(Duration::ZERO);
    assert_eq!((lost.unwritten, lost.queue_full), (3, 1));
    drop(gate);
}
