//! `framewall run`: runs the gateway until a signal stops it.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::listeners::{self, Inherited};
use super::signals::{OtherSignals, Signals};
use super::{CommandFailure, RunArgs};
use crate::config::{Config, LoadError, Loaded};
use crate::control::{
    ConfigSource, Inheritance, Program, Service, StartError, UpgradeError, service_manager,
};
use crate::gateway::listen::Listener;
use crate::journal::{self, Event, Journal, LogError};

/// The time that the tasks of cut sessions have to write their log records.
pub(super) const CUT_OFF: Duration = Duration::from_secs(1);

/// The reason why the gateway did not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// The log could not be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The gateway could not be built from the configuration.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The gateway cannot listen on an address.
    #[error("cannot listen on {0}: {1}; {help}", help = bind_help(.0, .1))]
    Bind(SocketAddr, io::Error),
    /// A socket of the service manager cannot be used.
    #[error("LISTEN_FDS: {0}")]
    Inherited(String),
    /// The older process did not hand over.
    #[error("cannot take over from the process that is replaced: {0}")]
    TakeOver(#[from] UpgradeError),
    /// The runtime or its signal handlers could not be set up.
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
    /// A second signal arrived before every session had ended.
    #[error("stopped by a second signal; sessions that were still open were cut")]
    Impatient,
}

/// The remedy for an address on which the gateway cannot listen.
fn bind_help(address: &SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "a port below 1024 needs the capability CAP_NET_BIND_SERVICE: with systemd write \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, otherwise run `setcap \
             cap_net_bind_service=+ep` on the binary, or listen on a port from 1024 up and forward {} to \
             it",
            address.port()
        ),
        io::ErrorKind::AddrInUse => {
            "another program listens there: `ss -ltnp` shows which".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: `ip address` shows those that it has"
                .to_owned()
        }
        _ => "check that the address belongs to this machine and that this user may use the port"
            .to_owned(),
    }
}

/// Loads the configuration and serves until a signal arrives.
pub(super) fn run(args: &RunArgs) -> Result<(), CommandFailure> {
    let older = Inheritance::receive().map_err(CommandFailure::other)?;
    let newer = older.as_ref().map(Inheritance::newer_process).transpose();
    let newer = newer.map_err(CommandFailure::other)?;
    let outcome = run_after(older, args);
    if let (Err(failure), Some(newer)) = (&outcome, newer) {
        newer.failed(&failure.to_string());
    }
    outcome
}

/// Serves in place of the process `older`, if there is one.
fn run_after(older: Option<Inheritance>, args: &RunArgs) -> Result<(), CommandFailure> {
    // The older process prints the error.
    let styled = older.is_none() && io::stderr().is_terminal();
    let source =
        ConfigSource { path: args.config.path()?, admin_socket: args.admin_socket.clone() };
    let refuse = |error: LoadError| CommandFailure::Config(error.render(styled));
    let text = source.read().map_err(refuse)?;
    let loaded = source.load(&text).map_err(refuse)?;
    let again = Again { source, text, watch: args.watch };
    serve(older, &loaded, again).map_err(|error| match error {
        RunError::Start(error) => CommandFailure::start(error),
        error => CommandFailure::other(error),
    })
}

/// The means of reloading the configuration.
struct Again {
    source: ConfigSource,
    /// The text of the loaded file.
    text: String,
    watch: bool,
}

fn serve(mut older: Option<Inheritance>, loaded: &Loaded, again: Again) -> Result<(), RunError> {
    let Loaded { config, lints } = loaded;
    let program = Program::of_this_process().map_err(RunError::Runtime)?;
    let inherited = match &mut older {
        Some(older) => Inherited::from_older(older),
        // It changes the environment, which only a process with one thread may do.
        None => Inherited::from_service_manager()?,
    };
    let log = journal::start(&config.log)?;
    let journal = log.journal();
    record_panics(journal.clone());
    for lint in lints {
        let name = lint.name().name();
        journal.record(Event::Lint { name, line: lint.line(), message: lint.message() });
    }
    record_default_limits(&journal, config);
    raise_open_files(&journal, config.server.max_connections);
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let signals = Signals::new().map_err(RunError::Runtime)?;
        let others = OtherSignals::new().map_err(RunError::Runtime)?;
        let hangups = signal(SignalKind::hangup()).map_err(RunError::Runtime)?;
        let upgrades = signal(SignalKind::user_defined2()).map_err(RunError::Runtime)?;
        let mut service = Service::open_after(older, config, journal.clone())?;
        let listeners = listeners::open(config, inherited, &journal)?;
        service.upgrade_to(program);
        service.take_over().await?;
        service.upgrade_on(upgrades);
        service.reload_from(again.source, &again.text);
        service.reload_on(hangups);
        service.watch(again.watch);
        service_manager::ready();
        tokio::select! {
            outcome = until_stopped(service, &journal, listeners, signals) => outcome,
            never = others.attend(&log) => match never {},
            () = service_manager::keep_alive() => Ok(()),
        }
    });
    runtime.shutdown_timeout(CUT_OFF);
    outcome
}

