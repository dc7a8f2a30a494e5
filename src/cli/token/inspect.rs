//! `framewall token inspect`.

use std::fmt::Write as _;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::time::{from_now, utc};
use crate::cli::{CommandFailure, REFUSED, print, run::runtime};
use crate::config::{self, Issuer};
use crate::journal::Journal;
use crate::policy::token::{Inspection, VerifiedToken, Verifier, inspect as read_token};
use crate::values::{Principal, Refusal};

/// The largest token read from standard input, in bytes.
const MAX_INPUT: u64 = 64 * 1024;
/// Deadline for fetching a JWK Set.
const FETCH: Duration = Duration::from_secs(15);
/// The claims that are times (RFC 7519 section 4.1).
const TIMES: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

/// The arguments of `framewall token inspect`.
#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// The TOML file with the issuer that verifies the token
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The NAME of [jwt.NAME]; not needed if there is only one
    #[arg(long, value_name = "NAME", requires = "config")]
    issuer: Option<String>,
    /// The token, or - to read it from standard input, hidden from other users
    token: String,
}

/// Prints the token's claims and problems. Exit code 0: the issuer accepts the token, or without an
/// issuer it has no problems; 2: it would be refused.
pub(super) fn inspect(args: &InspectArgs) -> Result<ExitCode, CommandFailure> {
    let issuer = args.config.as_deref().map(|path| issuer(path, args.issuer.as_deref()));
    let issuer = issuer.transpose()?;
    let token = token(&args.token)?;
    let now = SystemTime::now();
    let verdict = issuer.map(|issuer| verdict(&issuer, &token, now)).transpose()?;
    let (text, passes) = report(read_token(&token, now), verdict.as_ref(), now);
    print(&text)?;
    Ok(if passes { ExitCode::SUCCESS } else { REFUSED.into() })
}

fn token(given: &str) -> Result<String, CommandFailure> {
    if given != "-" {
        return Ok(given.trim().to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_INPUT).read_to_string(&mut text);
    read.map_err(|error| CommandFailure::Usage(format!("cannot read the token: {error}")))?;
    Ok(text.trim().to_owned())
}

fn issuer(path: &Path, name: Option<&str>) -> Result<Arc<Issuer>, CommandFailure> {
    let styled = std::io::stderr().is_terminal();
    let loaded =
        config::load(path).map_err(|error| CommandFailure::Config(error.render(styled)))?;
    pick(&loaded.config.issuers, name).map(Arc::clone)
}

fn pick<'a>(
    issuers: &'a [Arc<Issuer>],
    name: Option<&str>,
) -> Result<&'a Arc<Issuer>, CommandFailure> {
    let found = match (name, issuers) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), all) => all.iter().find(|issuer| issuer.name == name),
    };
    found.ok_or_else(|| {
        let names: Vec<_> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
        CommandFailure::Usage(match &names[..] {
            [] => "the configuration has no [jwt.NAME]".to_owned(),
            names => format!("give --issuer, one of {}", names.join(", ")),
        })
    })
}

/// Verifies the token with the gateway's own code and keys.
pub(super) struct TokenVerdict {
    issuer: String,
    outcome: Result<VerifiedToken, Refusal>,
}

pub(super) fn verdict(
    issuer: &Arc<Issuer>,
    token: &str,
    now: SystemTime,
) -> Result<TokenVerdict, CommandFailure> {
    let verifier = Verifier::new(issuer);
    let verifier = verifier.map_err(|error| CommandFailure::Config(format!("error: {error}")))?;
    let runtime = runtime().map_err(CommandFailure::other)?;
    let outcome = runtime.block_on(async {
        let verifying = async {
            // If the set does not come in time, the verifier reports it.
            let _ = tokio::time::timeout(FETCH, verifier.looked()).await;
            verifier.verify(token, now).await
        };
        let Some(fetching) = verifier.run(Journal::default(), CancellationToken::new()) else {
            return verifying.await;
        };
        tokio::pin!(fetching, verifying);
        tokio::select! {
            biased;
            outcome = &mut verifying => outcome,
            () = &mut fetching => verifying.await,
        }
    });
    Ok(TokenVerdict { issuer: issuer.name.clone(), outcome })
}

/// The text to print, and whether the token passes.
pub(super) fn report(
    read: Result<Inspection, Refusal>,
    verdict: Option<&TokenVerdict>,
    now: SystemTime,
) -> (String, bool) {
    let mut text = String::new();
    let sound = match read {
        Err(refusal) => {
            let _ = writeln!(text, "not readable: {}", shown(&refusal.detail));
            false
        }
        Ok(Inspection { header, claims, problems }) => {
            table(&mut text, "header", &header, None);
            table(&mut text, "claims", &claims, Some(now));
            list(&mut text, &problems);
            problems.is_empty()
        }
    };
    let passes = verdict.map_or(sound, |verdict| verdict.outcome.is_ok());
    text.push_str(&conclusion(sound, verdict));
    (text, passes)
}

fn table(text: &mut String, name: &str, object: &Map<String, Value>, now: Option<SystemTime>) {
    let _ = writeln!(text, "{name}");
    let width = object.keys().map(|name| shown(name).chars().count()).max().unwrap_or_default();
    for (name, value) in object {
        let time = now.filter(|_| TIMES.contains(&name.as_str()));
        let time = time.and_then(|now| in_words(name, value, now)).unwrap_or_default();
        let value = shown(&value.to_string());
        let _ = writeln!(text, "  {:width$}  {value}{time}", shown(name));
    }
}

fn in_words(name: &str, value: &Value, now: SystemTime) -> Option<String> {
    let seconds = value.as_f64().filter(|seconds| (0.0..253_402_300_800.0).contains(seconds))?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds);
    let verb = match name {
        "exp" if time <= now => "expired ",
        "exp" => "expires ",
        _ => "",
    };
    Some(format!("  ({}, {verb}{})", utc(time), from_now(time, now)))
}

fn list(text: &mut String, problems: &[String]) {
    if !problems.is_empty() {
        text.push_str("problems with every issuer\n");
    }
    for problem in problems {
        let _ = writeln!(text, "  - {}", shown(problem));
    }
}

fn conclusion(sound: bool, verdict: Option<&TokenVerdict>) -> String {
    match verdict {
        None if sound => {
            "The signature was not verified: give --config FILE, and --issuer NAME, to \
            see whether it would pass.\n"
                .to_owned()
        }
        None => "It would be refused by every issuer.\n".to_owned(),
        Some(TokenVerdict { issuer, outcome: Ok(token) }) => {
            let Principal { user, expires, .. } = token.principal();
            let (user, end) = (shown(user.user()), utc(*expires));
            format!("[jwt.{issuer}] accepts it: user {user}, until {end} with the leeway\n")
        }
        Some(TokenVerdict { issuer, outcome: Err(refusal) }) => {
            let (reason, detail) = (refusal.reason, shown(&refusal.detail));
            format!("[jwt.{issuer}] refuses it: {reason}: {detail}\n")
        }
    }
}

/// Escapes text of a token for a terminal, so that nothing in it moves the cursor or reorders text.
fn shown(text: &str) -> String {
    let plain = |c: char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if plain(c) { out.push(c) } else { out.extend(c.escape_debug()) }
    }
    out
}
