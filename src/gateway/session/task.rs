//! The task of a session, and the records of its end.

use std::sync::Arc;
use std::time::Duration;

use super::{Permits, RegistryEntry, Reporter, SessionStarter, SessionTokens, lease};
use crate::gateway::relay::{Cause, Mailbox, Outside, SessionEnd, Streams, relay};
use crate::journal::{self, Ended, Event, Journal, ProtocolError, Subject};
use crate::policy::{Admission, Authentication};
use crate::values::AddressKey;
use crate::values::Endpoint;
use crate::values::Flow;
use crate::values::Offence;
use crate::values::Reason;
use crate::values::UnixTime;
use crate::wire::{Judgement, Outcome};

/// A registered session up to its end. Its last record is written on drop at the latest, so that there is
/// one even if the task panics or is dropped. The relay has a task of its own: a task is as large as its
/// largest state, and the state of the handshake is not needed any more.
pub(super) struct SessionTask {
    reporter: Arc<Reporter>,
    entry: RegistryEntry,
    /// `None` once the permits were released and the end was recorded.
    permits: Option<Permits>,
}

impl SessionTask {
    pub(super) fn new(reporter: Arc<Reporter>, entry: RegistryEntry, permits: Permits) -> Self {
        Self { reporter, entry, permits: Some(permits) }
    }

    /// Relays in a task of its own, after the configuration of `generation` admitted the session.
    pub(super) fn start(
        self,
        starter: &Arc<SessionStarter>,
        streams: Streams,
        admission: &Admission,
        address: Option<AddressKey>,
        generation: u64,
    ) {
        let entry = &self.entry;
        if let Authentication::Identified(token) = admission.authentication() {
            if entry.record().user().is_none() {
                entry.introduce(SessionTokens::from(token));
            }
            // Checked again: the token may have been revoked between admission and registration.
            entry.record().end_if_revoked(&**starter.state.revocations(), UnixTime::now());
        }
        let route = starter.present_route(entry, generation, admission.route());
        let unlisted = admission.unlisted().map(str::to_owned);
        let subject = Subject { unlisted, ..entry.record().subject() };
        starter.reporter.journal().record(Event::SessionOpened { subject: &subject });
        let lease = lease::for_session(starter, admission, entry);
        let terms = entry.record().terms(&route, starter.state.limiters());
        let identified = matches!(admission.authentication(), Authentication::Identified(_));
        let budget = starter.hold_pool.session(address, identified);
        starter.runtime.spawn(relay(streams, terms, budget, lease, self));
    }

    /// Releases the permits and records the end.
    fn conclude(&mut self, end: &SessionEnd) {
        drop(self.permits.take());
        let about = self.entry.record();
        record(self.reporter.journal(), &about.subject(), end, about.began.elapsed());
    }
}

impl Outside for SessionTask {
    fn mailbox(&self) -> &Mailbox {
        &self.entry.record().mailbox
    }

    fn would_refuse(&self, reason: Reason) {
        let subject = &self.entry.record().subject();
        self.reporter.journal().record(Event::WouldRefuse { subject, reason, detail: "" });
    }

    fn judged(&self, from: Endpoint, judgement: &Judgement) {
        let Judgement { reason, detail, outcome } = judgement;
        let subject = &self.entry.record().subject();
        self.reporter.journal().record(match outcome {
            Outcome::Report => Event::WouldRefuse { subject, reason: *reason, detail },
            _ => refused_message(subject, from, judgement),
        });
    }

    fn struck(&self, reason: Reason) {
        let about = self.entry.record();
        if let Some(offence) = Offence::message(reason, about.context) {
            self.reporter.strike(about.peer.ip(), offence);
        }
    }

    fn ending(&mut self, cause: &Cause) {
        let about = self.entry.record();
        record_fault(&self.reporter, &about.subject(), cause);
        if let Cause::Violation(violation) = cause
            && let Some(offence) = violation.offence(about.context)
        {
            self.reporter.strike(about.peer.ip(), offence);
        }
    }

    fn ended(&mut self, end: SessionEnd) {
        self.reporter.count_let_through(end.let_through);
        self.conclude(&end);
    }
}

impl Drop for SessionTask {
    fn drop(&mut self) {
        if self.permits.is_some() {
            self.conclude(&SessionEnd::cut());
        }
    }
}

/// Records the error that ends a session, if it is one. Called when the close begins: a peer that does not
/// answer its Close delays the end by seconds.
fn record_fault(reporter: &Reporter, subject: &Subject, cause: &Cause) {
    let (reason, detail) = (cause.reason(), cause.detail());
    let detail = detail.as_deref().unwrap_or_default();
    match cause {
        Cause::Violation(violation) => {
            let decoded = violation.header.decoded().to_string();
            let error = ProtocolError {
                reason,
                from: violation.sender,
                frame_offset: violation.frame_offset,
                offset: violation.offset,
                header: violation.header.as_slice(),
                decoded: &decoded,
                section: violation.rule.section(),
                rule: violation.rule.text(),
            };
            reporter.journal().record(Event::ProtocolError { subject, error });
        }
        Cause::Judged(from, judgement) => {
            reporter.journal().record(refused_message(subject, *from, judgement));
        }
        Cause::AtFault(..) if !journal::is_error(reason) => {
            reporter.journal().record(Event::Limited { subject, reason, detail });
        }
        Cause::AtFault(..) | Cause::Lost(..) => {
            reporter.connection_error(subject, reason, detail);
        }
        Cause::Closed(..) | Cause::Gateway(_) => {}
    }
}

fn refused_message<'a>(
    subject: &'a Subject,
    from: Endpoint,
    judgement: &'a Judgement,
) -> Event<'a> {
    let Judgement { reason, detail, outcome } = judgement;
    Event::MessageRefused { subject, from, reason: *reason, outcome: outcome.name(), detail }
}

/// Writes the last record of a session.
fn record(journal: &Journal, subject: &Subject, end: &SessionEnd, duration: Duration) {
    let ended = Ended {
        by: end.cause.by(),
        reason: end.cause.reason(),
        code: end.cause.code(),
        detail: end.cause.detail(),
        duration,
        client: end.client,
        upstream: end.upstream,
        let_through: end.let_through,
    };
    journal.record(Event::SessionEnded { subject, ended: &ended });
}

impl SessionEnd {
    /// The end of a session with a task that did not finish: it panicked, or the gateway stopped before the
    /// session was over. The counters are unknown.
    fn cut() -> Self {
        let panicked = std::thread::panicking();
        let reason = if panicked { Reason::Internal } else { Reason::Shutdown };
        Self {
            cause: Cause::Gateway(reason),
            client: Flow::default(),
            upstream: Flow::default(),
            let_through: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SessionTask, relay};

    fn size_of_returned<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// The memory of an idle session besides TLS. In tests, tokio's two sockets are eight bytes larger each: 912
    /// bytes outside of tests. With up to 912 there a task takes 1,024, because tokio rounds up to the next 128.
    #[test]
    fn a_session_that_runs_is_small() {
        let session = size_of_returned(relay::<SessionTask>);
        assert!(session <= 928, "{session}");
    }
}
