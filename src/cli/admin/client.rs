//! Sends one request over the admin socket.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::CommandFailure;
use crate::config;
use crate::control::admin::Request;

/// How long to wait for the answer: longer than the gateway takes for any request.
pub(super) const TIMEOUT: Duration = Duration::from_secs(45);
/// The largest accepted answer, in bytes.
pub(super) const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// Sends a request to the gateway that listens on `socket`, and returns its answer.
pub(super) fn ask(socket: &Path, request: &Request) -> Result<Value, CommandFailure> {
    let text = exchange(socket, request).map_err(|error| unreachable(socket, &error))?;
    serde_json::from_str(&text).map_err(|error| unreachable(socket, &error.into()))
}

/// The failure of a command whose gateway does not answer.
pub(super) fn unreachable(socket: &Path, error: &io::Error) -> CommandFailure {
    CommandFailure::Unavailable(format!(
        "no gateway answers on {}: {error}; is it running, with this admin socket, and may this user \
         open it?",
        socket.display()
    ))
}

fn exchange(socket: &Path, request: &Request) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut text)?;
    Ok(text)
}

/// The only configuration key that the admin client reads. It loads nothing else, because the user
/// may not be allowed to read the secrets and keys.
#[derive(Deserialize)]
struct Shallow {
    admin: Option<ShallowAdmin>,
}

#[derive(Deserialize)]
struct ShallowAdmin {
    socket: Option<PathBuf>,
}

/// `[admin] socket` of the file at `path`, relative to its folder.
pub(super) fn socket_of(path: &Path) -> Result<PathBuf, CommandFailure> {
    let name = path.display();
    let text = config::read_text(path)
        .map_err(|error| CommandFailure::Config(format!("framewall: {error}")))?;
    let read: Shallow = toml::from_str(&text)
        .map_err(|error| CommandFailure::Config(format!("framewall: {name}: {error}")))?;
    let socket = read.admin.and_then(|admin| admin.socket).ok_or_else(|| {
        CommandFailure::Config(format!(
            "framewall: {name} has no [admin] socket; add one and restart the gateway, or name \
             the socket of `run --admin-socket` with --socket"
        ))
    })?;
    Ok(path.parent().unwrap_or(Path::new("")).join(socket))
}
