//! Long polling of Engine.IO: the packets in the bodies of a client's requests meet the rules for its messages. Between
//! two requests the gateway keeps, for each session id, a packet whose attachments are still to come, and the answers
//! that its next poll gets.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::terms::rates;
use super::{SessionStarter, SessionTokens};
use crate::config::Route;
use crate::journal::Subject;
use crate::message::{BodyVerdict, Judge};
use crate::state::limits::MessageSource;
use crate::values::{AddressKey, Offence, Reason, Refusal, RequestContext, UserKey};
use crate::wire::{Answer, HoldBudget, MessageJudge, Outcome};

/// The most sessions of which something is kept.
const MOST_SESSIONS: usize = 8192;
/// The most sessions of one user, or of one address without a user, of which something is kept.
const MOST_OF_OWNER: usize = 64;
/// The same for all clients together whose proxy does not name them.
const MOST_OF_UNKNOWN: usize = MOST_SESSIONS / 2;
/// The most bytes of answers that are kept for one session.
const MOST_ANSWERED: usize = 4096;
/// How long something is kept after its time: by then an application without sign of life from its client has ended
/// the session.
const KEPT_FOR: Duration = Duration::from_secs(120);
/// How long the attachments of a packet may take where `message_timeout` is off.
const LONGEST: Duration = Duration::from_secs(3600);
/// Removes what is over at most so often.
const SWEPT_EVERY: Duration = Duration::from_secs(1);

/// A polling request with packets.
pub(crate) struct PolledBody<'a> {
    pub(crate) route: &'a Arc<Route>,
    /// The id of its session.
    pub(crate) sid: &'a str,
    /// The text of its body.
    pub(crate) text: &'a str,
    pub(crate) tokens: Option<&'a SessionTokens>,
    pub(crate) subject: &'a Subject,
    /// `None`: a trusted proxy that names no client.
    pub(crate) address: Option<AddressKey>,
    pub(crate) context: RequestContext,
}

/// The packets of a body that are forwarded.
pub(crate) struct ForwardedPackets {
    /// `None`: the body as it came; empty: nothing is forwarded.
    pub(crate) text: Option<String>,
    /// To be kept once the application has accepted the body.
    pub(crate) unfinished: Option<UnfinishedPacket>,
}

/// A packet whose attachments come with a later request.
pub(crate) struct UnfinishedPacket {
    key: Key,
    owner: Owner,
    memory: Box<dyn Any + Send + Sync>,
    due: Instant,
}

/// The route and the session id.
type Key = (Arc<str>, Box<str>);

/// The client whose share a session counts in: the application may not know the id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    User(UserKey),
    Address(AddressKey),
    /// A client whose proxy does not name it.
    Unknown,
}

/// What is kept of polling sessions between their requests.
#[derive(Debug, Default)]
pub(super) struct PollingSessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<Key, Kept>,
    /// The number of entries of each owner that has one.
    owners: HashMap<Owner, usize>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Kept {
    owner: Owner,
    /// The judge's memory of a packet, and when its attachments are due.
    packet: Option<(Box<dyn Any + Send + Sync>, Instant)>,
    answers: Vec<Answer>,
    until: Instant,
}

impl PollingSessions {
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the packet in progress of a session.
    ///
    /// # Errors
    /// Its attachments did not come in time.
    fn take_packet(
        &self,
        key: &Key,
        now: Instant,
    ) -> Result<Option<Box<dyn Any + Send + Sync>>, ()> {
        let mut inner = self.locked();
        let Some(kept) = inner.kept.get_mut(key) else {
            return Ok(None);
        };
        if kept.packet.as_ref().is_some_and(|(_, due)| *due < now) {
            return Err(());
        }
        let packet = kept.packet.take().map(|(memory, _)| memory);
        if kept.answers.is_empty() {
            inner.remove(key);
        }
        Ok(packet)
    }

    /// Whether something could be kept of this session of the owner.
    fn has_room(&self, key: &Key, owner: &Owner, now: Instant) -> bool {
        let mut inner = self.locked();
        inner.sweep(now);
        inner.has_room(key, owner)
    }

