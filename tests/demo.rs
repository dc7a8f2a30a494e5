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

use framewall::demo::ATTACKS;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use support::{Browser, Frame, Request, Response, TIMEOUT, Wire, eventually};

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

    /// The folder that the demo writes to.
    fn folder(&self) -> PathBuf {
        PathBuf::from(self.between("Its configuration: ", "/framewall.toml"))
    }

    /// A shell variable of the printed lines.
    fn variable(&self, name: &str) -> String {
        let line = format!(". '{}/env'; printf %s \"${name}\"", self.folder().display());
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn connect(&self) -> Wire {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.variable("CA")).unwrap()).unwrap();
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
        let shell = format!(
            ". '{}/env'; curl() {{ for option; do printf '%s\\n' \"$option\"; done; }}; {}",
            self.folder().display(),
            line.replace(" | head -n 1", "")
        );
        let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
        let options = String::from_utf8(output.stdout).unwrap();
        let options: Vec<_> = options.lines().collect();
        let handshake = options.first() == Some(&"-K");
        let upgrade = Request::upgrade("/ws");
        let own = ["Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"];
        let request = if handshake {
            let configured = std::fs::read_to_string(options[1]).unwrap();
            assert!(own.iter().all(|name| configured.contains(&format!("header = \"{name}: "))));
            upgrade
        } else {
            own.iter().fold(upgrade, |request, name| request.without(name))
        };
        let fields = options.windows(2).filter(|pair| pair[0] == "-H").map(|pair| pair[1]);
        let request = fields.fold(request, |request, field| {
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

    fn with_token(&self, token: &str) -> Wire {
        let mut client = self.connect();
        let request = Request::upgrade("/ws");
        client.send_request(&request.and("Authorization", &format!("Bearer {token}")));
        assert_eq!(client.read_head().status(), 101, "{token}");
        expect_greeting(&mut client);
        client
    }

    fn try_admitted(&self) {
        let (mut client, response) = self.curl("Accepted: ");
        assert_eq!(response.status(), 101);
        expect_greeting(&mut client);
        client.say(Frame::text("hello"));
        client.expect_frame(Frame::text("hello"));
    }

    fn try_sessions_that_end(&self) {
        let mut client = self.with_token(&self.variable("GOOD"));
        // The header is enough to be refused.
        client.send(&Frame::binary(vec![0; 2 << 20]).masked(true).encode()[..14]);
        assert_eq!(client.expect_close(), (1009, "frame.too_big".to_owned()));
        let line = format!(". '{}/env'; short_token", self.folder().display());
        let minted = Command::new("sh").args(["-c", &line]).output().unwrap();
        let mut client = self.with_token(String::from_utf8(minted.stdout).unwrap().trim());
        client.expect_closing(4401, "token.expired");
    }

    /// Sends a request to the page's server, and reads the answer.
    fn fetch(&self, method: &str, path: &str) -> String {
        let mut page = Wire::client(TcpStream::connect(self.application()).unwrap());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: demo\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        page.send(head.as_bytes());
        let answer = page.read_response();
        assert_eq!(answer.status(), 200, "{path}");
        String::from_utf8(answer.body).unwrap()
    }

    /// Where the page is.
    fn application(&self) -> &str {
        self.between("Open this page:  http://", "/\n")
    }

    /// The next line of the log that has all of these in it.
    fn logged(&self, texts: &[&str]) -> String {
        loop {
            let line = self.log.recv_timeout(TIMEOUT);
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
fn the_printed_commands_of_the_demo_work() {
    let mut demo = Demo::start();
    let folder = demo.folder();
    for secret in ["dev.key", "secret", "env"] {
        let mode = std::fs::metadata(folder.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    assert!(!demo.printed.contains("eyJ"), "tokens are in variables");
    assert!(demo.printed.lines().all(|line| line.len() <= 110), "{}", demo.printed);

    demo.try_admitted();
    for (what, status, reason) in [
        ("no token: 401", 401, "token.missing"),
        ("an expired token: 401", 401, "token.expired"),
        ("a signature of another key: 401", 401, "token.invalid"),
        ("another origin, with a valid token: 403", 403, "origin.denied"),
        ("plain HTTP: 426", 426, "upgrade.required"),
    ] {
        assert_eq!(demo.refused(what), (status, reason.to_owned()));
        assert!(demo.printed.contains(&format!("{what} {reason}\n")), "{what}");
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

/// Each button of the page: what the blind proxy lets through, the gateway refuses with the reason
/// and by the rule that the page names.
#[test]
fn every_attack_passes_the_blind_proxy_and_not_the_gateway() {
    let demo = Demo::start();
    for attack in ATTACKS {
        let outcomes = demo.fetch("POST", &format!("/attack/{}", attack.name));
        let outcomes: serde_json::Value = serde_json::from_str(&outcomes).unwrap();
        assert_eq!(outcomes["blind"]["reached"], true, "{}: {outcomes}", attack.name);
        // Fragments cross before their message is whole.
        let crosses = attack.name == "fragments";
        assert_eq!(outcomes["framewall"]["reached"], crosses, "{}: {outcomes}", attack.name);
        let told = outcomes["framewall"]["client"].as_str().unwrap();
        assert!(told.ends_with(attack.reason), "{}: {outcomes}", attack.name);
        let reason = format!("reason={}", attack.reason);
        if attack.rule.starts_with("RFC 6455 section 5") || attack.rule.contains("section 8.1") {
            demo.logged(&["protocol error", &reason, attack.rule]);
        } else {
            demo.logged(&[&reason]);
        }
    }
    let log: serde_json::Value = serde_json::from_str(&demo.fetch("GET", "/log")).unwrap();
    for attack in ATTACKS {
        assert!(log.to_string().contains(&format!("reason={}", attack.reason)), "{}", attack.name);
    }
}

/// The page connects with a click and without a certificate error, and so do its attacks.
#[test]
#[ignore = "needs chromium"]
fn the_page_works_in_a_browser() {
    let demo = Demo::start();
    let page = format!("http://{}/#run", demo.application());
    let _browser = Browser::open(&page, &[]);
    demo.logged(&["session opened", "user=ada", "subprotocol=demo"]);
    for attack in ATTACKS {
        demo.logged(&[&format!("reason={}", attack.reason)]);
    }
}

/// What `sh` makes of a printed line, with the project's Python before others: its outputs and whether
/// it succeeded.
fn run(demo: &Demo, line: &str) -> (String, bool) {
    let venv = concat!(env!("CARGO_MANIFEST_DIR"), "/build/venv/bin");
    let path = format!("{venv}:{}", std::env::var("PATH").unwrap());
    let line = format!(". '{}/env'; {line}", demo.folder().display());
    let output = Command::new("sh").args(["-c", &line]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (said, output.status.success())
}

#[test]
#[ignore = "needs curl and python websockets"]
fn the_printed_lines_can_be_copied() {
    let demo = Demo::start();
    let second = demo.printed.lines().find(|line| line.ends_with("$GOOD hello")).unwrap();
    for (line, wanted) in [
        (second.trim(), "Hello ada, from behind Framewall. Whatever you send comes back.\nhello\n"),
        (demo.line("Accepted: "), "HTTP/1.1 101 Switching Protocols\r\n"),
        (demo.line("no token: 401"), "\"reason\":\"token.missing\""),
        (demo.line("an expired token: 401"), "\"reason\":\"token.expired\""),
        (demo.line("a signature of another key: 401"), "\"reason\":\"token.invalid\""),
        (demo.line("another origin, with a valid token"), "\"reason\":\"origin.denied\""),
        (demo.line("plain HTTP: 426"), "\"reason\":\"upgrade.required\""),
        (demo.line("max_message_size: closed"), "closed with 1009 frame.too_big\n"),
        (demo.line("session ends with it: closed"), "closed with 4401 token.expired\n"),
    ] {
        let (said, succeeded) = run(&demo, line);
        assert!(said.contains(wanted), "{line}: {said}");
        assert!(succeeded, "{line}: {said}");
        for noise in ["Traceback", "Deprecat", "curl: ("] {
            assert!(!said.contains(noise), "{line}: {said}");
        }
    }
}
