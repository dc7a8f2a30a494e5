//! Formats answers as text: aligned, short, and without characters that control a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::values::UnixTime;

/// Escapes the control characters of `text`.
pub(in crate::cli) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Applies [`plain`] to each line of a text.
pub(super) fn lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(plain).collect();
    lines.join("\n")
}

/// Whether a character is a line break or a directional mark, either of which can make a text look
/// like another one.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

pub(super) fn status(answer: &Value) -> String {
    let listeners = answer["listeners"].as_array().map_or(&[][..], Vec::as_slice);
    let listeners: Vec<_> = listeners.iter().map(text).collect();
    let uptime = Duration::from_secs(answer["uptime_seconds"].as_u64().unwrap_or(0));
    let mut shown = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(shown, "{name:<12}{value}");
    };
    line("version", &text(&answer["version"]));
    line("pid", &text(&answer["pid"]));
    line("uptime", &span(uptime));
    line("listening", &listeners.join(", "));
    let sessions = text(&answer["sessions"]);
    line("sessions", &format!("{sessions} (max_connections {})", text(&answer["max_connections"])));
    for (route, count) in answer["routes"].as_object().into_iter().flatten() {
        line("", &format!("{} {}", text(count), plain(route)));
    }
    line("answers", &text(&answer["answers"]));
    line("revocations", &text(&answer["revocations"]));
    line("bans", &text(&answer["bans"]));
    line("reported", &text(&answer["would_refuse"]));
    line("config", &generation(answer));
    for older in answer["older"].as_array().into_iter().flatten() {
        line("replaced", &older_process(older));
    }
    for upstream in answer["upstreams"].as_array().into_iter().flatten() {
        line("upstream", &upstream_state(upstream, "upstream"));
        for address in upstream["addresses"].as_array().into_iter().flatten() {
            line("", &upstream_state(address, "address"));
        }
    }
    for drain in answer["drains"].as_array().into_iter().flatten() {
        line("drain", &drain_state(drain));
    }
    for keys in answer["issuers"].as_array().into_iter().flatten() {
        line("keys", &plain(&keys.to_string()));
    }
    shown
}

/// A process that was replaced and still has sessions, on one line.
fn older_process(older: &Value) -> String {
    format!(
        "process {} since {} (version {}, generation {}) ends {}",
        text(&older["pid"]),
        text(&older["since"]),
        text(&older["version"]),
        text(&older["generation"]),
        some_sessions(&older["sessions"])
    )
}

/// An upstream, or one of its addresses, on one line, with its name from `member`: its load; since when
/// it is down, the error, and the time of the next attempt; the last result of its check.
fn upstream_state(upstream: &Value, member: &str) -> String {
    let (name, state) = (text(&upstream[member]), text(&upstream["state"]));
    let load = upstream_load(upstream);
    let time = |value: &Value| span(Duration::from_secs(value.as_u64().unwrap_or(0)));
    let mut shown = match upstream["error"].as_str() {
        None => format!("{name} {state}, {load}"),
        Some(error) => {
            let retry = match &upstream["retry_seconds"] {
                Value::Null => "until its check passes".to_owned(),
                seconds => format!("tried again in {}", time(seconds)),
            };
            let down = time(&upstream["down_seconds"]);
            format!("{name} {state} for {down}, {load}, {retry}: {}", plain(error))
        }
    };
    let health = &upstream["health"];
    if let Some(check) = health["check"].as_str() {
        let _ = write!(shown, "; {} check {}", plain(check), text(&health["result"]));
        if !health["seconds"].is_null() {
            let _ = write!(shown, " for {}", time(&health["seconds"]));
        }
        // An error that marks the upstream as down is shown above.
        if let Some(error) = health["error"].as_str().filter(|_| upstream["error"].is_null()) {
            let _ = write!(shown, ": {}", plain(error));
        }
    }
    shown
}

