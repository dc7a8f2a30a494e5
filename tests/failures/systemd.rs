//! The messages to a service manager (`sd_notify(3)`).

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::support::TIMEOUT;

#[test]
fn the_service_manager_learns_when_the_gateway_listens_lives_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify.sock")).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let config = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n\
        [routes.app]\npath = \"/*\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n";
    std::fs::write(folder.path().join("framewall.toml"), config).unwrap();
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["run", "--config", "framewall.toml"])
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", folder.path().join("notify.sock"))
        .env("WATCHDOG_USEC", "100000")
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let told = || {
        let mut state = [0; 256];
        let length = manager.recv(&mut state).unwrap();
        String::from_utf8(state[..length].to_vec()).unwrap().trim_end().to_owned()
    };
    assert_eq!(told(), "READY=1");
    assert_eq!(told(), "WATCHDOG=1");
    kill_process(Pid::from_child(&gateway), Signal::TERM).unwrap();
    let stopping = std::iter::repeat_with(told).find(|state| state != "WATCHDOG=1");
    assert_eq!(stopping.as_deref(), Some("STOPPING=1"));
    assert!(gateway.wait().unwrap().success());
}
