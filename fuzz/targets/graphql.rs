//! Arbitrary GraphQL documents, with operations and with their root fields as types: the verdict of a second run is the
//! same, and so is the rule that decides about the document behind a comment.

#![no_main]

use framewall::message::{
    Bounds, GraphqlRules, MessageFault, MessageKind, MessageRules, OnViolation, Protocol,
};
use framewall::values::Endpoint;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|document: &str| {
    for root_fields in [false, true] {
        let rules = rules(root_fields);
        let fault = judge(&rules, document);
        assert_eq!(judge(&rules, document), fault, "the verdict is stable");
        let behind = judge(&rules, &format!("# a comment {{ \"\n,{document}"));
        let rule = |fault: Option<MessageFault>| fault.map(|fault| (fault.reason, fault.rule));
        assert_eq!(rule(behind), rule(fault), "a comment is ignored");
    }
});

/// The rule that a subscription with this document breaks.
fn judge(rules: &MessageRules, document: &str) -> Option<MessageFault> {
    let payload = json!({ "query": document, "variables": { "a": { "b": [1, "c"] } } });
    let message = json!({ "type": "subscribe", "id": "1", "payload": payload }).to_string();
    rules.try_out(MessageKind::Text, message.as_bytes(), None).fault
}

fn rules(root_fields: bool) -> MessageRules {
    MessageRules {
        sender: Endpoint::Client,
        protocol: Some(Protocol::GraphqlWs(GraphqlRules {
            max_selection_depth: 10,
            max_aliases: 15,
            max_complexity: 200,
            max_root_fields: 20,
            max_directives: 50,
            max_tokens: 5000,
            root_fields,
            introspection: false,
            allowed: None,
        })),
        max_size: 1 << 20,
        on_violation: OnViolation::Close,
        error_reply: None,
        report: false,
        strike: false,
        kinds: Vec::new(),
        bounds: Some(Bounds {
            max_depth: 32,
            max_members: 1000,
            max_items: 10_000,
            max_string: 1 << 20,
            duplicate_keys: false,
        }),
        packed: None,
        binary_types: Vec::new(),
        schema: None,
        deny: None,
        types: None,
    }
}
