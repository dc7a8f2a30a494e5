//! `[upstreams.NAME.health]`

use std::time::Duration;

use super::{HOUR, secs};
use crate::config::cluster::parse_upstream_host;
use crate::config::health::{self, CheckName};
use crate::config::kinds::{Choice, Integer, Text, Time};

section! {
    /// The keys of `[upstreams.NAME.health]`.
    pub(in crate::config) struct HealthKeys {} Health health_rows;

    CHECK check = Choice<CheckName>, Choice::of(CheckName::ALL),
        Needed("write check = \"tcp\", \"http\" or \"websocket\""),
        "How a server is checked: `tcp` connects, with TLS where the server has it; `http` sends a GET, which any \
         status of 200 to 399 passes; `websocket` performs an opening handshake, then sends a ping and waits for \
         its pong. `off` checks nothing.";
    CHECK_PATH path: Option<String> = Text<String>,
        Text::new("a path such as \"/healthz\", which may have a query", r"^/[!-~]*$", health::parse_path),
        Omittable("required by `http` and `websocket`"),
        "The path that is requested there, without a token and without an Origin.";
    CHECK_HOST host: Option<String> = Text<String>,
        Text::new("a host such as \"app.example.com\" or \"app:8080\"", r"^[^\s/]+$", parse_upstream_host),
        Omittable("the `upstream_host` that all routes of the table share, or the server's own host"),
        "The Host header of `http` and `websocket`.";
    CHECK_INTERVAL interval: Duration = Time, Time { min: Duration::from_millis(100), max: HOUR }, Value(secs(5)),
        "The time from the start of one check to the start of the next, up to a tenth longer or shorter at random.";
    CHECK_TIMEOUT timeout: Duration = Time, Time { min: Duration::from_millis(50), max: secs(60) }, Value(secs(2)),
        "How long a check may take in all, connection included.";
    DOWN_AFTER down_after: u32 = Integer, Integer::new(1, 100), Value(3),
        "So many failures in a row mark a server as down.";
    UP_AFTER up_after: u32 = Integer, Integer::new(1, 100), Value(2),
        "So many passes in a row mark it as up again.";
}
