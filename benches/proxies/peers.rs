//! The two proxies: how each is configured, started and ended.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use crate::Outcome;
use crate::load::HOST;

/// Names the program to measure; otherwise it is the one that cargo built beside the benchmark, with
/// the features that only tests ask for.
const FRAMEWALL: &str = "FRAMEWALL";
const FRAMEWALL_BESIDE: &str = env!("CARGO_BIN_EXE_framewall");
/// Where Debian puts it, which is not in everybody's path.
const SBIN: &str = "/usr/sbin";
const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(5);

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Framewall,
    Nginx,
}

/// A folder with the certificate, and everything a proxy is started with.
pub(crate) struct Ground {
    folder: tempfile::TempDir,
    pub(crate) nginx: PathBuf,
    pub(crate) application: SocketAddr,
    /// The core that the proxies are pinned to; `None` on a machine with one.
    pub(crate) core: Option<usize>,
}

/// A proxy that runs, ended when dropped.
pub(crate) struct Proxy {
    master: Child,
    /// The process that does the work.
    pub(crate) worker: u32,
    pub(crate) address: SocketAddr,
}

/// The program, or how to get it.
pub(crate) fn find_nginx() -> Outcome<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from(SBIN)]);
    let found = folders.map(|folder| folder.join("nginx")).find(|file| file.is_file());
    found.ok_or_else(|| "nginx is not installed; scripts/bench installs it from Debian".into())
}

impl Ground {
    pub(crate) fn new(
        nginx: PathBuf,
        application: SocketAddr,
        core: Option<usize>,
    ) -> Outcome<(Self, CertificateDer<'static>)> {
        let folder = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let key = folder.path().join("key.pem");
        fs::write(folder.path().join("cert.pem"), made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        Ok((Self { folder, nginx, application, core }, made.cert.der().clone()))
    }

    /// Starts a proxy. `buffer` is nginx's for an upgraded connection, in bytes; Framewall has none.
    /// `under` is a program that starts it.
    pub(crate) fn start(&self, kind: Kind, buffer: usize, under: Option<&str>) -> Outcome<Proxy> {
        let address = free_address()?;
        let folder = self.folder.path();
        let file = folder.join(format!("{}-{}.conf", kind.name(), address.port()));
        let log = folder.join(format!("{}.log", kind.name()));
        let mut command = self.pinned(under);
        let text = match kind {
            Kind::Framewall => {
                let program = std::env::var_os(FRAMEWALL);
                command.arg(program.unwrap_or_else(|| FRAMEWALL_BESIDE.into()));
                command.args(["run", "--config"]).arg(&file);
                self.framewall_toml(address)
            }
            Kind::Nginx => {
                command.arg(&self.nginx).arg("-p").arg(folder);
                command.arg("-e").arg(&log).arg("-c").arg(&file);
                self.nginx_conf(address, buffer)
            }
        };
        fs::write(&file, text)?;
        let master = command
            .env("TOKIO_WORKER_THREADS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut proxy = Proxy { worker: master.id(), master, address };
        if let Err(error) = proxy.wait_until_ready(kind) {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{} did not start: {error}\n{said}", kind.name()).into());
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

    /// Every default, but for the log: nginx writes no access log either.
    fn framewall_toml(&self, address: SocketAddr) -> String {
        format!(
            r#"
[server]
listen = ["{address}"]
[tls]
certificates = [{{ cert = "cert.pem", key = "key.pem" }}]
[routes.app]
path = "/*"
upstream = ["ws://{}"]
origins = ["*"]
auth = "none"
[log]
level = "error"
"#,
            self.application
        )
    }

    /// One worker, tuned for upgraded connections: no log, no buffering, large accept queue, TLS resumed from
    /// tickets and a cache.
    fn nginx_conf(&self, address: SocketAddr, buffer: usize) -> String {
        let root = rustix::process::geteuid().is_root();
        format!(
            r#"
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid nginx-{port}.pid;
error_log stderr error;
events {{ worker_connections 65536; multi_accept on; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    map $http_upgrade $connection_upgrade {{ default Upgrade; "" close; }}
    upstream application {{ server {application}; }}
    server {{
        listen {address} ssl backlog=4096;
        server_name {HOST};
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        ssl_protocols TLSv1.3;
        ssl_session_cache shared:tls:10m;
        ssl_session_tickets on;
        ssl_buffer_size 16k;
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size {buffer};
            proxy_buffers 8 {buffer};
            proxy_busy_buffers_size {busy};
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
"#,
            user = if root { "user root;" } else { "" },
            files = 65_536,
            busy = 2 * buffer,
            port = address.port(),
            application = self.application,
        )
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Framewall => "Framewall",
            Self::Nginx => "nginx",
        }
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
        if kind == Kind::Framewall {
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

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
