//! The same with an echo that nobody here wrote.

use super::family::echoed;
use super::support::{Peer, Tool};
use super::{Case, FAMILIES};

#[test]
#[ignore = "needs python websockets"]
fn what_is_in_order_comes_back_from_python() {
    let peer = Peer::start(Tool::Python, "echo", &[]);
    for family in FAMILIES {
        let cases = (family.cases)();
        if !cases.iter().any(Case::is_valid) {
            continue;
        }
        let runs = echoed(peer.address(), &cases);
        println!("{} {}: {runs} runs through Python, all as expected", family.number, family.name);
    }
}
