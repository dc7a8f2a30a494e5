//! Requests that also concern the process which this one replaced: it has sessions until it ends them.

use serde_json::{Value, json};

use super::protocol::{AdminAnswer, MOST_LISTED, Outcome, Request};
use crate::control::Control;

/// Sends `request` to the older process, if there is one and the request concerns it, and adds its answer to `answer`.
pub(super) async fn ask(control: &Control, request: &Request, answer: AdminAnswer) -> AdminAnswer {
    let is_about_sessions = match request {
        Request::Status {}
        | Request::Sessions { .. }
        | Request::Kick { .. }
        | Request::Revoke { .. }
        | Request::Ban { .. }
        | Request::Unban { .. } => true,
        Request::Reload {}
        | Request::Bans {}
        | Request::Upgrade {}
        // It ends its sessions already.
        | Request::Drain { .. }
        | Request::Undrain { .. }
        | Request::Observe { .. } => false,
    };
    let older = control.older().filter(|_| is_about_sessions);
    let Some(older) = older else { return answer };
    match older.ask(request).await {
        Ok(other) => add(request, answer, &other, older.pid),
        // It ended meanwhile, and its sessions with it.
        Err(_) if control.older().is_none() => answer,
        Err(_) => AdminAnswer {
            outcome: Outcome::Refused,
            error: Some(format!(
                "the older process {} does not answer; the answer holds for this process alone",
                older.pid
            )),
            ..answer
        },
    }
}

fn add(request: &Request, mut answer: AdminAnswer, other: &Value, pid: u32) -> AdminAnswer {
    match request {
        Request::Status {} => {
            let mut older = vec![summary(other)];
            older.extend(other["older"].as_array().into_iter().flatten().cloned());
            answer.more.insert("older".to_owned(), older.into());
        }
        Request::Sessions { limit, .. } => list(&mut answer, other, pid, *limit),
        Request::Kick { .. } => count(&mut answer, other, "kicked"),
        Request::Revoke { .. } | Request::Ban { .. } => count(&mut answer, other, "closed"),
        Request::Unban { .. }
        | Request::Drain { .. }
        | Request::Undrain { .. }
        | Request::Observe { .. }
        | Request::Reload {}
        | Request::Bans {}
        | Request::Upgrade {} => {}
    }
    answer
}

/// The part of the older process's status that differs from that of this one.
fn summary(other: &Value) -> Value {
    json!({
        "pid": other["pid"],
        "version": other["version"],
        "since": other["since"],
        "generation": other["generation"],
        "sessions": other["sessions"],
    })
}

/// Lists the older process's sessions first, because they are older, each with its `process`.
fn list(answer: &mut AdminAnswer, other: &Value, pid: u32, limit: usize) {
    let mut listed = other["sessions"].as_array().cloned().unwrap_or_default();
    for session in &mut listed {
        // A session of a still older process has one.
        if let Some(session) = session.as_object_mut() {
            session.entry("process").or_insert_with(|| pid.into());
        }
    }
    if let Some(own) = answer.more.get_mut("sessions").and_then(Value::as_array_mut) {
        listed.append(own);
        listed.truncate(limit.min(MOST_LISTED));
        *own = listed;
    }
    count(answer, other, "matching");
}

/// Adds a number of sessions. Sessions of either process are enough for a request to be executed.
fn count(answer: &mut AdminAnswer, other: &Value, member: &str) {
    let theirs = other[member].as_u64().unwrap_or(0);
    if answer.outcome == Outcome::NotFound && theirs > 0 {
        (answer.outcome, answer.error) = (Outcome::Done, None);
    }
    if answer.outcome == Outcome::NotFound {
        return;
    }
    let all = answer.more.get(member).and_then(Value::as_u64).unwrap_or(0) + theirs;
    answer.more.insert(member.to_owned(), all.into());
    answer.sessions = usize::try_from(all).ok();
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::add;
    use crate::control::admin::protocol::{AdminAnswer, Outcome, Request};
    use crate::gateway::session::Filter;

    #[test]
    fn numbers_are_added_and_lists_joined() {
        let kick = Request::Kick { filter: Filter::default(), all: true };
        let none = || AdminAnswer::failed(Outcome::NotFound, "no session matches").about(0);
        let kicked = add(&kick, none(), &json!({"kicked": 2}), 7);
        assert_eq!(kicked.value(), json!({"result": "done", "kicked": 2}));
        let kicked = add(&kick, none(), &json!({"result": "not_found"}), 7);
        assert_eq!(kicked.outcome, Outcome::NotFound);

        let sessions = |list| {
            let more = json!({"matching": 1, "sessions": list});
            AdminAnswer::done(more.as_object().cloned().unwrap_or_else(Map::new))
        };
        let request = Request::Sessions { filter: Filter::default(), limit: 2 };
        let other = json!({"matching": 2, "sessions": [{"id": "1", "process": 5}, {"id": "2"}]});
        let all = add(&request, sessions(json!([{"id": "3"}])), &other, 7);
        let wanted = json!([{"id": "1", "process": 5}, {"id": "2", "process": 7}]);
        assert_eq!(all.value(), json!({"result": "done", "matching": 3, "sessions": wanted}));
    }
}
