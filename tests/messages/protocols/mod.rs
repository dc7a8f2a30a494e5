//! Protocols: the rules of `docs/protocols.md` against the running gateway.

mod graphql;
mod json_rpc;
mod mqtt;
mod phoenix;
mod polling;
mod socket_io;
mod stomp;

use std::path::Path;

use serde_json::{Value, json};

use super::support::{Gateway, GatewayBuilder, Peer, RawUpstream, Tool, now, run_program, sign};

/// The TOML of a section of `docs/protocols.md`.
fn example(title: &str) -> String {
    examples(title).remove(0)
}

/// The same for every TOML block of the section.
fn examples(title: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocols.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once(&format!("\n## {title}\n")).expect(title);
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```toml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// A gateway at `path` in front of `peer`, with the example of a section of `docs/protocols.md` and `more`.
fn in_front_of(peer: &Peer, title: &str, path: &str, more: &str) -> Gateway {
    let unused = RawUpstream::bind();
    let builder: GatewayBuilder = super::guarded(&unused, &format!("{}{more}", example(title)));
    builder.upstreams(&[peer.address()]).path(path).start()
}

/// Runs a client of `tests/peers/protocols` at `target` with a token for the room red. Returns its steps.
fn run_client(gateway: &Gateway, client: &str, target: &str, more: &[&str]) -> Vec<Value> {
    let claims = json!({ "sub": "ada", "exp": now() + 600, "rooms": ["red"], "role": "user" });
    let (url, ca, token) = (gateway.url("wss", target), gateway.ca_file(), sign(&claims));
    let arguments = [&[url.as_str(), ca.to_str().unwrap(), &token], more].concat();
    run_program(Tool::Node, &format!("protocols/{client}"), &arguments)
}
