//! The signals of a running gateway.

use std::convert::Infallible;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::journal::{Event, LogGuard};

/// SIGINT and SIGTERM, which stop the gateway.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// SIGUSR1 and SIGHUP, which reopen the log files, and signals that are ignored and logged because
/// their default action would end the process silently.
pub(super) struct OtherSignals {
    reopen: Signal,
    hangup: Signal,
    quit: Signal,
    alarm: Signal,
}

impl OtherSignals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            reopen: signal(SignalKind::user_defined1())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            alarm: signal(SignalKind::alarm())?,
        })
    }

    /// Handles each signal as it arrives, for as long as the future is polled.
    pub(super) async fn attend(mut self, log: &LogGuard) -> Infallible {
        let (files, journal) = (log.files(), log.journal());
        loop {
            let ignored = tokio::select! {
                _ = self.reopen.recv() => None,
                // The gateway does the reload.
                _ = self.hangup.recv() => None,
                _ = self.quit.recv() => Some("SIGQUIT"),
                _ = self.alarm.recv() => Some("SIGALRM"),
            };
            match ignored {
                None => files.reopen(),
                Some(signal) => journal.record(Event::SignalIgnored { signal }),
            }
        }
    }
}
