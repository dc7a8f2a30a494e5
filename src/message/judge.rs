//! The judge of one direction of one session: the rules of its route, the claims of its token, and the use of its
//! rates so far.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::rules::{MessageKind, MessageRules, OnViolation, Verdict, fault};
use crate::values::{Reason, UserShare};
use crate::wire::{Judgement, MessageJudge, Outcome};

/// The use of the rates of one type.
#[derive(Debug, Clone, Default)]
pub struct RateOfType {
    /// Of this session.
    pub session: Option<UserShare>,
    /// Of all sessions of its user.
    pub user: Option<UserShare>,
}

/// Judges the messages of one direction of a session.
#[derive(Debug)]
pub struct Judge {
    rules: Arc<MessageRules>,
    /// The claims of the session's token; `None`: it has none.
    claims: Option<Map<String, Value>>,
    /// By the number of the type.
    rates: Vec<RateOfType>,
    /// The name of the session, for `{request_id}` of the answer.
    request_id: Box<str>,
    /// The answers so far, by reason: a client cannot make the gateway build more of them.
    answers: Vec<(Reason, Arc<str>)>,
}

impl Judge {
    /// A judge by `rules`. `rates` has an entry for each of [`Types::rules`](super::Types::rules).
    #[must_use]
    pub fn new(
        rules: Arc<MessageRules>,
        claims: Option<Map<String, Value>>,
        rates: Vec<RateOfType>,
        request_id: &str,
    ) -> Self {
        Self { rules, claims, rates, request_id: request_id.into(), answers: Vec::new() }
    }

    /// Charges the rates of a type. A message that is refused for the user's rate has used the session's.
    fn charge(&self, index: usize, now: Instant) -> Result<(), &'static str> {
        let now = now.into_std();
        let Some(RateOfType { session, user }) = self.rates.get(index) else {
            return Ok(());
        };
        for (share, key) in [(session, "types.rate"), (user, "types.rate_per_user")] {
            if share.as_ref().is_some_and(|share| share.take(now).is_err()) {
                return Err(key);
            }
        }
        Ok(())
    }

    /// The answer to the sender of a message that is refused.
    fn answer(&mut self, reason: Reason) -> Arc<str> {
        if let Some((_, answer)) = self.answers.iter().find(|(of, _)| *of == reason) {
            return Arc::clone(answer);
        }
        let template = self.rules.error_reply.as_deref().unwrap_or_default();
        let answer = template.replace("{reason}", reason.name());
        let answer: Arc<str> = answer.replace("{request_id}", &self.request_id).into();
        self.answers.push((reason, Arc::clone(&answer)));
        answer
    }
}

impl MessageJudge for Judge {
    fn judge(&mut self, binary: bool, payload: &[u8], now: Instant) -> Option<Box<Judgement>> {
        let kind = if binary { MessageKind::Binary } else { MessageKind::Text };
        let rules = Arc::clone(&self.rules);
        let Verdict { listed, fault: broken } = rules.judge(kind, payload, self.claims.as_ref());
        let broken = match (broken, listed) {
            (None, Some((index, rules))) => self.charge(index, now).err().map(|key| {
                fault(Reason::MessageRate, key, "it is above the rate of its type").of(rules)
            }),
            (broken, _) => broken,
        }?;
        let on_violation = listed.and_then(|(_, rules)| rules.on_violation);
        let outcome = match on_violation.unwrap_or(self.rules.on_violation) {
            _ if self.rules.report => Outcome::Report,
            OnViolation::Close => Outcome::Close,
            OnViolation::Drop => Outcome::Drop,
            OnViolation::Answer => Outcome::Answer(self.answer(broken.reason)),
        };
        let detail = format!("{}.{}: {}", self.rules.table, broken.rule, broken.detail);
        Some(Box::new(Judgement { reason: broken.reason, detail, outcome }))
    }

    fn max_size(&self) -> u64 {
        self.rules.max_size
    }
}
