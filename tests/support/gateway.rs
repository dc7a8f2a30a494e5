//! The gateway's own binary, with a configuration, a certificate and a log of its own.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::certificates::{Authority, authority, issue, trusting};
use super::{PATIENCE, Request, Response, Wire, eventually};

/// What a gateway is started with. TLS is on, and the route `app` is `/ws` and below.
#[derive(Debug, Clone)]
pub struct Builder {
    upstreams: Vec<SocketAddr>,
    tls: bool,
    path: String,
    names: Vec<Vec<&'static str>>,
    server: String,
    websocket: String,
    route: String,
    tls_lines: String,
    more: String,
    auth: String,
    pairs: Option<String>,
    prepare: Option<Prepare>,
    admin: Option<String>,
    watch: bool,
}

/// Writes further files into the gateway's folder before it starts.
pub type Prepare = fn(&Path, &Authority);

impl Builder {
    /// The applications, instead of those it was made for.
    pub fn upstreams(mut self, upstreams: &[SocketAddr]) -> Self {
        self.upstreams = upstreams.to_vec();
        self
    }

    /// The route's authentication, "none" if not said.
    pub fn auth(mut self, name: &str) -> Self {
        name.clone_into(&mut self.auth);
        self
    }

    /// Lines of `[tls]`.
    pub fn tls(mut self, lines: &str) -> Self {
        writeln!(self.tls_lines, "{lines}").unwrap();
        self
    }

    /// The certificates, instead of those for names: pairs of `cert` and `key`.
    pub fn certificates(mut self, pairs: &str) -> Self {
        self.pairs = Some(pairs.to_owned());
        self
    }

    /// Writes files that the configuration names, such as further certificates.
    pub fn prepare(mut self, prepare: Prepare) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// `--admin-socket`, relative to the gateway's folder.
    pub fn admin(mut self, path: &str) -> Self {
        self.admin = Some(path.to_owned());
        self
    }

    /// `--watch`.
    pub fn watched(mut self) -> Self {
        self.watch = true;
        self
    }

    /// The names of a further certificate; the first one has `localhost` and `127.0.0.1`.
    pub fn certificate(mut self, names: &[&'static str]) -> Self {
        self.names.push(names.to_vec());
        self
    }

    /// The gateway listens without TLS.
    pub fn plain(mut self) -> Self {
        self.tls = false;
        self
    }

    /// The route's path, `/ws` if not said.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Lines of `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        writeln!(self.server, "{lines}").unwrap();
        self
    }

    /// Lines of `[websocket]`.
    pub fn websocket(mut self, lines: &str) -> Self {
        writeln!(self.websocket, "{lines}").unwrap();
        self
    }

    /// Lines of `[routes.app]`.
    pub fn route(mut self, lines: &str) -> Self {
        writeln!(self.route, "{lines}").unwrap();
        self
    }

    /// Whole tables, such as further routes.
    pub fn more(mut self, tables: &str) -> Self {
        writeln!(self.more, "{tables}").unwrap();
        self
    }

    fn toml(&self) -> String {
        let tls = if self.tls {
            let pair =
                |index| format!("{{ cert = \"site{index}.pem\", key = \"site{index}.key\" }}");
            let pairs: Vec<_> = (0..self.names.len()).map(pair).collect();
            let pairs = self.pairs.clone().unwrap_or_else(|| pairs.join(", "));
            format!("certificates = [{pairs}]")
        } else {
            "mode = \"off\"".to_owned()
        };
        let upstreams: Vec<_> = self.upstreams.iter().map(|at| format!("\"ws://{at}\"")).collect();
        let Self { server, websocket, route, more, path, tls_lines, auth, .. } = self;
        format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n{server}\n\
             [tls]\n{tls}\n{tls_lines}\n\
             [websocket]\n{websocket}\n\
             [routes.app]\npath = \"{path}\"\nupstream = [{}]\nauth = \"{auth}\"\n{route}\n\
             [log]\nformat = \"json\"\nfile = \"framewall.log\"\nerror_file = \"errors.log\"\n\n{more}\n",
            upstreams.join(", ")
        )
    }

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
        let child = spawn(folder.path(), self.admin.as_deref(), self.watch);
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

