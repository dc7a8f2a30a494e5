//! What admission found on its way: each step, with the key of the configuration that decided. The
//! gateway does not listen, and then no text is made; `framewall explain` does.

use std::fmt;

use crate::values::Refusal;

/// One step of admission, passed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was looked at, in a word or two.
    pub name: &'static str,
    /// What was found. May repeat what a client sent.
    pub said: String,
    /// The key of the configuration that decided, such as `routes.chat.origins`; `None`: none did.
    pub key: Option<String>,
}

/// A table of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table<'a> {
    /// One of which there is one: `tls`.
    Only(&'static str),
    /// `[routes.NAME]`
    Route(&'a str),
    /// `[jwt.NAME]`
    Issuer(&'a str),
}

impl Table<'_> {
    /// The whole name of one of its keys.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        format!("{self}.{name}")
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(name) => f.write_str(name),
            Self::Route(name) => write!(f, "routes.{name}"),
            Self::Issuer(name) => write!(f, "jwt.{name}"),
        }
    }
}

/// Collects steps, or nothing.
#[derive(Debug)]
pub struct Trace(Option<Vec<Step>>);

impl Trace {
    /// Nobody listens.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Keeps every step.
    #[must_use]
    pub fn on() -> Self {
        Self(Some(Vec::new()))
    }

    /// The steps in their order; the last one is the one that refused, if one did.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }

    /// Adds a step.
    pub fn note(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.0 {
            steps.push(step());
        }
    }

    /// Adds the step of a check that is over, and passes its outcome on: what `found` says and the
    /// key by which it passed, or why and by which key of `table` it was refused.
    pub fn check<T>(
        &mut self,
        name: &'static str,
        table: Table<'_>,
        outcome: Result<T, Refusal>,
        found: impl FnOnce(&T) -> (String, String),
    ) -> Result<T, Refusal> {
        self.note(|| match &outcome {
            Ok(passed) => {
                let (said, key) = found(passed);
                Step { name, said, key: Some(key) }
            }
            Err(refusal) => {
                let key = refusal.key.map_or_else(|| table.to_string(), |key| table.key(key));
                Step { name, said: refusal.detail.clone(), key: Some(key) }
            }
        });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, Table, Trace};
    use crate::values::{Reason, Refusal};

    fn step(said: &str, key: &str) -> Step {
        Step { name: "origin", said: said.to_owned(), key: Some(key.to_owned()) }
    }

    #[test]
    fn a_check_is_a_step_whatever_came_of_it() {
        let mut trace = Trace::on();
        let table = Table::Route("chat");
        let found = |passed: &u8| (format!("found {passed}"), table.key("origins"));
        assert_eq!(trace.check("origin", table, Ok(7), found), Ok(7));
        let refusal = Refusal::new(Reason::OriginDenied, "not listed");
        let keyed = refusal.clone().by("require_origin");
        assert_eq!(trace.check("origin", table, Err(refusal.clone()), found), Err(refusal));
        assert_eq!(trace.check("origin", table, Err(keyed.clone()), found), Err(keyed));
        let steps = [
            step("found 7", "routes.chat.origins"),
            step("not listed", "routes.chat"),
            step("not listed", "routes.chat.require_origin"),
        ];
        assert_eq!(trace.into_steps(), steps);
    }

    #[test]
    fn nothing_is_made_for_nobody() {
        let mut trace = Trace::off();
        trace.note(|| unreachable!());
        let made = |(): &()| -> (String, String) { unreachable!() };
        assert_eq!(trace.check("origin", Table::Only("tls"), Ok(()), made), Ok(()));
        assert_eq!(trace.into_steps(), []);
    }
}
