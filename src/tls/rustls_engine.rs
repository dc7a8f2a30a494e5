//! The engine on the unbuffered API of rustls 0.23: only this file handles the states of that API.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, ReadTraffic, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ProtocolVersion, ServerConfig};

use super::engine::{EncodeFailure, Engine, OutgoingRecords, Progress, Send};
use super::pem::Certificate;

/// A rustls connection of either side.
pub enum RustlsEngine {
    /// A connection to a client.
    Server(UnbufferedServerConnection),
    /// A connection to a server.
    Client(UnbufferedClientConnection),
}

impl RustlsEngine {
    /// The server side of a new connection.
    pub(super) fn server(config: ServerConfig) -> Result<Self, Error> {
        UnbufferedServerConnection::new(Arc::new(config)).map(Self::Server)
    }

    /// The client side of a new connection.
    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        UnbufferedClientConnection::new(config, name).map(Self::Client)
    }

    /// The certificates that the peer presented, its own first.
    pub(super) fn peer_certificates(&self) -> Vec<Certificate> {
        let chain = self.common().peer_certificates().unwrap_or_default();
        chain.iter().map(|one| Certificate(one.clone().into_owned())).collect()
    }

    fn common(&self) -> &CommonState {
        match self {
            Self::Server(connection) => connection,
            Self::Client(connection) => connection,
        }
    }
}

impl Engine for RustlsEngine {
    fn process(
        &mut self,
        raw: &mut [u8],
        send: Option<Send<'_>>,
        out: &mut OutgoingRecords,
        give: impl FnMut(&[u8], bool),
    ) -> Progress {
        match self {
            Self::Server(connection) => process(connection, raw, send, out, give),
            Self::Client(connection) => process(connection, raw, send, out, give),
        }
    }

    fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    fn ends_with_tickets(&self) -> bool {
        matches!(self, Self::Server(connection)
            if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
    }
}

/// The two connection types of rustls, which share no trait.
trait Unbuffered {
    type Data;

    fn step<'c, 'i>(&'c mut self, raw: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn common(&self) -> &CommonState;
}

impl Unbuffered for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn step<'c, 'i>(&'c mut self, raw: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(raw)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Unbuffered for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn step<'c, 'i>(&'c mut self, raw: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(raw)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

fn process<C: Unbuffered>(
    connection: &mut C,
    raw: &mut [u8],
    mut send: Option<Send<'_>>,
    out: &mut OutgoingRecords,
    mut give: impl FnMut(&[u8], bool),
) -> Progress {
    let length = raw.len();
    let mut used = 0;
    let mut peer_closed = false;
    let outcome = loop {
        let status = match step(connection, &mut raw[used..]) {
            Ok(status) => status,
            Err(error) => return Progress { used, peer_closed, outcome: Err(error) },
        };
        let UnbufferedStatus { mut discard, state } = status;
        let mut was_read = false;
        let handled = match state {
            Err(error) => Err(error),
            Ok(ConnectionState::ReadTraffic(traffic)) => {
                was_read = true;
                read(traffic, &mut discard, |bytes, end| give(bytes, used + end == length))
            }
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                out.encode(|room| Ok(message.encode(room)?))
            }
            Ok(ConnectionState::TransmitTlsData(messages)) => {
                // The records are in `out`, which the caller sends or keeps.
                messages.done();
                Ok(())
            }
            Ok(ConnectionState::WriteTraffic(traffic)) => {
                used += discard;
                break write(traffic, send, out);
            }
            Ok(ConnectionState::PeerClosed) => {
                peer_closed = true;
                Ok(())
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
                used += discard;
                break match send.take() {
                    Some(Send::Data(_)) => Err(Error::HandshakeNotComplete),
                    Some(Send::CloseNotify) | None => Ok(()),
                };
            }
            Ok(ConnectionState::ReadEarlyData(_)) => {
                Err(Error::General("early data, which is never accepted".to_owned()))
            }
            Ok(_) => Err(Error::General("an unknown state of TLS".to_owned())),
        };
        used += discard;
        if let Err(error) = handled {
            break Err(error);
        }
        // After the last record there is nothing left to process, unless rustls has a message for the peer.
        if was_read && used == length && send.is_none() && !connection.common().wants_write() {
            break Ok(());
        }
    };
    if outcome.is_err() {
        add_alert(connection, &mut raw[used..], out);
    }
    Progress { used, peer_closed, outcome }
}

/// Lets rustls process the front of `raw` up to its next state.
#[cfg(not(debug_assertions))]
fn step<'c, 'i, C: Unbuffered>(
    connection: &'c mut C,
    raw: &'i mut [u8],
) -> Result<UnbufferedStatus<'c, 'i, C::Data>, Error> {
    Ok(connection.step(raw))
}

/// Lets rustls process the front of `raw` up to its next state.
///
/// rustls 0.23 asserts that it creates no fatal alert after `close_notify`. A peer that breaks the
/// protocol after our `close_notify` triggers that assertion; without debug assertions the alert is
/// created, and the stream discards it. This function turns the panic of that one assertion into an
/// error, without an alert for the peer.
#[cfg(debug_assertions)]
fn step<'c, 'i, C: Unbuffered>(
    connection: &'c mut C,
    raw: &'i mut [u8],
) -> Result<UnbufferedStatus<'c, 'i, C::Data>, Error> {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    // The connection is not used again after an error, so that its broken state does not matter.
    let step = move || {
        let connection = connection;
        connection.step(raw)
    };
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| {
        if panic.downcast_ref() != Some(&"assertion failed: !self.sent_fatal_alert") {
            resume_unwind(panic);
        }
        Error::General("the peer broke the protocol after close_notify".to_owned())
    })
}

/// Appends the alert of an error to `out`; `raw` is the unprocessed input.
fn add_alert<C: Unbuffered>(connection: &mut C, raw: &mut [u8], out: &mut OutgoingRecords) {
    while connection.common().wants_write() {
        let handled = match connection.step(raw).state {
            Ok(ConnectionState::EncodeTlsData(mut alert)) => {
                out.encode(|room| Ok(alert.encode(room)?))
            }
            _ => return,
        };
        if handled.is_err() {
            return;
        }
    }
}

/// Passes the plaintext of each record to `give`, with the offset of the record's end in the input.
fn read<Data>(
    mut traffic: ReadTraffic<'_, '_, Data>,
    discard: &mut usize,
    mut give: impl FnMut(&[u8], usize),
) -> Result<(), Error> {
    while let Some(record) = traffic.next_record() {
        let record = record?;
        *discard += record.discard;
        give(record.payload, *discard);
    }
    Ok(())
}

fn write<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    send: Option<Send<'_>>,
    out: &mut OutgoingRecords,
) -> Result<(), Error> {
    match send {
        None => Ok(()),
        Some(Send::Data(bytes)) => out.encode(|room| Ok(traffic.encrypt(bytes, room)?)),
        Some(Send::CloseNotify) => out.encode(|room| Ok(traffic.queue_close_notify(room)?)),
    }
}

impl From<EncodeError> for EncodeFailure {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(lack) => Self::NeedsRoom(lack.required_size),
            EncodeError::AlreadyEncoded => Self::Refused,
        }
    }
}

impl From<EncryptError> for EncodeFailure {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(lack) => Self::NeedsRoom(lack.required_size),
            EncryptError::EncryptExhausted => Self::Refused,
        }
    }
}
