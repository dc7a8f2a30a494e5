//! Clients and applications that compress by default: Python `websockets` and Node `ws`.

use super::support::{Frame, Gateway, Peer, RawUpstream, Tap, Tool, inflated, packed, run_client};
use super::{ACCEPTED, inspecting, offering};

/// What the clients do, but for closing and for wanting no extension.
const STEPS: [&str; 12] = [
    "text",
    "binary",
    "empty",
    "non_ascii",
    "large",
    "large_from_application",
    "fragments",
    "fragments_from_application",
    "ping",
    "ping_from_application",
    "many_in_order",
    "extension",
];

fn compressed(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.rsv == 4 && matches!(frame.opcode, 1 | 2)).count()
}

/// Every scenario of `client` against the echo of `application`, both compressing.
fn everything(client: Tool, application: Tool) {
    let peer = Peer::start(application, "echo", &[]);
    let tap = Tap::on(peer.address());
    let gateway = Gateway::to(&[tap.address()])
        .route("origins = [\"*\"]")
        .websocket("compression = \"inspect\"\nmax_inflation_ratio = \"off\"")
        .start();
    let (url, ca) = (gateway.url("wss", "/ws"), gateway.ca_file());
    let fixed = [url.as_str(), ca.to_str().unwrap()];
    let steps = run_client(client, &[&fixed, &STEPS[..]].concat());
    assert_eq!(steps.len(), STEPS.len());
    assert!(steps.iter().all(|step| step["ok"] == true), "{steps:?}");
    assert!(gateway.error_records().is_empty(), "{:?}", gateway.error_records());
    let (there, back) = tap.frames();
    // A mebibyte of text and one of zeros, and what the other libraries compress of small ones.
    assert!(compressed(&there) >= 2, "what reached the application was not compressed");
    assert!(compressed(&back) >= 3, "what it answered was not compressed");
    let zeros = back.iter().filter(|frame| frame.rsv == 4 && frame.opcode == 2);
    assert!(zeros.into_iter().any(|frame| frame.payload.len() < 10_000));
}

#[test]
#[ignore = "needs python websockets"]
fn python_to_python() {
    everything(Tool::Python, Tool::Python);
}

#[test]
#[ignore = "needs python websockets and node ws"]
fn python_to_node() {
    everything(Tool::Python, Tool::Node);
}

#[test]
#[ignore = "needs python websockets and node ws"]
fn node_to_python() {
    everything(Tool::Node, Tool::Python);
}

#[test]
#[ignore = "needs node ws"]
fn node_to_node() {
    everything(Tool::Node, Tool::Node);
}

/// What a real client sends reaches the application compressed, and it is the text.
fn sends_compressed(client: Tool) {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).route("origins = [\"*\"]").start();
    let (url, ca) = (gateway.url("wss", "/ws"), gateway.ca_file());
    let sending =
        std::thread::spawn(move || run_client(client, &[&url, ca.to_str().unwrap(), "compressed"]));
    let (mut application, request) = upstream.accept_upgrade(ACCEPTED);
    assert!(request.only("sec-websocket-extensions").unwrap().contains("permessage-deflate"));
    for number in 0..3 {
        let frame = application.read_frame();
        assert_eq!((frame.rsv, frame.opcode), (4, 1), "{frame:?}");
        let text = format!("message {number}: {}", "Grüße ".repeat(500));
        assert_eq!(inflated(&frame.payload), text.as_bytes(), "each stands for itself");
        application.say(frame.with_rsv(4));
    }
    let steps = {
        let close = application.read_frame();
        application.say(close);
        application.half_close();
        sending.join().unwrap()
    };
    assert_eq!(steps[0]["ok"], true);
}

#[test]
#[ignore = "needs python websockets"]
fn python_sends_compressed() {
    sends_compressed(Tool::Python);
}

#[test]
#[ignore = "needs node ws"]
fn node_sends_compressed() {
    sends_compressed(Tool::Node);
}

/// What a real application sends refers to what it sent before, and crosses.
fn answers_compressed(application: Tool) {
    let peer = Peer::start(application, "echo", &[]);
    let gateway = Gateway::to(&[peer.address()]).websocket("compression = \"inspect\"").start();
    let mut client = gateway.connect();
    client.send_request(&offering("permessage-deflate; client_max_window_bits"));
    let response = client.read_head();
    let answer = response.only("sec-websocket-extensions").unwrap();
    assert!(answer.contains("client_no_context_takeover"), "{answer}");
    let words: Vec<_> = (0..300).map(|number| format!("{number}: Grüße")).collect();
    let text = words.join(" ");
    let lengths: Vec<_> = (0..3)
        .map(|number| {
            client.say(packed(&text));
            let frame = client.read_frame();
            assert_eq!((frame.rsv, frame.opcode), (4, 1), "{frame:?}");
            if number == 0 {
                assert_eq!(inflated(&frame.payload), text.as_bytes());
            }
            frame.payload.len()
        })
        .collect();
    assert!(lengths[2] < lengths[0] / 4, "it takes its window over: {lengths:?}");
}

#[test]
#[ignore = "needs python websockets"]
fn python_answers_compressed() {
    answers_compressed(Tool::Python);
}

#[test]
#[ignore = "needs node ws"]
fn node_answers_compressed() {
    answers_compressed(Tool::Node);
}