/// The runtime of the gateway, with a worker for each processor, or as many as
/// `TOKIO_WORKER_THREADS` says.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, RunError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().map_err(RunError::Runtime)
}

/// Creates the gateway, and its listening sockets as [`listeners::open`] does.
pub(super) fn open(
    config: &Config,
    journal: &Journal,
) -> Result<(Service, Vec<Listener>), RunError> {
    let service = Service::open(config, journal.clone())?;
    let listeners = listeners::open(config, Inherited::default(), journal)?;
    Ok((service, listeners))
}

/// Serves until the first signal, then closes every session; a second signal ends the gateway at
/// once.
pub(super) async fn until_stopped(
    service: Service,
    journal: &Journal,
    listeners: Vec<Listener>,
    mut signals: Signals,
) -> Result<(), RunError> {
    let (first, stop) = tokio::sync::oneshot::channel::<()>();
    let shutdown_time = service.shutdown_time();
    let serving = service.run(listeners, stop);
    let impatience = async {
        signals.next().await;
        service_manager::stopping(shutdown_time());
        drop(first);
        signals.next().await;
    };
    tokio::select! {
        () = serving => {
            journal.record(Event::Stopped);
            Ok(())
        }
        () = impatience => Err(RunError::Impatient),
    }
}

/// Records the place of a panic, which ends one session. The panic message is left out, because it could
/// contain data of a peer.
fn record_panics(journal: Journal) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        journal.record(Event::Panic { place: &place });
    }));
}

/// Records the routes with all defaults of `[websocket]`, at most 20 of them by name.
fn record_default_limits(journal: &Journal, config: &Config) {
    const NAMED: usize = 20;
    let all = config.routes.iter().filter(|route| route.has_websocket_defaults());
    let mut names: Vec<&str> = all.map(|route| &*route.name).collect();
    let others = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if others > 0 { format!(" and {others} others") } else { String::new() };
    let routes = names.join(", ") + &more;
    if !routes.is_empty() {
        journal.record(Event::DefaultLimits { routes: &routes });
    }
}

/// Raises the limit of open files to the number that `max_connections` needs, as far as this user
/// may; a session takes two. A lower result is logged.
fn raise_open_files(journal: &Journal, max_connections: usize) {
    const OTHER_FILES: u64 = 64;
    let wanted = 2 * u64::try_from(max_connections).unwrap_or(u64::MAX / 4) + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|open| open >= wanted) {
        return;
    }
    // Only a privileged process may raise the maximum.
    let highest = maximum.map(|most| most.max(wanted));
    let raised = |limit| setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit });
    if raised(highest).is_err()
        && let Err(error) = raised(maximum)
    {
        tracing::debug!(%error, "the limit of open files could not be raised");
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current
        && limit < wanted
    {
        journal.record(Event::OpenFiles { limit, wanted });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::RunError;

    #[test]
    fn a_bind_error_says_how_to_fix_it() {
        for (kind, help) in [
            (ErrorKind::PermissionDenied, "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
            (ErrorKind::AddrInUse, "another program listens there"),
            (ErrorKind::AddrNotAvailable, "this machine does not have that address"),
        ] {
            let error = RunError::Bind("0.0.0.0:443".parse().unwrap(), Error::from(kind));
            let text = error.to_string();
            assert!(text.starts_with("cannot listen on 0.0.0.0:443: "), "{text}");
            assert!(text.contains(help), "{text}");
        }
    }
}
