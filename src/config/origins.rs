//! `routes.*.origins`

use std::fmt;
use std::ops::Range;

use toml::Spanned;

use super::keys;
use super::kinds::Fault;
use super::lints::LintName;
use super::model::Origins;
use super::origin::{Origin, OriginError};
use super::reader::Reader;
use super::report::Problem;

/// Reads a route's origins.
pub(super) fn read(reader: &Reader<'_>) -> Origins {
    let Some(list) = reader.get(&keys::ORIGINS) else {
        return Origins::Same;
    };
    let any = list.get_ref().iter().find(|entry| *entry.get_ref() == OriginEntry::Any);
    if let Some(any) = any {
        check_any_origin(reader, any.span(), list.get_ref().len());
        return Origins::Any;
    }
    let listed = list.into_inner().into_iter().map(Spanned::into_inner);
    Origins::Listed(listed.filter_map(OriginEntry::one).collect())
}

fn check_any_origin(reader: &Reader<'_>, span: Range<usize>, entries: usize) {
    if entries > 1 {
        let key = reader.key(keys::ORIGINS.name);
        let problem = Problem::at(span, format!("{key}: \"*\" stands beside other origins"));
        reader.cx.refuse(problem.help("list origins, or say [\"*\"] alone for any"));
    } else {
        reader.lint(
            LintName::OriginsAny,
            Problem::at(span, "every web page may connect from its visitors' browsers")
                .help("list the origins of your own pages"),
        );
    }
}

/// One entry of `origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OriginEntry {
    /// `*`
    Any,
    One(Origin),
}

impl OriginEntry {
    /// Reads `scheme://host[:port]` or `*`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let origin = Origin::parse(text).map_err(|error| origin_fault(text, error))?;
        Ok(Self::One(origin))
    }

    fn one(self) -> Option<Origin> {
        match self {
            Self::Any => None,
            Self::One(origin) => Some(origin),
        }
    }
}

impl fmt::Display for OriginEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::One(origin) => origin.fmt(f),
        }
    }
}

fn origin_fault(text: &str, error: OriginError) -> Fault {
    let fault = Fault::new(format!("\"{text}\" is {error}"));
    let scheme_less = format!("https://{text}");
    let pathless = text.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let repair = [scheme_less, pathless].into_iter().find(|text| Origin::parse(text).is_ok());
    match (error, repair) {
        (OriginError::Null, _) => Fault::new(error.to_string()).help("list the pages' own origins"),
        (OriginError::Form | OriginError::Host(_), Some(text)) => {
            fault.help(format!("write \"{text}\""))
        }
        (OriginError::Form | OriginError::Host(_), None) => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::OriginEntry;

    #[test]
    fn a_broken_origin_is_repaired_in_words() {
        let help = |text| OriginEntry::parse(text).unwrap_err().help;
        assert_eq!(help("chat.example").as_deref(), Some("write \"https://chat.example\""));
        assert_eq!(help("https://a.example/x/y").as_deref(), Some("write \"https://a.example\""));
        assert_eq!(help("https://a b"), None);
        assert!(help("null").is_some());
        assert_eq!(OriginEntry::parse("*"), Ok(OriginEntry::Any));
    }
}
