//! A family of cases, and how it is run: one gateway in front of an application in the test's
//! hands, one in front of an echo.

use std::net::SocketAddr;

use super::Case;
use super::agreement::{Agreement, open};
use super::drive::drive;
use super::echo::{Echo, through};
use super::support::{Gateway, RawUpstream, packed};

pub(crate) struct Family {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    /// Lines of `[websocket]`.
    pub(crate) settings: &'static str,
    pub(crate) cases: fn() -> Vec<Case>,
    /// Its cases in a session that agreed on compression, if those are others.
    pub(crate) where_agreed: Option<fn() -> Vec<Case>>,
}

/// An echo puts together what came in fragments, so that its frames are as large as messages, and may
/// compress better than whoever sent them.
const ROOMY: &str = "max_fragments = 4096\nmax_inflation_ratio = \"off\"";

const COMPRESSION: &str = "compression = \"inspect\"";

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
    pub(crate) const fn new(number: u8, name: &'static str, cases: fn() -> Vec<Case>) -> Self {
        Self { number, name, settings: "", cases, where_agreed: None }
    }

    /// Drives every case every way, and says so.
    pub(crate) fn check(&self) {
        let cases = (self.cases)();
        let echoes = cases.iter().filter(|case| case.is_valid() && case.agreed.is_none());
        let runs = self.driven(&cases) + echoed(Echo::start().address(), echoes);
        assert_eq!(runs, cases.iter().map(Case::runs).sum::<usize>());
        self.say(&cases, runs, "");
    }

    /// Drives the cases once more, in sessions that agreed on compression.
    pub(crate) fn check_where_agreed(&self) {
        let cases = self.cases_where_agreed();
        self.say(&cases, self.driven(&cases), " beside compressed messages");
    }

    /// Its cases behind a compressed message, each in the last of the ways in which it is written:
    /// the finest. None of a family that is about compressed messages.
    pub(crate) fn cases_where_agreed(&self) -> Vec<Case> {
        let cases = self.where_agreed.unwrap_or(self.cases)();
        let is_last = |(index, case): &(usize, &Case)| {
            case.agreed.is_none() && !cases[index + 1..].iter().any(|later| later.is_same(case))
        };
        let beside = |(_, case): (usize, &Case)| {
            let mut case = case.clone().agreeing(Agreement::plain());
            case.crosses.insert(0, packed("a compressed message, and a message behind it"));
            case
        };
        cases.iter().enumerate().filter(is_last).map(beside).collect()
    }

    fn say(&self, cases: &[Case], runs: usize, where_: &str) {
        let Self { number, name, .. } = self;
        println!("{number} {name}{where_}: {} cases, {runs} runs, all as expected", cases.len());
    }

    /// In each direction, between two ends in the test's hands.
    fn driven(&self, cases: &[Case]) -> usize {
        let upstream = RawUpstream::bind();
        let compressed = cases.iter().any(|case| case.agreed.is_some());
        let compression = if compressed { COMPRESSION } else { "" };
        let gateway = Gateway::to(&[upstream.address()])
            .websocket(self.settings)
            .websocket(compression)
            .start();
        let mut runs = 0;
        for case in cases {
            for direction in case.directions() {
                let _running = Running(case, direction.name());
                drive(case, open(case, &gateway, &upstream), direction);
                runs += 1;
            }
        }
        runs
    }
}

/// Sends cases that are in order through the gateway to an echo.
pub(crate) fn echoed<'a>(echo: SocketAddr, cases: impl Iterator<Item = &'a Case>) -> usize {
    let gateway = Gateway::to(&[echo]).websocket(ROOMY).websocket(COMPRESSION).start();
    let mut runs = 0;
    for case in cases {
        let _running = Running(case, "through the echo");
        through(case, &gateway);
        runs += 1;
    }
    runs
}
