//! Options of the TCP sockets that the gateway relays between.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Idle TCP is probed after this long, so that a host that vanished is noticed without pings.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(60);
/// Probes that stay unanswered before it is given up, [`KEEPALIVE`] / 4 apart.
pub(crate) const PROBES: u32 = 4;
/// How long sent bytes may stay unacknowledged, or not be taken at all, before TCP gives up. A session
/// whose own deadlines are longer makes it longer.
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(120);
/// How much the kernel takes that it cannot send yet. Left to itself it takes megabytes and calls
/// again when a third of them is gone; with this it calls when less than half of it is left. Until
/// then, a slow reader looks like one that reads nothing.
pub(crate) const UNSENT: u32 = 32 * 1024;

/// Sets the options of a relayed stream. A socket that refuses an option works without it.
pub fn tune(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4).with_retries(PROBES);
    let outcome = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(USER_TIMEOUT)))
        .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT));
    if let Err(error) = outcome {
        tracing::debug!(%error, "a socket option could not be set");
    }
}

/// Sets how long TCP waits before it gives a connection up; see [`USER_TIMEOUT`].
pub(crate) fn set_user_timeout(socket: &impl AsFd, timeout: Option<Duration>) {
    if let Err(error) = SockRef::from(socket).set_tcp_user_timeout(timeout) {
        tracing::debug!(%error, "TCP_USER_TIMEOUT could not be set");
    }
}
