//! TLS over bytes that the caller owns: every state of rustls' unbuffered API is answered here, and
//! nowhere else. No socket; what a record says is handed out while rustls still holds it.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, ReadTraffic, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, ProtocolVersion};

/// The longest record: its header, a payload of 2^14 bytes, and what encryption may add to it (RFC
/// 5246 section 6.2.3; RFC 8446 section 5.2 allows less).
pub(super) const MAX_RECORD: usize = HEADER + (1 << 14) + 2048;
/// Type, version and length of a record.
const HEADER: usize = 5;

/// One end of a TLS connection, whichever it is.
pub trait Records {
    /// What rustls keeps for this end.
    type Data;

    /// Works at the front of `raw`, as far as the next state.
    fn process<'c, 'i>(&'c mut self, raw: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// What was negotiated.
    fn common(&self) -> &CommonState;

    /// Whether what this end says at the end of its handshake is not waited for: the tickets of TLS
    /// 1.3 (RFC 8446 section 4.6.1).
    fn has_the_last_word(&self) -> bool {
        false
    }
}

impl Records for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;

    fn has_the_last_word(&self) -> bool {
        self.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    fn process<'c, 'i>(&'c mut self, raw: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(raw)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Records for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, raw: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(raw)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

/// What is to be said to the peer, once there is nothing to be read first.
#[derive(Clone, Copy)]
pub(super) enum Wish<'a> {
    /// Application data.
    Seal(&'a [u8]),
    /// `close_notify`.
    Close,
}

/// What became of the bytes that were worked at.
pub(super) struct Driven {
    /// So many are done with, from the front. The others must be there again, unchanged, the next
    /// time: they are part of a record, or of a handshake message.
    pub(super) used: usize,
    /// The peer sent `close_notify`. That is told once.
    pub(super) closed: bool,
    /// An error is the end of the connection; [`alerts`] says what the peer is to hear of it.
    pub(super) outcome: Result<(), Error>,
}

/// Works through all records that are whole in `raw`, and then does what is wished for. Plaintext
/// is given to `give`, which hears, too, whether nothing is left to be worked at behind it; records
/// for the peer are added to `out`.
pub(super) fn drive<C: Records>(
    connection: &mut C,
    raw: &mut [u8],
    mut wish: Option<Wish<'_>>,
    out: &mut Outgoing,
    mut give: impl FnMut(&[u8], bool),
) -> Driven {
    let length = raw.len();
    let (mut used, mut closed) = (0, false);
    let outcome = loop {
        let UnbufferedStatus { mut discard, state } = connection.process(&mut raw[used..]);
        let mut done = false;
        let handled = match state {
            Err(error) => Err(error),
            Ok(ConnectionState::ReadTraffic(traffic)) => {
                done = true;
                read(traffic, &mut discard, |bytes, rest| give(bytes, used + rest == length))
            }
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                out.add(|room| Ok(message.encode(room)?))
            }
            Ok(ConnectionState::TransmitTlsData(messages)) => {
                // They are in `out`, which the caller sends or keeps.
                messages.done();
                Ok(())
            }
            Ok(ConnectionState::WriteTraffic(traffic)) => {
                break grant(traffic, wish, out).map(|()| used += discard);
            }
            Ok(ConnectionState::PeerClosed) => {
                closed = true;
                Ok(())
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
                used += discard;
                break match wish.take() {
                    Some(Wish::Seal(_)) => Err(Error::HandshakeNotComplete),
                    Some(Wish::Close) | None => Ok(()),
                };
            }
            Ok(ConnectionState::ReadEarlyData(_)) => {
                Err(Error::General("early data, which is never accepted".to_owned()))
            }
            Ok(_) => Err(Error::General("a state of TLS that is not known".to_owned())),
        };
        used += discard;
        if let Err(error) = handled {
            break Err(error);
        }
        // Nothing can come behind the last record but a message for the peer.
        if done && used == length && wish.is_none() && !connection.common().wants_write() {
            break Ok(());
        }
    };
    Driven { used, closed, outcome }
}

/// Adds to `out` what the peer is to hear of an error. `raw` is what [`drive`] left. To be called
/// once, and nothing after it: the connection is over.
pub(super) fn alerts<C: Records>(connection: &mut C, raw: &mut [u8], out: &mut Outgoing) {
    while connection.common().wants_write() {
        let handled = match connection.process(raw).state {
            Ok(ConnectionState::EncodeTlsData(mut alert)) => {
                out.add(|room| Ok(alert.encode(room)?))
            }
            _ => return,
        };
        if handled.is_err() {
            return;
        }
    }
}

/// Whether `kept` and what was `read` behind it are the beginning of one record and no more, and its
/// header was looked at already: one that is wrong is to be refused when it comes, by whoever reads.
pub(super) fn is_partial(kept: &[u8], read: &[u8]) -> bool {
    let Some([.., high, low]) = kept.first_chunk::<HEADER>() else {
        return false;
    };
    let record = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
    record <= MAX_RECORD && kept.len() + read.len() < record
}

/// How many bytes at the end of `raw`, which begins with a record, are the beginning of one that is
/// not whole.
pub(super) fn unfinished(raw: &[u8]) -> usize {
    let mut rest = raw;
    while let Some([.., high, low]) = rest.first_chunk::<HEADER>() {
        let record = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
        let Some(later) = rest.get(record..) else { break };
        rest = later;
    }
    rest.len()
}

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

fn grant<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    wish: Option<Wish<'_>>,
    out: &mut Outgoing,
) -> Result<(), Error> {
    match wish {
        None => Ok(()),
        Some(Wish::Seal(bytes)) => out.add(|room| Ok(traffic.encrypt(bytes, room)?)),
        Some(Wish::Close) => out.add(|room| Ok(traffic.queue_close_notify(room)?)),
    }
}

/// Records for the peer. Its room grows with what is put into it, and stays.
#[derive(Default)]
pub(super) struct Outgoing {
    room: Vec<u8>,
    filled: usize,
}

/// Why records were not put into the room for them.
enum Unfit {
    /// So many bytes are needed.
    Room(usize),
    /// A record must not be made, with these keys or at all.
    Refused,
}

impl Outgoing {
    /// All records, in their order.
    pub(super) fn records(&self) -> &[u8] {
        &self.room[..self.filled]
    }

    /// Adds some that were made before.
    pub(super) fn push(&mut self, records: &[u8]) {
        let filled = self.filled + records.len();
        if filled > self.room.len() {
            self.room.resize(filled, 0);
        }
        self.room[self.filled..filled].copy_from_slice(records);
        self.filled = filled;
    }

    /// They were sent, or are kept elsewhere.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    fn add(
        &mut self,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, Unfit>,
    ) -> Result<(), Error> {
        loop {
            match encode(&mut self.room[self.filled..]) {
                Ok(length) => {
                    self.filled += length;
                    return Ok(());
                }
                Err(Unfit::Room(size)) if self.filled + size > self.room.len() => {
                    self.room.resize(self.filled + size, 0);
                }
                Err(Unfit::Room(_) | Unfit::Refused) => return Err(Error::EncryptError),
            }
        }
    }
}

impl From<EncodeError> for Unfit {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(lack) => Self::Room(lack.required_size),
            EncodeError::AlreadyEncoded => Self::Refused,
        }
    }
}

impl From<EncryptError> for Unfit {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(lack) => Self::Room(lack.required_size),
            EncryptError::EncryptExhausted => Self::Refused,
        }
    }
}
