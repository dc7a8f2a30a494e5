//! Signals: log files that are rotated while they are written, and signals that mean nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::support::{Gateway, RawUpstream, Request, eventually};

const ADMIN: &str = "fw.sock";

fn start(upstream: &RawUpstream) -> Gateway {
    Gateway::to(&[upstream.address()]).admin(ADMIN).start()
}

/// Has the gateway write a record, and waits until it is in `file`.
fn expect_refusal_in(gateway: &Gateway, file: &Path) {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/none"));
    let response = client.read_response();
    assert_eq!(response.status(), 404);
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let id = body["request_id"].as_str().unwrap();
    let written = eventually(|| fs::read_to_string(file).ok().filter(|text| text.contains(id)));
    assert!(written.is_some(), "{} lacks {id}", file.display());
}

fn wait_for_event(file: &Path, event: &str) {
    let wanted = format!("\"event\":\"{event}\"");
    let found = eventually(|| fs::read_to_string(file).ok().filter(|text| text.contains(&wanted)));
    assert!(found.is_some(), "{} lacks {event}", file.display());
}

#[test]
fn rotated_log_files_are_opened_again() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream);
    let (log, errors) =
        (gateway.folder().join("framewall.log"), gateway.folder().join("errors.log"));
    for (round, signal) in [Signal::USR1, Signal::HUP].into_iter().enumerate() {
        let [old, old_errors] = [&log, &errors].map(|file| file.with_extension(format!("{round}")));
        fs::rename(&log, &old).unwrap();
        fs::rename(&errors, &old_errors).unwrap();
        expect_refusal_in(&gateway, &old);
        gateway.signal(signal);
        wait_for_event(&log, "log.reopened");
        wait_for_event(&errors, "log.reopened");
        let before = fs::read(&old).unwrap();
        expect_refusal_in(&gateway, &log);
        assert_eq!(fs::read(&old).unwrap(), before, "the old file is left alone");
        assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o640);
    }
}

/// What cannot be opened again is told, and the old file is written on.
#[test]
fn a_log_file_that_cannot_be_reopened_stays_in_use() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream);
    let (log, old) = (gateway.folder().join("framewall.log"), gateway.folder().join("old.log"));
    fs::rename(&log, &old).unwrap();
    fs::create_dir(&log).unwrap();
    gateway.signal(Signal::USR1);
    wait_for_event(&old, "log.reopen_failed");
    expect_refusal_in(&gateway, &old);
    fs::remove_dir(&log).unwrap();
    gateway.signal(Signal::USR1);
    wait_for_event(&log, "log.reopened");
}

#[test]
fn other_signals_are_logged_and_ignored() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream);
    for (signal, name) in [(Signal::QUIT, "SIGQUIT"), (Signal::ALARM, "SIGALRM")] {
        gateway.signal(signal);
        gateway.wait_for_record(|record| {
            record["event"] == "signal.ignored" && record["signal"] == name
        });
    }
    expect_refusal_in(&gateway, &gateway.folder().join("framewall.log"));
}

/// `packaging/logrotate` as it is, but for the folder and for how the process is found.
#[test]
#[ignore = "needs logrotate"]
fn logrotate_rotates_as_the_example_says() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/logrotate");
    let example = fs::read_to_string(path).unwrap();
    let status = gateway.status(ADMIN);
    let pid = status["pid"].as_u64().unwrap();
    let find = "systemctl kill --signal=USR1 --kill-whom=all framewall.service";
    assert!(example.contains(find) && example.contains("/var/log/framewall/"));
    let folder = format!("{}/", gateway.folder().display());
    let config =
        example.replace(find, &format!("kill -USR1 {pid}")).replace("/var/log/framewall/", &folder);
    let config_file = gateway.folder().join("logrotate.conf");
    fs::write(&config_file, config).unwrap();
    fs::set_permissions(&config_file, fs::Permissions::from_mode(0o600)).unwrap();
    let log = gateway.folder().join("framewall.log");
    expect_refusal_in(&gateway, &log);
    let rotated = Command::new("logrotate")
        .args(["--force", "--state"])
        .args([&gateway.folder().join("state"), &config_file])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
    wait_for_event(&log, "log.reopened");
    assert!(gateway.folder().join("framewall.log.1").exists());
    expect_refusal_in(&gateway, &log);
}
