//! `framewall demo`, as somebody meets it who has just cloned the project: what it prints works.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use support::{Frame, Request, Wire, eventually};

struct Demo {
    child: Child,
    printed: String,
}

impl Demo {
    fn start() -> Self {
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
        Self { child, printed }
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

    fn answer(&self, request: &Request) -> (u16, String) {
        let mut client = self.connect();
        client.send_request(request);
        let response = client.read_response();
        (response.status(), response.reason())
    }

    /// Ends it with SIGINT; returns its exit code and its log.
    fn interrupt(&mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let status = eventually(|| self.child.try_wait().unwrap()).unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status.code(), log)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_the_demo_prints_works() {
    let mut demo = Demo::start();
    let application = demo.between("small application on ws://", ".\n").to_owned();
    let folder = PathBuf::from(demo.between("Its configuration: ", "/framewall.toml"));
    assert!(folder.join("dev.key").exists());

    let mut client = demo.connect();
    let origin = format!("http://{application}");
    client.send_request(&Request::upgrade("/ws").and("Origin", &origin));
    assert_eq!(client.read_head().status(), 101, "the page's origin may connect");
    assert_eq!(client.read_frame().opcode, 1, "the application greets");
    client.say(Frame::text("hello"));
    client.expect_frame(Frame::text("hello"));
    // The header is enough to be refused.
    client.send(&Frame::binary(vec![0; 2 << 20]).masked(true).encode()[..14]);
    assert_eq!(client.expect_close(), (1009, "frame.too_big".to_owned()));

    let evil = Request::upgrade("/ws").and("Origin", "https://evil.example");
    assert_eq!(demo.answer(&evil), (403, "origin.denied".to_owned()));
    let plain = Request::with_line("GET /ws HTTP/1.1").without("Upgrade").without("Connection");
    assert_eq!(demo.answer(&plain), (426, "upgrade.required".to_owned()));

    let mut page = Wire::client(TcpStream::connect(&application).unwrap());
    page.send(b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n");
    let page = page.read_response();
    assert_eq!(page.status(), 200);
    assert!(String::from_utf8_lossy(&page.body).contains("wss://localhost:"));

    let (code, log) = demo.interrupt();
    assert_eq!(code, Some(0), "{log}");
    for reason in ["origin.denied", "upgrade.required", "frame.too_big"] {
        assert!(log.contains(&format!("reason={reason}")), "{reason}: {log}");
    }
    assert!(!folder.exists(), "the temporary folder is removed");
}
