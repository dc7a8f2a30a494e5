//! The newer process: takes over from the one that started it.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::BufReader;

use super::protocol::{FromNewer, FromOlder, Passed, line, read, write};
use super::{UpgradeError, VARIABLE, descriptors, link};
use crate::control::Control;
use crate::control::admin::AdminSocket;
use crate::state::bans::Now;

/// The timeout for the first message of the older process, which sends it at once.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// The timeout for the first fetch of JWK Sets; after it the gateway serves without them.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// The link and the sockets that an older process passed.
#[derive(Debug)]
pub struct Inheritance {
    stream: UnixStream,
    pub(super) passed: Passed,
    listeners: Vec<(SocketAddr, TcpListener)>,
    admin: Option<AdminSocket>,
}

/// Tells the older process why this one does not start.
#[derive(Debug)]
pub struct NewerProcess(UnixStream);

impl NewerProcess {
    /// Tells the error. The older process kills this one otherwise, and does not know why it ended.
    pub fn failed(mut self, error: &str) {
        if let Ok(line) = line(&FromNewer::Failed(error.to_owned())) {
            // The older process may have ended.
            let _ = self.0.write_all(&line);
        }
    }
}

impl Inheritance {
    /// Receives the sockets, if an older process started this one.
    ///
    /// # Errors
    /// Standard input is no link to an older process.
    pub fn receive() -> io::Result<Option<Self>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.set_read_timeout(Some(FIRST_WITHIN))?;
        let (line, descriptors) = descriptors::receive(&stream).map_err(|error| {
            io::Error::other(format!(
                "{VARIABLE} is set, but standard input is no link to a gateway that is replaced: {error}; \
                 remove the variable"
            ))
        })?;
        let passed: Passed = serde_json::from_slice(&line)?;
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or(io::ErrorKind::UnexpectedEof);
        let mut listeners = Vec::new();
        for address in &passed.listeners {
            listeners.push((*address, TcpListener::from(next()?)));
        }
        let admin = match &passed.admin {
            Some(path) => Some(AdminSocket::inherited(path.clone(), next()?, next()?)),
            None => None,
        };
        Ok(Some(Self { stream, passed, listeners, admin }))
    }

    /// The means to tell the older process about a failure.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn newer_process(&self) -> io::Result<NewerProcess> {
        self.stream.try_clone().map(NewerProcess)
    }

    /// The listening sockets, by the addresses of the older configuration.
    pub(crate) fn take_listeners(&mut self) -> Vec<(SocketAddr, TcpListener)> {
        std::mem::take(&mut self.listeners)
    }

    /// The admin socket, if it is at `path`.
    pub(in crate::control) fn take_admin(&mut self, path: &PathBuf) -> Option<AdminSocket> {
        (self.passed.admin.as_ref() == Some(path)).then(|| self.admin.take()).flatten()
    }

    /// The generation of the configuration of this process.
    pub(in crate::control) fn generation(&self) -> u64 {
        self.passed.generation + 1
    }

    /// Takes over: returns when the older process accepts no more. `admin` is the socket of this process.
    pub(in crate::control) async fn take_over(
        self,
        control: &Arc<Control>,
        admin: Option<&AdminSocket>,
    ) -> Result<(), UpgradeError> {
        let Self { stream, passed, admin: unused, .. } = self;
        stream.set_nonblocking(true)?;
        let (from, mut to) = tokio::net::UnixStream::from_std(stream)?.into_split();
        let mut from = BufReader::new(from);
        let verifiers = control.current.get().policy.verifiers().clone();
        let runtime = &control.runtime;
        verifiers.run(control.reporter.journal(), runtime.upkeep(), runtime.closed());
        let _ = tokio::time::timeout(KEYS_WITHIN, verifiers.looked()).await;
        write(&mut to, &FromNewer::Prepared).await?;
        let snapshot = match read(&mut from).await? {
            FromOlder::State(snapshot) => snapshot,
            other => return Err(unexpected(&other)),
        };
        let state = Arc::clone(&control.state);
        let adopted = tokio::task::spawn_blocking(move || state.adopt(snapshot, Now::read())).await;
        adopted.map_err(io::Error::other)?.map_err(io::Error::other)?;
        write(&mut to, &FromNewer::Ready).await?;
        // An older process that has crashed by now does not say so.
        if let Ok(message) = read(&mut from).await
            && !matches!(message, FromOlder::Main)
        {
            return Err(unexpected(&message));
        }
        for socket in admin.into_iter().chain(&unused) {
            socket.own();
        }
        link::ask_older(control, passed.pid, from, to);
        Ok(())
    }
}

fn unexpected(message: &FromOlder) -> UpgradeError {
    let name = match message {
        FromOlder::State(_) => "state",
        FromOlder::Main => "main",
        FromOlder::Answer(_) => "answer",
        FromOlder::Ban(_) => "ban",
    };
    io::Error::other(format!("the older process sent `{name}` too early")).into()
}
