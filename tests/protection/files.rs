//! Files that are none: a named pipe where a file should be stops nothing, is named, and is forgotten
//! once there is a file again.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::support::{Authority, Gateway, RawUpstream, Session, eventually};

const NEEDED: &str = "\n[routes.app]\npath = \"/ws\"\nupstream = [\"ws://127.0.0.1:1\"]\n";

fn pipe(path: &Path) {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).unwrap();
}

/// What `framewall check` says; it must say it by itself.
fn check(folder: &Path) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["check", "--config", "framewall.toml"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = eventually(|| child.try_wait().unwrap());
    if status.is_none() {
        child.kill().unwrap();
        panic!("check waits for a pipe");
    }
    assert_eq!(status.unwrap().code(), Some(78));
    std::io::read_to_string(child.stderr.take().unwrap()).unwrap()
}

#[test]
fn every_key_refuses_a_named_pipe_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    pipe(&folder.path().join("pipe"));
    let plain = "[server]\nlisten = [\"127.0.0.1:8080\"]\n[tls]\nmode = \"off\"\n";
    let tls = "[server]\nlisten = [\"127.0.0.1:8443\"]\n[tls]\n";
    let jwt = "auth = \"main\"\n[jwt.main]\nissuer = \"i\"\naudience = \"a\"\n";
    let open = "auth = \"none\"\n";
    for (before, after, named) in [
        (tls, open.to_owned(), "certificates = [{ cert = \"pipe\", key = \"pipe\" }]\n"),
        (tls, open.to_owned(), "client_auth = \"required\"\nclient_ca = \"pipe\"\n"),
        (plain, format!("{open}[firewall]\ndeny_files = [\"pipe\"]\n"), ""),
        (plain, format!("{open}[firewall]\ngeoip = \"pipe\"\ndeny_countries = [\"XX\"]\n"), ""),
        (plain, format!("{jwt}algorithms = [\"HS256\"]\nsecret = \"file:pipe\"\n"), ""),
        (plain, format!("{jwt}algorithms = [\"ES256\"]\npublic_key = \"pipe\"\n"), ""),
        (plain, format!("{jwt}algorithms = [\"ES256\"]\njwks = \"pipe\"\n"), ""),
    ] {
        let text = format!("{before}{named}{NEEDED}{after}");
        fs::write(folder.path().join("framewall.toml"), &text).unwrap();
        let said = check(folder.path());
        assert!(said.contains("pipe: it is a named pipe"), "{text}\n{said}");
    }
    fs::remove_file(folder.path().join("framewall.toml")).unwrap();
    pipe(&folder.path().join("framewall.toml"));
    let said = check(folder.path());
    assert!(said.contains("framewall.toml: it is a named pipe"), "{said}");
}

fn with_list(folder: &Path, _: &Authority) {
    fs::write(folder.join("deny.txt"), "203.0.113.0/24\n").unwrap();
}

#[test]
fn a_pipe_instead_of_a_list_blocks_neither_reloads_nor_shutdown() {
    let upstream = RawUpstream::bind();
    let lists = "[firewall]\ndeny_files = [\"deny.txt\"]\n[admin]\nsocket = \"fw.sock\"\n";
    let mut gateway = Gateway::to(&[upstream.address()]).more(lists).prepare(with_list).start();
    let mut session = Session::open(&gateway, &upstream);
    let list = gateway.folder().join("deny.txt");
    let replace = |prepare: &dyn Fn(&Path)| {
        let beside = gateway.folder().join("beside");
        prepare(&beside);
        fs::rename(beside, &list).unwrap();
    };
    replace(&pipe);
    gateway.wait_for_record(|record| {
        let detail = record["detail"].as_str().unwrap_or_default();
        record["event"] == "reload.failed" && detail.contains("it is a named pipe")
    });
    let (code, status, _) = gateway.admin(&["status", "--json"]);
    assert_eq!(code, Some(0));
    assert!(status.contains("it is a named pipe"), "{status}");
    assert_eq!(gateway.admin(&["reload"]).0, Some(1));
    session.prove_alive();

    replace(&|path| fs::write(path, "127.0.0.0/8\n").unwrap());
    assert_eq!(session.client.expect_close(), (4403, "firewall.denied".to_owned()));

    replace(&pipe);
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
}
