//! The listening sockets: inherited from a service manager (socket activation, `sd_listen_fds(3)`) or from the process
//! that this one replaces, or opened here.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use listenfd::ListenFd;
use socket2::SockRef;

use super::run::RunError;
use crate::config::{Config, Server};
use crate::control::Inheritance;
use crate::gateway::listen::{Listener, Purpose, adopt, bind_beside};
use crate::journal::{Event, Journal};

/// Listening sockets that another process opened, by their addresses.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    sockets: Vec<(SocketAddr, TcpListener)>,
    /// Whether the configuration must have all of the addresses.
    is_strict: bool,
}

impl Inherited {
    /// Takes the sockets that `$LISTEN_FDS` counts, if `$LISTEN_PID` is this process, and removes both variables:
    /// call it while the process has one thread.
    ///
    /// # Errors
    /// A descriptor is no listening TCP socket.
    pub(super) fn from_service_manager() -> Result<Self, RunError> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let number = index + 3;
            let unusable = |error: &dyn std::fmt::Display| {
                RunError::Inherited(format!(
                    "descriptor {number} cannot be used: {error}; the .socket unit needs \
                     ListenStream=ADDRESS:PORT and Accept=no"
                ))
            };
            let socket = passed.take_tcp_listener(index).map_err(|error| unusable(&error))?;
            let Some(socket) = socket else { continue };
            if !SockRef::from(&socket).is_listener().map_err(|error| unusable(&error))? {
                return Err(unusable(&"it is a connection"));
            }
            let address = socket.local_addr().map_err(|error| unusable(&error))?;
            sockets.push((address, socket));
        }
        Ok(Self { sockets, is_strict: true })
    }

    /// The sockets of the process that this one replaces. Those that the configuration does not have any more are
    /// closed.
    pub(super) fn from_older(inheritance: &mut Inheritance) -> Self {
        Self { sockets: inheritance.take_listeners(), is_strict: false }
    }

    fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let position = self.sockets.iter().position(|(inherited, _)| *inherited == address)?;
        Some(self.sockets.remove(position).1)
    }
}

/// Opens the sockets of `server.listen` and `redirect_http`, each the inherited one of its address or a new one, and
/// records each with its actual port.
///
/// # Errors
/// An address cannot be listened on, or an inherited socket is on an address that the configuration does not
/// have.
pub(super) fn open(
    config: &Config,
    mut inherited: Inherited,
    journal: &Journal,
) -> Result<Vec<Listener>, RunError> {
    let Server { listen, redirect_http, .. } = &config.server;
    let all = [&listen[..], redirect_http].concat();
    let other = inherited.sockets.iter().find(|(address, _)| !all.contains(address));
    if let Some((address, _)) = other.filter(|_| inherited.is_strict) {
        return Err(RunError::Inherited(format!(
            "the service manager passed a socket on {address}, and neither server.listen nor \
             server.redirect_http has that address: write it there, or remove it from the .socket unit"
        )));
    }
    let serving = listen.iter().map(|address| (address, Purpose::Serve));
    let redirecting = redirect_http.iter().map(|address| (address, Purpose::Redirect));
    let mut listeners = Vec::new();
    for (configured, purpose) in serving.chain(redirecting) {
        let failed = |error| RunError::Bind(*configured, error);
        let socket = match inherited.take(*configured) {
            Some(socket) => adopt(socket),
            None => bind_beside(*configured, &all),
        };
        let socket = socket.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let tls = purpose == Purpose::Serve && config.tls.is_some();
        journal.record(Event::Listening { address, tls });
        listeners.push(Listener { socket: Arc::new(socket), configured: *configured, purpose });
    }
    Ok(listeners)
}
