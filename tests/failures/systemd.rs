//! The protocols of a service manager: messages about the state (`sd_notify(3)`), and sockets that it opened
//! (`sd_listen_fds(3)`).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use super::support::{RawUpstream, TIMEOUT, eventually};

/// A gateway on these addresses, with a health check.
fn configuration(listen: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), listen);
    folder
}

fn write(folder: &Path, listen: &str) {
    let config = format!(
        "[server]\nlisten = [{listen}]\nhealth_path = \"/healthz\"\nshutdown_spread = \"2h\"\n[tls]\nmode = \"off\"\n\
         [log]\nfile = \"framewall.log\"\n\
         [routes.app]\npath = \"/*\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n"
    );
    std::fs::write(folder.join("framewall.toml"), config).unwrap();
}

/// Starts the gateway as a service manager does: `socket` is descriptor 3, and the process that the variables name
/// becomes the gateway.
fn activate(folder: &Path, socket: impl Into<OwnedFd>) -> Child {
    let script =
        "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run --config framewall.toml";
    Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_framewall")])
        .current_dir(folder)
        .stdin(Stdio::from(socket.into()))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The answer to a health check on a connection.
fn health(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

fn terminate(mut gateway: Child) {
    kill_process(Pid::from_child(&gateway), Signal::TERM).unwrap();
    assert!(gateway.wait().unwrap().success());
}

/// The gateway must refuse to start. Returns its error.
fn refusal(gateway: Child) -> String {
    let output = gateway.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// The socket of a service manager, which receives messages.
pub(super) struct Manager {
    socket: UnixDatagram,
    lines: std::collections::VecDeque<String>,
}

impl Manager {
    pub(super) fn bind(folder: &Path) -> Self {
        let socket = UnixDatagram::bind(folder.join("notify.sock")).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { socket, lines: std::collections::VecDeque::new() }
    }

    /// The next line that is no watchdog's.
    pub(super) fn told(&mut self) -> String {
        loop {
            let line = self.any();
            if line != "WATCHDOG=1" {
                return line;
            }
        }
    }

    /// The next line of the next message.
    fn any(&mut self) -> String {
        while self.lines.is_empty() {
            let mut state = [0; 1024];
            let length = self.socket.recv(&mut state).unwrap();
            let text = String::from_utf8(state[..length].to_vec()).unwrap();
            self.lines.extend(text.lines().map(str::to_owned));
        }
        self.lines.pop_front().unwrap()
    }
}

#[test]
fn the_service_manager_learns_when_the_gateway_listens_lives_reloads_and_stops() {
    let folder = configuration("\"127.0.0.1:0\"");
    let mut manager = Manager::bind(folder.path());
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["run", "--config", "framewall.toml"])
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", folder.path().join("notify.sock"))
        .env("WATCHDOG_USEC", "100000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(manager.any(), "READY=1");
    assert_eq!(manager.any(), "STATUS=serving");
    assert_eq!(manager.any(), "WATCHDOG=1");

    for (listen, status) in [("\"127.0.0.1:0\"", ", generation 1"), ("1", " failed: error")] {
        write(folder.path(), listen);
        let signalled = clock_gettime(ClockId::Monotonic);
        let signalled =
            i128::from(signalled.tv_sec) * 1_000_000 + i128::from(signalled.tv_nsec) / 1000;
        kill_process(Pid::from_child(&gateway), Signal::HUP).unwrap();
        assert_eq!(manager.told(), "RELOADING=1");
        let began = manager.told();
        let began: i128 = began.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!(began >= signalled, "systemd waits for a reload that began after its signal");
        assert_eq!(manager.told(), "READY=1");
        let told = manager.told();
        assert!(told.starts_with("STATUS=serving; ") && told.contains(status), "{told}");
    }

    kill_process(Pid::from_child(&gateway), Signal::TERM).unwrap();
    assert_eq!(manager.told(), "STOPPING=1");
    assert_eq!(manager.told(), "STATUS=ending sessions");
    assert_eq!(manager.told(), "EXTEND_TIMEOUT_USEC=7240000000", "the spread, the grace, and 10 s");
    assert!(gateway.wait().unwrap().success());
}

#[test]
fn an_inherited_socket_is_used_for_its_address_and_other_addresses_are_opened() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let inherited = socket.local_addr().unwrap();
    let other = RawUpstream::unused_address();
    let folder = configuration(&format!("\"{other}\", \"{inherited}\""));
    // The service manager's socket queues connections before the gateway runs.
    let early = TcpStream::connect(inherited).unwrap();
    let gateway = activate(folder.path(), socket.try_clone().unwrap());
    assert_eq!(health(early), "HTTP/1.1 200 OK");
    for address in [inherited, other] {
        let stream = eventually(|| TcpStream::connect(address).ok()).unwrap();
        assert_eq!(health(stream), "HTTP/1.1 200 OK");
    }
    terminate(gateway);
    TcpStream::connect(other).expect_err("the gateway's own socket is closed");
    TcpStream::connect(inherited).expect("the service manager's socket goes on queueing");
}

#[test]
fn an_inherited_socket_that_the_configuration_does_not_have_stops_the_start() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let other = RawUpstream::unused_address();
    let folder = configuration(&format!("\"{other}\""));
    let error = refusal(activate(folder.path(), socket));
    let wanted = format!(
        "LISTEN_FDS: the service manager passed a socket on {address}, and neither server.listen"
    );
    assert!(error.contains(&wanted), "{error}");
}

#[test]
fn an_inherited_descriptor_that_is_no_listening_tcp_socket_stops_the_start() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let folder = configuration(&format!("\"{address}\""));
    let connection = TcpStream::connect(address).unwrap();
    let unix = UnixListener::bind(folder.path().join("some.sock")).unwrap();
    let file = std::fs::File::open(folder.path().join("framewall.toml")).unwrap();
    for descriptor in [OwnedFd::from(connection), unix.into(), file.into()] {
        let error = refusal(activate(folder.path(), descriptor));
        assert!(error.contains("LISTEN_FDS: descriptor 3 cannot be used: "), "{error}");
        assert!(error.contains("ListenStream=ADDRESS:PORT"), "{error}");
    }
}

