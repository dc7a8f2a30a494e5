//! Drains: a server or route that an operator drains, and the sessions whose server a reload removed. Their
//! sessions are told to end one after the other, until an operator or a later reload stops the drain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Control;
use crate::gateway::session::Filter;
use crate::journal::{DrainRecord, Event};
use crate::state::drains::DrainTarget;
use crate::values::{Reason, UnixTime};

/// Interval at which a drain checks whether all its sessions are over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is drained.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Drained {
    /// An operator drains it.
    Target(DrainTarget),
    /// Sessions whose server left their route with the reload of this generation.
    Removed(u64),
}

/// A drain that was begun and not stopped.
#[derive(Debug)]
struct RunningDrain {
    drained: Drained,
    over: Duration,
    ends: UnixTime,
    /// Set when all sessions are over.
    gone: Arc<AtomicBool>,
    /// Cancels the task of the drain.
    _task: DropGuard,
}

/// The drains that were begun and not stopped.
#[derive(Debug, Default)]
pub(super) struct RunningDrains(Mutex<Vec<RunningDrain>>);

/// A drain as `status` and the answer to `drain` show it. Unknown fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ShownDrain {
    /// The server that an operator drains.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The route that an operator drains.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// The generation whose reload removed the servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// `draining`, or `drained` once all sessions are over.
    state: &'static str,
    /// Its sessions that are still open.
    pub(super) sessions: usize,
    /// The time over which the sessions are told to end.
    over_seconds: u64,
    /// When the last session is told to end.
    ends: UnixTime,
}

impl Drained {
    /// Matches its sessions.
    fn filter(&self) -> Filter {
        let mut filter = Filter::default();
        match self {
            Self::Target(DrainTarget::Server(server)) => filter.server = Some(server.to_string()),
            Self::Target(DrainTarget::Route(route)) => filter.route = Some(route.to_string()),
            Self::Removed(generation) => filter.removed_by = Some(*generation),
        }
        filter
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Target(_) => Reason::SessionDrained,
            Self::Removed(_) => Reason::UpstreamDraining,
        }
    }

    fn record(&self, sessions: usize) -> DrainRecord<'_> {
        let (mut server, mut route, mut generation) = (None, None, None);
        match self {
            Self::Target(DrainTarget::Server(name)) => server = Some(&**name),
            Self::Target(DrainTarget::Route(name)) => route = Some(&**name),
            Self::Removed(number) => generation = Some(*number),
        }
        DrainRecord { server, route, generation, sessions }
    }
}

impl RunningDrains {
    fn locked(&self) -> MutexGuard<'_, Vec<RunningDrain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Drains `target`: it gets no new sessions from now on, and its sessions are told to end, evenly spread over
    /// `over`. A second drain of the same target replaces the first.
    pub(super) fn drain(&self, target: DrainTarget, over: Duration) -> ShownDrain {
        // First: a session that is registered after the search looks whether its server is drained.
        self.state.drains().insert(target.clone());
        self.begin(Drained::Target(target), over)
    }

    /// Ends the drain of `target`: sessions that were not told to end stay. Returns the number of its sessions.
    pub(super) fn undrain(&self, target: DrainTarget) -> usize {
        self.state.drains().remove(&target);
        let drained = Drained::Target(target);
        self.drains.locked().retain(|drain| drain.drained != drained);
        let sessions = self.sessions.open(&drained.filter());
        self.reporter.journal().record(Event::Undrained(drained.record(sessions)));
        // A reload that removed the server meanwhile left its sessions to the drain.
        self.review();
        sessions
    }

    /// Reviews the open sessions under the configuration in force. Returns the number of those that were told to
    /// end at once, and of those whose server is not one of their route any more, and that are drained.
    pub(super) fn review(&self) -> (usize, usize) {
        let in_force = self.current.get();
        let reviewed = self.sessions.review(&in_force, &self.state);
        if reviewed.removed > 0 {
            let spread = in_force.server.shutdown_pace().spread;
            self.begin(Drained::Removed(in_force.generation), spread);
        }
        (reviewed.ended, reviewed.removed)
    }

