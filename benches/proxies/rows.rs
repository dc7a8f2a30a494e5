//! What is measured: one row, one kind of work.

/// A row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// As `--rows` takes it.
    pub(crate) name: &'static str,
    /// As the table says it.
    pub(crate) title: &'static str,
    pub(crate) work: Work,
}

/// The work of one round.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// Each connection sends `pipeline` messages at once, waits for all of them, and again; as
    /// often as it takes for `messages` in all.
    Echo { connections: u32, size: usize, pipeline: u32, messages: u32 },
    /// The application sends `messages` in all, spread over the connections.
    Push { connections: u32, size: usize, messages: u32 },
    /// Connections from TCP to a Close that was answered, `concurrency` at a time.
    Handshakes { count: u32, concurrency: u32, resumed: bool },
    /// Connections that had one message echoed and say nothing more.
    Idle { connections: u32 },
}

pub(crate) const ROWS: [Row; 9] = [
    row("echo-64", "64 B echo, 50 connections", echo(50, 64, 1, 60_000)),
    row("pipelined-125", "125 B echo, 64 at once, 10 connections", echo(10, 125, 64, 2_560_000)),
    row("echo-4k", "4 KiB echo, 50 connections", echo(50, 4096, 1, 50_000)),
    row("echo-1m", "1 MiB echo, 4 connections", echo(4, 1 << 20, 1, 400)),
    row(
        "push-256",
        "256 B server push, 50 connections",
        Work::Push { connections: 50, size: 256, messages: 75_000 },
    ),
    row(
        "handshake",
        "full handshake, upgrade, Close",
        Work::Handshakes { count: 1000, concurrency: 16, resumed: false },
    ),
    row(
        "resumed",
        "resumed handshake, upgrade, Close",
        Work::Handshakes { count: 1000, concurrency: 16, resumed: true },
    ),
    row("idle-1000", "memory per idle connection", Work::Idle { connections: 1000 }),
    row("idle-10000", "memory per idle connection", Work::Idle { connections: 10_000 }),
];

const fn row(name: &'static str, title: &'static str, work: Work) -> Row {
    Row { name, title, work }
}

const fn echo(connections: u32, size: usize, pipeline: u32, messages: u32) -> Work {
    Work::Echo { connections, size, pipeline, messages }
}

impl Row {
    /// Whether a quick run leaves it out.
    pub(crate) fn is_large(&self) -> bool {
        matches!(self.work, Work::Idle { connections } if connections > 1000)
    }

    /// The same with less to do.
    pub(crate) fn scaled_down(mut self, by: u32) -> Self {
        match &mut self.work {
            Work::Echo { messages, .. } | Work::Push { messages, .. } => *messages /= by,
            Work::Handshakes { count, .. } => *count /= by,
            Work::Idle { .. } => {}
        }
        self
    }

    /// Whether the row is about memory and not about time.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.work, Work::Idle { .. })
    }
}
