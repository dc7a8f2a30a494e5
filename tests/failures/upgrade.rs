//! The process is replaced while clients connect, and its sessions go on until their turn.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::support::{Gateway, GatewayBuilder, RawUpstream, Request, Session, TIMEOUT, eventually};
use super::systemd::Manager;

const ADMIN: &str = "[admin]\nsocket = \"fw.sock\"";

/// A gateway that can be replaced, and ends its sessions over an hour.
fn replaceable(upstream: &RawUpstream) -> GatewayBuilder {
    Gateway::to(&[upstream.address()])
        .plain()
        .program("framewall")
        .server("health_path = \"/healthz\"\nshutdown_spread = \"1h\"\nhandshake_timeout = \"1m\"")
}

/// The processes that took over; those that run are killed when it is dropped.
#[derive(Default)]
struct Newer(Vec<Pid>);

impl Newer {
    /// Replaces the process. Returns the new one.
    fn upgrade(&mut self, gateway: &Gateway) -> i32 {
        let (code, output, error) = gateway.admin(&["upgrade", "--json"]);
        assert_eq!(code, Some(0), "{output}{error}{}", gateway.output());
        let answer: Value = serde_json::from_str(&output).unwrap();
        self.add(&answer)
    }

    fn add(&mut self, answer: &Value) -> i32 {
        let pid = i32::try_from(answer["pid"].as_u64().unwrap()).unwrap();
        self.0.push(Pid::from_raw(pid).unwrap());
        pid
    }

    fn expect_end(&self, index: usize) {
        // Its parent has ended, so that nobody may reap it: a zombie has ended, too.
        let stat = format!("/proc/{}/stat", self.0[index].as_raw_nonzero());
        let is_over = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        eventually(|| is_over().then_some(())).expect("the process ends");
    }
}

impl Drop for Newer {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::KILL);
        }
    }
}

/// A client that connects, asks for the gateway's health and reads the answer, again and again.
struct Visitor {
    stop: Arc<AtomicBool>,
    visits: Arc<AtomicUsize>,
    running: JoinHandle<io::Result<()>>,
}

impl Visitor {
    fn of(address: SocketAddr) -> Self {
        let (stop, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&visits));
        let running = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                visit(address)?;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { stop, visits, running }
    }

    /// Waits for so many more visits. Returns the number of all.
    fn wait_for(&self, more: usize) -> usize {
        let wanted = self.visits.load(Ordering::Relaxed) + more;
        let enough =
            || Some(self.visits.load(Ordering::Relaxed)).filter(|visits| *visits >= wanted);
        eventually(|| enough().or(self.running.is_finished().then_some(0))).unwrap_or(0)
    }

    /// Every visit must have had its answer. Returns their number.
    fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.running.join().unwrap().expect("a connection was refused or reset");
        self.visits.load(Ordering::Relaxed)
    }
}

fn visit(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(io::Error::other(answer)) }
}

