//! Executes the requests about drains.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::act::object;
use super::protocol::{AdminAnswer, DrainSelector, Outcome};
use crate::config::duration;
use crate::control::Control;
use crate::gateway::runtime::InForce;
use crate::state::drains::DrainTarget;

/// The longest time over which sessions may be told to end.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The most names that an error lists.
const MOST_NAMES: usize = 50;

/// Drains a server or a route of the configuration in force.
pub(super) fn drain(
    control: &Control,
    selector: &DrainSelector,
    over: Option<&str>,
) -> AdminAnswer {
    let in_force = control.current.get();
    let target = match configured(&in_force, selector) {
        Ok(target) => target,
        Err(answer) => return answer,
    };
    let over = match over.map(duration).transpose() {
        Ok(over) => over.unwrap_or_else(|| in_force.server.shutdown_pace().spread),
        Err(error) => return AdminAnswer::failed(Outcome::Refused, error),
    };
    if over > LONGEST {
        let error = "the longest time over which sessions end is 7 days (168h)";
        return AdminAnswer::failed(Outcome::Refused, error);
    }
    let drain = control.drain(target, over);
    let sessions = drain.sessions;
    AdminAnswer::done(object(json!(drain))).about(sessions)
}

/// Ends a drain. Its server or route may have left the configuration.
pub(super) fn undrain(control: &Control, selector: &DrainSelector) -> AdminAnswer {
    let drained = control.state.drains().list();
    let is_meant = |target: &&DrainTarget| match (target, selector.named()) {
        (DrainTarget::Server(server), Some(DrainTarget::Server(given))) => {
            is_qualified(&given, server)
        }
        (target, Some(given)) => **target == given,
        (_, None) => false,
    };
    let Some(target) = drained.iter().find(is_meant) else {
        let error = match selector.named() {
            None => ONE_OF_TWO.to_owned(),
            Some(given) => {
                let all: Vec<String> = drained.iter().map(ToString::to_string).collect();
                let all = if all.is_empty() { "nothing is".to_owned() } else { all.join(", ") };
                format!("{given} is not drained; drained: {all}")
            }
        };
        return AdminAnswer::failed(Outcome::NotFound, error);
    };
    let sessions = control.undrain(target.clone());
    let more = match target {
        DrainTarget::Server(server) => json!({ "server": **server, "sessions": sessions }),
        DrainTarget::Route(route) => json!({ "route": **route, "sessions": sessions }),
    };
    AdminAnswer::done(object(more)).about(sessions)
}

const ONE_OF_TWO: &str = "name an upstream or a route: one of the two";

/// Whether `given` is the server, alone or as `NAME/SERVER`.
fn is_qualified(given: &str, server: &str) -> bool {
    given.strip_suffix(server).is_some_and(|name| {
        name.is_empty() || name.strip_suffix('/').is_some_and(|name| !name.contains(['/', ':']))
    })
}

/// The server or route that `selector` names; the error lists those that there are.
fn configured(in_force: &InForce, selector: &DrainSelector) -> Result<DrainTarget, AdminAnswer> {
    let not_found = |given: &str, kind: &str, mut names: Vec<Arc<str>>| {
        let more = names.len().saturating_sub(MOST_NAMES);
        names.truncate(MOST_NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let error = format!("there is no {kind} {given}; there are: {}{more}", names.join(", "));
        AdminAnswer::failed(Outcome::NotFound, error)
    };
    let dialer = &in_force.dialer;
    match selector.named() {
        Some(DrainTarget::Server(given)) => dialer
            .server(&given)
            .map(DrainTarget::Server)
            .ok_or_else(|| not_found(&given, "server", dialer.servers())),
        Some(DrainTarget::Route(given)) => {
            let routes = dialer.route_names();
            if routes.contains(&given) {
                Ok(DrainTarget::Route(given))
            } else {
                Err(not_found(&given, "route", routes))
            }
        }
        None => Err(AdminAnswer::failed(Outcome::Refused, ONE_OF_TWO)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_qualified;

    #[test]
    fn a_server_is_named_alone_or_behind_a_name() {
        for (given, server, is) in [
            ("ws://one:1", "ws://one:1", true),
            ("app/ws://one:1", "ws://one:1", true),
            ("app/unix:/run/a", "unix:/run/a", true),
            ("a/app/ws://one:1", "ws://one:1", false),
            ("appws://one:1", "ws://one:1", false),
            ("ws://one:11", "ws://one:1", false),
        ] {
            assert_eq!(is_qualified(given, server), is, "{given}");
        }
    }
}
