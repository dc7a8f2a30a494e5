//! Where commands look for the configuration when none is named.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn framewall(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framewall"));
    command.args(args).current_dir(folder).output().unwrap()
}

#[test]
fn the_file_of_the_folder_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("allow = [\"auth.none\"]\n{}", crate::LEAST);
    fs::write(folder.path().join("framewall.toml"), text).unwrap();
    let checked = framewall(folder.path(), &["check", "--strict"]);
    let told = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(
        (checked.status.code(), told.as_str()),
        (Some(0), "framewall.toml is valid: 1 route\n")
    );
    let explained = framewall(folder.path(), &["explain", "--ip", "192.0.2.1", "--path", "/ws"]);
    assert_eq!(explained.status.code(), Some(0), "{explained:?}");
    let status = framewall(folder.path(), &["status"]);
    let told = String::from_utf8(status.stderr).unwrap();
    assert!(told.contains("framewall.toml has no [admin] socket"), "{told}");
}

#[test]
fn without_a_file_every_place_is_named() {
    if Path::new("/etc/framewall/framewall.toml").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for args in [&["run"][..], &["check"], &["status"], &["explain", "--ip", "::1", "--path", "/"]]
    {
        let refused = framewall(folder.path(), args);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(78), "{args:?}: {told}");
        for words in ["framewall.toml in this folder", "/etc/framewall/", "--config FILE"] {
            assert!(told.contains(words), "{args:?}: {told}");
        }
    }
}
