//! The older process: starts the newer one and hands over.

use std::io::{self, Write};
use std::mem::discriminant;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use tokio::io::BufReader;
use tokio::net::unix::OwnedReadHalf;
use tokio::signal::unix::Signal;
use tokio::time::timeout;

use super::protocol::{FromNewer, FromOlder, Passed, line, read, write};
use super::{Program, UpgradeError, Upgraded, VARIABLE, WITHIN, descriptors, link};
use crate::control::{Control, service_manager};
use crate::journal::Event;
use crate::state::State;
use crate::state::bans::Now;

/// The variables by which a service manager names this process, so that they do not hold for another one.
const OF_THIS_PROCESS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// Starts the task behind [`Service::upgrade_on`](crate::control::Service::upgrade_on).
pub(in crate::control) fn upgrade_on(control: &Arc<Control>, mut signals: Signal) {
    let runtime = control.runtime.clone();
    let control = Arc::clone(control);
    runtime.spawn_until_stop(async move {
        while signals.recv().await.is_some() {
            // `upgrade` itself logs the outcome.
            let _ = upgrade(&control).await;
        }
    });
}

/// Replaces this process by a new one of its program. After an error this process goes on. The outcome is
/// logged.
pub(in crate::control) async fn upgrade(control: &Arc<Control>) -> Result<Upgraded, UpgradeError> {
    let outcome = replace(control).await;
    let journal = control.reporter.journal();
    match &outcome {
        Ok(upgraded) => {
            journal.record(Event::Upgraded { pid: upgraded.pid, sessions: upgraded.sessions });
        }
        Err(error) => journal.record(Event::UpgradeFailed { error }),
    }
    outcome
}

async fn replace(control: &Arc<Control>) -> Result<Upgraded, UpgradeError> {
    let _turn = control.upgrade.turn.try_lock().map_err(|_| UpgradeError::Busy)?;
    let runtime = &control.runtime;
    if runtime.is_stopping() {
        return Err(UpgradeError::Stopping);
    }
    if runtime.is_retiring() {
        return Err(UpgradeError::Busy);
    }
    let older = std::process::id();
    if older == 1 {
        return Err(UpgradeError::Container);
    }
    let program = control.upgrade.program.get().ok_or(UpgradeError::NoProgram)?;
    let handing_over = timeout(WITHIN, hand_over(control, program));
    let handed_over = runtime.stopping().run_until_cancelled(handing_over).await;
    let pid = handed_over.ok_or(UpgradeError::Stopping)?.map_err(|_| UpgradeError::Slow)??;
    Ok(Upgraded { pid, older, sessions: control.sessions.count() })
}

/// Starts the new process and hands over to it. Returns its id. If the future is dropped, the process is killed.
async fn hand_over(control: &Arc<Control>, program: &Program) -> Result<u32, UpgradeError> {
    let (stream, mut newer) = start(program)?;
    match pass_on(control, stream, &mut newer).await {
        Ok(pid) => Ok(pid),
        // How the process ended says more than that the link did.
        Err(UpgradeError::Link(error)) => {
            Err(newer.end().map_or(UpgradeError::Link(error), UpgradeError::Ended))
        }
        Err(error) => Err(error),
    }
}

/// Starts the new process, with one end of the returned link as its standard input.
fn start(program: &Program) -> Result<(UnixStream, NewProcess), UpgradeError> {
    let (own, theirs) = UnixStream::pair()?;
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).env(VARIABLE, "1").stdin(Stdio::from(OwnedFd::from(theirs)));
    for variable in OF_THIS_PROCESS {
        command.env_remove(variable);
    }
    // The command holds the other end of the link, and ends with this function: a link of which this process
    // held both ends would not show that the new process ended.
    let child =
        command.spawn().map_err(|error| UpgradeError::Spawn { path: program.path.clone(), error });
    Ok((own, NewProcess(Some(child?))))
}

/// Hands over to the new process. No error comes once it serves.
async fn pass_on(
    control: &Arc<Control>,
    own: UnixStream,
    newer: &mut NewProcess,
) -> Result<u32, UpgradeError> {
    pass_sockets(control, &own)?;
    own.set_nonblocking(true)?;
    let (from, mut to) = tokio::net::UnixStream::from_std(own)?.into_split();
    let mut from = BufReader::new(from);
    expect(&mut from, &FromNewer::Prepared).await?;
    let _unchanged = control.upgrade.changes.write().await;
    let bans = control.state.bans().subscribe();
    let mut files = HandedFiles { state: Arc::clone(&control.state), keep: false };
    let state = Arc::clone(&control.state);
    let snapshot = tokio::task::spawn_blocking(move || state.hand_over(Now::read())).await;
    let snapshot = snapshot.map_err(io::Error::other)?;
    write(&mut to, &FromOlder::State(snapshot)).await?;
    expect(&mut from, &FromNewer::Ready).await?;
    let pid = newer.release();
    files.keep = true;
    if let Some(admin) = control.upgrade.admin() {
        admin.leave();
    }
    control.runtime.retire();
    service_manager::replaced_by(pid);
    // If the new process has ended meanwhile, this one ends its sessions nevertheless.
    let _ = write(&mut to, &FromOlder::Main).await;
    link::answer_newer(control, bans, from, to);
    Ok(pid)
}

fn pass_sockets(control: &Control, mut own: &UnixStream) -> Result<(), UpgradeError> {
    let admin = control.upgrade.admin();
    let listeners = control.upgrade.listeners.get().into_iter().flatten();
    let sockets: Vec<_> =
        listeners.filter_map(|(address, socket)| Some((*address, socket.upgrade()?))).collect();
    let mut passed: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    passed.extend(admin.iter().flat_map(|admin| admin.descriptors()));
    descriptors::send(own, &passed)?;
    let names = Passed {
        pid: std::process::id(),
        generation: control.current.get().generation,
        listeners: sockets.iter().map(|(address, _)| *address).collect(),
        admin: admin.as_ref().map(|admin| admin.path().to_owned()),
    };
    own.write_all(&line(&names)?)?;
    Ok(())
}

/// Waits for a message of the new process.
async fn expect(
    from: &mut BufReader<OwnedReadHalf>,
    wanted: &FromNewer,
) -> Result<(), UpgradeError> {
    match read(from).await? {
        FromNewer::Failed(error) => Err(UpgradeError::Refused(error)),
        message if discriminant(&message) == discriminant(wanted) => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}

/// The new process; killed when dropped, unless it was released.
struct NewProcess(Option<Child>);

impl NewProcess {
    /// Leaves the process running when this one ends.
    fn release(&mut self) -> u32 {
        self.0.take().map_or(0, |child| child.id())
    }

    /// Kills the process, if it still runs. Returns how it ended.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut child = self.0.take()?;
        let _ = child.kill();
        child.wait().ok()
    }
}

impl Drop for NewProcess {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes the files of bans and revocations back when dropped, unless the new process keeps them.
struct HandedFiles {
    state: Arc<State>,
    keep: bool,
}

impl Drop for HandedFiles {
    fn drop(&mut self) {
        if !self.keep {
            self.state.take_back();
        }
    }
}
