//! The same with an echo that nobody here wrote.

use super::FAMILIES;
use super::family::echoed;
use super::support::{Peer, Tool};

#[test]
#[ignore = "needs python websockets"]
fn valid_cases_are_echoed_by_python() {
    let peer = Peer::start(Tool::Python, "echo", &[]);
    for family in FAMILIES {
        let cases = (family.cases)();
        let echoes = cases.iter().filter(|case| case.is_valid() && case.only.is_none());
        let runs = echoed(peer.address(), echoes);
        println!("{} {}: {runs} runs through Python, all as expected", family.number, family.name);
    }
}
