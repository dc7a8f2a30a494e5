//! Accepts TCP connections and hands them on, and counts the open ones. It never waits for a client: slow
//! steps run in the connection's own task.

mod proxy_protocol;
mod slots;

use crate::journal::{Event, Journal};
use crate::tls::socket::tune;
use crate::values::canonical;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

pub use proxy_protocol::{ProxyError, read_header};
pub use slots::{Slot, Slots};

/// Connections that the kernel queues until they are accepted.
const BACKLOG: i32 = 4096;
/// The first wait after a failed accept; doubled up to [`LONGEST_BACK_OFF`].
const FIRST_BACK_OFF: Duration = Duration::from_millis(5);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: Arc<TcpListener>,
    /// The address of the configuration, whose port may be 0.
    pub configured: SocketAddr,
    /// The purpose of its connections.
    pub purpose: Purpose,
}

/// The purpose of the connections of a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The routes, behind TLS where it is configured.
    Serve,
    /// To redirect plain HTTP to HTTPS, `[server] redirect_http`.
    Redirect,
}

/// Opens a listening socket on `address`. A port of 0 takes a free one. Accepted connections inherit the
/// options of the listening socket ([`tune`]), so that none has to set them.
///
/// # Errors
/// The error of the system: the address is in use or is not this machine's, or the port is privileged.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_beside(address, &[])
}

/// As [`bind`], beside listening sockets on `others`. `[::]` also accepts IPv4, unless one of the others is
/// an IPv4 address with the same port, which would conflict.
///
/// # Errors
/// As [`bind`].
pub fn bind_beside(address: SocketAddr, others: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    let same_port = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
    if address.ip() == Ipv6Addr::UNSPECIFIED && address.port() != 0 && others.iter().any(same_port)
    {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    tune(&socket);
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes over a socket that another process opened, with the options of [`bind`].
///
/// # Errors
/// The socket cannot be watched by the runtime.
pub fn adopt(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    tune(&socket);
    TcpListener::from_std(socket)
}

/// Accepts connections, records them and passes each to `serve`, until the future is dropped. A failed
/// accept is retried with growing pauses, so that a process out of file descriptors neither spins nor
/// stops.
pub async fn accept_each(
    listener: &TcpListener,
    journal: Journal,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    let mut back_off = FIRST_BACK_OFF;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                back_off = FIRST_BACK_OFF;
                let peer = canonical(peer);
                journal.record(Event::Connected { peer });
                serve(stream, peer);
            }
            Err(error) if is_the_connections_own(&error) => {}
            Err(error) => {
                journal.record(Event::AcceptFailed { error: &error, pause: back_off });
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(LONGEST_BACK_OFF);
            }
        }
    }
}

/// Errors that `accept` reports about a connection that is already gone, not about the listener.
fn is_the_connections_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use std::net::SocketAddr;

    use tokio::net::{TcpListener, TcpStream};

    use super::{bind, bind_beside};
    use crate::tls::socket::{KEEPALIVE, PROBES, UNSENT, USER_TIMEOUT};
    use crate::values::canonical;

    #[tokio::test]
    async fn accepted_sockets_inherit_the_listener_options() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let (accepted, client) = (SockRef::from(&accepted), SockRef::from(&client));
        assert!(accepted.tcp_nodelay().unwrap() && !client.tcp_nodelay().unwrap());
        assert!(accepted.keepalive().unwrap() && !client.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), KEEPALIVE);
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), KEEPALIVE / 4);
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), PROBES);
        assert_eq!(accepted.tcp_notsent_lowat().unwrap(), UNSENT);
    }

    /// Both wildcards at a port that was free a moment ago.
    fn bind_both(order: [&str; 2]) -> [TcpListener; 2] {
        loop {
            let port = bind("[::]:0".parse().unwrap()).unwrap().local_addr().unwrap().port();
            let addresses = order.map(|address| SocketAddr::new(address.parse().unwrap(), port));
            let [first, second] = addresses.map(|address| bind_beside(address, &addresses));
            match (first, second) {
                (Ok(first), Ok(second)) => return [first, second],
                // Another process may have taken the port. If only the second bind fails, the two collide.
                (Ok(_), Err(error)) => panic!("they collide: {error}"),
                (Err(_), _) => {}
            }
        }
    }

    #[tokio::test]
    async fn the_wildcards_of_both_families_share_a_port() {
        for order in [["0.0.0.0", "::"], ["::", "0.0.0.0"]] {
            for listener in bind_both(order) {
                let address = listener.local_addr().unwrap();
                let local = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
                let client = TcpStream::connect((local, address.port())).await.unwrap();
                let (_, peer) = listener.accept().await.unwrap();
                assert_eq!(peer, client.local_addr().unwrap());
            }
        }
    }

    #[tokio::test]
    async fn the_wildcard_of_ipv6_alone_takes_ipv4() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(canonical(peer), client.local_addr().unwrap());
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let canonical = canonical("[::ffff:192.0.2.1]:7".parse().unwrap());
        assert_eq!(canonical, "192.0.2.1:7".parse().unwrap());
    }
}
