//! `framewall demo`, as somebody meets it who has just cloned the project: what it prints works.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use support::{Browser, Frame, PATIENCE, Request, Response, Wire, eventually};

static STARTING: Mutex<()> = Mutex::new(());

struct Demo {
    child: Child,
    printed: String,
    log: Receiver<String>,
}

impl Demo {
    fn start() -> Self {
        // Each looks for a free port before it listens.
        let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = Command::new(env!("CARGO_BIN_EXE_framewall"))
            .arg("demo")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = String::new();
        for line in lines.map_while(Result::ok) {
            printed.push_str(&line);
            printed.push('\n');
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            log.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, printed, log: lines }
    }

    /// What stands between two texts of what was printed.
    fn between(&self, before: &str, after: &str) -> &str {
        let (_, rest) = self.printed.split_once(before).unwrap_or_else(|| panic!("{before}"));
        rest.split_once(after).unwrap().0
    }

    fn connect(&self) -> Wire {
        let cert = PathBuf::from(self.between("--cacert ", " "));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let port: u16 = self.between("wss://localhost:", "/").parse().unwrap();
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        Wire::tls_client(socket, Arc::new(config), "localhost")
    }

    /// The line that is printed below what it shows.
    fn line(&self, what: &str) -> &str {
        let mut lines = self.printed.lines().skip_while(|line| !line.contains(what));
        lines.nth(1).unwrap_or_else(|| panic!("{what}")).trim()
    }

    /// Sends what the printed line would have curl send, and reads the head of the answer.
    fn curl(&self, what: &str) -> (Wire, Response) {
        let line = self.line(what);
        assert!(line.starts_with("curl ") && line.contains(" https://localhost:"), "{line}");
        let own = ["Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"];
        let plain = Request::upgrade("/ws");
        let plain = own.iter().fold(plain, |request, name| request.without(name));
        let options = line.split("-H '").skip(1).map(|rest| rest.split_once('\'').unwrap().0);
        let request = options.fold(plain, |request, field| {
            let (name, value) = field.split_once(": ").unwrap();
            request.and(name, value)
        });
        let mut client = self.connect();
        client.send_request(&request);
        let response = client.read_response();
        (client, response)
    }

    fn refused(&self, what: &str) -> (u16, String) {
        let (_, response) = self.curl(what);
        (response.status(), response.reason())
    }

    /// Connects with the token that the printed line would have Python connect with; the shell
    /// fills in what it would.
    fn python(&self, what: &str) -> Wire {
        let (_, token) = self.line(what).split_once("Bearer ").unwrap();
        let (token, _) = token.split_once("'}").unwrap();
        let shell = Command::new("sh").args(["-c", &format!("printf %s \"{token}\"")]).output();
        let token = String::from_utf8(shell.unwrap().stdout).unwrap();
        let mut client = self.connect();
        let request = Request::upgrade("/ws");
        client.send_request(&request.and("Authorization", &format!("Bearer {token}")));
        assert_eq!(client.read_head().status(), 101, "{token}");
        expect_greeting(&mut client);
        client
    }

    fn try_admitted(&self) {
        let (mut client, response) = self.curl("With curl: accepted");
        assert_eq!(response.status(), 101);
        expect_greeting(&mut client);
        let mut client = self.python("With Python");
        client.say(Frame::text("hello"));
        client.expect_frame(Frame::text("hello"));
    }

    fn try_sessions_that_end(&self) {
        let mut client = self.python("max_message_size: close code 1009");
        // The header is enough to be refused.
        client.send(&Frame::binary(vec![0; 2 << 20]).masked(true).encode()[..14]);
        assert_eq!(client.expect_close(), (1009, "frame.too_big".to_owned()));
        let mut client = self.python("its session with it: close code 4401");
        client.expect_closing(4401, "token.expired");
    }

