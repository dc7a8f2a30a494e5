//! The bodies of long-polling requests of Engine.IO 4: several packets in one text. Each is judged as a message.

use std::any::Any;

use tokio::time::Instant;

use super::judge::Judge;
use crate::values::Reason;
use crate::wire::{Answer, Judgement, MessageJudge, Outcome};

/// The separator of packets.
const SEPARATOR: char = '\u{1e}';
/// The most packets of one body.
const MOST_PACKETS: usize = 10_000;

/// The verdict on a body.
#[derive(Debug, Default)]
pub struct BodyVerdict {
    /// The packets that are forwarded, if one is discarded; empty if none is left. `None`: the body as it came.
    pub kept: Option<String>,
    /// The judgements on packets that break a rule: of each reason and outcome the first.
    pub judged: Vec<Judgement>,
    /// The reasons of all packets that are refused; an attachment is refused with its packet, and does not count.
    pub refused: Vec<Reason>,
    /// The number of packets that break a rule and are forwarded, in report mode.
    pub let_through: u64,
    /// The answers to the sender.
    pub answers: Vec<Answer>,
    /// The packet for which the whole body is refused.
    pub ends: Option<Judgement>,
}

impl Judge {
    /// Judges the packets of a body, in their order, up to one that ends the session.
    pub fn judge_body(&mut self, body: &str, now: Instant) -> BodyVerdict {
        let mut verdict = BodyVerdict::default();
        let mut kept: Vec<&str> = Vec::new();
        let mut discards = false;
        for (index, packet) in body.split(SEPARATOR).enumerate() {
            let judgement = if index < MOST_PACKETS {
                self.judge_packet(packet, now)
            } else {
                Some(ending(Reason::MessageStructure, "a body of more than 10,000 packets"))
            };
            let Some(judgement) = judgement else {
                kept.push(packet);
                continue;
            };
            match &judgement.outcome {
                Outcome::Report => {
                    verdict.let_through += 1;
                    kept.push(packet);
                }
                Outcome::Close => {
                    verdict.refused.push(judgement.reason);
                    verdict.ends = Some(judgement);
                    return verdict;
                }
                Outcome::Discard => {
                    discards = true;
                    continue;
                }
                Outcome::Drop | Outcome::Answer(_) => {
                    discards = true;
                    verdict.refused.push(judgement.reason);
                }
            }
            if let Outcome::Answer(Some(answer)) = &judgement.outcome {
                verdict.answers.push(answer.clone());
            }
            let is_first = |one: &Judgement| {
                one.reason != judgement.reason || one.outcome.name() != judgement.outcome.name()
            };
            if verdict.judged.iter().all(is_first) {
                verdict.judged.push(judgement);
            }
        }
        if discards {
            verdict.kept = Some(kept.join(SEPARATOR.encode_utf8(&mut [0; 4])));
        }
        verdict
    }

    fn judge_packet(&mut self, packet: &str, now: Instant) -> Option<Judgement> {
        // Four characters of base64 are three bytes.
        let size = match packet.strip_prefix('b') {
            Some(base64) => base64.len() / 4 * 3,
            None => packet.len(),
        };
        if size as u64 > self.max_size() {
            return Some(ending(Reason::MessageTooBig, "a packet is larger than max_size"));
        }
        self.judge(false, packet.as_bytes(), now).map(|judgement| *judgement)
    }

    /// What the judge remembers, if the packets so far end within a packet with attachments.
    pub fn take_unfinished(&mut self) -> Option<Box<dyn Any + Send + Sync>> {
        if self.is_within_packet() { self.take_memory() } else { None }
    }
}

fn ending(reason: Reason, detail: &str) -> Judgement {
    Judgement { reason, detail: format!("messages: {detail}"), outcome: Outcome::Close }
}
