//! The records that it wrote.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::eventually;
use super::Gateway;

impl Gateway {
    /// The records of the log so far.
    pub fn log_records(&self) -> Vec<Value> {
        records(&self.folder.path().join("framewall.log"))
    }

    /// The records of the log of errors so far.
    pub fn error_records(&self) -> Vec<Value> {
        records(&self.folder.path().join("errors.log"))
    }

    /// The first record that is wanted.
    #[track_caller]
    pub fn wait_for_record(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(|| self.log_records().into_iter().find(&wanted))
            .unwrap_or_else(|| panic!("no such record in {:#?}", self.log_records()))
    }

    /// The first record of the error file that is wanted. The two files have a writer each, so one
    /// may be behind the other.
    #[track_caller]
    pub fn wait_for_error(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(|| self.error_records().into_iter().find(&wanted))
            .unwrap_or_else(|| panic!("no such record in {:#?}", self.error_records()))
    }

    /// The record of how the session with this id ended.
    #[track_caller]
    pub fn wait_for_reason(&self, request_id: &str, reason: &str) -> Value {
        self.wait_for_record(|record| {
            record["request_id"] == request_id && record["reason"] == reason
        })
    }
}

/// The whole lines of a log; one that is still being written is left for the next time.
fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
