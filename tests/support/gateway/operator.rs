//! What an operator does with it: reload, ask how it is, explain, use the admin client.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::super::{TIMEOUT, eventually};
use super::Gateway;

impl Gateway {
    /// Writes the configuration anew, with `change` done to its text.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let path = self.folder.path().join("framewall.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, change(text)).unwrap();
    }

    /// Sends SIGHUP, and waits for the log to say that the configuration was loaded again; or, with
    /// `failed`, that it was not.
    pub fn hang_up(&self, event: &str) -> Value {
        let count =
            |records: &[Value]| records.iter().filter(|record| record["event"] == event).count();
        let before = count(&self.log_records());
        self.signal_reload();
        let record = eventually(|| {
            let mut records = self.log_records();
            records.retain(|record| record["event"] == event);
            (records.len() > before).then(|| records.pop()).flatten()
        });
        record.unwrap_or_else(|| panic!("no {event} in {:#?}", self.log_records()))
    }

    /// Sends SIGHUP, and does not wait for what comes of it.
    pub fn signal_reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What `[admin] socket`, of this name in the gateway's folder, says of the gateway.
    pub fn status(&self, socket: &str) -> Value {
        let mut stream = UnixStream::connect(self.folder().join(socket)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(b"{\"action\":\"status\"}\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Runs `explain` with the configuration, for a client on this machine if not said. Returns its
    /// exit code, and what it printed.
    pub fn explain(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let here = ["--ip", "127.0.0.1"];
        let output = Command::new(env!("CARGO_BIN_EXE_framewall"))
            .current_dir(self.folder())
            .args(["explain", "--config", "framewall.toml"])
            .args(if arguments.contains(&"--ip") { &[][..] } else { &here })
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// Explains, and looks for each of these lines, which have their key at the end; runs of spaces
    /// are one.
    #[track_caller]
    pub fn expect_explained(&self, arguments: &[&str], lines: &[&str]) {
        let (_, text) = self.explain(arguments);
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let steps: Vec<String> = text.lines().map(squeezed).collect();
        for line in lines {
            assert!(steps.iter().any(|step| step.starts_with(line)), "{line:?} is not in:\n{text}");
        }
    }

    /// Runs a command of the admin client, with the `[admin] socket` of the configuration. Returns
    /// its exit code, and what it printed to standard output and error.
    pub fn admin(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_framewall"))
            .args(arguments)
            .args(["--config", "framewall.toml"])
            .current_dir(self.folder())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}
