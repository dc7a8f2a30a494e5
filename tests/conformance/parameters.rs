//! RFC 7692 section 7.1: what the ends may agree on, and what their messages may then refer to.

use std::sync::LazyLock;

use super::Case;
use super::agreement::Agreement;
use super::case::group;
use super::compressed::{HELLO, bytes, message, words};
use super::drive::Direction::{ToClient, ToUpstream};
use super::family::Family;
use super::support::{Deflater, Frame};

pub(crate) const FAMILY: Family = Family::new(13, "Compression parameters", cases);

/// Of a window: not said, and from the smallest to the largest.
const BITS: [Option<u8>; 5] = [None, Some(8), Some(9), Some(12), Some(15)];

#[test]
fn negotiation_parameters() {
    FAMILY.check();
}

/// Several tests ask, and compressing them takes a while.
fn cases() -> Vec<Case> {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(all);
    CASES.clone()
}

fn all() -> Vec<Case> {
    [
        group("13.1", agreed_as_offered()),
        group("13.2", answered_otherwise().into_iter().flat_map(conversations)),
        group("13.3", taken_over()),
        group("13.4", beyond_the_window()),
    ]
    .concat()
}

/// What an agreement says about the compressors of both ends. The client always starts anew.
#[derive(Clone)]
struct Agreed {
    agreement: Agreement,
    server_takes_over: bool,
    server_bits: u8,
    client_bits: u8,
}

/// Every combination, offered and accepted as it is.
fn agreed_as_offered() -> Vec<Case> {
    let both = [false, true];
    let switches = both.into_iter().flat_map(|server| both.map(|client| (server, client)));
    let windows = || BITS.into_iter().flat_map(|server| BITS.map(|client| (server, client)));
    let all = switches.flat_map(|anew| windows().map(move |bits| as_offered(anew, bits)));
    all.flat_map(conversations).collect()
}

fn as_offered(
    (server_anew, client_anew): (bool, bool),
    (server_bits, client_bits): (Option<u8>, Option<u8>),
) -> Agreed {
    let switch = |on: bool, name: &str| if on { format!("; {name}") } else { String::new() };
    let bits = |bits: Option<u8>, name: &str| {
        bits.map_or(String::new(), |bits| format!("; {name}_max_window_bits={bits}"))
    };
    let server = switch(server_anew, "server_no_context_takeover");
    let windows = bits(server_bits, "server") + &bits(client_bits, "client");
    let client = |anew| switch(anew, "client_no_context_takeover");
    let offer = format!("{server}{}{windows}", client(client_anew));
    let told = format!("{server}{}{windows}", client(true));
    Agreed {
        agreement: Agreement::new(&offer, &offer, &told),
        server_takes_over: !server_anew,
        server_bits: server_bits.unwrap_or(15),
        client_bits: client_bits.unwrap_or(15),
    }
}

/// Answers that say more, or less, than the offer does.
fn answered_otherwise() -> Vec<Agreed> {
    let of = |offer, answer, told, (server_takes_over, server_bits, client_bits)| Agreed {
        agreement: Agreement::new(offer, answer, told),
        server_takes_over,
        server_bits,
        client_bits,
    };
    let anew = "; client_no_context_takeover";
    vec![
        of("; client_max_window_bits", "", anew, (true, 15, 15)),
        of(
            "; client_max_window_bits",
            "; client_max_window_bits=10",
            "; client_no_context_takeover; client_max_window_bits=10",
            (true, 15, 10),
        ),
        of(
            "; client_max_window_bits=12",
            "; client_max_window_bits=9",
            "; client_no_context_takeover; client_max_window_bits=9",
            (true, 15, 9),
        ),
        of("; client_max_window_bits=10", "", anew, (true, 15, 10)),
        of("; client_no_context_takeover", "", anew, (true, 15, 15)),
        of(
            "",
            "; server_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover",
            (false, 15, 15),
        ),
        of(
            "",
            "; server_max_window_bits=11",
            "; client_no_context_takeover; server_max_window_bits=11",
            (true, 11, 15),
        ),
        of(
            "; server_max_window_bits=14",
            "; server_max_window_bits=10",
            "; client_no_context_takeover; server_max_window_bits=10",
            (true, 10, 15),
        ),
        of("; x_unknown, permessage-deflate", "", anew, (true, 15, 15)),
        of(
            "; server_max_window_bits=9, permessage-deflate; client_max_window_bits",
            "; client_max_window_bits=15",
            "; client_no_context_takeover; client_max_window_bits=15",
            (true, 15, 15),
        ),
    ]
}

