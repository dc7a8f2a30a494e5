//! What passes, passes byte for byte; the verdict does not depend on fragments, cuts or compression.

use super::support::{Deflater, Frame, RawUpstream, Request, Session, packed};
use super::{passes, ruled};

const RULES: &str =
    "[routes.app.messages]\nschema = \"chat.json\"\n[routes.app.replies]\nencoding = \"json\"";

#[test]
fn fragments_are_released_as_they_came() {
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, RULES).start();
    let mut session = Session::open(&gateway, &upstream);
    let whole = b"{\"action\":\"hello\"}";
    for cut in 0..=whole.len() {
        let frames = [
            Frame::text(&whole[..cut]).unfinished(),
            Frame::continuation("").unfinished(),
            Frame::continuation(&whole[cut..]),
        ];
        let bytes: Vec<u8> =
            frames.iter().flat_map(|frame| frame.clone().masked(true).encode()).collect();
        if cut % 2 == 0 {
            session.client.send(&bytes);
        } else {
            bytes.chunks(3).for_each(|piece| session.client.send(piece));
        }
        for frame in frames {
            session.upstream.expect_frame(frame);
        }
    }
}

#[test]
fn no_byte_of_a_message_crosses_before_it_is_judged() {
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, RULES).start();
    let mut session = Session::open(&gateway, &upstream);
    // Larger than the frames that are held without rules.
    let long = format!("{{\"action\":\"{}\"}}", "x".repeat(40_000));
    let frame = Frame::text(&long).masked(true).encode();
    session.client.send(&frame[..30_000]);
    session.client.send(&frame[30_000..frame.len() - 1]);
    session.upstream.say(Frame::text("[1]"));
    session.client.expect_frame(Frame::text("[1]"));
    assert!(!session.upstream.has_something(), "the message is held");
    session.client.send(&frame[frame.len() - 1..]);
    session.upstream.expect_frame(Frame::text(&long));
}

#[test]
fn compressed_messages_are_judged_by_their_text() {
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, RULES).websocket("compression = \"inspect\"").start();
    let offer = Request::upgrade("/ws").and("Sec-WebSocket-Extensions", "permessage-deflate");
    let accepted = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut session = Session::open_with(&gateway, &upstream, &offer, accepted);
    passes(&mut session, &packed("{\"action\":\"hello\"}"));
    // The application keeps its context, so that its second message refers to its first.
    let mut deflater = Deflater::new(true);
    for _ in 0..2 {
        let reply = Frame::text(deflater.message("{\"a\":\"hello hello hello\"}")).with_rsv(4);
        session.upstream.say(reply.clone());
        session.client.expect_frame(reply);
    }
    session.client.say(packed("{\"action\":1}"));
    session.client.expect_closing(1008, "message.schema");
}

/// The four bytes that an inflater adds at the end of a message (RFC 7692 section 7.2.2) are the text of its last block.
#[test]
fn text_that_only_the_end_of_a_message_completes_is_judged() {
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, RULES).websocket("compression = \"inspect\"").start();
    let offer = Request::upgrade("/ws").and("Sec-WebSocket-Extensions", "permessage-deflate");
    let accepted = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut session = Session::open_with(&gateway, &upstream, &offer, accepted);
    let text = b"{\"action\":\"a\"}";
    let stored = [&[0x00, 14, 0, 241, 0xff], &text[..]].concat();
    let whole = Frame::binary([&stored[..], &[0x00]].concat()).with_rsv(4);
    passes(&mut session, &whole);
    let longer = [&stored[..], &[0x00, 4, 0, 251, 0xff]].concat();
    session.client.say(Frame::binary(longer).with_rsv(4));
    session.client.expect_closing(1007, "message.structure");
    session.upstream.expect_closing(1001, "message.structure");
}

#[test]
fn a_message_that_inflates_beyond_max_size_is_refused() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nmax_size = \"1KiB\"\nencoding = \"json\"";
    let gateway = ruled(&upstream, rules).websocket("compression = \"inspect\"").start();
    let offer = Request::upgrade("/ws").and("Sec-WebSocket-Extensions", "permessage-deflate");
    let accepted = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut session = Session::open_with(&gateway, &upstream, &offer, accepted);
    passes(&mut session, &packed(format!("\"{}\"", "x".repeat(1022))));
    session.client.say(packed(format!("\"{}\"", "x".repeat(1023))));
    session.client.expect_closing(1009, "message.too_big");
    session.upstream.expect_closing(1001, "message.too_big");
}
