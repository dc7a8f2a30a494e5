//! Headers and control frames against tungstenite's, and as the log shows them.

use std::io::Cursor;

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::super::{HeaderBytes, Opcode, Rule, close_frame, control_frame};
use super::*;
use crate::values::Endpoint::{Client, Upstream};

fn opcodes() -> impl Strategy<Value = OpCode> {
    prop::sample::select(vec![
        OpCode::Data(Data::Continue),
        OpCode::Data(Data::Text),
        OpCode::Data(Data::Binary),
        OpCode::Control(Control::Close),
        OpCode::Control(Control::Ping),
        OpCode::Control(Control::Pong),
    ])
}

/// Every length form, its edges often.
fn lengths() -> impl Strategy<Value = u64> {
    prop_oneof![0..=125u64, 126..=0xffffu64, 0x1_0000..u64::MAX, Just(125), Just(126), Just(0xffff)]
}

proptest! {
    #[test]
    fn headers_read_as_tungstenite_reads_them(
        opcode in opcodes(),
        (is_final, rsv) in (any::<bool>(), 0..8u8),
        mask in any::<Option<[u8; 4]>>(),
        length in lengths(),
        reads in prop::collection::vec(1..5usize, 14),
    ) {
        let [rsv1, rsv2, rsv3] = [4, 2, 1].map(|bit| rsv & bit != 0);
        let theirs = FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask };
        let mut wire = Vec::new();
        theirs.format(length, &mut wire).expect("a vector takes everything");

        let mut ours = HeaderBytes::default();
        let mut rest = wire.as_slice();
        for read in reads {
            let size = if ours.len() < 2 { 2 } else { ours.size() };
            let taken = ours.fill(&rest[..read.min(rest.len())], size);
            rest = &rest[taken..];
        }
        prop_assert!(ours.is_complete() && rest.is_empty());
        prop_assert_eq!(ours.as_slice(), wire.as_slice());
        let (parsed, parsed_length) = FrameHeader::parse(&mut Cursor::new(&wire))
            .expect("it was formatted").expect("it is whole");
        let header = ours.decoded();
        prop_assert_eq!(header.length, Some(parsed_length));
        prop_assert_eq!(header.opcode.number(), u8::from(parsed.opcode));
        prop_assert_eq!((header.fin, header.masked), (parsed.is_final, parsed.mask.is_some()));
        prop_assert_eq!(header.rsv, rsv);
        prop_assert_eq!(ours.key(), parsed.mask.unwrap_or_default());
    }
}

#[test]
fn a_violation_as_the_log_shows_it() {
    let outcome = pass(Client, &[0x83, 0xfe, 0x00, 0x7e, 1, 2, 3, 4], &[8], &ample());
    let violation = outcome.violation.expect("a reserved opcode");
    assert_eq!(
        violation.to_string(),
        "the opcode is reserved (RFC 6455 section 5.2): byte 1, frame at 0, \
         fin=1 rsv=000 opcode=0x3 (reserved) mask=1 length=? [83 fe]"
    );
    let outcome = pass(Upstream, &[0x42, 0x05], &[8], &ample());
    let header = outcome.violation.expect("RSV1").header;
    assert_eq!(header.decoded().to_string(), "fin=0 rsv=100 opcode=0x2 (binary) mask=0 length=5");
    assert_eq!(format!("{header:?}"), "HeaderBytes(42 05)");
}

#[test]
fn rules_have_a_reason_a_section_and_a_text() {
    for rule in Rule::ALL {
        let limit = rule.section().starts_with("websocket.max_");
        let rfc = ["RFC 6455 section ", "RFC 7692 section "];
        assert!(limit || rfc.iter().any(|rfc| rule.section().starts_with(rfc)), "{rule:?}");
        assert_eq!(limit, rule.reason().close_code() == 1009, "{rule:?}");
        assert!(!rule.text().is_empty());
    }
    assert_eq!(Rule::Text.reason().close_code(), 1007);
    assert_eq!(Rule::CloseReason.reason().close_code(), 1007);
    assert_eq!(Rule::CloseCode.reason().close_code(), 1002);
}

/// What the gateway says is what its own rules accept from the side that it speaks for.
#[test]
fn control_frames_of_the_gateway() {
    for (to, speaks_for) in [(Client, Upstream), (Upstream, Client)] {
        for payload in [b"".as_slice(), b"ownping!", &[7; 125]] {
            let asked = control_frame(to, Opcode::Ping, payload, KEY);
            assert_eq!(asked.as_ref(), frame(speaks_for, 0x89, payload));
            let answer = control_frame(to, Opcode::Pong, payload, KEY);
            assert_eq!(answer.as_ref(), frame(speaks_for, 0x8a, payload));
        }
        let close = close_frame(to, 1008, "no", KEY);
        let outcome = pass(speaks_for, close.as_ref(), &[1], &ample());
        assert_eq!(outcome.close.map(|(_, close)| close.code), Some(Some(1008)));
    }
    assert_eq!(control_frame(Client, Opcode::Close, b"", KEY).as_ref(), [0x88, 0]);
}

#[test]
fn a_close_reason_is_cut_between_characters() {
    let reason = format!("{}äöü", "x".repeat(120));
    let close = close_frame(Client, 4000, &reason, KEY);
    assert_eq!(close.as_ref().len(), 2 + 2 + 122, "ä fits, half an ö does not");
    let outcome = pass(Upstream, close.as_ref(), &[200], &ample());
    assert_eq!((outcome.violation, outcome.closed), (None, true));
}
