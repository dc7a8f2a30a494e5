//! Messages that break a rule of the route and do not end the session: what is recorded of them, and the answers to
//! their sender.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pump::JudgedRead;
use crate::values::{Endpoint, Reason};
use crate::wire::{Judgement, Outcome};

/// The most answers that wait for a frame boundary; further ones are not sent, so that a client that does not read
/// costs no more.
const MOST_ANSWERS: usize = 64;

/// The judgements of one session.
#[derive(Debug, Default)]
pub(super) struct JudgedMessages {
    /// Those to be recorded: for each sender and reason the first one.
    pub(super) unreported: VecDeque<(Endpoint, Judgement)>,
    reported: Vec<(Endpoint, Reason)>,
    /// The answers to the client.
    pub(super) answers: VecDeque<Arc<str>>,
    /// Messages that were released although they break a rule.
    pub(super) let_through: u64,
}

impl JudgedMessages {
    pub(super) fn note_all(&mut self, from: Endpoint, judged: JudgedRead) {
        self.let_through += judged.let_through;
        for judgement in judged.first {
            self.note(from, judgement);
        }
    }

    fn note(&mut self, from: Endpoint, judgement: Judgement) {
        match &judgement.outcome {
            Outcome::Report => self.let_through += 1,
            Outcome::Answer(answer) if self.answers.len() < MOST_ANSWERS => {
                self.answers.push_back(Arc::clone(answer));
            }
            Outcome::Answer(_) | Outcome::Drop | Outcome::Close => {}
        }
        let kind = (from, judgement.reason);
        if !self.reported.contains(&kind) {
            self.reported.push(kind);
            self.unreported.push_back((from, judgement));
        }
    }
}
