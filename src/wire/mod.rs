//! The WebSocket protocol without I/O: bytes in, verdict out. No socket, no clock, no logger.
//!
//! A [`Gate`] judges what one endpoint sends. It names every rule it holds a frame to ([`Rule`]),
//! forwards bytes as they came, and never lets a byte of a frame pass before its header was judged.

pub(crate) mod allowance;
pub(crate) mod budget;
pub(crate) mod close;
pub(crate) mod gate;
pub(crate) mod gcra;
pub(crate) mod header;
pub(crate) mod hold;
pub(crate) mod inflate;
pub(crate) mod limits;
pub(crate) mod mask;
pub(crate) mod opcode;
pub(crate) mod opening;
pub(crate) mod reader;
pub(crate) mod rules;
pub(crate) mod utf8;
pub(crate) mod violation;

#[cfg(test)]
pub(crate) mod tests;

pub use allowance::Allowance;
pub use budget::{HoldBudget, HoldPermit, HoldPool, Shares};
pub use close::{CloseFrame, ControlFrame, close_frame, control_frame};
pub use gate::{Event, Gate, Judged};
pub use header::{Header, HeaderBytes};
pub use inflate::Context;
pub use limits::{AboveRate, ClientRates, FrameLimits};
pub use opcode::Opcode;
pub use opening::{FirstMessage, Opened, Opening};
pub use violation::{Rule, Violation};