    /// The page, as it is served.
    fn page(&self) -> String {
        let application = self.between("small application on ws://", ".\n");
        let mut page = Wire::client(TcpStream::connect(application).unwrap());
        page.send(b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n");
        let page = page.read_response();
        assert_eq!(page.status(), 200);
        String::from_utf8(page.body).unwrap()
    }

    /// The next line of the log that has all of these in it.
    fn logged(&self, texts: &[&str]) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error}: no line has {texts:?}"));
            if texts.iter().all(|text| line.contains(text)) {
                return line;
            }
        }
    }

    /// Ends it with SIGINT; returns its exit code and its log.
    fn interrupt(&mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let status = eventually(|| self.child.try_wait().unwrap()).unwrap();
        (status.code(), self.log.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn expect_greeting(client: &mut Wire) {
    let greeting = client.read_frame();
    assert_eq!(greeting.opcode, 1);
    let text = String::from_utf8(greeting.payload).unwrap();
    assert!(text.starts_with("Hello ada,"), "{text}");
}

/// What the log names once everything was tried.
const REASONS: [&str; 6] = [
    "token.missing",
    "token.expired",
    "token.invalid",
    "origin.denied",
    "upgrade.required",
    "frame.too_big",
];

#[test]
fn what_the_demo_prints_works() {
    let mut demo = Demo::start();
    let folder = PathBuf::from(demo.between("Its configuration: ", "/framewall.toml"));
    for secret in ["dev.key", "secret"] {
        let mode = std::fs::metadata(folder.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }

    demo.try_admitted();
    for (what, status, reason) in [
        ("no token: 401", 401, "token.missing"),
        ("an expired token: 401", 401, "token.expired"),
        ("signed with another secret: 401", 401, "token.invalid"),
        ("another origin, whatever its token: 403", 403, "origin.denied"),
        ("plain HTTP: 426", 426, "upgrade.required"),
    ] {
        assert_eq!(demo.refused(what), (status, reason.to_owned()));
        assert!(demo.printed.contains(&format!("{what}, reason={reason}\n")));
    }

    demo.try_sessions_that_end();

    let (code, log) = demo.interrupt();
    assert_eq!(code, Some(0), "{log}");
    for reason in REASONS {
        assert!(log.contains(&format!("reason={reason}")), "{reason}: {log}");
    }
    assert!(log.lines().any(|line| line.contains("session ended") && line.contains("user=ada")));
    assert!(!log.contains("eyJ"), "no token is in the log");
    assert!(!folder.exists(), "the temporary folder is removed");
}

/// What the page's script does, without a browser: the values are the page's.
#[test]
fn the_page_hands_its_token_in_as_a_subprotocol() {
    let demo = Demo::start();
    let page = demo.page();
    let value = |before: &str| {
        let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("{before}"));
        rest.split_once('"').unwrap().0
    };
    assert!(value("id=\"url\" aria-label=\"Address\" value=\"").starts_with("wss://localhost:"));
    let origin = format!("http://{}", demo.between("small application on ws://", ".\n"));
    let real = value("data-subprotocol=\"");
    let connect = |token: &str| {
        let mut client = demo.connect();
        let offered = format!("{real}, bearer.{token}");
        let request = Request::upgrade("/ws").and("Origin", &origin);
        client.send_request(&request.and("Sec-WebSocket-Protocol", &offered));
        let response = client.read_response();
        (client, response)
    };
    let valid = value("aria-label=\"Token\" value=\"");
    let (mut client, response) = connect(valid);
    assert_eq!((response.status(), response.only("sec-websocket-protocol")), (101, Some(real)));
    expect_greeting(&mut client);
    for (id, reason) in [("expired", "token.expired"), ("forged", "token.invalid")] {
        let token = value(&format!("id=\"{id}\" data-token=\""));
        assert_eq!(token, demo.between(&format!("\n  {id}"), "\n").trim());
        let (_, response) = connect(token);
        assert_eq!((response.status(), response.reason()), (401, reason.to_owned()));
    }
}

#[test]
#[ignore = "needs chromium"]
fn the_page_works_in_a_browser() {
    let demo = Demo::start();
    let page = format!("http://{}/", demo.between("small application on ws://", ".\n"));
    let folder = PathBuf::from(demo.between("Its configuration: ", "/framewall.toml"));
    let _browser = Browser::open(&page, &[&folder.join("dev.key")]);
    demo.logged(&["session opened", "user=ada", "subprotocol=demo"]);
}

/// What `sh` makes of a printed line, with the project's Python before others: both of its outputs.
fn run(line: &str) -> String {
    let venv = concat!(env!("CARGO_MANIFEST_DIR"), "/build/venv/bin");
    let path = format!("{venv}:{}", std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", line]).env("PATH", path).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
#[ignore = "needs curl and python websockets"]
fn the_printed_lines_can_be_copied() {
    let demo = Demo::start();
    for (what, wanted) in [
        ("With Python", "Hello ada, from behind Framewall. Whatever you send comes back.\nhello\n"),
        ("With curl: accepted", "HTTP/1.1 101 Switching Protocols\r\n"),
        ("With curl: accepted", "Hello ada,"),
        ("no token: 401", "\"reason\":\"token.missing\""),
        ("an expired token: 401", "\"reason\":\"token.expired\""),
        ("signed with another secret: 401", "\"reason\":\"token.invalid\""),
        ("another origin, whatever its token: 403", "\"reason\":\"origin.denied\""),
        ("plain HTTP: 426", "\"reason\":\"upgrade.required\""),
        ("max_message_size: close code 1009", "1009 (message too big) frame.too_big"),
        ("its session with it: close code 4401", "4401 (private use) token.expired"),
    ] {
        let said = run(demo.line(what));
        assert!(said.contains(wanted), "{what}: {said}");
    }
}