#[test]
fn an_inherited_socket_goes_on_to_the_process_of_an_upgrade() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let folder = configuration(&format!("\"{address}\""));
    let config = folder.path().join("framewall.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(config, format!("{text}[admin]\nsocket = \"fw.sock\"\n")).unwrap();
    let mut gateway = activate(folder.path(), socket);
    assert_eq!(health(TcpStream::connect(address).unwrap()), "HTTP/1.1 200 OK");
    let output = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["upgrade", "--json", "--socket", "fw.sock"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let newer = i32::try_from(answer["pid"].as_u64().unwrap()).unwrap();
    assert!(gateway.wait().unwrap().success());
    assert_eq!(health(TcpStream::connect(address).unwrap()), "HTTP/1.1 200 OK");
    kill_process(Pid::from_raw(newer).unwrap(), Signal::TERM).unwrap();
}

/// The peer that systemd itself has.
#[test]
#[ignore = "needs systemd-socket-activate"]
fn systemd_socket_activate_starts_the_gateway_at_the_first_connection() {
    let address: SocketAddr = RawUpstream::unused_address();
    let folder = configuration(&format!("\"{address}\""));
    let gateway = Command::new("systemd-socket-activate")
        .args(["--listen", &address.to_string(), env!("CARGO_BIN_EXE_framewall")])
        .args(["run", "--config", "framewall.toml"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let early = eventually(|| TcpStream::connect(address).ok()).unwrap();
    assert_eq!(health(early), "HTTP/1.1 200 OK");
    terminate(gateway);
}
