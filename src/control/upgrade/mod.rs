//! The hot upgrade: a new process of the program takes over the listening sockets, the admin socket, bans and
//! revocations, and this one ends its sessions and exits.
//!
//! `predecessor.rs` starts the new process and hands over, `successor.rs` takes over at the start, `link.rs` is
//! the connection between the two until the older one ends, `protocol.rs` has its messages, `descriptors.rs`
//! passes sockets. The order of the messages:
//!
//! 1. older to newer: the sockets, and a line that names them. The newer one loads its configuration, opens
//!    sockets for addresses that are new, and fetches JWK Sets;
//! 2. newer: `Prepared`. Nothing has changed yet;
//! 3. older: `State`, bans and revocations. From here on the older one does not write their files;
//! 4. newer: `Ready`. The older one accepts no more, and never removes the file of the admin socket;
//! 5. older: `Main`, after it told systemd the new main process. The newer one serves.
//!
//! If anything fails before `Ready`, the newer process is killed and the older one goes on. The sockets are
//! open in one of the two processes at every moment, so the kernel queues each connection for one that accepts.

mod descriptors;
mod link;
mod predecessor;
mod protocol;
mod successor;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::RwLock;

use super::admin::Listening;
pub(super) use link::Older;
pub(super) use predecessor::{upgrade, upgrade_on};
pub use successor::{Inheritance, NewerProcess};

/// The timeout for the new process, from its start to its `Ready`.
const WITHIN: Duration = Duration::from_secs(30);

/// The variable by which a new process knows that its standard input is the link.
const VARIABLE: &str = "FRAMEWALL_UPGRADE";

/// The program that an upgrade starts.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// The program and the arguments of this process. The path is the one by which it was started, with links
    /// unresolved, so that a file that replaces it is the new version. Call it at the start.
    ///
    /// # Errors
    /// The system does not name the program.
    pub fn of_this_process() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let name = PathBuf::from(arguments.next().unwrap_or_default());
        let is_path = name.components().count() > 1;
        let searched = || {
            let folders = std::env::var_os("PATH")?;
            std::env::split_paths(&folders).map(|folder| folder.join(&name)).find(|at| at.is_file())
        };
        let path = if is_path { Some(name.clone()) } else { searched() };
        let path = match path {
            Some(path) => std::path::absolute(path)?,
            None => std::env::current_exe()?,
        };
        Ok(Self { path, arguments: arguments.collect() })
    }
}

/// The reason why there was no upgrade. This process goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The gateway was not started by `framewall run`.
    #[error("this gateway was not started by `framewall run`")]
    NoProgram,
    /// The process is PID 1 of a container, which ends with it.
    #[error(
        "this process is PID 1, and its container ends with it: start a container of the new version beside \
         it, then stop this one (docs/rolling-updates.md)"
    )]
    Container,
    /// Another upgrade runs, or has replaced this process.
    #[error("another upgrade is under way")]
    Busy,
    /// The gateway is stopping.
    #[error("the gateway stops")]
    Stopping,
    /// The program cannot be started.
    #[error("cannot start {}: {error}; is the new version there, and may this user run it?", path.display())]
    Spawn {
        /// The path of the program.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The new process said why it does not start.
    #[error("the new process does not start: {0}")]
    Refused(String),
    /// The new process ended without a word.
    #[error("the new process ended before it was ready ({0}); its standard error says why")]
    Ended(ExitStatus),
    /// The new process was not ready in time.
    #[error("the new process was not ready within {} s", WITHIN.as_secs())]
    Slow,
    /// The upgrade panicked.
    #[error("a fault of the gateway stopped it")]
    Fault,
    /// The connection to the new process failed.
    #[error("the connection to the new process failed: {0}")]
    Link(#[from] io::Error),
}

/// A finished upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Upgraded {
    /// The new process, which serves.
    pub pid: u32,
    /// The old process, which ends its sessions.
    pub older: u32,
    /// The number of its sessions.
    pub sessions: usize,
}

/// The parts of a gateway that an upgrade hands over.
#[derive(Debug, Default)]
pub(super) struct Upgrading {
    program: OnceLock<Program>,
    /// Serializes upgrades.
    turn: tokio::sync::Mutex<()>,
    /// Locked for writing while bans and revocations change hands; a request that changes them locks it for
    /// reading.
    pub(super) changes: RwLock<()>,
    /// By the addresses of the configuration, which may have port 0.
    listeners: OnceLock<Vec<(SocketAddr, Weak<TcpListener>)>>,
    admin: OnceLock<Weak<Listening>>,
    older: Mutex<Option<Older>>,
}

impl Upgrading {
    pub(super) fn starts(&self, program: Program) {
        let _ = self.program.set(program);
    }

    pub(super) fn listens(&self, listeners: Vec<(SocketAddr, Weak<TcpListener>)>) {
        let _ = self.listeners.set(listeners);
    }

    pub(super) fn is_administered(&self, listening: Weak<Listening>) {
        let _ = self.admin.set(listening);
    }

    fn older(&self) -> MutexGuard<'_, Option<Older>> {
        self.older.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admin(&self) -> Option<std::sync::Arc<Listening>> {
        self.admin.get().and_then(Weak::upgrade)
    }
}
