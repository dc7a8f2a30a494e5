//! A refused frame: the rule that it broke, the offset, the header.

use std::fmt;

use super::{HeaderBytes, Opcode};
use crate::values::{Endpoint, Offence, Reason, RequestContext};

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident $reason:ident $section:literal $text:literal;)*) => {
        /// A rule that a frame can break, one variant for each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($(#[$doc])* $variant,)*
        }

        impl Rule {
            /// Every rule, in the order of the RFC's sections, limits last.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];

            fn row(self) -> (Reason, &'static str, &'static str) {
                match self {
                    $(Rule::$variant => (Reason::$reason, $section, $text),)*
                }
            }
        }
    };
}

rules! {
    /// A client's frame without a mask.
    ClientUnmasked FrameProtocol "RFC 6455 section 5.1" "a frame of a client is not masked";
    /// A masked frame of an upstream.
    UpstreamMasked FrameProtocol "RFC 6455 section 5.1" "a frame of an upstream is masked";
    /// RSV1, RSV2 or RSV3 is set without a negotiated extension.
    ReservedBits FrameProtocol "RFC 6455 section 5.2" "a reserved bit is set, and no extension was negotiated";
    /// Opcodes 0x3 to 0x7 and 0xB to 0xF.
    ReservedOpcode FrameProtocol "RFC 6455 section 5.2" "the opcode is reserved";
    /// A length that a shorter form could encode.
    LengthForm FrameProtocol "RFC 6455 section 5.2" "the length is not in its shortest form";
    /// A 64-bit length of 2^63 and above.
    LengthTopBit FrameProtocol "RFC 6455 section 5.2" "the top bit of the 64-bit length is set";
    /// A continuation frame where no message was begun.
    ContinuationAlone FrameProtocol "RFC 6455 section 5.4" "a continuation frame continues no message";
    /// A text or binary frame inside an unfinished message.
    MessageInterrupted FrameProtocol "RFC 6455 section 5.4" "a new message begins inside a fragmented one";
    /// A control frame with more than 125 bytes.
    ControlLength FrameProtocol "RFC 6455 section 5.5" "a control frame is longer than 125 bytes";
    /// A control frame without FIN.
    ControlFragmented FrameProtocol "RFC 6455 section 5.5" "a control frame is fragmented";
    /// A Close frame with half a code.
    CloseLength FrameProtocol "RFC 6455 section 5.5.1" "a close frame has a payload of one byte";
    /// A close code that may not be on the wire.
    CloseCode FrameProtocol "RFC 6455 section 7.4" "the close code may not be sent";
    /// A close reason with a byte that is not UTF-8.
    CloseReason FrameUtf8 "RFC 6455 section 5.5.1" "the close reason is not UTF-8";
    /// A text message with a byte that is not UTF-8, or that ends inside a character.
    Text FrameUtf8 "RFC 6455 section 8.1" "the text is not UTF-8";
    /// RSV1 on a frame other than the first of a message, where compression was negotiated.
    CompressedBit FrameProtocol "RFC 7692 section 6" "RSV1 is set on a frame that does not begin a message";
    /// A block of a reserved type, or one that cannot be decoded.
    Deflate FrameProtocol "RFC 7692 section 7.2.2" "the compressed data is not valid";
    /// A compressed message that is cut short, or still has the four bytes that its sender must remove.
    DeflateEnd FrameProtocol "RFC 7692 section 7.2.1" "the compressed message does not end where a block ends";
    /// A deflate block with BFINAL set. Some inflaters read nothing after it, in this message and in
    /// all later ones, so the peer would read other data than the gateway.
    DeflateFinal FrameProtocol "RFC 7692 section 7.2.3.4" "a block of a compressed message has BFINAL set";
    /// A data frame of a client above `max_frame_size`.
    FrameSize FrameTooBig "websocket.max_frame_size" "the frame is larger than the limit";
    /// A message of a client above `max_message_size`.
    MessageSize MessageTooBig "websocket.max_message_size" "the message is larger than the limit";
    /// A message of the application above `max_reply_size`.
    ReplySize MessageTooBig "websocket.max_reply_size" "the message is larger than the limit";
    /// A compressed message that inflates to more for each of its bytes than `max_inflation_ratio`.
    InflationRatio MessageTooBig "websocket.max_inflation_ratio" "the message inflates to more times its size than the limit";
    /// A message with more frames than `max_fragments`.
    Fragments MessageFragments "websocket.max_fragments" "the message has more frames than the limit";
}

impl Rule {
    /// The reason of the table that this rule belongs to.
    #[must_use]
    pub fn reason(self) -> Reason {
        self.row().0
    }

    /// Where the rule is written: a section of the RFC, or for a limit its configuration key.
    #[must_use]
    pub fn section(self) -> &'static str {
        self.row().1
    }

    /// The fault, as text for the log.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.row().2
    }
}

