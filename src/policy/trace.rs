//! The trace of the checks: the outcome of each check, with the configuration key that decided it. The
//! gateway keeps no trace and then builds no text; `framewall explain` prints the trace.

use std::fmt;

use crate::values::Refusal;

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The name of the check.
    pub name: &'static str,
    /// The outcome, in one sentence. It may quote bytes of the client.
    pub text: String,
    /// The configuration key that decided, such as `routes.chat.origins`; `None`: no key decided.
    pub key: Option<String>,
}

/// A table of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table<'a> {
    /// A table that exists once, such as `tls`.
    Only(&'static str),
    /// `[routes.NAME]`
    Route(&'a str),
    /// `[jwt.NAME]`
    Issuer(&'a str),
}

impl Table<'_> {
    /// The full name of a key in this table.
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

/// Collects steps, unless it is off.
#[derive(Debug)]
pub struct Trace(Option<Vec<Step>>);

impl Trace {
    /// A trace that discards all steps.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// A trace that keeps all steps.
    #[must_use]
    pub fn on() -> Self {
        Self(Some(Vec::new()))
    }

    /// The steps in order; if a check refused, its step is the last.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }

    /// Adds a step; `step` is called only if the trace is on.
    pub fn note(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.0 {
            steps.push(step());
        }
    }

    /// Adds the step of a check that refused, with the key of `table` that decided.
    pub fn refused(&mut self, name: &'static str, table: Table<'_>, refusal: &Refusal) {
        self.note(|| {
            let key = refusal.key.map_or_else(|| table.to_string(), |key| table.key(key));
            Step { name, text: refusal.detail.clone(), key: Some(key) }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, Table, Trace};
    use crate::values::{Reason, Refusal};

    fn step(text: &str, key: &str) -> Step {
        Step { name: "origin", text: text.to_owned(), key: Some(key.to_owned()) }
    }

    #[test]
    fn a_refused_check_is_a_step_with_the_key_that_refused() {
        let mut trace = Trace::on();
        let table = Table::Route("chat");
        trace.note(|| step("found 7", &table.key("origins")));
        let refusal = Refusal::new(Reason::OriginDenied, "not listed");
        trace.refused("origin", table, &refusal);
        trace.refused("origin", table, &refusal.by("require_origin"));
        let steps = [
            step("found 7", "routes.chat.origins"),
            step("not listed", "routes.chat"),
            step("not listed", "routes.chat.require_origin"),
        ];
        assert_eq!(trace.into_steps(), steps);
    }

    #[test]
    fn without_a_trace_no_step_is_built() {
        let mut trace = Trace::off();
        trace.note(|| unreachable!());
        trace.refused("origin", Table::Only("tls"), &Refusal::new(Reason::OriginDenied, ""));
        assert_eq!(trace.into_steps(), []);
    }
}