/// The sessions and plain requests of an upstream; its handshakes in flight, if they are bounded; the requests that wait
/// for it, if there are any.
fn upstream_load(upstream: &Value) -> String {
    let count = |member: &str, most: &str, of: &str| match upstream[most].as_u64() {
        Some(most) => format!("{} of {most} {of}", text(&upstream[member])),
        None => format!("{} {of}", text(&upstream[member])),
    };
    let mut shown = count("live", "max_connections", "live");
    if upstream["max_handshakes"].is_u64() {
        let _ = write!(shown, ", {}", count("handshakes", "max_handshakes", "handshakes"));
    }
    if upstream["waiting"].as_u64().is_some_and(|waiting| waiting > 0) {
        let _ = write!(shown, ", {} waiting", text(&upstream["waiting"]));
    }
    shown
}

fn generation(answer: &Value) -> String {
    let last = &answer["last_reload"];
    let number = text(&answer["generation"]);
    match (last["at"].as_str(), last["error"].as_str()) {
        (None, _) => format!("generation {number}, not reloaded since the start"),
        (Some(at), None) => format!("generation {number}, reloaded {}", plain(at)),
        (Some(at), Some(error)) => format!(
            "generation {number}; the reload of {} failed: {}",
            plain(at),
            plain(error.lines().next().unwrap_or_default())
        ),
    }
}

pub(super) fn reload(answer: &Value) -> String {
    let strings = |name: &str| -> Vec<String> {
        answer[name].as_array().into_iter().flatten().map(text).collect()
    };
    let mut shown = format!(
        "reloaded: generation {}; {} closed\n",
        text(&answer["generation"]),
        some_sessions(&answer["closed"])
    );
    if answer["draining"].as_u64().is_some_and(|draining| draining > 0) {
        let _ =
            writeln!(shown, "draining {} of removed servers", some_sessions(&answer["draining"]));
    }
    for warning in strings("warnings") {
        let _ = writeln!(shown, "warning: {warning}");
    }
    let after_restart = strings("after_restart");
    if !after_restart.is_empty() {
        let _ = writeln!(shown, "only after a restart: {}", after_restart.join(", "));
    }
    shown
}