/// What each end says of what it may.
fn conversations(agreed: Agreed) -> [Case; 2] {
    let Agreed { agreement, server_takes_over, server_bits, client_bits } = agreed;
    let client = Deflater::within(client_bits, false);
    let server = Deflater::within(server_bits, server_takes_over);
    [(client, ToUpstream), (server, ToClient)].map(|(deflater, direction)| {
        let what = format!("\"{}\" for \"{}\"", agreement.answer, agreement.offer);
        Case::passes(what, said_with(deflater)).agreeing(agreement.clone()).only(direction)
    })
}

/// The same several times, with what is not compressed between, and more than any window has.
fn said_with(mut deflater: Deflater) -> Vec<Frame> {
    let text = words(1500);
    let long = words(40_000);
    let mut packed = |opcode, text: &[u8]| message(opcode, deflater.message(text));
    vec![
        packed(1, text.as_bytes()),
        packed(1, text.as_bytes()),
        Frame::text("not compressed"),
        packed(2, &bytes(600)),
        packed(1, b""),
        Frame::ping("between"),
        packed(1, long.as_bytes()),
        packed(1, text.as_bytes()),
    ]
}

/// RFC 7692 section 7.2.3.2: a message that refers to the one before it.
fn taken_over() -> Vec<Case> {
    let first = || message(1, HELLO);
    let refers = || message(1, [0xf2, 0x00, 0x11, 0x00, 0x00]);
    let neither = || Agreement::plain();
    let server = || as_offered((true, false), (None, None)).agreement;
    let both = || as_offered((true, true), (None, None)).agreement;
    let within = |frame: Frame| {
        [Frame { payload: frame.payload[..2].into(), fin: false, ..frame.clone() }, {
            Frame::continuation(&frame.payload[2..])
        }]
    };
    let passes = |what: &str, frames: Vec<Frame>| {
        Case::passes(what, frames).agreeing(neither()).only(ToClient)
    };
    let refused = |what: &str, agreement, direction| {
        Case::refused(what, [first()], refers()).agreeing(agreement).only(direction)
    };
    vec![
        passes("a server refers to the message before", vec![first(), refers(), refers()]),
        passes("with what is not compressed between", {
            vec![first(), Frame::text("HELLO"), Frame::ping("hello"), refers()]
        }),
        passes("in fragments", [vec![first()], within(refers()).into(), vec![refers()]].concat()),
        refused("a server that agreed to start anew does not", server(), ToClient),
        refused("nor one where both did", both(), ToClient),
        refused("a client does not, whatever was agreed", neither(), ToUpstream),
        refused("nor one that agreed to start anew", both(), ToUpstream),
        Case::refused("nothing was said yet", [], refers()).agreeing(neither()),
    ]
}

/// A server with a larger window than it agreed to.
fn beyond_the_window() -> Vec<Case> {
    let of = |(bits, distance, refused): (u8, usize, bool)| {
        let mut deflater = Deflater::within(15, true);
        let said = bytes(distance);
        let [first, again] = [(); 2].map(|()| message(2, deflater.message(&said)));
        assert!(again.payload.len() < distance / 8, "it refers to what was said");
        let what = format!("{distance} bytes back in a window of {bits} bits");
        let case = if refused {
            Case::refused(what, [first], again)
        } else {
            Case::passes(what, [first, again])
        };
        case.agreeing(as_offered((false, false), (Some(bits), None)).agreement).only(ToClient)
    };
    let distances = [
        (8, 256, false),
        (8, 300, true),
        (9, 512, false),
        (9, 600, true),
        (12, 4000, false),
        (12, 5000, true),
        (15, 5000, false),
        (15, 32_000, false),
    ];
    distances.map(of).to_vec()
}
