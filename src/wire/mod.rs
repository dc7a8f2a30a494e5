//! The WebSocket protocol without I/O: bytes in, verdict out. No socket, no clock, no logger, no
//! configuration; of the crate it imports [`values`](crate::values) alone.
//!
//! A [`Gate`] checks the bytes that one peer sends after the handshake. It forwards bytes unchanged, never
//! lets a byte of a frame pass before its header was checked, and names the [`Rule`] that a frame breaks. A
//! session has two gates, and one [`HoldBudget`] that both share.
//!
//! # Order of calls
//!
//! 1. [`Gate::new`], then the settings of the session: [`Gate::inflate`] where compression
//!    was negotiated, [`Gate::allow`] with the rates of a client, [`Gate::expect_token`] where it may
//!    hand in a new token. [`Gate::limit`] and [`Gate::allow`] may be called again at any time.
//! 2. For each read: [`Allowance::at`] with the instant of the read, if the gate has an
//!    [`allowance`](Gate::allowance). Then [`Gate::judge`] until the read is consumed; after each call
//!    1. forward [`Judged::release`], its first part before its second,
//!    2. remove [`Judged::consumed`] bytes from the front of the read,
//!    3. act on [`Judged::event`]: stop at [`GateEvent::Wait`] and pass the rest in again at that instant;
//!       never call [`Gate::judge`] again after [`GateEvent::Refused`] or [`GateEvent::Violation`].
//!
//!    Then charge the read with [`Allowance::bytes`]; its verdict applies to the reads that follow.
//! 3. Write the gateway's own frames ([`control_frame`], [`close_frame`]) only while [`Gate::unfinished`]
//!    is 0: otherwise they would be inside a frame of the peer.
//! 4. [`Gate::release_memory`] whenever the session goes idle.
//!
//! Where the token is in the first message of a client, a [`FirstMessageReader`] comes before the gates:
//! [`push`](FirstMessageReader::push) each read, then [`next`](FirstMessageReader::next) until it
//! has no event.
//!
//! ```
//! use framewall::values::Endpoint;
//! use framewall::wire::{FrameLimits, Gate, GateEvent, HoldBudget};
//!
//! let limits = FrameLimits {
//!     max_frame_size: 1024,
//!     max_message_size: 4096,
//!     max_fragments: FrameLimits::ANY_NUMBER,
//!     max_inflation_ratio: None,
//! };
//! let budget = HoldBudget::new(64 * 1024);
//! let mut gate = Gate::new(Endpoint::Client, limits, *b"own ping");
//!
//! // The text "Hello" (RFC 6455 section 5.7), and a frame of a client that is not masked.
//! let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! let read = [&hello[..], &[0x81, 0x01, b'!']].concat();
//!
//! let mut forwarded = Vec::new();
//! let mut rest = read.as_slice();
//! let refused = loop {
//!     let judged = gate.judge(rest, &budget);
//!     for bytes in judged.release {
//!         forwarded.extend_from_slice(bytes);
//!     }
//!     rest = &rest[judged.consumed..];
//!     match judged.event {
//!         Some(GateEvent::Violation(violation)) => break Some(violation),
//!         _ if rest.is_empty() => break None,
//!         _ => {}
//!     }
//! };
//! assert_eq!(forwarded, hello);
//! assert_eq!(refused.unwrap().rule.section(), "RFC 6455 section 5.1");
//! assert_eq!(gate.flow().messages, 1);
//! ```
//!
//! # Inside
//!
//! The reader decodes frames, checks them against the rules, and asks the inspectors about valid ones: the
//! rates of the sender, the handover of a new token, the first message. Each gives one [`Verdict`]. The
//! frame buffer holds a frame until its verdict is known.

mod budget;
mod close;
mod frame_buffer;
mod gate;
mod header;
mod inflate;
mod inspect;
mod limits;
mod mask;
mod opcode;
mod reader;
mod rules;
mod utf8;
mod violation;

#[cfg(test)]
pub(crate) mod tests;

pub use budget::{HoldBudget, HoldPermit, HoldPool, Shares};
pub(crate) use close::message_frame;
pub use close::{CloseFrame, ControlFrame, close_frame, control_frame};
pub(crate) use frame_buffer::{CountedBytes, UNCOUNTED};
pub use gate::{Gate, GateEvent, Judged};
pub use header::{Header, HeaderBytes};
pub use inflate::Context;
pub use inspect::{
    Allowance, Answer, FirstMessage, FirstMessageEvent, FirstMessageReader, Judgement,
    MOST_OBSERVED, MessageFollower, MessageJudge, MessageObserver, ObservedMessage, Outcome,
    Verdict,
};
pub use limits::{AboveRate, ClientRates, FrameLimits};
pub use opcode::Opcode;
pub use violation::{Rule, Violation};