fn spawn(folder: &Path, admin: Option<&str>, watch: bool) -> Child {
    let output = File::create(folder.join("output")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["run", "--config", "framewall.toml"])
        .args(admin.iter().flat_map(|path| ["--admin-socket", path]))
        .args(watch.then_some("--watch"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}

/// A running gateway; dropping it kills the process.
pub struct Gateway {
    child: Child,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    folder: Arc<TempDir>,
}

impl Gateway {
    /// A gateway in front of these applications, in the order they are tried.
    pub fn to(upstreams: &[SocketAddr]) -> Builder {
        Builder {
            upstreams: upstreams.to_vec(),
            tls: true,
            path: "/ws".to_owned(),
            names: vec![vec!["localhost", "127.0.0.1"]],
            server: String::new(),
            websocket: String::new(),
            route: String::new(),
            tls_lines: String::new(),
            more: String::new(),
            auth: "none".to_owned(),
            pairs: None,
            prepare: None,
            admin: None,
            watch: false,
        }
    }

    /// Stops it, and starts it again with the same folder.
    pub fn restart(mut self) -> Self {
        self.terminate();
        self.exit_code();
        let log = self.folder.path().join("framewall.log");
        fs::rename(&log, log.with_extension("old")).unwrap();
        self.child = spawn(self.folder.path(), None, false);
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

    /// What clients behind TLS connect with.
    pub fn tls_client(&self) -> Arc<ClientConfig> {
        Arc::clone(self.tls.as_ref().expect("the gateway has TLS"))
    }

    /// The URL of a target under `localhost`.
    pub fn url(&self, scheme: &str, target: &str) -> String {
        format!("{scheme}://localhost:{}{target}", self.address.port())
    }

    /// A TCP connection.
    pub fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// From here on connections trust this authority alone.
    pub fn trust(&mut self, authority: &Authority) {
        self.tls = Some(trusting(authority));
    }

    /// A TCP connection from this address of the machine's.
    pub fn tcp_from(&self, local: SocketAddr) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&local.into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        socket.into()
    }

    /// A TCP connection on which nothing is said yet.
    pub fn connect_plainly(&self) -> Wire {
        Wire::client(self.tcp())
    }

    /// A connection behind TLS, if the gateway has it, as `localhost`.
    pub fn connect(&self) -> Wire {
        self.connect_as("localhost")
    }

    /// As [`Gateway::connect`], from this address of the machine's.
    pub fn connect_from(&self, local: SocketAddr) -> Wire {
        let socket = self.tcp_from(local);
        match &self.tls {
            Some(config) => Wire::tls_client(socket, Arc::clone(config), "localhost"),
            None => Wire::client(socket),
        }
    }

    /// A connection that asks for this server name.
    pub fn connect_as(&self, name: &str) -> Wire {
        match &self.tls {
            Some(config) => Wire::tls_client(self.tcp(), Arc::clone(config), name),
            None => Wire::client(self.tcp()),
        }
    }

    /// The answer to `bytes` on a connection of their own, which must end behind it.
    pub fn answer_to(&self, bytes: &[u8]) -> Response {
        let mut client = self.connect();
        client.send(bytes);
        let response = client.read_response();
        client.expect_eof();
        response
    }

    /// The refusal of `request`: its status, its reason, a whole problem body, and a record of it.
    #[track_caller]
    pub fn expect_refusal(&self, request: &Request, status: u16, reason: &str) -> Response {
        let response = self.answer_to(&request.bytes());
        self.check_refusal(&response, status, reason);
        response
    }

    /// `response` is this refusal, and the log says the same.
    #[track_caller]
    pub fn check_refusal(&self, response: &Response, status: u16, reason: &str) {
        assert_eq!(response.status(), status, "{response:?}");
        let problem = response.problem().unwrap_or_else(|| panic!("no problem: {response:?}"));
        assert_eq!(problem["reason"], reason);
        assert_eq!(problem["status"], status);
        for member in ["type", "title", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        let record = self.wait_for_record(|record| {
            record["event"] == "refused" && record["request_id"] == problem["request_id"]
        });
        assert_eq!(record["reason"], reason);
    }

    /// The answer to a head that may not parse as HTTP: the HTTP library may refuse it barely, and
    /// the log has the reason all the same.
    #[track_caller]
    pub fn expect_bare_refusal(&self, bytes: &[u8], status: u16, reason: &str) {
        let before = self.refusals(reason).len();
        let response = self.answer_to(bytes);
        assert_eq!(response.status(), status, "{response:?}");
        if response.problem().is_some() {
            self.check_refusal(&response, status, reason);
        }
        eventually(|| (self.refusals(reason).len() > before).then_some(()))
            .unwrap_or_else(|| panic!("no record of the refusal: {:?}", self.log_records()));
    }

    fn refusals(&self, reason: &str) -> Vec<Value> {
        let mut records = self.log_records();
        records.retain(|record| record["event"] == "refused" && record["reason"] == reason);
        records
    }

    /// The records of the log so far.
    pub fn log_records(&self) -> Vec<Value> {
        records(&self.folder.path().join("framewall.log"))
    }

    /// The records of the log of errors so far.
    pub fn error_records(&self) -> Vec<Value> {
        records(&self.folder.path().join("errors.log"))
    }

    /// The first record that is wanted.
    #[track_caller]
    pub fn wait_for_record(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(|| self.log_records().into_iter().find(&wanted))
            .unwrap_or_else(|| panic!("no such record in {:#?}", self.log_records()))
    }

    /// The first record of the error file that is wanted. The two files have a writer each, so one
    /// may be behind the other.
    #[track_caller]
    pub fn wait_for_error(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(|| self.error_records().into_iter().find(&wanted))
            .unwrap_or_else(|| panic!("no such record in {:#?}", self.error_records()))
    }

    /// The record of how the session with this id ended.
    #[track_caller]
    pub fn wait_for_reason(&self, request_id: &str, reason: &str) -> Value {
        self.wait_for_record(|record| {
            record["request_id"] == request_id && record["reason"] == reason
        })
    }

    /// What the process wrote to its standard output and error.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Writes the configuration anew, with `change` done to its text.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let path = self.folder.path().join("framewall.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, change(text)).unwrap();
    }

    /// Sends SIGHUP, and waits for the log to say that the configuration was loaded again; or, with
    /// `failed`, that it was not.
    pub fn hang_up(&self, event: &str) -> Value {
        let count =
            |records: &[Value]| records.iter().filter(|record| record["event"] == event).count();
        let before = count(&self.log_records());
        self.signal_reload();
        let record = eventually(|| {
            let mut records = self.log_records();
            records.retain(|record| record["event"] == event);
            (records.len() > before).then(|| records.pop()).flatten()
        });
        record.unwrap_or_else(|| panic!("no {event} in {:#?}", self.log_records()))
    }

    /// Sends SIGHUP, and does not wait for what comes of it.
    pub fn signal_reload(&self) {
        kill_process(self.pid(), Signal::HUP).unwrap();
    }

    /// What `[admin] socket`, of this name in the gateway's folder, says of the gateway.
    pub fn status(&self, socket: &str) -> Value {
        let mut stream = UnixStream::connect(self.folder().join(socket)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"{\"action\":\"status\"}\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Runs `explain` with the configuration, for a client on this machine if not said. Returns its
    /// exit code, and what it printed.
    pub fn explain(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let here = ["--ip", "127.0.0.1"];
        let output = Command::new(env!("CARGO_BIN_EXE_framewall"))
            .current_dir(self.folder())
            .args(["explain", "--config", "framewall.toml"])
            .args(if arguments.contains(&"--ip") { &[][..] } else { &here })
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// Explains, and looks for each of these lines, which have their key at the end; runs of spaces
    /// are one.
    #[track_caller]
    pub fn expect_explained(&self, arguments: &[&str], lines: &[&str]) {
        let (_, text) = self.explain(arguments);
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let steps: Vec<String> = text.lines().map(squeezed).collect();
        for line in lines {
            assert!(steps.iter().any(|step| step.starts_with(line)), "{line:?} is not in:\n{text}");
        }
    }

    /// Runs a command of the admin client, with the `[admin] socket` of the configuration. Returns
    /// its exit code, and what it printed to standard output and error.
    pub fn admin(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_framewall"))
            .args(arguments)
            .args(["--config", "framewall.toml"])
            .current_dir(self.folder())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
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

/// The whole lines of a log; one that is still being written is left for the next time.
fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
