//! The judge of one direction of one session: the rules of its route, the claims of its token, and the use of its
//! rates so far.

use std::any::Any;
use std::mem;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::protocols::{Item, Part, Protocol, Reader, Refused, SharedState};
use super::rules::{Judged, MessageKind, MessageRules, OnViolation, Verdict, fault};
use crate::values::{Endpoint, Reason, UserShare};
use crate::wire::{Answer, HoldBudget, Judgement, MessageJudge, Outcome};

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
    answers: Vec<(Reason, Answer)>,
    /// The protocol with what was read of it so far.
    reader: Option<Box<dyn Reader>>,
}

/// What a judge remembers for the one that replaces it.
struct Memory {
    protocol: Protocol,
    reader: Box<dyn Reader>,
}

impl Judge {
    /// A judge by `rules`. `rates` has an entry for each of [`Types::rules`](super::Types::rules), or is
    /// empty, if none of them has a rate. `claims` matter only if [`MessageRules::needs_claims`].
    #[must_use]
    pub fn new(
        rules: Arc<MessageRules>,
        claims: Option<Map<String, Value>>,
        rates: Vec<RateOfType>,
        request_id: &str,
    ) -> Self {
        let reader = rules.reader();
        let (request_id, answers) = (request_id.into(), Vec::new());
        Self { rules, claims, rates, request_id, answers, reader }
    }

    /// Whether the messages so far end within a packet of several messages.
    pub(super) fn is_within_packet(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.is_incomplete())
    }

    /// Shares `shared` with the judge of the other direction.
    #[must_use]
    pub fn sharing(mut self, shared: &SharedState) -> Self {
        if let Some(reader) = &mut self.reader {
            reader.share(shared);
        }
        self
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

    /// The answer to the sender of a message that is refused: `error_reply`, or that of the protocol.
    fn answer(&mut self, reason: Reason, items: &[Item]) -> Option<Answer> {
        let Some(template) = &self.rules.error_reply else {
            let refused = Refused { items, reason, request_id: &self.request_id };
            let answer = self.reader.as_ref()?.answer(&refused)?;
            return Some(answer).filter(|answer| answer.payload.len() <= Answer::MOST);
        };
        if let Some((_, answer)) = self.answers.iter().find(|(of, _)| *of == reason) {
            return Some(answer.clone());
        }
        let answer = template.replace("{reason}", reason.name());
        let answer = Answer::text(answer.replace("{request_id}", &self.request_id));
        self.answers.push((reason, answer.clone()));
        Some(answer)
    }
}

impl MessageJudge for Judge {
    fn judge(&mut self, binary: bool, payload: &[u8], now: Instant) -> Option<Box<Judgement>> {
        let kind = if binary { MessageKind::Binary } else { MessageKind::Text };
        let rules = Arc::clone(&self.rules);
        let message = Judged { kind, payload, claims: self.claims.as_ref() };
        let Verdict { listed, mut at_fault, items, fault: mut broken } =
            rules.judge(&message, self.reader.as_deref_mut());
        if broken.is_none() {
            // Each item counts.
            let above = listed
                .iter()
                .find_map(|(index, rules)| self.charge(*index, now).err().map(|key| (key, *rules)));
            if let Some((key, rules)) = above {
                let above = fault(Reason::MessageRate, key, "it is above the rate of its type");
                (broken, at_fault) = (Some(above.of(rules)), Some(rules));
            }
        }
        let part = self.reader.as_ref().map_or(Part::First, |reader| reader.part());
        if part == Part::Discarded && !broken.as_ref().is_some_and(|broken| broken.closes) {
            let reason = Reason::MessageStructure;
            let detail = "protocol: it belongs to a message that was discarded".to_owned();
            return Some(Box::new(Judgement { reason, detail, outcome: Outcome::Discard }));
        }
        let broken = broken?;
        let on_violation = at_fault.and_then(|rules| rules.on_violation);
        let outcome = match on_violation.unwrap_or(self.rules.on_violation) {
            _ if self.rules.report => Outcome::Report,
            _ if broken.closes || part == Part::Forwarded => Outcome::Close,
            OnViolation::Close => Outcome::Close,
            OnViolation::Drop => Outcome::Drop,
            OnViolation::Answer => Outcome::Answer(self.answer(broken.reason, &items)),
        };
        if let (Outcome::Drop | Outcome::Answer(_), Some(reader)) = (&outcome, &mut self.reader) {
            reader.discard();
        }
        let detail = format!("{}.{}: {}", self.rules.table(), broken.rule, broken.detail);
        Some(Box::new(Judgement { reason: broken.reason, detail, outcome }))
    }

    fn is_incomplete(&self) -> bool {
        // In report mode a client has no deadline that it would not have otherwise.
        let is_bound = !self.rules.report || self.rules.sender == Endpoint::Upstream;
        is_bound && self.is_within_packet()
    }

    fn awaits_next(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.awaits_next())
    }

    fn set_budget(&mut self, budget: &HoldBudget) {
        if let Some(reader) = &mut self.reader {
            reader.set_budget(budget);
        }
    }

    fn max_size(&self) -> u64 {
        self.rules.max_size
    }

    fn take_memory(&mut self) -> Option<Box<dyn Any + Send + Sync>> {
        let protocol = self.rules.protocol.clone()?;
        let reader = self.reader.take()?;
        Some(Box::new(Memory { protocol, reader }))
    }

    fn begin_late(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.begin_late();
        }
    }

    fn continue_with(&mut self, memory: Box<dyn Any + Send + Sync>) {
        let Ok(memory) = memory.downcast::<Memory>() else {
            return;
        };
        let Memory { protocol, mut reader } = *memory;
        let now = self.rules.protocol.as_ref();
        if now.map(mem::discriminant) != Some(mem::discriminant(&protocol)) {
            self.begin_late();
        }
        if let Some(now) = &self.rules.protocol
            && mem::discriminant(&protocol) == mem::discriminant(now)
        {
            reader.set_bounds(now);
            self.reader = Some(reader);
        }
    }
}
