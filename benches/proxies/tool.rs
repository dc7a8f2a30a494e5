//! A program beside a proxy that looks on while it works: a tracer, a profiler.

use std::process::{Child, Command};
use std::time::Duration;

use crate::Outcome;

/// Until it has attached itself.
const ATTACH: Duration = Duration::from_secs(1);

/// One that runs.
pub(crate) struct Tool(Child);

impl Tool {
    /// Runs `command`, its words separated by spaces.
    pub(crate) async fn start(command: &str, process: u32) -> Outcome<Self> {
        let command = command.replace("{pid}", &process.to_string());
        let child = Command::new("env").args(command.split_whitespace()).spawn()?;
        tokio::time::sleep(ATTACH).await;
        Ok(Self(child))
    }

    /// Interrupts it, if it still runs, and waits until it has said what it saw.
    pub(crate) async fn stop(mut self) -> Outcome<()> {
        if self.0.try_wait()?.is_none() {
            Command::new("kill").arg("-INT").arg(self.0.id().to_string()).status()?;
        }
        while self.0.try_wait()?.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
