//! Programs that other people wrote, from `tests/peers`: applications behind the gateway and
//! clients in front of it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::TIMEOUT;

/// What a program of `tests/peers` is run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Python with the packages `websockets` and `PyJWT`.
    Python,
    /// Node with the packages `ws` and `jose`.
    Node,
}

impl Tool {
    fn command(self, name: &str) -> Command {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let (program, extension) = match self {
            Self::Python => (root.join("build/venv/bin/python"), "py"),
            Self::Node => (PathBuf::from("node"), "mjs"),
        };
        let program = if program.is_absolute() && !program.exists() {
            PathBuf::from("python3")
        } else {
            program
        };
        let mut command = Command::new(program);
        command.arg(root.join(format!("tests/peers/{name}.{extension}")));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// An application that listens; dropping it kills the process.
pub struct Peer {
    child: Child,
    address: SocketAddr,
    lines: Receiver<String>,
}

impl Peer {
    /// Starts `tests/peers/NAME` on a free port and waits until it listens.
    pub fn start(tool: Tool, name: &str, arguments: &[&str]) -> Self {
        let mut command = tool.command(name);
        let mut child = command.arg("0").args(arguments).spawn().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        let line = lines.recv_timeout(TIMEOUT);
        let line = line.unwrap_or_else(|_| panic!("{tool:?} {name} says nothing"));
        let port = line.trim().strip_prefix("listening ");
        let port = port.unwrap_or_else(|| panic!("{tool:?} {name} does not listen: {line:?}"));
        let address = ([127, 0, 0, 1], port.parse().unwrap()).into();
        Self { child, address, lines }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next line that the application says about itself: one JSON object.
    pub fn says(&mut self) -> Value {
        let line = self.lines.recv_timeout(TIMEOUT).expect("the application says something");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a program, read by a thread that ends with them.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Runs the client of `tests/peers` to its end. Returns one JSON object a step; a client that
/// fails prints why and exits with another code than 0.
pub fn run_client(tool: Tool, arguments: &[&str]) -> Vec<Value> {
    run_program(tool, "client", arguments)
}

/// The same for `tests/peers/NAME`.
pub fn run_program(tool: Tool, name: &str, arguments: &[&str]) -> Vec<Value> {
    let output = tool.command(name).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{tool:?} {name} {arguments:?}: {text}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
