//! Options of the TCP sockets that the gateway relays between.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// The idle time before TCP keepalive probes, so that a vanished host is noticed without pings.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(60);
/// The number of unanswered probes, [`KEEPALIVE`] / 4 apart, after which TCP gives up.
pub(crate) const PROBES: u32 = 4;
/// The time that sent bytes may stay unacknowledged, or unsent for lack of window, before TCP gives up.
/// A session with longer deadlines extends it.
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(120);
/// The limit of unsent bytes in the kernel. By default the kernel buffers megabytes and wakes the
/// writer when a third of them is sent; with this limit it wakes the writer when less than half of the
/// limit is left. Until then, a slow reader is indistinguishable from one that reads nothing.
pub(crate) const UNSENT: u32 = 32 * 1024;

/// Sets the options of a relayed socket. A socket that refuses an option works without it.
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

/// Sets the time after which TCP gives up a connection; see [`USER_TIMEOUT`].
pub(crate) fn set_user_timeout(socket: &impl AsFd, timeout: Option<Duration>) {
    if let Err(error) = SockRef::from(socket).set_tcp_user_timeout(timeout) {
        tracing::debug!(%error, "TCP_USER_TIMEOUT could not be set");
    }
}
