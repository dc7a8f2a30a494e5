//! `routes.*.auth` and `routes.*.refresh`: the clients that may connect, and in-session token renewal.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::issuer::RouteIssuers;
use super::jwt::{CheckedIssuer, Issuers};
use super::keys::{self, Issuer};
use super::kinds::Fault;
use super::lints::LintName;
use super::model::Auth;
use super::reader::{SectionReader, is_name};
use super::report::Problem;
use super::units::nearest;

/// The value of `auth` for a route without authentication.
pub(super) const NONE: &str = "none";

/// The authentication of a route, before the keys of the issuers are loaded.
pub(super) enum CheckedAuth {
    /// No authentication: any client may connect.
    None,
    /// Clients with a token of one of these issuers, by their index in the file; at least one.
    Jwt(Vec<usize>),
}

impl CheckedAuth {
    /// Replaces the indices with the loaded issuers. Returns `None` if an issuer has a fault; the fault
    /// was already reported.
    pub(super) fn load(&self, issuers: &[Option<Arc<Issuer>>]) -> Option<Auth> {
        let Self::Jwt(positions) = self else {
            return Some(Auth::None);
        };
        let found = positions.iter().map(|position| issuers.get(*position)?.clone());
        let found: Vec<_> = found.collect::<Option<_>>()?;
        let (first, others) = found.split_first()?;
        Some(Auth::Jwt(RouteIssuers::new(Arc::clone(first), others)))
    }
}

/// Checks `auth` of the route `name`. Returns `None` after it reported a fault.
pub(super) fn check(
    reader: &SectionReader<'_>,
    name: &str,
    issuers: &Issuers<'_>,
) -> Option<CheckedAuth> {
    let listed = reader.required(&keys::AUTH)?;
    let listed = reader.entries(keys::AUTH.name, &listed);
    if let Some(none) = listed.iter().find(|entry| *entry.get_ref() == NONE) {
        if listed.len() > 1 {
            let what = format!("{}: \"none\" stands beside others", reader.key(keys::AUTH.name));
            let problem = Problem::at(none.span(), what).label("it admits anybody");
            reader.cx.refuse(problem.help("remove it, or say \"none\" alone"));
            return None;
        }
        lint_open(reader, name, none.span());
        return Some(CheckedAuth::None);
    }
    let find = |entry: &Spanned<&String>| {
        let Some((position, issuer)) = issuers.find(entry.get_ref()) else {
            refuse_unknown(reader, entry, &issuers.names());
            return None;
        };
        Some((position, issuer?))
    };
    // Look up every name before returning, so that all unknown names are reported at once.
    let found: Vec<Option<(usize, &CheckedIssuer<'_>)>> = listed.iter().map(find).collect();
    let found: Vec<_> = found.into_iter().collect::<Option<_>>()?;
    let (positions, found): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    for (index, (issuer, entry)) in found.iter().zip(&listed).enumerate() {
        if let (Some((what, help)), true) = (mixed_up(issuer, &found[..index]), found.len() > 1) {
            let what = format!("{}: {what}", reader.key(keys::AUTH.name));
            reader.cx.refuse(Problem::at(entry.span(), what).help(help));
            return None;
        }
    }
    Some(CheckedAuth::Jwt(positions))
}

/// The reason why a route cannot accept `issuer` beside the issuers `before` it, and the help text.
fn mixed_up(issuer: &CheckedIssuer<'_>, before: &[&CheckedIssuer<'_>]) -> Option<(String, String)> {
    let (name, keys) = (&issuer.name, &issuer.keys);
    let Some(iss) = &keys.issuer else {
        return Some((
            format!("jwt.{name} says no issuer, so that no token could be told to be its own"),
            format!("write issuer = \"https://issuer.example\" in [jwt.{name}]"),
        ));
    };
    let same = before.iter().find(|other| other.keys.issuer.as_ref() == Some(iss));
    if let Some(CheckedIssuer { name: other, .. }) = same {
        return Some((
            format!("jwt.{other} and jwt.{name} say the same issuer: no token could be told apart"),
            "give each the `iss` of its own tokens, or name one of them".to_owned(),
        ));
    }
    let first = before.first()?;
    let others = &first.keys;
    let differ = [
        ("token_from", first.token_from != issuer.token_from),
        ("message_deadline", others.message_deadline != keys.message_deadline),
        ("message_token", others.message_token != keys.message_token),
        ("forward_token", others.forward_token != keys.forward_token),
    ];
    let (key, _) = differ.into_iter().find(|(_, differ)| *differ)?;
    Some((
        format!("jwt.{} and jwt.{name} say different things of {key}", first.name),
        format!("say the same in both: {key} is needed before it is known whose token it is"),
    ))
}

fn refuse_unknown(reader: &SectionReader<'_>, entry: &Spanned<&String>, known: &[&str]) {
    let name = entry.get_ref();
    let what = format!("{}: there is no [jwt.{name}]", reader.key(keys::AUTH.name));
    let names = [NONE].iter().chain(known).copied();
    let help = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => format!(
            "write a [jwt.{name}] table, or say auth = \"none\" to admit anybody, if the \
             application authenticates its clients itself"
        ),
        None => format!("write a [jwt.{name}] table, or give the name of one that there is"),
    };
    let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
    let label = match names.as_slice() {
        [only] => format!("expected {only}: the file has no [jwt.NAME] table"),
        names => format!("expected one of {}", names.join(", ")),
    };
    reader.cx.refuse(Problem::at(entry.span(), what).label(label).help(help));
}

fn lint_open(reader: &SectionReader<'_>, name: &str, span: Range<usize>) {
    let what = format!("routes.{name} admits anybody: it has no authentication");
    reader.lint(
        LintName::AuthNone,
        Problem::at(span, what).help(
            "if the application authenticates its clients itself, write allow = [\"auth.none\"] in \
             the route",
        ),
    );
}

/// Refuses `refresh` on a route without authentication.
pub(super) fn check_refresh(reader: &SectionReader<'_>, auth: Option<&CheckedAuth>) {
    if let Some(CheckedAuth::None) = auth {
        let problem = reader.problem(keys::REFRESH.name, "is given, but auth is \"none\"");
        reader.cx.refuse(problem.map(|problem| {
            problem
                .label("there is no token to replace")
                .help("remove it, or give the name of a [jwt.NAME] table in `auth`")
                .related(reader.span_of(keys::AUTH.name), "anybody may connect")
        }));
    }
}

/// Reads `"none"` or the name of a `[jwt.*]` table; whether the table exists is checked later.
pub(super) fn parse_auth(text: &str) -> Result<String, Fault> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Fault::new("this cannot be the name of a [jwt.NAME] table"))
}

/// Reads the name of a JSON member.
pub(super) fn parse_member(text: &str) -> Result<String, Fault> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("\"{text}\" is not such a name")))
}
