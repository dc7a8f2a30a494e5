//! An application of tests/peers/apps that runs with the command of its section, behind a gateway with the
//! configuration of its section.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::page::Section;
use super::support::{Gateway, eventually};

/// The secret by which applications with a login sign their cookie.
const LOGIN_SECRET: &str = "a secret of the tests that is long enough for HS256";

/// A running application; dropping it kills its processes.
pub(super) struct Application {
    section: Section,
    child: Child,
    /// The ports of its section, each with the one that it has here.
    ports: Vec<[String; 2]>,
    folder: TempDir,
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/apps")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The language of the block that is a file with this name.
fn language_of(name: &str) -> &'static str {
    if Path::new(name).extension().is_some_and(|end| end == "py") { "python" } else { "text" }
}

/// The ports that a command or a configuration file says, with a free one for each.
fn ports_of(text: &str) -> Vec<[String; 2]> {
    let names = ["--port ", "-p ", "PORT=", ".port = ", "listener ", "/novnc 127.0.0.1:"];
    let name = names.iter().find(|name| text.contains(**name));
    let name = name.unwrap_or_else(|| panic!("no port: {text}"));
    let number =
        |rest: &str| rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().to_owned();
    text.split(name).skip(1).map(|rest| [number(rest), free_port().to_string()]).collect()
}

/// The text with the ports that the application has here.
fn moved(text: &str, ports: &[[String; 2]]) -> String {
    let other = |letter: char| !letter.is_ascii_digit();
    let words = text.split_inclusive(other).map(|word| {
        let number = word.trim_end_matches(other);
        let port = ports.iter().find(|[from, _]| from == number);
        port.map_or(word.to_owned(), |[from, to]| word.replacen(from, to, 1))
    });
    words.collect()
}

impl Application {
    /// Starts the application of a section in the folder `at` of tests/peers/apps. `settings`: the
    /// name of the file with the settings of the section, which the application gets.
    pub(super) fn start(heading: &str, at: &str, settings: Option<&str>) -> Self {
        Self::start_with(heading, at, settings, &[])
    }

    /// The same with these texts of the command replaced by others.
    pub(super) fn start_with(
        heading: &str,
        at: &str,
        settings: Option<&str>,
        changes: &[(&str, &str)],
    ) -> Self {
        let section = Section::find(heading);
        let folder = TempDir::new().unwrap();
        let command = section.block("sh");
        let text = settings.map_or(String::new(), |name| section.block(language_of(name)));
        let ports = ports_of(&format!("{command}{text}"));
        if let Some(name) = settings {
            let text = moved(&text, &ports).replace("app.example.com", "localhost");
            fs::write(folder.path().join(name), text).unwrap();
        }
        // Jupyter serves this folder, and runs as root where the tests do.
        let own = json!({ "ServerApp": { "allow_root": true, "root_dir": folder.path() } });
        fs::create_dir(folder.path().join(".jupyter")).unwrap();
        fs::write(folder.path().join(".jupyter/jupyter_config.json"), own.to_string()).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = std::env::var("PATH").unwrap();
        let output = File::create(folder.path().join("output")).unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        let command = changes.iter().fold(moved(&command, &ports), |command, (from, to)| {
            assert!(command.contains(from), "no {from} in {command}");
            command.replace(from, to)
        });
        let command = settings.map_or(command.clone(), |name| {
            command.replace(name, in_folder(name).to_str().unwrap())
        });
        let child = Command::new("sh")
            .args(["-c", &command])
            .current_dir(programs().join(at))
            .env("PATH", format!("{}:{path}:/usr/sbin", root.join("build/venv/bin").display()))
            .env("PYTHONPATH", folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("HOME", folder.path())
            .env("DATABASE", in_folder("database"))
            .env("LOGIN_SECRET", LOGIN_SECRET)
            .env("JUPYTER_TOKEN", "a-token-of-the-tests")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut application = Self { section, child, ports, folder };
        application.wait();
        application
    }

    fn wait(&mut self) {
        for [_, port] in &self.ports {
            let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
            // Some applications take their time to be imported.
            let listens = (0..3).find_map(|_| {
                eventually(|| match self.child.try_wait().unwrap() {
                    Some(status) => Some(Err(status)),
                    None => TcpStream::connect(address).ok().map(Ok),
                })
            });
            assert!(matches!(listens, Some(Ok(_))), "{listens:?}: {}", self.output());
        }
    }

    pub(super) fn output(&self) -> String {
        let mut bytes = Vec::new();
        File::open(self.folder.path().join("output")).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A gateway with the configuration of the section, but for the addresses and certificates of this machine.
    pub(super) fn gateway(&self) -> Gateway {
        self.gateway_with(&[])
    }

    /// The same with these texts of the configuration replaced by others.
    pub(super) fn gateway_with(&self, changes: &[(&str, &str)]) -> Gateway {
        let mut text = moved(&self.section.configuration(), &self.ports);
        assert!(text.contains(&format!("127.0.0.1:{}", self.ports[0][1])), "{text}");
        let own = [("0.0.0.0:443", "127.0.0.1:0"), ("certs/app.example.com", "site0")];
        for (from, to) in own.iter().chain(changes) {
            assert!(text.contains(from), "no {from} in {text}");
            text = text.replace(from, to);
        }
        Gateway::to(&[]).whole(&text).variable("LOGIN_SECRET", LOGIN_SECRET).start()
    }

    /// Runs `program`, a client, to its end. Panics with the step that failed.
    pub(super) fn serve(&self, gateway: &Gateway, program: &str) -> Vec<String> {
        self.serve_with(gateway, program, &[])
    }

    /// The same with arguments of the client.
    pub(super) fn serve_with(
        &self,
        gateway: &Gateway,
        program: &str,
        arguments: &[&str],
    ) -> Vec<String> {
        let script = programs().join(program);
        let mut command = match script.extension().unwrap().to_str() {
            Some("py") => Command::new(python()),
            _ => Command::new("node"),
        };
        command.arg(script).arg(gateway.url("https", "")).arg(gateway.ca_file()).args(arguments);
        let output = command
            .env("LOGIN_SECRET", LOGIN_SECRET)
            .env("NODE_EXTRA_CA_CERTS", gateway.ca_file())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let steps: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if let Some(failed) = steps.iter().find(|step| step["ok"] != true) {
            let error = failed["error"].as_str().unwrap_or_default();
            panic!("{}: {error}\nthe application: {}", failed["step"], self.output());
        }
        assert!(output.status.success(), "{program}: {}, {text}", output.status);
        steps.iter().map(|step| step["step"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether the lines of this block are in a file of the application.
    pub(super) fn has_lines(&self, language: &str, file: &str) -> bool {
        let source = fs::read_to_string(programs().join(file)).unwrap();
        self.section.block(language).lines().all(|line| source.lines().any(|other| other == line))
    }
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("build/venv/bin/python")
}

impl Drop for Application {
    fn drop(&mut self) {
        // They may have ended by themselves.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
