//! `framewall cert new`: makes a certificate for development. It is self-signed and not a
//! certificate authority, so that a client that trusts it trusts no other certificate.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use super::{CommandFailure, print};
use crate::values::is_host;

/// The names that every development certificate is valid for.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The clocks of a laptop and its virtual machines differ.
const CLOCK_SLACK: Duration = Duration::from_secs(60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The arguments of `framewall cert new`.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The folder for dev.pem and dev.key
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    /// An additional host name or address
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// Days of validity; some clients refuse more than 825
    #[arg(long, value_name = "N", default_value_t = 90,
          value_parser = clap::value_parser!(u16).range(1..=825))]
    days: u16,
    /// Replace an existing dev.pem and dev.key
    #[arg(long)]
    force: bool,
}

/// A self-signed certificate and its key.
pub struct DevCertificate {
    /// The names it is valid for.
    pub names: Vec<String>,
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The private key, PKCS #8 in PEM. A secret.
    pub key_pem: String,
}

/// The reason why a certificate could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A `--name` is neither a host name nor an address.
    #[error(
        "--name {0:?} is not a host name or an address; write it as in a URL, without scheme and port (international names as xn--...)"
    )]
    Name(String),
    /// The key or the certificate could not be generated.
    #[error("cannot make the certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A file exists, and `--force` was not given.
    #[error("{} is there already; --force replaces it, --out DIR writes elsewhere", .0.display())]
    Exists(PathBuf),
    /// The file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Makes a certificate for localhost, 127.0.0.1, `::1` and `names`, valid from an hour ago for
/// `days`: ECDSA P-256, CA:FALSE, for TLS servers only.
pub fn make(names: &[String], days: u16) -> Result<DevCertificate, CertError> {
    let names = all_names(names)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = params(&names, days)?.self_signed(&key)?;
    Ok(DevCertificate { names, cert_pem: cert.pem(), key_pem: key.serialize_pem() })
}

/// Makes a certificate, writes it, and prints how to use it.
pub(super) fn new(args: &NewArgs) -> Result<(), CommandFailure> {
    let made = make(&args.names, args.days).map_err(CommandFailure::other)?;
    let paths = write(&args.out, &made, args.force).map_err(CommandFailure::other)?;
    print(&advice(&made, args.days, &paths))
}

fn all_names(further: &[String]) -> Result<Vec<String>, CertError> {
    let mut names: Vec<String> = LOCAL.map(str::to_owned).into();
    for name in further {
        let name = checked(name)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Checks an address, or a name with an optional `*` as its first label.
fn checked(given: &str) -> Result<String, CertError> {
    let bare = given.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let labels = given.strip_prefix("*.").unwrap_or(given);
    let fits = |label: &str| (1..=63).contains(&label.len());
    if is_host(labels) && labels.split('.').all(fits) {
        Ok(given.to_ascii_lowercase())
    } else {
        Err(CertError::Name(given.to_owned()))
    }
}

fn params(names: &[String], days: u16) -> Result<CertificateParams, CertError> {
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "Framewall development");
    params.distinguished_name = subject;
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SLACK).into();
    params.not_after = (now + DAY * u32::from(days)).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// The paths of the two files.
pub(super) struct Paths {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// Writes dev.pem and dev.key. Without `force`, neither is changed if one of them exists; with it
/// they are removed first, so that the new files do not keep the mode of old ones and no link is
/// followed.
pub(super) fn write(folder: &Path, made: &DevCertificate, force: bool) -> Result<Paths, CertError> {
    let paths = Paths { cert: folder.join("dev.pem"), key: folder.join("dev.key") };
    fs::create_dir_all(folder).map_err(|source| refused(folder, source))?;
    for path in [&paths.cert, &paths.key] {
        if force {
            remove(path)?;
        } else if path.symlink_metadata().is_ok() {
            return Err(CertError::Exists(path.clone()));
        }
    }
    create(&paths.key, 0o600, &made.key_pem)?;
    create(&paths.cert, 0o644, &made.cert_pem)?;
    Ok(paths)
}

fn remove(path: &Path) -> Result<(), CertError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(refused(path, error)),
        _ => Ok(()),
    }
}

fn create(path: &Path, mode: u32, text: &str) -> Result<(), CertError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| refused(path, source))
}

fn refused(path: &Path, source: io::Error) -> CertError {
    CertError::Write { path: path.to_owned(), source }
}

fn advice(made: &DevCertificate, days: u16, paths: &Paths) -> String {
    let (cert, key) = (paths.cert.display(), paths.key.display());
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "A development certificate for {names}, valid for {days} days:\n\
         \n\
         \x20   {cert}    clients trust this file\n\
         \x20   {key}    the private key; it stays here\n\
         \n\
         In the configuration (its paths are relative to the file they are in):\n\
         \n\
         \x20   [tls]\n\
         \x20   certificates = [{{ cert = {toml_cert}, key = {toml_key} }}]\n\
         \n\
         Clients that do not use the system's certificates trust it with:\n\
         \n\
         \x20   curl      --cacert {cert}\n\
         \x20   Python    ssl.create_default_context(cafile={toml_cert})\n\
         \x20   Node      NODE_EXTRA_CA_CERTS={cert}\n",
        names = made.names.join(", "),
        toml_cert = toml_string(&paths.cert),
        toml_key = toml_string(&paths.key),
    );
    text
}

fn toml_string(path: &Path) -> toml::Value {
    toml::Value::String(path.display().to_string())
}
