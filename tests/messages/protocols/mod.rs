//! Protocols: the rules of `docs/protocols.md` against the running gateway.

mod graphql;
mod json_rpc;
mod phoenix;
mod socket_io;

use std::path::Path;

/// The TOML of a section of `docs/protocols.md`.
fn example(title: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocols.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once(&format!("\n## {title}\n")).expect(title);
    let (_, block) = section.split_once("```toml\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.to_owned()
}
