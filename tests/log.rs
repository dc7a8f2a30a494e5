//! The log of a whole process: one subscriber, whose guard writes everything out.

use std::fs;

use framewall::config::{Log, LogFormat};
use framewall::journal::{self, Event, LogError, Subject};
use tempfile::TempDir;

// One test: the subscriber belongs to the process.
#[test]
fn the_process_has_one_log_and_its_guard_flushes_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("framewall.log");
    let log = Log {
        level: tracing::Level::INFO,
        format: Some(LogFormat::Json),
        file: Some(file.clone()),
        error_file: None,
    };
    let guard = journal::start(&log).unwrap();
    assert!(matches!(journal::start(&log), Err(LogError::AlreadyStarted)));

    let subject = Subject {
        request_id: "1".to_owned(),
        peer: "192.0.2.1:5000".parse().unwrap(),
        route: None,
        unlisted: None,
        subprotocol: None,
        user: None,
        request: None,
        upstream: None,
    };
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let subject = subject.clone();
            let journal = guard.journal();
            std::thread::spawn(move || {
                (0..1000).for_each(|_| journal.record(Event::SessionOpened { subject: &subject }));
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(guard);

    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 4000);
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["event"], "session.opened");
    }
}
