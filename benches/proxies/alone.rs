//! The application in a process of its own, where this one could not open enough files for it and the
//! clients.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpListener;

use crate::Outcome;
use crate::app::serve;
use crate::measure::raise_open_files;

/// Tells the benchmark's program to be the application and nothing else.
pub(crate) const ALONE: &str = "--application";

/// An application in a process of its own, on the core of whoever starts it. Ended when dropped.
pub(crate) struct Application {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Application {
    pub(crate) fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ALONE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut address)?;
        let address = address.trim().parse();
        let application = address.map(|address| Self { child, address });
        application.map_err(|_| "the application did not start".into())
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process of an [`Application`]: says where it listens, and serves until its input ends.
pub(crate) fn run_alone() -> Outcome<()> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let over = tokio::task::spawn_blocking(|| io::stdin().read(&mut [0]));
        tokio::select! {
            _ = over => {}
            () = serve(listener) => {}
        }
        Ok(())
    });
    runtime.shutdown_background();
    outcome
}
