//! The gateway as a library: revocations in a file, over a restart.

use std::fs;
use std::path::Path;

use framewall::config::{self, Config};
use framewall::control::{Service, StartError};
use framewall::journal::Journal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::client::answer_to;
use super::support::eventually;

pub(crate) fn config(folder: &Path) -> Config {
    let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n\
                [routes.app]\npath = \"/ws\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n";
    let mut config = config::parse(text, &folder.join("framewall.toml")).unwrap().config;
    config.admin.socket = Some(folder.join("admin.sock"));
    config.admin.revocations = Some(folder.join("revoked.json"));
    config
}

fn with_gateway(folder: &Path, ask: impl FnOnce(&Path) + Send + 'static) {
    with_gateway_of(&config(folder), ask);
}

/// Runs a gateway for as long as `ask` talks to it.
pub(crate) fn with_gateway_of(config: &Config, ask: impl FnOnce(&Path) + Send + 'static) {
    let socket = config.admin.socket.clone().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // A process that another test is just starting has the last one's lock, for a moment.
        let service = eventually(|| Service::open(config, Journal::default()).ok()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let asking = tokio::task::spawn_blocking(move || {
            ask(&socket);
            drop(stop);
        });
        service.run(Vec::new(), stopped).await;
        asking.await.unwrap();
    });
}

fn revocations(socket: &Path) -> Value {
    let status = answer_to(socket, b"{\"action\":\"status\"}\n");
    serde_json::from_str::<Value>(&status).unwrap()["revocations"].clone()
}

#[test]
fn revocations_survive_a_restart() {
    let folder = TempDir::new().unwrap();
    with_gateway(folder.path(), |socket| {
        let request = b"{\"action\":\"revoke\",\"user\":\"ann\",\"for\":\"1h\"}\n";
        let answer = answer_to(socket, request);
        assert!(answer.contains("\"result\":\"done\""), "{answer}");
        assert_eq!(revocations(socket), 1);
    });
    assert!(!folder.path().join("admin.sock").exists());
    with_gateway(folder.path(), |socket| assert_eq!(revocations(socket), 1));
}

#[test]
fn a_revocation_that_cannot_be_saved_is_refused_and_in_force() {
    let folder = TempDir::new().unwrap();
    let inside = folder.path().to_owned();
    with_gateway(folder.path(), move |socket| {
        fs::create_dir(inside.join("revoked.json.new")).unwrap();
        let request = b"{\"action\":\"revoke\",\"token\":\"t1\",\"for\":\"1h\"}\n";
        let answer: Value = serde_json::from_str(&answer_to(socket, request)).unwrap();
        assert_eq!(answer["result"], "refused");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains("it is in force") && error.contains("cannot write"), "{error}");
        assert_eq!(revocations(socket), 1);
    });
}

#[test]
fn a_broken_file_stops_the_start() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("revoked.json"), "{\"version\":1,\"revocations\":[").unwrap();
    let Err(error) = Service::open(&config(folder.path()), Journal::default()) else {
        panic!("it started");
    };
    assert!(matches!(error, StartError::Store(_)), "{error}");
    assert!(error.to_string().contains("revoked.json is broken"), "{error}");
    assert!(!folder.path().join("admin.sock").exists(), "nothing is left of the attempt");
}
