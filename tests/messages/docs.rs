//! The examples of `docs/messages.md`, as they stand there.

use std::path::Path;

use serde_json::json;

use super::packed::message_pack;
use super::support::{Frame, RawUpstream, Session};
use super::{guarded, with};

/// The title of a section, a message that its example lets through, and one that it refuses with a reason.
const EXAMPLES: &[(&str, &str, &str, &str)] = &[
    ("Only text, of a limited size", "hello", "BINARY", "message.kind"),
    ("Only JSON", "{\"a\":1}", "{\"a\":1,\"\\u0061\":2}", "message.structure"),
    (
        "Only MessagePack or CBOR",
        "MessagePack {\"action\":\"say\"}",
        "MessagePack {\"action\":1}",
        "message.schema",
    ),
    ("Only these files", "{\"action\":\"say\"}", "BINARY", "message.kind"),
    ("Only messages of a JSON Schema", "{\"action\":\"say\"}", "{}", "message.schema"),
    ("No scripts", "description", "{\"text\":\"\\u003cscript\"}", "message.pattern"),
    ("Only these actions", "{\"action\":\"room:join\"}", "{\"action\":\"rooms\"}", "message.type"),
    ("Only admins may delete", "{\"action\":\"say\"}", "{\"action\":\"delete\"}", "message.claim"),
    (
        "Only your own rooms",
        "{\"action\":\"room:join\",\"room\":\"red\"}",
        "{\"action\":\"room:join\",\"room\":\"blue\"}",
        "message.claim",
    ),
    ("Five uploads a minute", "{\"action\":\"upload\"}", "{\"action\":\"other\"}", "message.type"),
    (
        "Ban clients that keep breaking the rules",
        "{\"action\":\"say\"}",
        "{\"action\":\"x\"}",
        "message.type",
    ),
    (
        "Find out what your clients send",
        "{\"action\":\"room:7\"}",
        "{\"action\":\"delete\"}",
        "message.type",
    ),
];

/// The TOML of the section.
fn example(page: &str, title: &str) -> String {
    let (_, section) = page.split_once(&format!("\n## {title}\n")).expect(title);
    let (_, block) = section.split_once("```toml\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.replace("routes.chat", "routes.app").replace("schemas/chat.json", "chat.json")
}

/// A text message, unless its first word says otherwise.
fn frame(message: &str) -> Frame {
    if let Some(value) = message.strip_prefix("MessagePack ") {
        return Frame::binary(message_pack(&serde_json::from_str(value).unwrap()));
    }
    if message == "BINARY" { Frame::binary(message) } else { Frame::text(message) }
}

#[test]
fn each_example_does_what_its_section_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/messages.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(page.matches("```toml").count(), EXAMPLES.len());
    let upstream = RawUpstream::bind();
    for &(title, good, bad, reason) in EXAMPLES {
        let gateway = guarded(&upstream, &example(&page, title)).start();
        let claims = json!({ "rooms": ["red"], "role": "user" });
        let mut session = Session::open_with(&gateway, &upstream, &with(&claims), "");
        let id = session.request_id();
        super::passes(&mut session, &frame(good));
        session.client.say(frame(bad));
        gateway.wait_for_record(|record| {
            record["event"] == "message.refused"
                && record["request_id"] == id
                && record["reason"] == reason
        });
    }
}
