//! Chromium without a window, as people have it with one.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tempfile::TempDir;

/// One at a time: each is a dozen processes.
static ALONE: Mutex<()> = Mutex::new(());

/// A browser with one page; dropping it kills the process.
pub struct Browser {
    child: Child,
    profile: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Browser {
    /// Opens `url` with a fresh profile. Certificates are checked but for those with these keys:
    /// Chromium knows no `--cacert`, and its store of authorities would need another tool to fill.
    pub fn open(url: &str, trusted: &[&Path]) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = TempDir::new().unwrap();
        let keys: Vec<_> = trusted.iter().map(|path| key_hash(path)).collect();
        let output = File::create(profile.path().join("output")).unwrap();
        let child = Command::new("chromium")
            // Root has no sandbox, and the pages are the test's own.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-breakpad", "--disable-quic"])
            .arg(format!("--ignore-certificate-errors-spki-list={}", keys.join(",")))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("chromium: {error}; scripts/test installs it"));
        Self { child, profile, _alone: alone }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = std::fs::read_to_string(self.profile.path().join("output"));
            eprintln!("the browser wrote:\n{}", output.unwrap_or_default());
        }
    }
}

/// What Chromium knows a key by: the SHA-256 of its `SubjectPublicKeyInfo`, in base64.
fn key_hash(path: &Path) -> String {
    let key = KeyPair::from_pem(&std::fs::read_to_string(path).unwrap()).unwrap();
    let sha256 = TLS13_AES_128_GCM_SHA256.tls13().unwrap().common.hash_provider;
    STANDARD.encode(sha256.hash(&key.subject_public_key_info()))
}