    /// The drains that were not stopped; without those after reloads that are over.
    pub(super) fn list_drains(&self) -> Vec<ShownDrain> {
        let mut running = self.drains.locked();
        running.retain(|drain| !matches!(drain.drained, Drained::Removed(_)) || !drain.is_gone());
        running.iter().map(|drain| self.shown(drain)).collect()
    }

    fn begin(&self, drained: Drained, over: Duration) -> ShownDrain {
        let (gone, cancel) = (Arc::<AtomicBool>::default(), CancellationToken::new());
        let ends = UnixTime::now().after(over);
        let drain = RunningDrain {
            drained: drained.clone(),
            over,
            ends,
            gone: Arc::clone(&gone),
            _task: cancel.clone().drop_guard(),
        };
        let shown = self.shown(&drain);
        let journal = self.reporter.journal().clone();
        journal.record(Event::DrainBegun { drain: drained.record(shown.sessions), over });
        let mut running = self.drains.locked();
        running.retain(|other| other.drained != drained);
        running.push(drain);
        drop(running);
        let live = match &drained {
            // It also counts plain requests.
            Drained::Target(DrainTarget::Server(server)) => {
                self.current.get().dialer.counter(server)
            }
            _ => None,
        };
        let sessions = self.sessions.clone();
        self.runtime.spawn_until_stop(cancel.run_until_cancelled_owned(async move {
            let filter = drained.filter();
            let told = sessions.drain(&filter, drained.reason(), over).await;
            while live.as_ref().is_some_and(|live| live.used() > 0) || sessions.open(&filter) > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            gone.store(true, Ordering::Relaxed);
            journal.record(Event::Drained(drained.record(told)));
        }));
        shown
    }

    fn shown(&self, drain: &RunningDrain) -> ShownDrain {
        let DrainRecord { server, route, generation, sessions } =
            drain.drained.record(self.sessions.open(&drain.drained.filter()));
        ShownDrain {
            server: server.map(str::to_owned),
            route: route.map(str::to_owned),
            generation,
            state: if drain.is_gone() { "drained" } else { "draining" },
            sessions,
            over_seconds: drain.over.as_secs(),
            ends: drain.ends,
        }
    }
}

impl RunningDrain {
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::time::sleep;

    use super::{Control, DrainTarget};
    use crate::config;
    use crate::control::Service;
    use crate::gateway::runtime::InForce;
    use crate::gateway::session::{Description, RegistryEntry};
    use crate::journal::{Event, Journal, Record, Sink};

    const ONE: &str = "ws://127.0.0.1:1";
    const TWO: &str = "ws://127.0.0.1:2";