    /// Keeps a packet. Where there is no room by now, its attachments are refused like those of no packet.
    fn keep_packet(&self, packet: UnfinishedPacket) {
        let UnfinishedPacket { key, owner, memory, due } = packet;
        let mut inner = self.locked();
        if let Some(kept) = inner.entry(key, owner, due + KEPT_FOR) {
            kept.packet = Some((memory, due));
        }
    }

    /// Keeps answers for the next poll, as far as there is room.
    fn keep_answers(&self, key: &Key, owner: &Owner, answers: Vec<Answer>, now: Instant) {
        if answers.is_empty() {
            return;
        }
        let mut inner = self.locked();
        inner.sweep(now);
        let Some(kept) = inner.entry(key.clone(), owner.clone(), now + KEPT_FOR) else {
            return;
        };
        let mut bytes: usize = kept.answers.iter().map(|answer| answer.payload.len()).sum();
        for answer in answers {
            bytes += answer.payload.len();
            if bytes <= MOST_ANSWERED {
                kept.answers.push(answer);
            }
        }
    }

    /// Takes the answers for a poll, as the text of its answer.
    fn take_answers(&self, key: &Key) -> Option<String> {
        let mut inner = self.locked();
        let kept = inner.kept.get_mut(key)?;
        let answers = std::mem::take(&mut kept.answers);
        if kept.packet.is_none() {
            inner.remove(key);
        }
        let texts: Vec<_> =
            answers.iter().map(|answer| String::from_utf8_lossy(&answer.payload)).collect();
        (!texts.is_empty()).then(|| texts.join("\u{1e}"))
    }
}

impl Inner {
    fn has_room(&self, key: &Key, owner: &Owner) -> bool {
        let most = match owner {
            Owner::User(_) | Owner::Address(_) => MOST_OF_OWNER,
            Owner::Unknown => MOST_OF_UNKNOWN,
        };
        let of_owner = self.owners.get(owner).copied().unwrap_or_default();
        self.kept.contains_key(key) || (self.kept.len() < MOST_SESSIONS && of_owner < most)
    }

    /// What is kept of a session; `None`: there is no room.
    fn entry(&mut self, key: Key, owner: Owner, until: Instant) -> Option<&mut Kept> {
        if !self.has_room(&key, &owner) {
            return None;
        }
        let owners = &mut self.owners;
        let kept = self.kept.entry(key).or_insert_with(|| {
            *owners.entry(owner.clone()).or_default() += 1;
            Kept { owner, packet: None, answers: Vec::new(), until }
        });
        kept.until = kept.until.max(until);
        Some(kept)
    }

    fn remove(&mut self, key: &Key) {
        let Some(Kept { owner, .. }) = self.kept.remove(key) else {
            return;
        };
        if let Some(count) = self.owners.get_mut(&owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.owners.remove(&owner);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now >= swept + SWEPT_EVERY) {
            self.kept.retain(|_, kept| kept.until > now);
            self.owners.clear();
            for kept in self.kept.values() {
                *self.owners.entry(kept.owner.clone()).or_default() += 1;
            }
            self.swept = Some(now);
        }
    }
}

impl SessionStarter {
    /// The memory that the bodies of a client's polling requests may take.
    pub(crate) fn hold_body(
        &self,
        address: Option<AddressKey>,
        identified: bool,
        most: usize,
    ) -> HoldBudget {
        let budget = self.hold_pool.session(address, identified);
        // The body, and the text of those of its packets that are forwarded.
        budget.enlarge(most.saturating_mul(2));
        budget
    }

