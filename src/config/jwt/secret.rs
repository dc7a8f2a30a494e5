//! `secret`: a reference to a shared secret, and the loaded bytes.

use std::fmt;

use super::super::files::{self, Help};
use super::super::issuer::{Algorithm, Secret};
use super::super::keys;
use super::super::kinds::{Fault, check_path};
use super::super::load::Loader;
use super::super::mask::is_variable;
use super::super::reader::SectionReader;
use super::super::tls::lint_readable;

const MAKE: &str = "make one with `openssl rand -base64 48`, and give it to the issuer too";

const FILE: Help = Help {
    missing: "correct the path, which is relative to this file's folder, or make a secret with \
        `openssl rand -base64 48`",
    wrong: "give the file of the secret alone",
};

/// The location of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file, relative to the configuration's folder.
    File(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

/// Reads `env:NAME` or `file:PATH`. The error does not quote any other text: it may be the secret itself.
pub(in super::super) fn parse_secret(text: &str) -> Result<SecretRef, Fault> {
    if let Some(path) = text.strip_prefix("file:") {
        return check_path(path).map(|()| SecretRef::File(path.to_owned()));
    }
    match text.strip_prefix("env:") {
        Some(name) if is_variable(name) => Ok(SecretRef::Env(name.to_owned())),
        Some(_) => Err(Fault::new("this cannot be the name of an environment variable").help(
            "write \"env:\" and a name of letters, digits and _, such as \"env:JWT_SECRET\"",
        )),
        None => Err(Fault::new("a secret is not written into this file").help(
            "put it into a variable and write \"env:NAME\", or into a file that only the gateway's \
             user can read and write \"file:PATH\"; if this one was in use, replace it",
        )),
    }
}

/// Reads the secret and checks that it is long enough for `algorithms`.
pub(super) fn load(
    reader: &SectionReader<'_>,
    algorithms: &[Algorithm],
    reference: &SecretRef,
    loader: &Loader,
) -> Option<Secret> {
    let name = keys::SECRET.name;
    let span = reader.span_of(name)?;
    let bytes = match reference {
        SecretRef::Env(variable) => reader.accept(name, span.clone(), from_variable(variable))?,
        SecretRef::File(path) => {
            let path = reader.cx.base.join(path);
            let bytes = loader.read(reader, name, &path, |path| files::read(path, &FILE))?;
            lint_readable(reader, name, &path, "secret");
            without_line_break(bytes)
        }
    };
    reader.accept(name, span, check_length(bytes, reference, algorithms)).map(Secret)
}

fn from_variable(name: &str) -> Result<Vec<u8>, Fault> {
    match std::env::var_os(name) {
        Some(value) => Ok(value.into_encoded_bytes()),
        None => Err(Fault::new(format!("the variable {name} is not set")).help(format!(
            "set it for the process that runs framewall: export {name}=\"$(openssl rand -base64 48)\" \
             for a new secret"
        ))),
    }
}

fn without_line_break(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// Refuses a secret that is shorter than the hash (RFC 7518 section 3.2).
fn check_length(
    bytes: Vec<u8>,
    reference: &SecretRef,
    algorithms: &[Algorithm],
) -> Result<Vec<u8>, Fault> {
    let (has, strongest) = (bytes.len() * 8, algorithms.iter().max_by_key(|one| one.hash_bits()));
    match strongest.map(|one| (one, one.hash_bits())) {
        Some((strongest, needs)) if has < needs => {
            let what = format!("{reference} has {has} bits, and {strongest} needs {needs}");
            Err(Fault::new(what).help(MAKE))
        }
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::{SecretRef, check_length, parse_secret};
    use crate::config::Algorithm::{HS256, HS512};

    #[test]
    fn only_references_are_read() {
        assert_eq!(parse_secret("env:A_1"), Ok(SecretRef::Env("A_1".into())));
        assert_eq!(parse_secret("file:a/b"), Ok(SecretRef::File("a/b".into())));
        for text in ["hunter2", "env:hunter 2", "env:", "file:", "Env:hunter2", "env:2hunter"] {
            let fault = parse_secret(text).unwrap_err();
            assert!(!format!("{fault:?}").contains("hunter"), "{fault:?}");
        }
    }

    #[test]
    fn a_secret_is_as_long_as_the_longest_hash() {
        let check = |bytes, algorithms: &[_]| {
            check_length(vec![0; bytes], &SecretRef::Env("S".into()), algorithms)
        };
        assert!(check(32, &[HS256]).is_ok() && check(64, &[HS256, HS512]).is_ok());
        let fault = check(63, &[HS512, HS256]).unwrap_err();
        assert_eq!(fault.what, "env:S has 504 bits, and HS512 needs 512");
        assert_eq!(check(0, &[HS256]).unwrap_err().what, "env:S has 0 bits, and HS256 needs 256");
    }
}
