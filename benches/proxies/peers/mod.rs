//! The proxies: how each is found, started and ended. What an expert would tune is in the file of
//! each.

mod caddy;
mod envoy;
mod framewall;
mod haproxy;
mod nginx;

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use crate::Outcome;
use crate::load::HOST;

const START: Duration = Duration::from_secs(20);
/// A profiler may have much to write down.
const STOP: Duration = Duration::from_secs(30);
/// Where Debian puts what is not in everybody's path.
const SBIN: &str = "/usr/sbin";

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Framewall,
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
    /// Framewall as another program has it: from before a change, say.
    Baseline,
}

/// In the order of the columns.
pub(crate) const KINDS: [Kind; 5] =
    [Kind::Framewall, Kind::Nginx, Kind::Haproxy, Kind::Envoy, Kind::Caddy];

/// A proxy that is installed.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    program: PathBuf,
}

/// A folder with the certificate, the schema, and everything a proxy is started with.
pub(crate) struct Ground {
    folder: tempfile::TempDir,
    pub(crate) application: SocketAddr,
    /// The core that the proxies are pinned to; `None` on a machine with one.
    pub(crate) core: Option<usize>,
}

/// What the configuration of a proxy is made from.
struct Site<'a> {
    folder: &'a Path,
    address: SocketAddr,
    application: SocketAddr,
    /// Bytes for an upgraded connection and direction, where a proxy has to be told.
    buffer: usize,
    /// Connections that the limit of open files allows.
    connections: u32,
}

/// How a proxy is started: its configuration, and the command line behind the program.
struct Setup {
    config: String,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

/// A proxy that runs, ended when dropped.
pub(crate) struct Proxy {
    master: Child,
    /// The process that does the work.
    pub(crate) worker: u32,
    pub(crate) address: SocketAddr,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Framewall => "Framewall",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Caddy => "Caddy",
            Self::Baseline => "baseline",
        }
    }

    /// One of [`KINDS`] by its name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Where its program is, if it is installed.
    pub(crate) fn find(self) -> Option<Peer> {
        let program = match self {
            Self::Framewall => framewall::program(),
            other => find_program(&other.name().to_ascii_lowercase())?,
        };
        Some(Peer { kind: self, program })
    }

    fn setup(self, site: &Site<'_>, file: &Path) -> Setup {
        match self {
            Self::Framewall | Self::Baseline => framewall::setup(site, file),
            Self::Nginx => nginx::setup(site, file),
            Self::Haproxy => haproxy::setup(site, file),
            Self::Envoy => envoy::setup(site, file),
            Self::Caddy => caddy::setup(site, file),
        }
    }
}

impl Peer {
    /// Another Framewall to measure beside this one.
    pub(crate) fn baseline(program: PathBuf) -> Self {
        Self { kind: Kind::Baseline, program }
    }

    /// Name and version, as the report has it.
    pub(crate) fn version(&self) -> String {
        let argument = match self.kind {
            Kind::Framewall | Kind::Baseline | Kind::Envoy => "--version",
            Kind::Nginx | Kind::Haproxy => "-v",
            Kind::Caddy => "version",
        };
        let output = Command::new(&self.program).arg(argument).output();
        // nginx says it where others say their errors.
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let numbers = said.split([' ', '/', '\n']).map(|word| word.trim_start_matches('v'));
        let mut numbers = numbers.filter(|word| word.contains('.'));
        let number = numbers.find(|word| word.starts_with(|digit: char| digit.is_ascii_digit()));
        format!("{} {}", self.kind.name(), number.unwrap_or("of an unknown version"))
    }
}

impl Ground {
    /// Also gives the certificate that clients are to trust.
    pub(crate) fn new(
        application: SocketAddr,
        core: Option<usize>,
    ) -> Outcome<(Self, CertificateDer<'static>)> {
        let folder = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        write_secret(&folder.path().join("key.pem"), &key)?;
        // HAProxy has both in one file.
        write_secret(&folder.path().join("both.pem"), &(key + &cert))?;
        fs::write(folder.path().join("cert.pem"), cert)?;
        crate::messages::write_files(folder.path())?;
        Ok((Self { folder, application, core }, made.cert.der().clone()))
    }

    /// Where the configurations are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a proxy. `buffer` is for an upgraded connection and direction, in bytes, where a proxy
    /// has to be told. `under` is a program that starts it.
    pub(crate) fn start(&self, peer: &Peer, buffer: usize, under: Option<&str>) -> Outcome<Proxy> {
        self.start_before(self.application, peer, buffer, under)
    }

    /// The same in front of another application.
    pub(crate) fn start_before(
        &self,
        application: SocketAddr,
        peer: &Peer,
        buffer: usize,
        under: Option<&str>,
    ) -> Outcome<Proxy> {
        let (address, folder, name) = (free_address()?, self.folder(), peer.kind.name());
        let connections = crate::measure::affordable(u32::MAX);
        let site = Site { folder, address, application, buffer, connections };
        let extension = if peer.kind == Kind::Envoy { "yaml" } else { "conf" };
        let file = folder.join(format!("{name}-{}.{extension}", address.port()));
        let log = folder.join(format!("{name}.log"));
        let setup = peer.kind.setup(&site, &file);
        fs::write(&file, setup.config)?;
        let master = self
            .pinned(under)
            .arg(&peer.program)
            .args(setup.arguments)
            .envs(setup.environment)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut proxy = Proxy { worker: master.id(), master, address };
        if let Err(error) = proxy.wait_until_ready(peer.kind) {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{name} did not start: {error}\n{said}").into());
        }
        Ok(proxy)
    }

    /// What a program is started with; each execs the next, so that the process id is the
    /// program's own.
    fn pinned(&self, under: Option<&str>) -> Command {
        let mut command = Command::new("env");
        if let Some(core) = self.core {
            command.args(["taskset", "-c"]).arg(core.to_string());
        }
        command.args(under.unwrap_or_default().split_whitespace());
        command
    }
}

impl Proxy {
    fn wait_until_ready(&mut self, kind: Kind) -> Outcome<()> {
        let until = Instant::now() + START;
        loop {
            if let Some(status) = self.master.try_wait()? {
                return Err(format!("{status}").into());
            }
            if TcpStream::connect(self.address).is_ok() && self.find_worker(kind) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err("it does not listen".into());
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// nginx works in a child of the process that was started.
    fn find_worker(&mut self, kind: Kind) -> bool {
        if kind != Kind::Nginx {
            return true;
        }
        let master = self.master.id();
        let children = format!("/proc/{master}/task/{master}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let worker = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        self.worker = worker.unwrap_or(self.worker);
        worker.is_some()
    }

    fn stop(&mut self) -> io::Result<()> {
        if self.master.try_wait()?.is_some() {
            return Ok(());
        }
        let until = Instant::now() + STOP;
        Command::new("kill").arg("-TERM").arg(self.master.id().to_string()).status()?;
        while self.master.try_wait()?.is_none() {
            if Instant::now() > until {
                self.master.kill()?;
                self.master.wait()?;
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("proxies: process {} could not be ended: {error}", self.master.id());
        }
    }
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from(SBIN)]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, Permissions::from_mode(0o600))
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn arguments<const N: usize>(words: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    words.into_iter().map(|word| word.as_ref().to_owned()).collect()
}