    /// The names of the events about drains, with the numbers of their sessions.
    #[derive(Debug, Default)]
    struct Drains(Mutex<Vec<(&'static str, usize)>>);

    impl Sink for Drains {
        fn record(&self, record: &Record<'_>) {
            let (Event::DrainBegun { drain, .. } | Event::Drained(drain) | Event::Undrained(drain)) =
                record.event
            else {
                return;
            };
            self.0.lock().unwrap().push((record.event.name(), drain.sessions));
        }
    }

    impl Drains {
        fn take(&self) -> Vec<(&'static str, usize)> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn config(servers: &[&str]) -> config::Config {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nshutdown_spread = \"40s\"\n[tls]\nmode = \"off\"\n\
             [routes.chat]\nhost = [\"chat.example\"]\npath = \"/ws\"\nupstream = {servers:?}\n\
             origins = [\"*\"]\nauth = \"none\"\n"
        );
        config::parse(&text, Path::new("framewall.toml")).unwrap().config
    }

    fn control() -> (Arc<Control>, Arc<Drains>) {
        let events = Arc::<Drains>::default();
        let journal = Journal::default().with(Arc::<Drains>::clone(&events));
        let service = Service::open(&config(&[ONE, TWO]), journal).unwrap();
        (service.control, events)
    }

    impl Control {
        fn enter(&self, server: &str, count: usize) -> Vec<RegistryEntry> {
            let upstream = Some(server.into());
            let one = Description { upstream, ..Description::example("1") };
            (0..count).map(|_| self.sessions.enter(one.clone())).collect()
        }

        fn reload_with(&self, servers: &[&str]) -> (usize, usize) {
            let before = self.current.get();
            self.put_in_force(InForce::new(&config(servers), &self.state, Some(&before)).unwrap())
        }
    }

    fn told(entries: &[RegistryEntry]) -> usize {
        entries.iter().filter(|entry| entry.record().is_stopped()).count()
    }

    fn server(name: &str) -> DrainTarget {
        DrainTarget::Server(name.into())
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn undrain_leaves_the_sessions_that_were_not_told() {
        let (control, events) = control();
        let (one, two) = (control.enter(ONE, 4), control.enter(TWO, 4));
        let shown = control.drain(server(ONE), secs(40));
        assert_eq!((shown.sessions, shown.state, shown.over_seconds), (4, "draining", 40));
        sleep(secs(20)).await;
        assert_eq!((told(&one), told(&two)), (2, 0));
        assert!(control.state.drains().has_server(ONE));
        assert_eq!(control.undrain(server(ONE)), 4);
        assert!(!control.state.drains().has_server(ONE));
        sleep(secs(60)).await;
        assert_eq!((told(&one), told(&two)), (2, 0));
        assert_eq!(control.list_drains(), []);
        assert_eq!(events.take(), [("drain.begun", 4), ("undrained", 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_is_over_when_its_last_session_is_gone() {
        let (control, events) = control();
        let mut sessions = control.enter(ONE, 2);
        control.drain(DrainTarget::Route("chat".into()), secs(10));
        sleep(secs(20)).await;
        assert_eq!(told(&sessions), 2);
        let shown = &control.list_drains()[0];
        assert_eq!(
            (shown.state, shown.sessions, &*events.take()),
            ("draining", 2, &[("drain.begun", 2)][..])
        );
        sessions.clear();
        sleep(secs(2)).await;
        let shown = &control.list_drains()[0];
        assert_eq!((shown.state, shown.sessions), ("drained", 0));
        assert_eq!(events.take(), [("drained", 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_drain_replaces_the_first() {
        let (control, events) = control();
        let sessions = control.enter(ONE, 4);
        control.drain(server(ONE), secs(40));
        sleep(secs(10)).await;
        assert_eq!(told(&sessions), 1);
        control.drain(server(ONE), secs(3));
        assert_eq!(control.list_drains().len(), 1);
        sleep(secs(4)).await;
        assert_eq!(told(&sessions), 4);
        drop(sessions);
        sleep(secs(2)).await;
        assert_eq!(events.take(), [("drain.begun", 4), ("drain.begun", 4), ("drained", 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_drains_the_sessions_of_a_removed_server_until_one_brings_it_back() {
        let (control, events) = control();
        let (mut one, two) = (control.enter(ONE, 4), control.enter(TWO, 4));
        assert_eq!(control.reload_with(&[TWO]), (0, 4));
        assert_eq!(control.list_drains()[0].generation, Some(1));
        sleep(secs(20)).await;
        assert_eq!((told(&one), told(&two)), (2, 0));
        assert_eq!(control.reload_with(&[TWO]), (0, 0), "they drain already");
        sleep(secs(10)).await;
        assert_eq!((told(&one), told(&two)), (3, 0), "at the pace of the first reload");
        assert_eq!(control.reload_with(&[ONE, TWO]), (0, 0));
        sleep(secs(100)).await;
        assert_eq!((told(&one), told(&two)), (3, 0));
        one.retain(|entry| !entry.record().is_stopped());
        sleep(secs(2)).await;
        assert_eq!(control.list_drains(), [], "no session of it is left");
        assert_eq!(events.take(), [("drain.begun", 4), ("drained", 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_leaves_the_sessions_of_a_removed_server_to_the_drain_of_an_operator() {
        let (control, _) = control();
        let sessions = control.enter(ONE, 4);
        control.drain(server(ONE), secs(400));
        assert_eq!(control.reload_with(&[TWO]), (0, 0));
        sleep(secs(60)).await;
        assert_eq!(told(&sessions), 1);
        control.undrain(server(ONE));
        assert_eq!(control.list_drains()[0].generation, Some(1), "its server is gone");
        sleep(secs(41)).await;
        assert_eq!(told(&sessions), 4);
    }
}
