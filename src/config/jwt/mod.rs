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

use super::auth::NONE;
use super::issuer::{Algorithm, OnExpiry};
use super::keys::{self, Issuer, IssuerKeys, Section};
use super::kinds::Fault;
use super::load::Loader;
use super::reader::{NamedTable, SectionReader, check_name, is_name};
use super::report::Problem;
use super::units::nearest;
use crate::config::lints::LintName;
use crate::values::TokenPlace;
use key::KeyPlace;

pub(super) use claims::{
    CLAIM, CLAIM_NAME, Forward, POINTER, Require, RequireIn, parse_name, parse_path,
};
pub(super) use jwks::{JwksRef, parse_jwks};
pub(super) use places::parse_place;
pub use places::token_place;
pub(super) use secret::{SecretRef, parse_secret};

/// `[jwt]`; the verification keys are not loaded yet.
pub(super) struct Issuers<'a>(Vec<CheckedIssuer<'a>>);

/// `[jwt.NAME]`; its verification key is not loaded yet. A field is missing or empty if its value had a
/// fault; the fault was reported.
pub(super) struct CheckedIssuer<'a> {
    reader: SectionReader<'a>,
    pub(super) name: String,
    span: Range<usize>,
    pub(super) keys: IssuerKeys,
    pub(super) token_from: Option<Vec<TokenPlace>>,
    key: Option<KeyPlace>,
    /// Whether a route names this issuer.
    used: Cell<bool>,
}

impl<'a> Issuers<'a> {
    /// The index of the table `name`, if it exists, and the issuer, unless the table has a fault. Marks
    /// the issuer as used.
    pub(super) fn find(&self, name: &str) -> Option<(usize, Option<&CheckedIssuer<'a>>)> {
        let position = self.0.iter().position(|issuer| issuer.name == name)?;
        let issuer = &self.0[position];
        issuer.used.set(true);
        let valid = issuer.token_from.is_some() && !issuer.keys.algorithms.is_empty();
        Some((position, valid.then_some(issuer)))
    }

    /// The issuer names that `auth` accepts, in the order of the file.
    pub(super) fn names(&self) -> Vec<&str> {
        let names = self.0.iter().map(|issuer| issuer.name.as_str());
        names.filter(|name| is_name(name) && *name != NONE).collect()
    }

    /// Warns of each issuer that no route names; called after the routes are checked.
    pub(super) fn lint_unused(&self, root: &SectionReader<'_>) {
        for CheckedIssuer { name, span, .. } in self.0.iter().filter(|issuer| !issuer.used.get()) {
            let what = format!("jwt.{name} is used by no route: nobody's token is checked with it");
            let help = format!("say auth = \"{name}\" in a route, or remove the table");
            root.lint(LintName::JwtUnused, Problem::at(span.clone(), what).help(help));
        }
    }

    /// Loads the verification keys. The issuers are in the order of the file; `None` stands for an
    /// issuer with a fault, which was reported.
    pub(super) fn load(self, loader: &Loader) -> Vec<Option<Arc<Issuer>>> {
        let load = |CheckedIssuer { reader, name, keys, token_from, key, .. }| {
            let key = key.and_then(|key: KeyPlace| key.load(&reader, &keys.algorithms, loader))?;
            let valid = !keys.algorithms.is_empty();
            valid.then_some(Arc::new(keys.with(name, key, token_from?)))
        };
        self.0.into_iter().map(load).collect()
    }
}

/// Checks every `[jwt.*]`.
pub(super) fn check<'a>(reader: &SectionReader<'a>) -> Issuers<'a> {
    Issuers(reader.named_tables(Section::Issuer).into_iter().map(check_one).collect())
}

fn check_one(NamedTable { name, span, reader }: NamedTable<'_>) -> CheckedIssuer<'_> {
    check_name(&reader, &name, span.clone(), "an issuer");
    if name == NONE {
        refuse_none(&reader, span.clone());
    }
    let mut keys = IssuerKeys::read(&reader);
    if !check_family(&reader, &keys.algorithms) {
        keys.algorithms.clear();
    }
    let key = key::check(&reader, &name, &keys.algorithms);
    lint_unchecked(&reader, &name, &span);
    let token_from = places::check(&reader);
    places::check_message(&reader, token_from.as_deref());
    lint_outlived(&reader, &name, keys.on_expiry);
    CheckedIssuer { reader, name, span, keys, token_from, key, used: Cell::new(false) }
}

fn refuse_none(reader: &SectionReader<'_>, span: Range<usize>) {
    let what = "an issuer cannot be called none: auth = \"none\" admits anybody";
    reader.cx.refuse(Problem::at(span, what).help("give the table another name"));
}

/// Whether all algorithms are of one family; reports one that is not.
fn check_family(reader: &SectionReader<'_>, algorithms: &[Algorithm]) -> bool {
    let list = reader.entries(keys::ALGORITHMS.name, algorithms);
    let Some(first) = list.first() else {
        return true;
    };
    let family = first.get_ref().family();
    let Some(other) = list.iter().find(|one| one.get_ref().family() != family) else {
        return true;
    };
    let (key, first_name) = (reader.key(keys::ALGORITHMS.name), first.get_ref());
    let what = format!("{key}: {} and {first_name} need different keys", other.get_ref());
    reader.cx.refuse(
        Problem::at(other.span(), what)
            .related(first.span(), "another family")
            .help("name algorithms of one family: HS*; or RS* and PS*; or ES*; or EdDSA"),
    );
    false
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

fn lint_outlived(reader: &SectionReader<'_>, name: &str, on_expiry: OnExpiry) {
    if let (Some(span), OnExpiry::Ignore) = (reader.span_of(keys::ON_EXPIRY.name), on_expiry) {
        let what = format!("jwt.{name} leaves sessions open when their token expires");
        reader.lint(
            LintName::JwtOutlived,
            Problem::at(span, what)
                .label("a session lasts for as long as its client likes")
                .help("say \"close\", and `refresh` in the route to let clients renew their token"),
        );
    }
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
