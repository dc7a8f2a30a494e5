//! `routes.*.origins`

use std::fmt;
use std::ops::Range;

use toml::Spanned;

use super::keys::{self, Field, Key, Omittable, Texts};
use super::kinds::Fault;
use super::lints::LintName;
use super::model::Origins;
use super::reader::SectionReader;
use super::report::Problem;
use crate::values::{Origin, OriginError, OriginPattern};

impl Field<Origins> for Key<Texts<OriginEntry>, Omittable> {
    fn read(&self, reader: &SectionReader<'_>) -> Origins {
        let Some(list) = reader.get(self) else {
            return Origins::Same;
        };
        let entries = reader.entries(self.name, &list);
        if let Some(any) = entries.iter().find(|entry| **entry.get_ref() == OriginEntry::Any) {
            check_any_origin(reader, any.span(), list.len());
            return Origins::Any;
        }
        for entry in &entries {
            lint_shared(reader, entry);
        }
        Origins::Listed(list.into_iter().filter_map(OriginEntry::one).collect())
    }
}

fn check_any_origin(reader: &SectionReader<'_>, span: Range<usize>, entries: usize) {
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

/// Warns of an origin that pages of other sites share: `null`, `file://` or an empty Origin.
fn lint_shared(reader: &SectionReader<'_>, entry: &Spanned<&OriginEntry>) {
    let OriginEntry::One(OriginPattern::Exact(origin)) = entry.get_ref() else {
        return;
    };
    if !origin.is_shared() {
        return;
    }
    let what = match origin {
        Origin::Null => {
            "\"null\" is also the origin of sandboxed frames: every web page may connect"
        }
        Origin::Empty => "an empty Origin says nothing of the page that connects",
        _ => "\"file://\" is the origin of every file that is opened from a disk",
    };
    let help = "use an origin of the application's own, or demand a token";
    reader.lint(LintName::OriginsShared, Problem::at(entry.span(), what).help(help));
}

/// One entry of `origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OriginEntry {
    /// `*`
    Any,
    One(OriginPattern),
}

impl OriginEntry {
    /// Reads `*`, an origin, or `scheme://*.SUFFIX[:port]`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains('*') {
            return wildcard(text).map(Self::One);
        }
        let origin = Origin::parse(text).map_err(|error| origin_fault(text, error))?;
        Ok(Self::One(OriginPattern::Exact(origin)))
    }

    fn one(self) -> Option<OriginPattern> {
        match self {
            Self::Any => None,
            Self::One(origin) => Some(origin),
        }
    }
}

fn wildcard(text: &str) -> Result<OriginPattern, Fault> {
    let suffix = text.replacen("://*.", "://", 1);
    if suffix.contains('*') {
        let fault = Fault::new(format!("\"{text}\" has a * that is not its first label"));
        let help = "only a whole first label can be *, as in \"https://*.example.com\"";
        return Err(fault.help(help));
    }
    match Origin::parse(&suffix).map_err(|error| origin_fault(text, error))? {
        origin @ Origin::Page { .. } if !origin.has_address() => {
            Ok(OriginPattern::Wildcard(origin))
        }
        _ => Err(Fault::new(format!("\"{text}\" has a * where there are no labels"))),
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
    match repair {
        Some(text) => fault.help(format!("write \"{text}\"")),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, OriginEntry, OriginPattern};

    #[test]
    fn a_broken_origin_gets_a_suggestion() {
        let help = |text| OriginEntry::parse(text).unwrap_err().help;
        assert_eq!(help("chat.example").as_deref(), Some("write \"https://chat.example\""));
        assert_eq!(help("https://a.example/x/y").as_deref(), Some("write \"https://a.example\""));
        assert_eq!(help("file:///").as_deref(), Some("write \"file://\""));
        assert_eq!(help("https://a b"), None);
        assert_eq!(OriginEntry::parse("*"), Ok(OriginEntry::Any));
    }

    #[test]
    fn a_wildcard_is_one_label_of_a_page() {
        let OriginEntry::One(pattern) = OriginEntry::parse("HTTPS://*.Example.com.").unwrap()
        else {
            panic!("a pattern");
        };
        assert_eq!(pattern.to_string(), "https://*.example.com:443");
        assert!(matches!(pattern, OriginPattern::Wildcard(_)));
        for (origin, matches) in [
            ("https://a.example.com", true),
            ("https://A.example.com.:443", true),
            ("https://example.com", false),
            ("https://a.b.example.com", false),
            ("https://aexample.com", false),
            ("https://a.example.com.evil.example", false),
            ("http://a.example.com", false),
            ("https://a.example.com:8443", false),
            ("app://a.example.com", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(pattern.matches(&Origin::parse(origin).unwrap()), matches, "{origin}");
        }
        for text in [
            "https://*",
            "https://*:8443",
            "https://a.*.b",
            "https://*a.b",
            "https://*.*.b",
            "https://a.b:*",
            "*://a.b",
            "*.a.b",
            "https://*.0.0.1",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "app://*.a",
            "**",
        ] {
            assert!(OriginEntry::parse(text).is_err(), "{text}");
        }
    }
}
