//! What is measured: one row, one kind of work.

use std::time::Duration;

use crate::messages::Rules;

/// One kind of work, and what is told of it.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// As `--rows` takes it.
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    /// A line of the table for each figure that the work gives.
    pub(crate) lines: &'static [Line],
}

/// A line of the table.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
}

/// The work of one round.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// Each connection sends `pipeline` messages at once, waits for all of them, and again; as
    /// often as it takes for `messages` in all. Gives CPU time a message.
    Echo { connections: u32, size: usize, pipeline: u32, messages: u32 },
    /// Each connection sends a message each `interval`, and all of them `messages`. Gives CPU time a
    /// message and [`QUANTILES`] of the time from when it was due to its echo.
    Paced { connections: u32, size: usize, interval: Duration, messages: u32 },
    /// The application sends `messages` in all, spread over the connections. Gives CPU time a
    /// message.
    Push { connections: u32, size: usize, messages: u32 },
    /// Connections from TCP to a Close that was answered, `concurrency` at a time. Gives CPU time a
    /// connection.
    Handshakes { count: u32, concurrency: u32, resumed: bool },
    /// Each connection asks for a page of `size` bytes, one request after the other, and all of them `requests`.
    /// Gives CPU time a request.
    Get { connections: u32, size: usize, requests: u32 },
    /// Connections that had one message echoed, which met the rules, and say nothing more. Gives memory a connection.
    Idle { connections: u32, rules: Rules },
    /// Each connection sends a JSON message of `size` bytes, waits for it, and again; first on routes with each of
    /// [`COMPARED`] and then in the opposite order, `messages` by each. Gives CPU time a message of each, the ratios of
    /// these times to the first one, and the messages a second of each.
    Judged { connections: u32, size: usize, messages: u32 },
    /// As many connections, of which [`ACTIVE`] at a time have a message echoed, each in its turn.
    /// Where the limit of open files is in the way, several processes of a proxy share them. Gives
    /// CPU time a message, and memory a connection: the proxy's and the kernel's.
    Crowd { connections: u32, processes: u32, size: usize, messages: u32 },
}

/// Of the latencies of a round.
pub(crate) const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];
/// Messages on their way at the same time in a crowd.
pub(crate) const ACTIVE: u32 = 50;

/// Rules that are compared; the first are none.
pub(crate) const COMPARED: [Rules; 3] = [Rules::None, Rules::Types, Rules::Schema];

pub(crate) const ROWS: [Row; 12] = [
    row("echo-64", echo(50, 64, 1, 60_000), &[time("64 B echo, 50 connections")]),
    row(
        "pipelined-125",
        echo(10, 125, 64, 1_280_000),
        &[time("125 B echo, 64 at once, 10 connections")],
    ),
    row("echo-4k", echo(50, 4 << 10, 1, 50_000), &[time("4 KiB echo, 50 connections")]),
    row("echo-64k", echo(16, 64 << 10, 1, 6000), &[time("64 KiB echo, 16 connections")]),
    row("echo-1m", echo(4, 1 << 20, 1, 400), &[time("1 MiB echo, 4 connections")]),
    row(
        "push-256",
        Work::Push { connections: 50, size: 256, messages: 75_000 },
        &[time("256 B server push, 50 connections")],
    ),
    row(
        "paced-64",
        Work::Paced {
            connections: 50,
            size: 64,
            interval: Duration::from_millis(10),
            messages: 20_000,
        },
        &[
            time("64 B echo at 5,000 a second"),
            time("its latency: p50"),
            time("its latency: p99"),
            time("its latency: p99.9"),
        ],
    ),
    row("handshake", handshakes(false), &[time("full handshake, upgrade, Close")]),
    row("resumed", handshakes(true), &[time("resumed handshake, upgrade, Close")]),
    // Some end a connection after 1,000 requests.
    row("get-1k", get(50, 1 << 10, 40_000), &[time("GET of 1 KiB, 50 connections")]),
    row("get-1m", get(4, 1 << 20, 400), &[time("GET of 1 MiB, 4 connections")]),
    row(
        "idle-1000",
        Work::Idle { connections: 1000, rules: Rules::None },
        &[memory("memory per idle connection, of 1,000")],
    ),
];

/// Left out of a quick run.
pub(crate) const LARGE_ROWS: [Row; 1] = [row(
    "idle-10000",
    Work::Idle { connections: 10_000, rules: Rules::None },
    &[memory("memory per idle connection, of {connections}")],
)];