/// A refused frame. It does not depend on how the bytes were cut into reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule that the frame broke.
    pub rule: Rule,
    /// The peer that sent the frame.
    pub sender: Endpoint,
    /// The position of the frame's first byte in all bytes that the peer sent after the handshake.
    pub frame_offset: u64,
    /// The position, counted likewise, of the byte that proved the violation. In a compressed message that
    /// byte is among the 1,024 that end here, or in the last, shorter block of the frame.
    pub offset: u64,
    /// The frame's header as far as it was read when the rule was checked: two bytes, or all.
    pub header: HeaderBytes,
}

impl Violation {
    /// The offence, if a client sent the frame and only the client's own program can have made it.
    #[must_use]
    pub fn offence(&self, context: RequestContext) -> Option<Offence> {
        let proven = self.sender == Endpoint::Client && self.is_deliberate();
        proven.then(|| Offence::frame(self.rule.reason(), context)).flatten()
    }

    /// Whether only a program can have made the frame, not a browser on behalf of a page. A page chooses
    /// sizes; close codes and compressed data come from browsers and libraries, some of which get them
    /// wrong.
    #[must_use]
    pub fn is_deliberate(&self) -> bool {
        match self.rule {
            Rule::ClientUnmasked
            | Rule::ReservedBits
            | Rule::ReservedOpcode
            | Rule::LengthForm
            | Rule::LengthTopBit
            | Rule::ContinuationAlone
            | Rule::MessageInterrupted
            | Rule::ControlLength
            | Rule::ControlFragmented
            | Rule::CloseLength
            | Rule::CloseReason
            | Rule::CompressedBit => true,
            // The header of a later frame does not show whether the message is compressed.
            Rule::Text => self.header.rsv() == 0 && self.header.opcode() == Opcode::Text,
            Rule::UpstreamMasked
            | Rule::CloseCode
            | Rule::Deflate
            | Rule::DeflateEnd
            | Rule::DeflateFinal
            | Rule::FrameSize
            | Rule::MessageSize
            | Rule::ReplySize
            | Rule::InflationRatio
            | Rule::Fragments => false,
        }
    }
}

/// One line for the log: `the opcode is reserved (RFC 6455 section 5.2): byte 1, frame at 0,
/// fin=1 ... [83 00]`.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, frame_offset, offset, header, .. } = self;
        write!(
            f,
            "{} ({}): byte {offset}, frame at {frame_offset}, {} [{header}]",
            rule.text(),
            rule.section(),
            header.decoded(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Rule, Violation};
    use crate::values::offence_cases::{NEVER, counts};
    use crate::values::{Endpoint, RequestContext, Sender};
    use crate::wire::HeaderBytes;

    fn violation(rule: Rule, sender: Endpoint, header: &[u8]) -> Violation {
        let mut bytes = HeaderBytes::default();
        bytes.fill(header, header.len());
        Violation { rule, sender, frame_offset: 0, offset: 0, header: bytes }
    }

    #[test]
    fn frames_that_no_browser_sends_are_strikes() {
        let strikes = |rule: &&Rule| {
            let violation = violation(**rule, Endpoint::Client, &[0x81, 0x80, 0, 0, 0, 0]);
            let counted = counts(|context| violation.offence(context));
            assert_eq!(counted[2..], [NEVER, NEVER]);
            assert_eq!(counted[0].0, counted[1].1);
            counted[0].0
        };
        let named: Vec<Rule> = Rule::ALL.iter().filter(strikes).copied().collect();
        let wanted = [
            Rule::ClientUnmasked,
            Rule::ReservedBits,
            Rule::ReservedOpcode,
            Rule::LengthForm,
            Rule::LengthTopBit,
            Rule::ContinuationAlone,
            Rule::MessageInterrupted,
            Rule::ControlLength,
            Rule::ControlFragmented,
            Rule::CloseLength,
            Rule::CloseReason,
            Rule::Text,
            Rule::CompressedBit,
        ];
        assert_eq!(named, wanted, "neither a limit, a close code nor what a compressor made");
    }

    /// Compressed data that inflates to invalid text says nothing about the text that was compressed.
    #[test]
    fn invalid_text_that_may_be_inflated_is_no_strike() {
        let program = RequestContext { sender: Sender::Program, relayed: false };
        for first in [0xc1, 0x00, 0x80] {
            let violation = violation(Rule::Text, Endpoint::Client, &[first, 0x80, 0, 0, 0, 0]);
            assert_eq!(violation.offence(program), None, "{first:02x}");
        }
        let upstream = violation(Rule::ReservedBits, Endpoint::Upstream, &[0xc1, 0]);
        assert_eq!(upstream.offence(program), None);
    }
}
