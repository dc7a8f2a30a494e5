//! Messages that break a rule of the route and do not end the session: what is recorded of them, and the answers to
//! their sender.

use std::collections::VecDeque;

use super::pump::{JudgedRead, MOST_STRIKES};
use crate::values::{Endpoint, Reason};
use crate::wire::{Answer, Judgement, Outcome};

/// The most answers that wait for a frame boundary; further ones are not sent, so that a client that does not read
/// costs no more.
const MOST_ANSWERS: usize = 64;
/// The most bytes of answers that wait; one answer is always accepted.
const MOST_ANSWERED: usize = 64 * 1024;

/// Answers that wait for a frame boundary, within bounds.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: VecDeque<Answer>,
    /// Bytes of their payloads.
    bytes: usize,
}

impl Answers {
    /// Adds an answer; above a bound it is discarded.
    fn push(&mut self, answer: &Answer) {
        let bytes = self.bytes + answer.payload.len();
        if self.waiting.is_empty() || self.waiting.len() < MOST_ANSWERS && bytes <= MOST_ANSWERED {
            self.bytes = bytes;
            self.waiting.push_back(answer.clone());
        }
    }

    /// Removes the oldest answer.
    pub(super) fn pop(&mut self) -> Option<Answer> {
        let answer = self.waiting.pop_front()?;
        self.bytes -= answer.payload.len();
        Some(answer)
    }
}

/// The judgements of one session.
#[derive(Debug, Default)]
pub(super) struct JudgedMessages {
    /// Those to be recorded: for each sender and reason the first one.
    pub(super) unreported: VecDeque<(Endpoint, Judgement)>,
    reported: Vec<(Endpoint, Reason)>,
    /// The answers to the client.
    pub(super) answers: Answers,
    /// Messages that were released although they break a rule.
    pub(super) let_through: u64,
    /// The reasons of the client's messages that are strikes and were not counted yet.
    pub(super) strikes: Vec<Reason>,
}

impl JudgedMessages {
    /// Notes strikes of the client for these reasons.
    pub(super) fn strike(&mut self, reasons: impl IntoIterator<Item = Reason>) {
        let left = MOST_STRIKES.saturating_sub(self.strikes.len());
        self.strikes.extend(reasons.into_iter().take(left));
    }

    pub(super) fn note_all(&mut self, from: Endpoint, judged: JudgedRead) {
        self.let_through += judged.let_through;
        for judgement in judged.first {
            self.note(from, judgement);
        }
    }

    fn note(&mut self, from: Endpoint, judgement: Judgement) {
        match &judgement.outcome {
            Outcome::Report => self.let_through += 1,
            Outcome::Answer(Some(answer)) => self.answers.push(answer),
            Outcome::Answer(None) | Outcome::Drop | Outcome::Discard | Outcome::Close => {}
        }
        let kind = (from, judgement.reason);
        if !self.reported.contains(&kind) {
            self.reported.push(kind);
            self.unreported.push_back((from, judgement));
        }
    }
}
