//! `--config` and the default paths of the configuration.

use std::path::{Path, PathBuf};

use clap::Args;

use super::CommandFailure;

/// The default paths, in order of preference.
const DEFAULTS: [&str; 2] = ["framewall.toml", "/etc/framewall/framewall.toml"];

/// `--config`.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The TOML file; default: framewall.toml in this folder, then /etc/framewall/framewall.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// The given file, or the first default path that exists.
    pub(super) fn path(&self) -> Result<PathBuf, CommandFailure> {
        match &self.config {
            Some(path) => Ok(path.clone()),
            None => default(),
        }
    }
}

/// The first default path that exists.
pub(super) fn default() -> Result<PathBuf, CommandFailure> {
    let found = DEFAULTS.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_owned).ok_or_else(|| {
        let [here, system] = DEFAULTS;
        CommandFailure::Config(format!(
            "framewall: there is no configuration: neither {here} in this folder nor {system} \
             exists; name the file with --config FILE"
        ))
    })
}
