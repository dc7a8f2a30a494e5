//! STOMP.

use serde_json::json;

use super::super::support::{Frame, Peer, RawUpstream, Session, Tool};
use super::super::{closes, guarded, passes, with};
use super::{example, in_front_of, run_client};

#[test]
#[ignore = "needs node @stomp/stompjs and stomp-broker-js"]
fn stompjs_gets_an_error_for_what_is_refused() {
    let mut peer = Peer::start(Tool::Node, "protocols/stomp_broker", &[]);
    let replies = "[routes.app.replies]\nprotocol = \"stomp\"\n\
                   [routes.app.replies.types.\"MESSAGE /topic/rooms/*\"]\n";
    let gateway = in_front_of(&peer, "STOMP", "/stomp", replies);
    assert_eq!(run_client(&gateway, "stomp_client", "/stomp", &[]).len(), 7);
    let (mut reached, mut beats) = (Vec::new(), 0);
    while reached.len() < 5 {
        match peer.says() {
            said if said == json!({ "beat": true }) => beats += 1,
            said => reached.push(said),
        }
    }
    assert!(beats > 0, "no heart-beat reached the broker");
    let red = json!({ "SEND": "/topic/rooms/red" });
    let wanted = [
        json!({ "SUBSCRIBE": "/topic/rooms/red" }),
        json!({ "SEND": "/topic/rooms/red/empty" }),
        red.clone(),
        red.clone(),
        red,
    ];
    assert_eq!(reached, wanted);
}

/// A session of a user of the room red.
fn open(upstream: &RawUpstream) -> (super::super::support::Gateway, Session) {
    let gateway = guarded(upstream, &example("STOMP")).start();
    let claims = json!({ "rooms": ["red"], "role": "user" });
    let session = Session::open_with(&gateway, upstream, &with(&claims), "");
    (gateway, session)
}

#[test]
fn frames_meet_the_rules_of_their_command_and_destination() {
    let upstream = RawUpstream::bind();
    let (_gateway, mut session) = open(&upstream);
    for text in [
        "CONNECT\naccept-version:1.2\nhost:x\n\n\0",
        "\n",
        "SUBSCRIBE\nid:1\ndestination:/topic/rooms/red\n\n\0",
        "SEND\ndestination:/topic/rooms/red\n\nhello\0\n",
        "UNSUBSCRIBE\nid:1\n\n\0",
    ] {
        passes(&mut session, &Frame::text(text));
        passes(&mut session, &Frame::binary(text));
    }
    let id = session.request_id();
    for (text, reason, receipt) in [
        ("SUBSCRIBE\nid:1\ndestination:/topic/rooms/blue\n\n\0", "message.claim", ""),
        ("SUBSCRIBE\nid:1\ndestination:/topic/rooms/*\n\n\0", "message.type", ""),
        ("SEND\ndestination:/queue/admin\nreceipt:7\n\n\0", "message.claim", "receipt-id:7\n"),
        ("SEND\ndestination:/queue/a\n\n\0", "message.type", ""),
        ("SEND\ndestination:/topic/rooms/red\n\n\0SEND", "message.structure", ""),
    ] {
        session.client.say(Frame::text(text));
        let body = json!({ "reason": reason, "request_id": id }).to_string();
        let length = body.len();
        session.client.expect_frame(Frame::text(format!(
            "ERROR\nmessage:{reason}\n{receipt}content-type:application/json\n\
             content-length:{length}\n\n{body}\0"
        )));
    }
    passes(&mut session, &Frame::text("DISCONNECT\nreceipt:1\n\n\0"));
}

#[test]
fn a_transaction_that_lacks_a_message_is_not_committed() {
    let upstream = RawUpstream::bind();
    let (_gateway, mut session) = open(&upstream);
    session.client.say(Frame::text("SEND\ndestination:/queue/admin\ntransaction:t\n\n\0"));
    let answer = session.client.read_frame();
    assert!(answer.payload.starts_with(b"ERROR\nmessage:message.claim\n"), "{answer:?}");
    let frame = Frame::text("COMMIT\ntransaction:t\n\n\0");
    closes(&mut session, &frame, 1007, "message.structure");
}
