//! The admin client's own binary, and the bare socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{Gateway, RawUpstream, TIMEOUT};

/// A gateway with an admin socket, in front of the upstream.
pub(crate) fn gateway(upstream: &RawUpstream) -> Gateway {
    Gateway::to(&[upstream.address()]).admin("admin.sock").start()
}

pub(crate) fn socket(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("admin.sock")
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Printed {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `framewall COMMAND --socket PATH ARGS`.
pub(crate) fn framewall_at(socket: &Path, command: &str, args: &[&str]) -> Printed {
    let mut process = Command::new(env!("CARGO_BIN_EXE_framewall"));
    let output = process.arg(command).arg("--socket").arg(socket).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Printed {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

pub(crate) fn framewall(gateway: &Gateway, command: &str, args: &[&str]) -> Printed {
    framewall_at(&socket(gateway), command, args)
}

/// The answer to bytes on the bare socket; the gateway ends the connection behind it.
pub(crate) fn answer_to(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    // The gateway may have refused before it took all of it.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // What was not read by then makes the end a reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}
