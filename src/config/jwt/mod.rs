//! `[jwt.*]`: checks the tables and builds the [`Issuer`]s. The load step reads the files and
//! environment variables that the tables name; it does not fetch a JWK Set from a URL.

mod claims;
mod jwks;
mod key;
mod places;
mod public_key;
mod secret;

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::auth::NONE;
use super::issuer::{Algorithm, Issuer, LONGEST_TOKEN, OnExpiry};
use super::keys::{self, Section};
use super::kinds::Fault;
use super::load::Loader;
use super::reader::{Scope, SectionReader, check_name, is_name};
use super::report::Problem;
use super::units::nearest;
use crate::config::lints::LintName;
use key::KeyPlace;

pub(super) use claims::{CLAIM, Forward, Require, parse_claim, parse_name, parse_path};
pub(super) use jwks::{JwksRef, parse_jwks};
pub(super) use places::parse_place;
pub use places::token_place;
pub(super) use secret::{SecretRef, parse_secret};

/// `[jwt]`; the verification keys are not loaded yet.
pub(super) struct Issuers<'a>(Vec<IssuerEntry<'a>>);

struct IssuerEntry<'a> {
    name: String,
    span: Range<usize>,
    checked: CheckedIssuer<'a>,
    /// Whether a route names this issuer.
    used: Cell<bool>,
}

/// `[jwt.NAME]`; its verification key is not loaded yet. A field is missing if its value had a fault;
/// the fault was reported.
struct CheckedIssuer<'a> {
    scope: Scope<'a>,
    algorithms: Vec<Algorithm>,
    key: Option<KeyPlace>,
    issuer: Option<Issuer<()>>,
}

impl Issuers<'_> {
    /// The index of the table `name`, if it exists, and the issuer, unless the table has a fault. Marks
    /// the issuer as used.
    pub(super) fn find(&self, name: &str) -> Option<(usize, Option<&Issuer<()>>)> {
        let position = self.0.iter().position(|entry| entry.name == name)?;
        let entry = &self.0[position];
        entry.used.set(true);
        Some((position, entry.checked.issuer.as_ref()))
    }

    /// The issuer names that `auth` accepts, in the order of the file.
    pub(super) fn names(&self) -> Vec<&str> {
        let names = self.0.iter().map(|entry| entry.name.as_str());
        names.filter(|name| is_name(name) && *name != NONE).collect()
    }

    /// Warns of each issuer that no route names; called after the routes are checked.
    pub(super) fn lint_unused(&self, root: &SectionReader<'_>) {
        for IssuerEntry { name, span, .. } in self.0.iter().filter(|entry| !entry.used.get()) {
            let what = format!("jwt.{name} is used by no route: nobody's token is checked with it");
            let help = format!("say auth = \"{name}\" in a route, or remove the table");
            root.lint(LintName::JwtUnused, Problem::at(span.clone(), what).help(help));
        }
    }

    /// Loads the verification keys. The issuers are in the order of the file; `None` stands for an
    /// issuer with a fault, which was reported.
    pub(super) fn load(self, loader: &Loader) -> Vec<Option<Arc<Issuer>>> {
        let load = |CheckedIssuer { scope, algorithms, key, issuer }| {
            let key = key.and_then(|key: KeyPlace| key.load(&scope, &algorithms, loader))?;
            Some(Arc::new(issuer?.with_key(key)))
        };
        self.0.into_iter().map(|entry| load(entry.checked)).collect()
    }
}

/// Checks every `[jwt.*]`.
pub(super) fn check<'a>(reader: &SectionReader<'a>) -> Issuers<'a> {
    let entries = reader.entries(Section::Issuer).into_iter();
    let check = |(name, span, reader): (String, Range<usize>, SectionReader<'a>)| {
        check_name(&reader, &name, span.clone(), "an issuer");
        if name == NONE {
            refuse_none(&reader, span.clone());
        }
        let algorithms = algorithms(&reader);
        let key = key::check(&reader, &name, algorithms.as_deref());
        let issuer = check_one(&reader, &name, &span, algorithms.clone());
        let algorithms = algorithms.unwrap_or_default();
        let checked = CheckedIssuer { scope: Scope::clone(&reader), algorithms, key, issuer };
        IssuerEntry { name, span, checked, used: Cell::new(false) }
    };
    Issuers(entries.map(check).collect())
}

fn refuse_none(reader: &SectionReader<'_>, span: Range<usize>) {
    let what = "an issuer cannot be called none: auth = \"none\" admits anybody";
    reader.cx.refuse(Problem::at(span, what).help("give the table another name"));
}

