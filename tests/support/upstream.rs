//! An application in the test's hands: it accepts, reads and answers when the test says so.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, SockAddr, Socket, Type};
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

    /// A listener where nobody listened.
    pub fn bind_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    /// An address of loopback where nobody listens.
    pub fn unused_address() -> SocketAddr {
        Self::bind().address()
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// A connection that waits to be accepted.
    pub fn accept_now(&self) -> Option<Wire> {
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
        eventually(|| self.accept_now()).expect("the gateway connects")
    }

    /// The next connection, or `None` once `client` was answered without one.
    pub fn accept_unless(&self, client: &mut Wire) -> Option<Wire> {
        eventually(|| match self.accept_now() {
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
        if let Some(mut wire) = self.accept_now() {
            panic!("the upstream was reached: {:?}", wire.read_head());
        }
    }
}

/// A port that takes no connection and refuses none: its queue is full, so that SYNs get no answer.
pub struct Silent {
    listener: Socket,
    _waiting: Vec<Socket>,
}

impl Silent {
    pub fn bind() -> Self {
        let any = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&any).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = (0..16).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            // It is under way, or waits for ever.
            let _ = socket.connect(&address);
            socket
        });
        let waiting = waiting.collect();
        Self { listener, _waiting: waiting }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
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
