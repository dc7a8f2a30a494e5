//! A machine whose clock has lost its sense.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::support::{RawUpstream, Request, Wire, eventually};

/// A gateway whose wall clock is moved; ended with its test.
struct Moved {
    child: Child,
    folder: tempfile::TempDir,
}

impl Moved {
    fn start(upstream: &RawUpstream, time: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = env!("CARGO_BIN_EXE_framewall");
        let made = Command::new(binary).args(["cert", "new"]).current_dir(folder.path()).output();
        assert!(made.unwrap().status.success());
        let config = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\n\
             certificates = [{{ cert = \"certs/dev.pem\", key = \"certs/dev.key\" }}]\n\
             [routes.app]\npath = \"/*\"\nupstream = [\"ws://{}\"]\nauth = \"none\"\n\
             [log]\nfile = \"framewall.log\"\n",
            upstream.address()
        );
        fs::write(folder.path().join("framewall.toml"), config).unwrap();
        fs::write(folder.path().join("time"), time).unwrap();
        let child = Command::new(binary)
            .arg("run")
            .current_dir(folder.path())
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", folder.path().join("time"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Sets the clock.
    fn set(&self, time: &str) {
        fs::write(self.folder.path().join("time"), time).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("framewall.log")).unwrap_or_default()
    }

    fn address(&self) -> SocketAddr {
        let listening = eventually(|| {
            let log = self.log();
            let (_, rest) = log.split_once("\"address\":\"")?;
            rest.split_once('"')?.0.parse().ok()
        });
        listening.unwrap_or_else(|| panic!("it does not listen: {}", self.log()))
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let file = self.folder.path().join("certs/dev.pem");
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS12, &TLS13]).unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|path| Path::exists(path)).expect("scripts/test installs faketime")
}

/// No token and no certificate can be judged by such a clock: nobody comes in, nothing panics, and all is
/// well once the clock is set.
#[test]
#[ignore = "needs faketime"]
fn without_a_sound_clock_connections_are_closed_until_it_is_set() {
    for time in ["@1969-06-01 00:00:00", "+8000y"] {
        let upstream = RawUpstream::bind();
        let gateway = Moved::start(&upstream, time);
        let (address, config) = (gateway.address(), gateway.client());
        for _ in 0..2 {
            let mut socket = TcpStream::connect(address).unwrap();
            let mut rest = Vec::new();
            assert_eq!(socket.read_to_end(&mut rest).unwrap(), 0, "{time}");
        }
        let told = || gateway.log().matches("this machine's clock says no time").count();
        assert!(eventually(|| (told() == 2).then_some(())).is_some(), "{}", gateway.log());
        gateway.set("+0");
        // The second one resumes with the ticket of the first.
        for _ in 0..2 {
            let socket = TcpStream::connect(address).unwrap();
            let mut client = Wire::tls_client(socket, Arc::clone(&config), "localhost");
            client.send_request(&Request::upgrade("/ws"));
            upstream.accept_upgrade("");
            assert_eq!(client.read_head().status(), 101, "{time}");
        }
        assert!(!gateway.log().contains("\"event\":\"panic\""), "{time}: {}", gateway.log());
    }
}