fn check_one(
    reader: &SectionReader<'_>,
    name: &str,
    span: &Range<usize>,
    algorithms: Option<Vec<Algorithm>>,
) -> Option<Issuer<()>> {
    let issuer = reader.get(&keys::ISSUER).map(Spanned::into_inner);
    let audience = reader.get(&keys::AUDIENCE).map_or(Vec::new(), Spanned::into_inner);
    let audience: Vec<_> = audience.into_iter().map(Spanned::into_inner).collect();
    lint_unchecked(reader, name, span);
    let leeway = reader.value(&keys::LEEWAY);
    let user_claim = reader.value(&keys::USER_CLAIM);
    let token_from = places::check(reader);
    let message_deadline = places::message_deadline(reader, token_from.as_deref());
    let message_token = places::message_token(reader, token_from.as_deref());
    let max_token = reader.value(&keys::MAX_TOKEN);
    let require = reader.get(&keys::REQUIRE).map_or(Vec::new(), Spanned::into_inner);
    let forward = reader.get(&keys::FORWARD).map_or(Vec::new(), Spanned::into_inner);
    let forward_token = reader.value(&keys::FORWARD_TOKEN);
    let on_expiry = on_expiry(reader, name);
    Some(Issuer {
        name: name.to_owned(),
        algorithms: algorithms?,
        key: (),
        issuer,
        audience,
        leeway,
        user_claim,
        token_from: token_from?,
        message_deadline,
        message_token,
        // The bounds of the key keep the value within `usize`.
        max_token: usize::try_from(max_token).unwrap_or(LONGEST_TOKEN),
        require,
        forward,
        forward_token,
        on_expiry,
    })
}

fn algorithms(reader: &SectionReader<'_>) -> Option<Vec<Algorithm>> {
    let list = reader.required(&keys::ALGORITHMS)?.into_inner();
    let first = list.first()?;
    let other = list.iter().find(|one| one.get_ref().family() != first.get_ref().family());
    if let Some(other) = other {
        let (key, first_name) = (reader.key(keys::ALGORITHMS.name), first.get_ref());
        let what = format!("{key}: {} and {first_name} need different keys", other.get_ref());
        reader.cx.refuse(
            Problem::at(other.span(), what)
                .related(first.span(), "another family")
                .help("name algorithms of one family: HS*; or RS* and PS*; or ES*; or EdDSA"),
        );
        return None;
    }
    Some(list.into_iter().map(Spanned::into_inner).collect())
}

/// Reads the name of an algorithm. It is case-sensitive, as in tokens.
pub(super) fn parse_algorithm(text: &str) -> Result<Algorithm, Fault> {
    let named = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == text);
    named.ok_or_else(|| match text {
        text if text.eq_ignore_ascii_case("none") => {
            Fault::new("\"none\" is a token without a signature, which anybody can write")
                .help("name the algorithm that the issuer signs with")
        }
        "ES512" | "ES256K" | "Ed448" => {
            Fault::new(format!("\"{text}\" is not available in this version"))
        }
        text => Fault {
            what: format!("\"{text}\" is not an algorithm"),
            help: near_algorithm(text).map(|name| format!("did you mean \"{name}\"?")),
        },
    })
}

fn near_algorithm(text: &str) -> Option<&'static str> {
    if text == "Ed25519" {
        return Some(Algorithm::EdDSA.name());
    }
    let folded = Algorithm::ALL.map(|algorithm| algorithm.name().to_ascii_lowercase());
    let near = nearest(text, folded.iter().map(String::as_str))?;
    let named = |algorithm: &&Algorithm| algorithm.name().eq_ignore_ascii_case(near);
    Algorithm::ALL.iter().find(named).map(|algorithm| algorithm.name())
}

fn on_expiry(reader: &SectionReader<'_>, name: &str) -> OnExpiry {
    let Some(said) = reader.get(&keys::ON_EXPIRY) else {
        return keys::ON_EXPIRY.absent.value();
    };
    if *said.get_ref() == OnExpiry::Ignore {
        let what = format!("jwt.{name} leaves sessions open when their token expires");
        reader.lint(
            LintName::JwtOutlived,
            Problem::at(said.span(), what)
                .label("a session lasts for as long as its client likes")
                .help("say \"close\", and `refresh` in the route to let clients renew their token"),
        );
    }
    said.into_inner()
}

/// Warns, at the name of the table, of claims that are not checked.
fn lint_unchecked(reader: &SectionReader<'_>, name: &str, span: &Range<usize>) {
    for (lint, key, what, help) in [
        (
            LintName::JwtAnyIssuer,
            keys::ISSUER.name,
            "takes a token of any issuer that the key verifies",
            "write issuer = \"https://issuer.example\", as the claim `iss` of your tokens says",
        ),
        (
            LintName::JwtAnyAudience,
            keys::AUDIENCE.name,
            "takes a token that was made for another service",
            "write audience = [\"chat\"], as the claim `aud` of your tokens says",
        ),
    ] {
        if reader.span_of(key).is_none() {
            let what = format!("jwt.{name} {what}: `{key}` is not given");
            reader.lint(lint, Problem::at(span.clone(), what).help(help));
        }
    }
}
