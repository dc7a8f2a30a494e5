//! An application in the test's hands: it accepts, reads and answers when the test says so.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Response, Wire, eventually};

/// A listener on a free loopback port. Connections wait in its backlog until they are accepted.
pub struct RawUpstream {
    listener: TcpListener,
}

impl RawUpstream {
    pub fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    /// An address of loopback where nobody listens.
    pub fn nobody() -> SocketAddr {
        Self::bind().address()
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn try_accept(&self) -> Option<Wire> {
        match self.listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).unwrap();
                Some(Wire::application(socket))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("accept: {error}"),
        }
    }

    /// The next connection.
    pub fn accept(&self) -> Wire {
        eventually(|| self.try_accept()).expect("the gateway connects")
    }

    /// The next connection, or `None` once `client` was answered without one.
    pub fn accept_unless(&self, client: &mut Wire) -> Option<Wire> {
        eventually(|| match self.try_accept() {
            Some(wire) => Some(Some(wire)),
            None => client.has_something().then_some(None),
        })
        .flatten()
    }

    /// The next connection, its request read and answered with a valid 101.
    pub fn accept_upgrade(&self, fields: &str) -> (Wire, Response) {
        let mut wire = self.accept();
        let request = wire.read_head();
        wire.send(valid_answer(&request, fields).as_bytes());
        (wire, request)
    }

    /// Whether nobody connected since the last accept. A connection that the gateway made before
    /// something else that the test saw is never overlooked: loopback connects at once.
    #[track_caller]
    pub fn received_nothing(&self) {
        if let Some(mut wire) = self.try_accept() {
            panic!("the upstream was reached: {:?}", wire.read_head());
        }
    }
}

/// A valid 101 to `request`, with more fields, each ended with CR LF.
pub fn valid_answer(request: &Response, fields: &str) -> String {
    let key = request.only("sec-websocket-key").unwrap();
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
    )
}
