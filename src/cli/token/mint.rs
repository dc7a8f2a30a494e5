//! `framewall token mint`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::cli::CommandFailure;
use crate::config::{Algorithm, duration};
use crate::policy::token::Signer;
use crate::values::file;

/// Claims that have their own options.
const OWN: [&str; 6] = ["sub", "iss", "aud", "iat", "exp", "jti"];

/// The arguments of `framewall token mint`.
#[derive(Debug, Args)]
pub(in crate::cli) struct MintArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The algorithm; default: HS256 with a secret, the algorithm of the key with a private key
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm)]
    alg: Option<Algorithm>,
    /// The user (sub)
    #[arg(long)]
    user: String,
    /// The issuer (iss)
    #[arg(long)]
    issuer: Option<String>,
    /// The audience (aud); may be repeated
    #[arg(long)]
    audience: Vec<String>,
    /// The lifetime
    #[arg(long, default_value = "1h", value_parser = duration)]
    lifetime: Duration,
    /// An additional claim; the value is JSON, or else text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// The id of the signing key (kid)
    #[arg(long)]
    kid: Option<String>,
    /// The token's id (jti); default: random
    #[arg(long)]
    jti: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct KeyArgs {
    /// The secret, as `env:NAME` or `file:PATH`
    #[arg(long, value_name = "REFERENCE")]
    secret: Option<String>,
    /// A private key, PEM: RSA, EC on P-256 or P-384, or Ed25519
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Makes the token.
pub(super) fn mint(args: &MintArgs) -> Result<String, CommandFailure> {
    let signer = signer(args)?;
    let claims = claims(args, SystemTime::now())?;
    signer.sign(&claims, args.kid.as_deref()).map_err(usage)
}

fn signer(args: &MintArgs) -> Result<Signer, CommandFailure> {
    if let Some(path) = &args.key.key {
        let pem = read(path).map_err(|error| {
            CommandFailure::Usage(format!("cannot read {}: {error}", path.display()))
        })?;
        return Signer::pem(path, &pem, args.alg).map_err(usage);
    }
    let reference = args.key.secret.as_deref().unwrap_or_default();
    Signer::secret(&secret(reference)?, args.alg.unwrap_or(Algorithm::HS256)).map_err(usage)
}

/// Reads a key or a secret of at most 1 MiB.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    file::read(path, 1 << 20)?.ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// Reads the secret. It is not taken from the command line, which every user of the machine can
/// see. One line break at the end of a file is removed, since editors add it.
fn secret(reference: &str) -> Result<Vec<u8>, CommandFailure> {
    if let Some(name) = reference.strip_prefix("env:") {
        let value = std::env::var(name);
        return value.map(String::into_bytes).map_err(|error| {
            CommandFailure::Usage(format!(
                "the secret cannot be read from the variable {name}: {error}"
            ))
        });
    }
    let path = reference.strip_prefix("file:").ok_or_else(|| {
        let what = "--secret is env:NAME or file:PATH, not the secret itself: the command line of a \
            program is no secret";
        CommandFailure::Usage(what.to_owned())
    })?;
    let mut bytes = read(Path::new(path)).map_err(|error| {
        CommandFailure::Usage(format!("cannot read the secret in {path}: {error}"))
    })?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn claims(args: &MintArgs, now: SystemTime) -> Result<Map<String, Value>, CommandFailure> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_err(CommandFailure::other)?;
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(args.user));
    if let Some(issuer) = &args.issuer {
        claims.insert("iss".to_owned(), json!(issuer));
    }
    match &args.audience[..] {
        [] => {}
        [one] => _ = claims.insert("aud".to_owned(), json!(one)),
        more => _ = claims.insert("aud".to_owned(), json!(more)),
    }
    claims.insert("iat".to_owned(), json!(now.as_secs()));
    claims.insert("exp".to_owned(), json!((now + args.lifetime).as_secs()));
    let id = args.jti.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    claims.insert("jti".to_owned(), json!(id));
    claims.extend(args.claims.iter().cloned());
    Ok(claims)
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
        let names: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    if name.is_empty() || OWN.contains(&name) {
        return Err(format!("{name:?} has an option of its own, or is no name"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok((name.to_owned(), value))
}

fn usage(error: impl std::fmt::Display) -> CommandFailure {
    CommandFailure::Usage(error.to_string())
}
