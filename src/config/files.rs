//! The files that a configuration names: certificates, keys and roots in PEM, and paths where the
//! gateway creates files.

use std::path::{Path, PathBuf};

use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Version;

use super::kinds::Fault;
use super::report::io_reason;
use crate::tls::{
    Certificate, NotARoot, PemError, PrivateKey, Roots, ServerCertificate, ServerKeyError,
    ServerTrust,
};
use crate::values::file;

/// The largest configuration, certificate or key file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// The help texts for a missing file and for a file with the wrong content.
pub(super) struct Help {
    pub(super) missing: &'static str,
    pub(super) wrong: &'static str,
}

const CHAIN: Help = Help {
    missing: "correct the path, which is relative to this file's folder, or make a \
        development certificate with `framewall cert new`",
    wrong: "give the PEM file of the certificate chain, as your authority sent it",
};

const KEY: Help = Help {
    missing: CHAIN.missing,
    wrong: "give the PEM file of the private key: PKCS#8, SEC1 or PKCS#1",
};

const ROOTS: Help = Help {
    missing: "correct the path, which is relative to this file's folder",
    wrong: "give the PEM file of the authority's root certificates",
};

/// Reads a certificate chain, the server's own certificate first.
pub(super) fn read_chain(path: &Path) -> Result<Vec<Certificate>, Fault> {
    read_certificates(path, &CHAIN)
}

fn read_certificates(path: &Path, help: &Help) -> Result<Vec<Certificate>, Fault> {
    let pem = read(path, help)?;
    let found = Certificate::from_pem(&pem);
    let found = found.map_err(|error| not_pem(path, &error).help(help.wrong))?;
    if found.is_empty() {
        return Err(empty(path, "certificate", &pem).help(help.wrong));
    }
    for (index, certificate) in found.iter().enumerate() {
        if !certificate.is_well_formed() {
            return Err(not_x509(path, index, certificate, help));
        }
    }
    Ok(found)
}

/// Reads the first private key.
pub(super) fn read_key(path: &Path) -> Result<PrivateKey, Fault> {
    let pem = read(path, &KEY)?;
    if contains(&pem, "BEGIN ENCRYPTED PRIVATE KEY") || contains(&pem, "Proc-Type: 4,ENCRYPTED") {
        let fault = Fault::new(format!("the key in {} is encrypted", path.display()));
        return Err(fault.help("decrypt it with `openssl pkey`, and let only this user read it"));
    }
    PrivateKey::from_pem(&pem).map_err(|error| {
        let fault = if error.is_absence() {
            empty(path, "private key", &pem)
        } else {
            not_pem(path, &error)
        };
        fault.help(KEY.wrong)
    })
}

/// Combines the chain of the file `cert` with its private key; refuses a key that does not match.
pub(super) fn certify(
    cert: PathBuf,
    chain: Vec<Certificate>,
    key: PrivateKey,
    path: &Path,
) -> Result<ServerCertificate, Fault> {
    ServerCertificate::new(cert, chain, key).map_err(|error| match error {
        ServerKeyError::Mismatch => {
            let what = format!("the key in {} is not the certificate's", path.display());
            Fault::new(what).help("give the key that the certificate was made for")
        }
        ServerKeyError::Unusable(error) => {
            let what = format!("the key in {} cannot be used: {error}", path.display());
            Fault::new(what).help("use an RSA (2048 bits or more), ECDSA or Ed25519 key")
        }
    })
}

/// Reads root certificates, at least one.
pub(super) fn read_roots(path: &Path) -> Result<Roots, Fault> {
    read_trusted(path).map(|trust| trust.roots)
}

/// Reads trusted certificates, at least one. Each is trusted both as a root and as an exact server
/// certificate.
pub(super) fn read_trusted(path: &Path) -> Result<ServerTrust, Fault> {
    let found = read_certificates(path, &ROOTS)?;
    let roots = Roots::new(&found)
        .map_err(|NotARoot(index)| not_x509(path, index, &found[index], &ROOTS))?;
    Ok(ServerTrust { roots, exact: found.into() })
}

/// Whether users other than the owner may read the file.
#[cfg(unix)]
pub(super) fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.permissions().mode() & 0o044 != 0)
}

#[cfg(not(unix))]
pub(super) fn others_may_read(_: &Path) -> bool {
    false
}

/// Checks that a file can be created at `path`: the folder exists, and `path` is not a folder.
pub(super) fn check_place(path: &Path) -> Result<(), Fault> {
    if path.is_dir() {
        let fault = Fault::new(format!("{} is a folder", path.display()));
        return Err(fault.help("name a file in it"));
    }
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    if folder.is_dir() {
        return Ok(());
    }
    let fault = Fault::new(format!("there is no folder {}", folder.display()));
    Err(fault.help(format!("mkdir -p {}", folder.display())))
}

/// Reads at most [`MAX_FILE`] bytes; a longer file is `Ok(None)`.
pub(super) fn read_bounded(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    file::read(path, MAX_FILE)
}

pub(super) fn read(path: &Path, help: &Help) -> Result<Vec<u8>, Fault> {
    read_up_to(path, MAX_FILE, help)
}

/// Reads a file of at most `most` bytes. `most` is a whole number of MiB, as the error shows it.
pub(super) fn read_up_to(path: &Path, most: u64, help: &Help) -> Result<Vec<u8>, Fault> {
    let name = path.display();
    match file::read(path, most) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => {
            let what = format!("{name} is larger than {} MiB", most >> 20);
            Err(Fault::new(what).help(help.wrong))
        }
        Err(error) => Err(Fault::new(format!("cannot read {name}: {}", io_reason(&error)))
            .help(missing_help(&error, help))),
    }
}

fn missing_help(error: &std::io::Error, help: &Help) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => help.missing,
        std::io::ErrorKind::PermissionDenied => "let the gateway's user read it",
        _ => "give the path of a readable file",
    }
}

pub(super) fn contains(pem: &[u8], marker: &str) -> bool {
    pem.windows(marker.len()).any(|window| window == marker.as_bytes())
}

fn empty(path: &Path, wanted: &str, pem: &[u8]) -> Fault {
    let found = if contains(pem, "PRIVATE KEY-----") {
        ", but a private key"
    } else if contains(pem, "BEGIN CERTIFICATE-----") {
        ", but a certificate"
    } else {
        ""
    };
    Fault::new(format!("there is no {wanted} in {}{found}", path.display()))
}

pub(super) fn not_pem(path: &Path, error: &PemError) -> Fault {
    Fault::new(format!("{} is not valid PEM: {}", path.display(), error.mistake()))
}

fn not_x509(path: &Path, index: usize, certificate: &Certificate, help: &Help) -> Fault {
    let what = format!("certificate {} in {}", index + 1, path.display());
    match parse_x509_certificate(certificate.der()) {
        Ok((_, parsed)) if parsed.version() == X509Version::V1 => {
            Fault::new(format!("{what} is X.509 version 1, which names no hosts")).help(
                "make one of version 3, with a subjectAltName: `openssl req -x509`, or `openssl x509 -req` \
                 with -extfile",
            )
        }
        _ => Fault::new(format!("{what} is not a valid X.509 certificate")).help(help.wrong),
    }
}
