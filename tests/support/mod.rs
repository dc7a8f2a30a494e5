//! What integration tests stand on: the gateway's own binary ([`Gateway`]), raw sockets at both of
//! its ends ([`Wire`], [`RawUpstream`]), the two joined ([`Session`]), real programs ([`Peer`],
//! [`Browser`]), an ear on the wire to one ([`Tap`]) and a server of pages and keys ([`Https`]).
//!
//! Everything listens on a free loopback port and is ended by whoever started it. The test itself
//! plays client and application in turn, so that nothing depends on timing: it waits for events,
//! for [`TIMEOUT`] at most.
#![allow(
    dead_code,
    clippy::unwrap_used,
    unused_imports,
    unreachable_pub,
    reason = "each test binary is a crate of its own and uses a part"
)]

mod browser;
mod certificates;
mod deflater;
mod frame;
mod gateway;
mod http;
mod https;
mod peer;
mod session;
mod tap;
mod token;
mod upstream;
mod wire;

use std::time::{Duration, Instant};

pub use browser::Browser;
pub use certificates::{Authority, authority, issue, issue_with, trusting};
pub use deflater::{Deflater, bomb, inflated, packed, zeros};
pub use frame::Frame;
pub use gateway::{Builder as GatewayBuilder, Gateway};
pub use http::{ACCEPT, KEY, Request, Response};
pub use https::{Https, HttpsPort, answer};
pub use peer::{Peer, Tool, run_client, run_program};
pub use session::Session;
pub use tap::Tap;
pub use token::{SECRET, now, sign, sign_with, token, write_secret};
pub use upstream::{RawUpstream, Silent, valid_answer};
pub use wire::Wire;

/// How long an event may take before the test fails. Never a time that is asserted.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Raises this process's limit of open files as far as it may.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Asks until there is an answer, or [`TIMEOUT`] is over: often at first, since most of what is
/// waited for is a moment away, then every 5 ms.
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + TIMEOUT;
    let mut pause = Duration::from_micros(250);
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= deadline {
            return answer;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}