fn sessions(gateway: &Gateway) -> Vec<Value> {
    let (code, output, error) = gateway.admin(&["sessions", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let answer: Value = serde_json::from_str(&output).unwrap();
    answer["sessions"].as_array().unwrap().clone()
}

#[test]
fn an_upgrade_refuses_no_connection_and_sessions_go_on() {
    let upstream = RawUpstream::bind();
    let mut gateway = replaceable(&upstream).more(ADMIN).start();
    let old = gateway.status("fw.sock");
    let mut first = Session::open(&gateway, &upstream);
    let mut last = Session::open(&gateway, &upstream);
    // Only a part of its request has come when the process is replaced.
    let mut slow = gateway.tcp();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n").unwrap();

    let visitors: Vec<_> = (0..4).map(|_| Visitor::of(gateway.address())).collect();
    visitors[0].wait_for(50);
    let mut newer = Newer::default();
    let pid = newer.upgrade(&gateway);
    slow.write_all(b"Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    visitors[0].wait_for(200);

    // The first session's turn is at once, the other one's after half an hour.
    first.client.expect_closing(1001, "shutdown");
    last.prove_alive();
    let status = gateway.status("fw.sock");
    assert_eq!(status["pid"], pid);
    assert_eq!(status["generation"], 1);
    assert_eq!(status["older"][0]["pid"], old["pid"]);
    assert_eq!(status["older"][0]["generation"], 0);
    let mut new = Session::open(&gateway, &upstream);
    new.prove_alive();
    let listed = sessions(&gateway);
    assert!(
        listed[0]["process"] == old["pid"] && listed[0]["id"] == last.request_id(),
        "{listed:?}"
    );
    assert!(listed[1]["process"].is_null() && listed[1]["id"] == new.request_id(), "{listed:?}");
    let (_, table, _) = gateway.admin(&["sessions"]);
    assert!(table.lines().next().unwrap().ends_with("PROCESS"), "{table}");
    let (_, text, _) = gateway.admin(&["status"]);
    assert!(text.contains(&format!("replaced    process {} since ", old["pid"])), "{text}");

    // A request to the new process reaches the session of the old one, which then has none left.
    let (code, output, _) = gateway.admin(&["kick", "--id", &last.request_id()]);
    assert_eq!((code, output.as_str()), (Some(0), "ended 1 session\n"));
    last.client.expect_closing(4403, "session.kicked");
    assert_eq!(gateway.exit_code(), Some(0));
    let is_alone = || gateway.status("fw.sock")["older"].is_null().then_some(());
    eventually(is_alone).expect("the status shows the older process no more");
    for visitor in visitors {
        assert!(visitor.finish() >= 50);
    }
    new.prove_alive();
    gateway.wait_for_record(|record| record["event"] == "upgraded" && record["pid"] == pid);
}

#[test]
fn bans_and_revocations_go_to_the_new_process_and_reach_sessions_of_the_old_one() {
    for files in ["", "revocations = \"revoked.json\"\n[firewall.ban]\nfile = \"bans.json\"\n"] {
        let upstream = RawUpstream::bind();
        let gateway = replaceable(&upstream).more(&format!("{ADMIN}\n{files}")).start();
        let done = |arguments: &[&str]| {
            let (code, output, error) = gateway.admin(arguments);
            assert_eq!(code, Some(0), "{arguments:?}: {output}{error}");
            output
        };
        let _first = Session::open(&gateway, &upstream);
        let mut last = Session::open(&gateway, &upstream);
        done(&["ban", "198.51.100.7"]);
        done(&["ban", "198.51.100.8"]);
        done(&["unban", "198.51.100.8"]);
        done(&["revoke", "--user", "ann"]);
        let mut newer = Newer::default();
        newer.upgrade(&gateway);
        let listed = done(&["bans"]);
        assert!(listed.contains("198.51.100.7") && !listed.contains("198.51.100.8"), "{listed}");
        assert_eq!(gateway.status("fw.sock")["revocations"], 1);
        let closed = done(&["ban", "127.0.0.0/8"]);
        assert!(closed.ends_with("ended 1 session\n"), "{closed}");
        last.client.expect_closing(4403, "ban.active");
        let banned = TcpStream::connect(gateway.address()).unwrap();
        banned.set_read_timeout(Some(TIMEOUT)).unwrap();
        assert!(matches!((&banned).read(&mut [0]), Ok(0) | Err(_)));
        if !files.is_empty() {
            let saved = fs::read_to_string(gateway.folder().join("bans.json")).unwrap();
            assert!(saved.contains("127.0.0.0/8") && saved.contains("198.51.100.7"), "{saved}");
        }
    }
}

#[test]
fn a_ban_for_strikes_in_one_process_ends_sessions_in_the_other() {
    let upstream = RawUpstream::bind();
    let strict =
        "[firewall.ban]\nstrikes = 1\nfor = \"1h\"\nmax_duration = \"1h\"\nwithin = \"1m\"";
    let strict = strict.replace("for =", "duration =");
    let gateway = replaceable(&upstream).more(&format!("{ADMIN}\n{strict}")).start();
    let _first = Session::open(&gateway, &upstream);
    let mut offender = Session::open(&gateway, &upstream);
    let mut newer = Newer::default();
    newer.upgrade(&gateway);
    let mut new = Session::open(&gateway, &upstream);
    // An unmasked frame, in the old process.
    offender.client.send(&[0x81, 0x01, b'a']);
    new.client.expect_closing(4403, "ban.active");
    let (_, listed, _) = gateway.admin(&["bans"]);
    assert!(listed.contains("127.0.0.1"), "{listed}");
}

#[test]
fn a_new_process_that_fails_changes_nothing() {
    let upstream = RawUpstream::bind();
    let more = format!("{ADMIN}\n[firewall.ban]\nfile = \"bans.json\"");
    let gateway = replaceable(&upstream).more(&more).start();
    let old = gateway.status("fw.sock")["pid"].clone();
    let visitor = Visitor::of(gateway.address());
    let mut session = Session::open(&gateway, &upstream);
    let mut expect_failure = |wanted: &str| {
        let (code, output, error) = gateway.admin(&["upgrade"]);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
        assert!(error.contains(wanted), "{error}");
        gateway.wait_for_record(|record| {
            record["event"] == "upgrade.failed"
                && record["detail"].as_str().is_some_and(|detail| detail.contains(wanted))
        });
        assert_eq!(gateway.status("fw.sock")["pid"], old);
        session.prove_alive();
    };

    gateway.rewrite(|text| text.replace("[server]", "[server]\nlisten_to = 1"));
    expect_failure("listen_to");
    gateway.rewrite(|text| text.replace("\nlisten_to = 1", ""));

    let program = gateway.folder().join("framewall");
    let replace = |script: &str| {
        fs::remove_file(&program).unwrap();
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    replace("kill -9 $$");
    expect_failure("ended before it was ready (signal: 9");
    replace("exit 3");
    expect_failure("ended before it was ready (exit status: 3)");
    replace("read empty; read names; echo '{\"failed\":\"not today\"}' >&0; exec sleep 60");
    expect_failure("the new process does not start: not today");
    // It dies when it has the bans: the old process keeps them, and saves the next one.
    replace("read empty; read names; echo '\"prepared\"' >&0; read state; kill -9 $$");
    expect_failure("ended before it was ready (signal: 9");
    let (code, ..) = gateway.admin(&["ban", "198.51.100.7"]);
    assert_eq!(code, Some(0));
    let saved = fs::read_to_string(gateway.folder().join("bans.json")).unwrap();
    assert!(saved.contains("198.51.100.7"), "{saved}");
    fs::remove_file(&program).unwrap();
    expect_failure("cannot start ");
    visitor.wait_for(50);
    visitor.finish();
}

#[test]
fn one_upgrade_runs_at_a_time_and_a_stop_ends_it() {
    let upstream = RawUpstream::bind();
    let mut gateway = replaceable(&upstream).more(ADMIN).start();
    let program = gateway.folder().join("framewall");
    fs::remove_file(&program).unwrap();
    fs::write(&program, "#!/bin/sh\ntouch started\nexec sleep 60\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    gateway.signal(Signal::USR2);
    eventually(|| gateway.folder().join("started").exists().then_some(())).unwrap();
    let (code, _, error) = gateway.admin(&["upgrade"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("another upgrade is under way"), "{error}");
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
#[ignore = "needs unshare and user namespaces"]
fn the_first_process_of_a_container_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[admin]\nsocket = \"fw.sock\"\n\
        [routes.app]\npath = \"/*\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n";
    fs::write(folder.path().join("framewall.toml"), config).unwrap();
    let run = ["run", "--config", "framewall.toml"];
    // The gateway dies with unshare, which waits for it.
    let mut container = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"])
        .arg(env!("CARGO_BIN_EXE_framewall"))
        .args(run)
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let upgrade = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_framewall"));
        let output = command.args(["upgrade", "--socket", "fw.sock"]).current_dir(folder.path());
        Some(output.output().unwrap()).filter(|output| output.status.code() != Some(69))
    };
    let output = eventually(upgrade).expect("the gateway answers");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("this process is PID 1"), "{error}");
    container.kill().unwrap();
    container.wait().unwrap();
}

#[test]
fn three_generations_run_at_once_and_one_request_reaches_all() {
    let upstream = RawUpstream::bind();
    let mut gateway = replaceable(&upstream).more(ADMIN).start();
    let mut newer = Newer::default();
    let mut open = Vec::new();
    for generation in 0..3 {
        if generation > 0 {
            newer.upgrade(&gateway);
        }
        open.extend([Session::open(&gateway, &upstream), Session::open(&gateway, &upstream)]);
    }
    let status = gateway.status("fw.sock");
    assert_eq!(status["generation"], 2);
    assert_eq!(status["older"].as_array().map(Vec::len), Some(2), "{status}");
    // The first session of each process that was replaced ended at once.
    for closed in [2, 0] {
        open.remove(closed).client.expect_closing(1001, "shutdown");
    }
    open.iter_mut().for_each(Session::prove_alive);
    let listed =
        eventually(|| Some(sessions(&gateway)).filter(|listed| listed.len() == 4)).unwrap();
    let processes: Vec<_> = listed.iter().map(|session| session["process"].clone()).collect();
    assert_eq!(processes[0], status["older"][1]["pid"]);
    assert_eq!(processes[1], status["older"][0]["pid"]);
    let (_, output, _) = gateway.admin(&["kick", "--all"]);
    assert_eq!(output, "ended 4 sessions\n");
    for mut session in open {
        session.client.expect_closing(4403, "session.kicked");
    }
    assert_eq!(gateway.exit_code(), Some(0));
    newer.expect_end(0);
    assert!(test_kill_process(newer.0[1]).is_ok());
    visit(gateway.address()).unwrap();
}

#[test]
fn the_file_at_the_path_of_the_program_is_the_new_version() {
    let upstream = RawUpstream::bind();
    let mut gateway = replaceable(&upstream).more(ADMIN).start();
    let program = gateway.folder().join("framewall");
    let wrapper = format!(
        "#!/bin/sh\necho replaced >version\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_framewall")
    );
    fs::remove_file(&program).unwrap();
    fs::write(&program, wrapper).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(gateway.admin(&["drain", "--route", "app"]).0, Some(0));
    gateway.signal(Signal::USR2);
    assert_eq!(gateway.exit_code(), Some(0));
    assert_eq!(fs::read_to_string(gateway.folder().join("version")).unwrap(), "replaced\n");
    let mut newer = Newer::default();
    newer.add(&gateway.status("fw.sock"));
    gateway.expect_refusal(&Request::upgrade("/none"), 404, "route.none");
    gateway.expect_refusal(&Request::upgrade("/ws"), 503, "route.drained");
    kill_process(newer.0[0], Signal::TERM).unwrap();
    newer.expect_end(0);
    assert!(!gateway.folder().join("fw.sock").exists(), "the new process owns the file");
}

#[test]
fn the_service_manager_learns_the_new_main_process_before_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager = Manager::bind(folder.path());
    let upstream = RawUpstream::bind();
    let socket = folder.path().join("notify.sock");
    let gateway = replaceable(&upstream)
        .more(ADMIN)
        .variable("NOTIFY_SOCKET", socket.to_str().unwrap())
        .start();
    assert_eq!(manager.told(), "READY=1");
    assert_eq!(manager.told(), "STATUS=serving");
    let mut newer = Newer::default();
    let pid = newer.upgrade(&gateway);
    assert_eq!(manager.told(), format!("MAINPID={pid}"));
    assert_eq!(manager.told(), "READY=1");
}
