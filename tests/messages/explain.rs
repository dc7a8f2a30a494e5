//! `explain --message` judges a message as a session does.

use serde_json::json;

use super::support::RawUpstream;
use super::{guarded, now, sign};

const RULES: &str = r#"
[routes.app.messages]
kinds = ["text"]
schema = "chat.json"
type_at = "/action"
[routes.app.messages.types."room:*"]
require_in = { rooms = "/room" }
"#;

#[test]
fn each_rule_is_a_line_and_the_verdict_is_the_last() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, RULES).start();
    let token = sign(&json!({ "sub": "ada", "exp": now() + 600, "rooms": ["red"] }));
    let explain = |message: &str, binary: bool| {
        let file = gateway.folder().join("message");
        std::fs::write(&file, message).unwrap();
        let file = file.display().to_string();
        let mut arguments = vec!["--path", "/ws", "--token", &token, "--message", &file];
        arguments.extend(binary.then_some("--binary"));
        gateway.explain(&arguments)
    };
    let (code, text) = explain("{\"action\":\"room:join\",\"room\":\"red\"}", false);
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "message      passed (routes.app.messages.kinds)",
        "message      passed (routes.app.messages.schema)",
        "message      its type is \"room:*\" (routes.app.messages.unlisted)",
        "message      passed (routes.app.messages.types.require_in)",
        "admitted     as ada",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
    for (message, binary, last) in [
        (
            "{\"action\":\"room:join\",\"room\":\"blue\"}",
            false,
            "refused      message.claim (4403)",
        ),
        ("{\"action\":1}", false, "refused      message.schema (1008)"),
        ("{\"action\":\"x\"}", false, "refused      message.type (1008)"),
        ("{", false, "refused      message.structure (1007)"),
        ("{}", true, "refused      message.kind (1008)"),
    ] {
        let (code, text) = explain(message, binary);
        assert_eq!((code, text.lines().last()), (Some(2), Some(last)), "{text}");
    }
}