/// What the rules for messages cost. Other proxies have none, and forward what comes.
pub(crate) const RULES: [Row; 5] = [
    row("rules-200", judged(50, 200, 60_000), JUDGED),
    row("rules-4k", judged(50, 4 << 10, 30_000), JUDGED),
    row("rules-64k", judged(16, 64 << 10, 3000), JUDGED),
    row(
        "idle-no-rules",
        Work::Idle { connections: 4000, rules: Rules::None },
        &[memory("memory per idle connection, no rules")],
    ),
    row(
        "idle-types",
        Work::Idle { connections: 4000, rules: Rules::Types },
        &[memory("memory per idle connection, types")],
    ),
];

const JUDGED: &[Line] = &[
    time("JSON of {size}, no rules"),
    time("JSON of {size}, types"),
    time("JSON of {size}, a schema"),
    Line { title: "JSON of {size}, types", unit: "times no rules" },
    Line { title: "JSON of {size}, a schema", unit: "times no rules" },
    Line { title: "JSON of {size}, no rules", unit: "per s" },
    Line { title: "JSON of {size}, types", unit: "per s" },
    Line { title: "JSON of {size}, a schema", unit: "per s" },
];

/// What many connections make of the cost of one.
pub(crate) const SCALE: [Row; 6] = [
    row("scale-100", crowd(100), CROWD),
    row("scale-300", crowd(300), CROWD),
    row("scale-1000", crowd(1000), CROWD),
    row("scale-3000", crowd(3000), CROWD),
    row("scale-10000", crowd(10_000), CROWD),
    row("scale-20000", crowd(20_000), CROWD),
];

const CROWD: &[Line] = &[
    time("64 B echo, {connections} connections"),
    memory("memory per connection, of {connections}"),
    memory("the kernel's memory per connection, of {connections}"),
];

const fn row(name: &'static str, work: Work, lines: &'static [Line]) -> Row {
    Row { name, work, lines }
}

const fn time(title: &'static str) -> Line {
    Line { title, unit: "µs" }
}

const fn memory(title: &'static str) -> Line {
    Line { title, unit: "KiB" }
}

const fn echo(connections: u32, size: usize, pipeline: u32, messages: u32) -> Work {
    Work::Echo { connections, size, pipeline, messages }
}

const fn judged(connections: u32, size: usize, messages: u32) -> Work {
    Work::Judged { connections, size, messages }
}

const fn get(connections: u32, size: usize, requests: u32) -> Work {
    Work::Get { connections, size, requests }
}

const fn handshakes(resumed: bool) -> Work {
    Work::Handshakes { count: 1000, concurrency: 16, resumed }
}

const fn crowd(connections: u32) -> Work {
    Work::Crowd { connections, processes: 1, size: 64, messages: 40_000 }
}

impl Row {
    /// The same with less to do.
    pub(crate) fn scaled_down(mut self, by: u32) -> Self {
        match &mut self.work {
            Work::Echo { messages, .. }
            | Work::Push { messages, .. }
            | Work::Paced { messages, .. }
            | Work::Judged { messages, .. }
            | Work::Crowd { messages, .. } => *messages /= by,
            Work::Handshakes { count, .. } => *count /= by,
            Work::Get { requests, .. } => *requests /= by,
            Work::Idle { .. } => {}
        }
        self
    }

    /// How many connections it wants, where that is what it is about.
    pub(crate) fn wanted(&self) -> Option<u32> {
        match self.work {
            Work::Idle { connections, .. } | Work::Crowd { connections, .. } => Some(connections),
            _ => None,
        }
    }

    /// The size of its messages, where the title has it.
    pub(crate) fn size(&self) -> Option<usize> {
        match self.work {
            Work::Judged { size, .. } => Some(size),
            _ => None,
        }
    }

    /// The same with no more connections than that to a process.
    pub(crate) fn with_at_most(mut self, most: u32) -> Self {
        match &mut self.work {
            Work::Idle { connections, .. } => *connections = most.min(*connections),
            Work::Crowd { connections, processes, .. } => {
                // A few less are the same point of the curve.
                *processes = (connections.saturating_add(most / 2) / most).max(1);
                *connections = most.saturating_mul(*processes).min(*connections);
            }
            _ => {}
        }
        self
    }
}