    /// Judges the packets of a body.
    ///
    /// # Errors
    /// The rule that ends the session: nothing of the body is forwarded.
    pub(crate) fn judge_polled(&self, body: &PolledBody<'_>) -> Result<ForwardedPackets, Refusal> {
        let PolledBody { route, sid, text, tokens, subject, address, context } = body;
        let Some(rules) = route.engine_io() else {
            return Ok(ForwardedPackets { text: None, unfinished: None });
        };
        let (now, key) = (Instant::now(), (Arc::clone(&route.name), Box::from(*sid)));
        let memory = self.polling.take_packet(&key, now).map_err(|()| {
            let detail = "websocket.message_timeout: the attachments of a packet did not come";
            Refusal::new(Reason::MessageStructure, detail)
        })?;
        let user = tokens.map(|tokens| &tokens.principal.user);
        let owner = match (user, address) {
            (Some(user), _) => Owner::User(user.clone()),
            (None, Some(address)) => Owner::Address(*address),
            (None, None) => Owner::Unknown,
        };
        let source = MessageSource::Polling(sid.as_bytes().into());
        let rates = rates(rules, &source, user, self.state.limiters(), now.into_std());
        let claims = tokens.filter(|_| rules.needs_claims()).map(|tokens| tokens.claims.read());
        let mut judge = Judge::new(Arc::clone(rules), claims, rates, &subject.request_id);
        if let Some(memory) = memory {
            judge.continue_with(memory);
        }
        let verdict = judge.judge_body(text, now);
        self.report(body, &verdict);
        let BodyVerdict { kept, answers, ends, .. } = verdict;
        if let Some(judgement) = ends {
            let offence = Offence::message(judgement.reason, *context);
            let refusal = Refusal::new(judgement.reason, judgement.detail).by("messages");
            return Err(refusal.as_offence(offence.filter(|_| rules.strikes())));
        }
        self.polling.keep_answers(&key, &owner, answers, now);
        let timeout = route.websocket.message_timeout.unwrap_or(LONGEST);
        let memory = judge.take_unfinished();
        if memory.is_some() && !self.polling.has_room(&key, &owner, now) {
            let detail = "too many polling sessions, of this client or of all, wait for attachments or answers";
            return Err(Refusal::new(Reason::Capacity, detail));
        }
        let due = now + timeout;
        let unfinished = memory.map(|memory| UnfinishedPacket { key, owner, memory, due });
        Ok(ForwardedPackets { text: kept, unfinished })
    }

    /// Keeps a packet until its attachments come. Its first part was forwarded, or discarded.
    pub(crate) fn keep_unfinished(&self, packet: UnfinishedPacket) {
        self.polling.keep_packet(packet);
    }

    /// The answers that wait for a poll of the session.
    pub(crate) fn polling_answers(&self, route: &Arc<str>, sid: &str) -> Option<String> {
        self.polling.take_answers(&(Arc::clone(route), Box::from(sid)))
    }

