//! How clients reach it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use super::super::Wire;
use super::super::certificates::{Authority, trusting};
use super::Gateway;

impl Gateway {
    /// The URL of a target under `localhost`.
    pub fn url(&self, scheme: &str, target: &str) -> String {
        format!("{scheme}://localhost:{}{target}", self.address.port())
    }

    /// What clients behind TLS connect with.
    pub fn tls_client(&self) -> Arc<ClientConfig> {
        Arc::clone(self.tls.as_ref().expect("the gateway has TLS"))
    }

    /// From here on connections trust this authority alone.
    pub fn trust(&mut self, authority: &Authority) {
        self.tls = Some(trusting(authority));
    }

    /// A TCP connection.
    pub fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// A TCP connection from this address of the machine's.
    pub fn tcp_from(&self, local: SocketAddr) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&local.into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        socket.into()
    }

    /// A TCP connection on which nothing is said yet.
    pub fn connect_plainly(&self) -> Wire {
        Wire::client(self.tcp())
    }

    /// A connection behind TLS, if the gateway has it, as `localhost`.
    pub fn connect(&self) -> Wire {
        self.connect_as("localhost")
    }

    /// As [`Gateway::connect`], from this address of the machine's.
    pub fn connect_from(&self, local: SocketAddr) -> Wire {
        let socket = self.tcp_from(local);
        match &self.tls {
            Some(config) => Wire::tls_client(socket, Arc::clone(config), "localhost"),
            None => Wire::client(socket),
        }
    }

    /// A connection that asks for this server name.
    pub fn connect_as(&self, name: &str) -> Wire {
        match &self.tls {
            Some(config) => Wire::tls_client(self.tcp(), Arc::clone(config), name),
            None => Wire::client(self.tcp()),
        }
    }
}
