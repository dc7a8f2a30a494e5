//! A family of cases, and how it is run: one gateway in front of an application in the test's
//! hands, one in front of an echo.

use std::net::SocketAddr;

use super::Case;
use super::drive::{Direction, drive};
use super::echo::{Echo, through};
use super::support::{Gateway, RawUpstream, Session};

pub(crate) struct Family {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    /// Lines of `[websocket]`.
    pub(crate) settings: &'static str,
    pub(crate) cases: fn() -> Vec<Case>,
}

/// An echo puts together what came in fragments, so that its frames are as large as messages.
const ROOMY: &str = "max_fragments = 4096";

/// Names the case when a test fails in it.
struct Running<'a>(&'a Case, &'static str);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Case { id, what, writes, .. } = self.0;
            eprintln!("in case {id}, {what} ({writes:?}), {}", self.1);
        }
    }
}

impl Family {
    /// Drives every case every way, and says so.
    pub(crate) fn check(&self) {
        let cases = (self.cases)();
        let runs = self.both_directions(&cases) + echoed(Echo::start().address(), &cases);
        assert_eq!(runs, cases.iter().map(Case::runs).sum::<usize>());
        println!(
            "{} {}: {} cases, {runs} runs, all as expected",
            self.number,
            self.name,
            cases.len()
        );
    }

    fn both_directions(&self, cases: &[Case]) -> usize {
        let upstream = RawUpstream::bind();
        let gateway = Gateway::to(&[upstream.address()]).websocket(self.settings).start();
        for case in cases {
            for direction in [Direction::ToUpstream, Direction::ToClient] {
                let _running = Running(case, direction.name());
                drive(case, Session::open(&gateway, &upstream), direction);
            }
        }
        2 * cases.len()
    }
}

/// Sends what is in order through the gateway to an echo.
pub(crate) fn echoed(echo: SocketAddr, cases: &[Case]) -> usize {
    let gateway = Gateway::to(&[echo]).websocket(ROOMY).start();
    let valid: Vec<_> = cases.iter().filter(|case| case.is_valid()).collect();
    for case in &valid {
        let _running = Running(case, "through the echo");
        through(case, &gateway);
    }
    valid.len()
}