pub(super) fn sessions(answer: &Value, now: UnixTime) -> String {
    let listed = answer["sessions"].as_array().map_or(&[][..], Vec::as_slice);
    let certified = listed.iter().any(|session| session["certificate"].is_object());
    let last = if certified { "CERTIFICATE" } else { "" };
    let replaced = listed.iter().any(|session| session["process"].is_number());
    let process = if replaced { "PROCESS" } else { "" };
    let is_mixed = listed.iter().any(|session| session["kind"] == "http");
    let kind = if is_mixed { "KIND" } else { "" };
    let heads = [
        "ID",
        "ROUTE",
        "CLIENT",
        "USER",
        "UPSTREAM",
        "AGE",
        "TOKEN FOR",
        "MESSAGES IN",
        "OUT",
        last,
        process,
        kind,
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(listed.iter().map(|session| row(session, is_mixed, now)));
    let mut shown = table(&rows);
    let matching = answer["matching"].as_u64().unwrap_or(0);
    if matching > listed.len() as u64 {
        let _ = writeln!(shown, "{} of {matching}; more with --limit", listed.len());
    }
    shown
}

fn row(session: &Value, is_mixed: bool, now: UnixTime) -> [String; 12] {
    let moment = |member: &str| session[member].as_str().and_then(|text| text.parse().ok());
    let age = moment("since").map(|since: UnixTime| span(since.age(now)));
    let left = moment("expires").map(|expires: UnixTime| span(now.age(expires)));
    [
        text(&session["id"]),
        text(&session["route"]),
        text(&session["peer"]),
        text(&session["user"]),
        text(&session["server"]),
        age.unwrap_or_else(none),
        left.unwrap_or_else(none),
        text(&session["client"]["messages"]),
        text(&session["upstream"]["messages"]),
        certificate(&session["certificate"]),
        session["process"].as_u64().map_or_else(String::new, |process| process.to_string()),
        if is_mixed { text(&session["kind"]) } else { String::new() },
    ]
}

/// The subject, and the first 16 digits of the fingerprint.
fn certificate(named: &Value) -> String {
    let Some(fingerprint) = named["fingerprint"].as_str() else {
        return String::new();
    };
    let digits: String = fingerprint.chars().take(16).collect();
    format!("{} {}", text(&named["subject"]), plain(&digits))
}

pub(super) fn upgrade(answer: &Value) -> String {
    format!(
        "process {} serves; process {} ends {}\n",
        text(&answer["pid"]),
        text(&answer["older"]),
        some_sessions(&answer["sessions"])
    )
}

pub(super) fn kick(answer: &Value) -> String {
    format!("ended {}\n", some_sessions(&answer["kicked"]))
}

pub(super) fn revoke(answer: &Value) -> String {
    let closed = some_sessions(&answer["closed"]);
    format!("revoked until {}; ended {closed}\n", text(&answer["until"]))
}

pub(super) fn ban(answer: &Value) -> String {
    let (network, until) = (text(&answer["network"]), text(&answer["until"]));
    format!("banned {network} until {until}; ended {}\n", some_sessions(&answer["closed"]))
}

pub(super) fn unban(answer: &Value) -> String {
    format!("unbanned {}\n", text(&answer["network"]))
}

pub(super) fn drain(answer: &Value) -> String {
    let over = span(Duration::from_secs(answer["over_seconds"].as_u64().unwrap_or(0)));
    let sessions = some_sessions(&answer["sessions"]);
    let target = drained(answer);
    format!("draining {target}: {sessions} end over {over}, until {}\n", text(&answer["ends"]))
}

pub(super) fn undrain(answer: &Value) -> String {
    format!("undrained {}: {} stay\n", drained(answer), some_sessions(&answer["sessions"]))
}

/// The server, the route, or the reload that removed servers.
fn drained(drain: &Value) -> String {
    match (&drain["server"], &drain["route"]) {
        (Value::Null, Value::Null) => {
            format!("servers removed by reload {}", text(&drain["generation"]))
        }
        (Value::Null, route) => format!("route {}", text(route)),
        (server, _) => text(server),
    }
}

/// A drain on one line: its sessions, and when the last one is told to end.
fn drain_state(drain: &Value) -> String {
    let (target, state) = (drained(drain), text(&drain["state"]));
    let until = match &drain["state"] {
        Value::String(state) if state == "draining" => {
            format!(", told to end until {}", text(&drain["ends"]))
        }
        _ => String::new(),
    };
    format!("{target} {state}, {} left{until}", some_sessions(&drain["sessions"]))
}

fn some_sessions(count: &Value) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} session{plural}", text(count))
}

fn none() -> String {
    "-".to_owned()
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => none(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// Columns as wide as their widest cell, two spaces apart.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut shown = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: Vec<_> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        shown.push_str(line.join("  ").trim_end());
        shown.push('\n');
    }
    shown
}

/// Formats a time in its two largest units, such as `2d3h`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{plain, sessions, span};

    #[test]
    fn a_table_is_aligned_and_steers_no_terminal() {
        let flow = json!({"frames": 1, "messages": 12, "bytes": 3});
        let session = |id: &str, user: &str| {
            json!({"id": id, "route": "chat", "peer": "192.0.2.7:5000", "user": user,
                   "server": "unix:/a",
                   "since": "2026-03-09T08:00:00Z", "client": flow, "upstream": flow})
        };
        let answer =
            json!({"matching": 3, "sessions": [session("1", "ann"), session("22", "\u{1b}[2J")]});
        let shown = sessions(&answer, "2026-03-09T09:01:00Z".parse().unwrap());
        let wanted = "\
ID  ROUTE  CLIENT          USER       UPSTREAM  AGE   TOKEN FOR  MESSAGES IN  OUT
1   chat   192.0.2.7:5000  ann        unix:/a   1h1m  -          12           12
22  chat   192.0.2.7:5000  \\u{1b}[2J  unix:/a   1h1m  -          12           12
2 of 3; more with --limit
";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn invisible_characters_are_escaped() {
        assert_eq!(plain("a\nb\u{202e}c\u{7f}é"), "a\\nb\\u{202e}c\\u{7f}é");
    }

    #[test]
    fn times_are_short() {
        let shown = [0, 59, 61, 3600, 90_061].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0s", "59s", "1m1s", "1h0m", "1d1h"]);
    }
}
