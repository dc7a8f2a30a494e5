//! The path part of a route: an exact path, or everything below a prefix.

use std::fmt;

use super::kinds::Fault;
use crate::values::canonical_path;

/// `routes.*.path`, in the canonical form that request paths are compared in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// Exactly this path.
    Exact(String),
    /// `PREFIX/*`: every path that begins with the prefix, which ends in `/`: `/*` matches every path;
    /// `/ws/*` matches `/ws/` and all paths below, but not `/ws`.
    Below(String),
}

impl PathPattern {
    /// Reads an exact path, or `PREFIX/*`, in canonical form.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let (path, below) = match text.strip_suffix("/*") {
            Some(_) => (&text[..text.len() - 1], true),
            None => (text, false),
        };
        if path.contains('*') {
            let fault = Fault::new(format!("\"{text}\" has a * that is not its last segment"));
            return Err(fault.help("only a whole last segment can be *, as in \"/ws/*\""));
        }
        let canonical = canonical_path(path).map_err(|error| Fault::new(error.to_string()))?;
        if canonical != path {
            let star = if below { "*" } else { "" };
            let fault = Fault::new(format!("\"{text}\" is not in its canonical form"));
            return Err(fault.help(format!("write \"{canonical}{star}\"")));
        }
        Ok(if below { Self::Below(canonical) } else { Self::Exact(canonical) })
    }

    /// Whether the pattern matches `path`, which is in canonical form.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(whole) => whole == path,
            Self::Below(prefix) => path.starts_with(prefix.as_str()),
        }
    }

    /// The path without the final `/` of `PREFIX/*`, which the pattern does not match; `None` for an
    /// exact path and for `/*`.
    #[must_use]
    pub fn bare(&self) -> Option<&str> {
        match self {
            Self::Exact(_) => None,
            Self::Below(prefix) => prefix.strip_suffix('/').filter(|bare| !bare.is_empty()),
        }
    }

    /// Whether paths of this pattern can be mapped to paths of the other.
    #[must_use]
    pub fn maps_to(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Exact(_), Self::Exact(_)) | (Self::Below(_), Self::Below(_)))
    }

    /// The request target with the part of its path that the pattern names replaced by that of `other`. The rest of
    /// the path, and the query, stay as they came. The path must match this pattern in its canonical form, which has
    /// the same segments.
    #[must_use]
    pub fn mapped(&self, other: &Self, target: &str) -> String {
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        match (self, other) {
            (Self::Below(prefix), Self::Below(new)) => {
                let slashes = prefix.matches('/').count();
                let rest = path.split_inclusive('/').skip(slashes);
                format!("{new}{}{query}", rest.collect::<String>())
            }
            (_, Self::Exact(new) | Self::Below(new)) => format!("{new}{query}"),
        }
    }

    /// The precedence of the pattern: an exact path precedes any prefix, a longer prefix precedes a
    /// shorter one.
    #[must_use]
    pub fn specificity(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Below(prefix) => prefix.len(),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Below(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PathPattern;

    #[test]
    fn patterns_are_read_in_canonical_form_alone() {
        assert_eq!(PathPattern::parse("/ws"), Ok(PathPattern::Exact("/ws".into())));
        assert_eq!(PathPattern::parse("/"), Ok(PathPattern::Exact("/".into())));
        assert_eq!(PathPattern::parse("/ws/*"), Ok(PathPattern::Below("/ws/".into())));
        assert_eq!(PathPattern::parse("/*"), Ok(PathPattern::Below("/".into())));
        for text in [
            "", "ws", "*", "/ws*", "/*/ws", "/ws/**", "/a//b", "/a/../b", "/a//*", "/%77s", "/%e4",
            "/a?b", "/a;b", "/a b",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_target_is_mapped_to_another_prefix() {
        let pattern = |text| PathPattern::parse(text).unwrap();
        for (from, to, target, mapped) in [
            ("/app/*", "/v2/*", "/app/a%20b/c?x=/app/", "/v2/a%20b/c?x=/app/"),
            ("/app/*", "/*", "/app/", "/"),
            ("/app/*", "/*", "/%61pp/x", "/x"),
            ("/*", "/a/b/*", "/", "/a/b/"),
            ("/*", "/a/b/*", "/x/?", "/a/b/x/?"),
            ("/a/b/*", "/*", "/a/b/c/d", "/c/d"),
            ("/ws", "/socket", "/%77s?a=b", "/socket?a=b"),
        ] {
            assert!(pattern(from).maps_to(&pattern(to)));
            assert_eq!(pattern(from).mapped(&pattern(to), target), mapped, "{from} {to} {target}");
        }
        assert!(!pattern("/ws").maps_to(&pattern("/*")) && !pattern("/*").maps_to(&pattern("/ws")));
    }

    #[test]
    fn path_patterns_are_shown_as_they_are_written() {
        for text in ["/", "/ws", "/ws/", "/*", "/ws/*"] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn below_is_everything_that_begins_with_the_prefix() {
        let pattern = PathPattern::Below("/ws/".into());
        assert!(pattern.matches("/ws/") && pattern.matches("/ws/a") && pattern.matches("/ws/a/b"));
        assert!(!pattern.matches("/ws") && !pattern.matches("/wsx") && !pattern.matches("/"));
        let everything = PathPattern::Below("/".into());
        assert!(everything.matches("/") && everything.matches("/a") && everything.matches("/a/"));
        assert!(PathPattern::Exact("/".into()).specificity() > everything.specificity());
        assert!(PathPattern::Exact("/ws/".into()).specificity() > pattern.specificity());
        assert!(pattern.specificity() > everything.specificity());
    }
}
