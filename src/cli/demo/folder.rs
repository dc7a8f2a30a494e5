//! The demo's temporary folder, which exists while the demo runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A temporary folder that only this user can read; removed when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> io::Result<Self> {
        let name = format!("framewall-demo-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("framewall.toml")
    }

    /// The secret with which tokens are signed.
    pub(super) fn secret(&self) -> PathBuf {
        self.0.join("secret")
    }

    /// The configuration of the gateway without TLS, which serves the page.
    pub(super) fn plain_config(&self) -> PathBuf {
        self.0.join("without-tls.toml")
    }

    /// The shell variables of the printed lines.
    pub(super) fn environment(&self) -> PathBuf {
        self.0.join("env")
    }

    /// The curl options for an opening handshake.
    pub(super) fn curl(&self) -> PathBuf {
        self.0.join("curl")
    }

    /// The client in Python.
    pub(super) fn talk(&self) -> PathBuf {
        self.0.join("talk.py")
    }

    /// Writes a new file that only this user can read.
    pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "the temporary folder is left");
        }
    }
}
