//! The messages between the two processes of an upgrade: JSON, one to a line.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::control::admin::Request;
use crate::state::Snapshot;
use crate::state::store::Ban;

/// The longest message, in bytes: a list of 100,000 sessions, or as many bans and revocations.
const MAX_MESSAGE: u64 = 256 * 1024 * 1024;

/// The names of the passed descriptors, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Passed {
    /// The older process.
    pub(super) pid: u32,
    /// The generation of its configuration.
    pub(super) generation: u64,
    /// The addresses of its listening sockets, as its configuration has them.
    pub(super) listeners: Vec<SocketAddr>,
    /// The path of the admin socket: a listening socket, and the file with its lock.
    pub(super) admin: Option<PathBuf>,
}

/// The messages of the older process, after [`Passed`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromOlder {
    /// Bans, strikes, revocations and drains, which the newer process keeps from now on.
    State(Snapshot),
    /// The newer process is the one that systemd watches, and serves.
    Main,
    /// The answer to the first request that has none.
    Answer(Value),
    /// A ban for strikes.
    Ban(Ban),
}

/// The messages of the newer process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromNewer {
    /// It could start.
    Prepared,
    /// It has everything, and serves.
    Ready,
    /// It does not start, and ends.
    Failed(String),
    /// A request of the admin client.
    Request(Request),
    /// A ban for strikes.
    Ban(Ban),
}

/// The line of a message.
pub(super) fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

pub(super) async fn write(to: &mut OwnedWriteHalf, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&line(message)?).await
}

/// Reads a message.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if the other process closed the link or ended; it is no message.
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut BufReader<OwnedReadHalf>,
) -> io::Result<T> {
    let mut line = Vec::new();
    from.take(MAX_MESSAGE).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}