    fn report(&self, body: &PolledBody<'_>, verdict: &BodyVerdict) {
        let PolledBody { route, subject, context, .. } = body;
        self.reporter.count_let_through(verdict.let_through);
        for judgement in &verdict.judged {
            if judgement.outcome == Outcome::Report {
                self.reporter.would_refuse_message(subject, judgement);
            } else {
                self.reporter.message_refused(subject, judgement);
            }
        }
        // The refusal of the whole body is a strike of its own.
        let dropped = verdict.refused.len() - usize::from(verdict.ends.is_some());
        if !route.engine_io().is_some_and(|rules| rules.strikes()) {
            return;
        }
        for reason in &verdict.refused[..dropped] {
            if let Some(offence) = Offence::message(*reason, *context) {
                self.reporter.strike(subject.peer.ip(), offence);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{
        Key, MOST_OF_OWNER, MOST_OF_UNKNOWN, MOST_SESSIONS, Owner, PollingSessions,
        UnfinishedPacket,
    };
    use crate::values::UserKey;
    use crate::wire::Answer;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(sid: &str) -> Key {
        (Arc::from("app"), Box::from(sid))
    }

    fn user(number: usize) -> Owner {
        Owner::User(UserKey::new("main", &number.to_string()))
    }

    fn packet(sid: &str, due: Instant) -> UnfinishedPacket {
        UnfinishedPacket { key: key(sid), owner: user(0), memory: Box::new(7_u8), due }
    }

    #[test]
    fn a_packet_is_taken_once_and_in_time() {
        let (sessions, now) = (PollingSessions::default(), Instant::now());
        sessions.keep_packet(packet("a", now + Duration::from_secs(1)));
        assert!(sessions.take_packet(&key("b"), now).is_ok_and(|taken| taken.is_none()));
        assert!(sessions.take_packet(&key("a"), now).is_ok_and(|taken| taken.is_some()));
        assert!(sessions.take_packet(&key("a"), now).is_ok_and(|taken| taken.is_none()));
        sessions.keep_packet(packet("a", now));
        let late = now + Duration::from_secs(1);
        assert!(sessions.take_packet(&key("a"), late).is_err());
        assert!(sessions.take_packet(&key("a"), late).is_err(), "the session stays refused");
    }

    #[test]
    fn answers_wait_for_a_poll_within_bounds() {
        let (sessions, now, ann) = (PollingSessions::default(), Instant::now(), user(0));
        sessions.keep_answers(&key("a"), &ann, vec![Answer::text("1"), Answer::text("2")], now);
        sessions.keep_answers(&key("a"), &ann, vec![Answer::text("x".repeat(5000))], now);
        assert_eq!(sessions.take_answers(&key("a")).as_deref(), Some("1\u{1e}2"));
        assert_eq!(sessions.take_answers(&key("a")), None);
        for number in 0..2 * MOST_SESSIONS {
            let answers = vec![Answer::text("1")];
            sessions.keep_answers(&key(&number.to_string()), &user(number), answers, now);
        }
        assert_eq!(sessions.locked().kept.len(), MOST_SESSIONS);
        assert!(sessions.has_room(&key("0"), &user(0), now), "of this one something is kept");
        assert!(!sessions.has_room(&key("a"), &ann, now));
        sessions.keep_packet(packet("a", now));
        assert_eq!(
            sessions.locked().kept.len(),
            MOST_SESSIONS,
            "nor a packet that was let through"
        );
        let later = now + 121 * SECOND;
        assert!(sessions.has_room(&key("a"), &ann, later), "what is over is removed");
        assert!(sessions.locked().owners.is_empty());
    }

    #[test]
    fn a_client_uses_up_no_more_than_its_share() {
        let (sessions, now) = (PollingSessions::default(), Instant::now());
        let ann = Owner::Address(IpAddr::from([192, 0, 2, 1]).into());
        let answer = |sid: &str, owner: &Owner| {
            sessions.keep_answers(&key(sid), owner, vec![Answer::text("1")], now);
        };
        for number in 0..MOST_SESSIONS {
            answer(&number.to_string(), &ann);
            answer(&format!("unknown-{number}"), &Owner::Unknown);
            sessions.keep_packet(packet(&format!("packet-{number}"), now + SECOND));
        }
        let kept = 2 * MOST_OF_OWNER + MOST_OF_UNKNOWN;
        assert_eq!(sessions.locked().kept.len(), kept);
        assert!(!sessions.has_room(&key("a"), &ann, now));
        assert!(sessions.has_room(&key("0"), &ann, now), "of this one something is kept");
        assert!(sessions.has_room(&key("a"), &user(1), now), "another client has its own share");
        assert!(sessions.take_answers(&key("0")).is_some());
        assert!(sessions.take_packet(&key("packet-0"), now).is_ok_and(|taken| taken.is_some()));
        assert!(
            sessions.has_room(&key("a"), &ann, now) && sessions.has_room(&key("a"), &user(0), now)
        );
        // A sweep counts what it leaves.
        let later = now + 120 * SECOND;
        assert!(sessions.has_room(&key("a"), &user(0), later));
        let mut inner = sessions.locked();
        assert_eq!((inner.kept.len(), inner.owners.len()), (MOST_OF_OWNER - 1, 1));
        assert_eq!(inner.owners.get(&user(0)), Some(&(MOST_OF_OWNER - 1)));
        inner.remove(&key("packet-1"));
        assert_eq!(inner.owners.get(&user(0)), Some(&(MOST_OF_OWNER - 2)));
    }
}
