//! The gateway's own binary, with a configuration, a certificate and a log of its own: how it is
//! started, and how it ends. `configuration` says what it is started with, `connections` how clients
//! reach it, `refusals` what it answers, `log` what it wrote, `operator` what its operator can do.

mod configuration;
mod connections;
mod log;
mod operator;
mod refusals;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use tempfile::TempDir;

use super::certificates::{authority, issue, trusting};
use super::eventually;
pub use configuration::Builder;

/// A running gateway; dropping it kills the process.
pub struct Gateway {
    child: Child,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    folder: Arc<TempDir>,
}

impl Builder {
    /// Starts it, and waits until it listens.
    pub fn start(self) -> Gateway {
        let folder = TempDir::new().unwrap();
        let authority = authority();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        for (index, names) in self.names.iter().enumerate() {
            issue(&authority, folder.path(), &format!("site{index}"), names);
        }
        if let Some(prepare) = self.prepare {
            prepare(folder.path(), &authority);
        }
        fs::write(folder.path().join("framewall.toml"), self.toml()).unwrap();
        let mut program = PathBuf::from(PROGRAM);
        if let Some(name) = self.program {
            program = folder.path().join(name);
            std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
        }
        let admin = self.admin.as_deref();
        let child = spawn(&program, folder.path(), admin, self.watch, &self.environment);
        let mut gateway = Gateway {
            child,
            address: ([127, 0, 0, 1], 0).into(),
            tls: self.tls.then(|| trusting(&authority)),
            folder: Arc::new(folder),
        };
        gateway.address = gateway.listening();
        gateway
    }
}

impl Gateway {
    /// A gateway in front of these applications, in the order they are tried.
    pub fn to(upstreams: &[SocketAddr]) -> Builder {
        Builder::new(upstreams)
    }

    /// Stops it, and starts it again with the same folder.
    pub fn restart(mut self) -> Self {
        self.terminate();
        self.exit_code();
        let log = self.folder.path().join("framewall.log");
        fs::rename(&log, log.with_extension("old")).unwrap();
        let none = BTreeMap::new();
        self.child = spawn(PROGRAM.as_ref(), self.folder.path(), None, false, &none);
        self.address = self.listening();
        self
    }

    fn listening(&mut self) -> SocketAddr {
        let found = eventually(|| {
            let record =
                self.log_records().into_iter().find(|record| record["event"] == "listening");
            match record {
                Some(record) => Some(Ok(record["address"].as_str().unwrap().parse().unwrap())),
                None => self.child.try_wait().unwrap().map(Err),
            }
        });
        match found {
            Some(Ok(address)) => address,
            other => panic!("the gateway does not listen ({other:?}): {}", self.output()),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that clients trust.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A scratch folder of the gateway's.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the process wrote to its standard output and error.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Waits for the process to end by itself. Returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = eventually(|| self.child.try_wait().unwrap());
        status.unwrap_or_else(|| panic!("still running: {}", self.output())).code()
    }

    /// Kills the process. Returns its folder, which goes when that is dropped.
    pub fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Arc::clone(&self.folder)
    }

    /// Resident memory of the process in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the gateway wrote:\n{}", self.output());
        }
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The gateway's binary.
const PROGRAM: &str = env!("CARGO_BIN_EXE_framewall");

fn spawn(
    program: &Path,
    folder: &Path,
    admin: Option<&str>,
    watch: bool,
    environment: &BTreeMap<String, String>,
) -> Child {
    let output = File::create(folder.join("output")).unwrap();
    Command::new(program)
        .args(["run", "--config", "framewall.toml"])
        .args(admin.iter().flat_map(|path| ["--admin-socket", path]))
        .args(watch.then_some("--watch"))
        .envs(environment)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}
