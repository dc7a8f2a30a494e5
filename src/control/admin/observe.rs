//! Executes `observe`: it lasts as long as the observation, which the admin client ends with its half of the connection.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::act::object;
use super::protocol::{AdminAnswer, ObserveRequest, Outcome};
use crate::config::duration;
use crate::control::Control;
use crate::gateway::session::ObservedRoute;
use crate::journal::{Event, ObservationRecord};
use crate::message::{Direction, Observation, Observed, ObservedProtocol, Pointer};
use crate::values::{Counter, Endpoint};

/// The longest observation.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The most observations at once; each has memory of its own.
const MOST: usize = 4;
/// The most names that an error lists.
const MOST_NAMES: usize = 50;

/// An observation that is to begin.
#[derive(Debug)]
struct Observing {
    route: Arc<str>,
    direction: Direction,
    lasting: Duration,
    observation: Arc<Observation>,
    /// Ends it when dropped.
    observed: ObservedRoute,
}

/// Observes the messages of a route until the time is over, the client of the admin socket ends its requests, another
/// process takes over, or the gateway stops. The answer has everything that was seen until then.
pub(super) async fn observe(
    control: &Control,
    places: &Arc<Counter>,
    uid: Option<u32>,
    request: ObserveRequest,
    stream: &mut UnixStream,
) -> AdminAnswer {
    let Some(_place) = places.take(MOST) else {
        let error = format!("{MOST} observations run already; wait until one ends");
        return AdminAnswer::failed(Outcome::Refused, error);
    };
    let Observing { route, direction, lasting, observation, observed } =
        match begin(control, request) {
            Ok(observing) => observing,
            Err(answer) => return answer,
        };
    let journal = control.reporter.journal();
    let record = ObservationRecord { route: &route, direction: direction.name(), uid };
    journal.record(Event::ObservationBegun { observation: record, lasting });
    let ended = tokio::select! {
        () = sleep(lasting) => "time",
        () = end_of_requests(stream) => "client",
        () = control.runtime.retiring().cancelled() => "upgrade",
        () = control.runtime.closed().cancelled() => "shutdown",
    };
    drop(observed);
    let report = observation.report(&route, Instant::now());
    let (sessions, messages) = (report.sessions, report.all.messages);
    journal.record(Event::ObservationEnded { observation: record, sessions, messages, ended });
    let mut more = object(json!(report));
    more.insert("ended".to_owned(), Value::from(ended));
    AdminAnswer::done(more).about(usize::try_from(sessions).unwrap_or(usize::MAX))
}

fn begin(control: &Control, request: ObserveRequest) -> Result<Observing, AdminAnswer> {
    let refused = |error: String| AdminAnswer::failed(Outcome::Refused, error);
    let ObserveRequest { route, lasting, type_at, protocol, replies } = request;
    let lasting = duration(&lasting).map_err(refused)?;
    if lasting.is_zero() || lasting > LONGEST {
        return Err(refused("an observation lasts from one second to 24 hours (24h)".to_owned()));
    }
    if let Some(pointer) = &type_at {
        Pointer::parse(pointer)
            .map_err(|error| refused(format!("the place of the type: {error}")))?;
    }
    if type_at.is_some() && protocol.is_some() {
        return Err(refused(
            "a protocol says the place of the type; name one of the two".to_owned(),
        ));
    }
    let protocol = match &protocol {
        None => None,
        Some(name) => Some(ObservedProtocol::named(name).ok_or_else(|| {
            let names = ObservedProtocol::NAMES.join(", ");
            refused(format!("there is no protocol {name}; there are: {names}"))
        })?),
    };
    let routes = control.current.get().dialer.route_names();
    let Some(route) = routes.iter().find(|name| ***name == *route).cloned() else {
        let names: Vec<&str> = routes.iter().take(MOST_NAMES).map(AsRef::as_ref).collect();
        let error = format!("there is no route {route}; there are: {}", names.join(", "));
        return Err(AdminAnswer::failed(Outcome::NotFound, error));
    };
    let (direction, sender) = if replies {
        (Direction::Replies, Endpoint::Upstream)
    } else {
        (Direction::Messages, Endpoint::Client)
    };
    let observed = Observed { sender, type_at, protocol };
    let observation = Arc::new(Observation::new(observed, Instant::now()));
    match control.sessions.observe(&route, sender, &observation) {
        Some(observed) => Ok(Observing { route, direction, lasting, observation, observed }),
        None => Err(refused(format!("the route {route} is being observed already"))),
    }
}

/// Resolves when the client ends its half of the connection, or all of it.
async fn end_of_requests(stream: &mut UnixStream) {
    let mut ignored = [0; 64];
    while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
