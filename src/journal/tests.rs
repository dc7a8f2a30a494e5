use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::start::{self, LogError};
use super::writer::Lost;
use super::{
    AdminAction, ClientCaused, Counters, DrainRecord, Ended, Event, Journal, ObservationRecord,
    ProtocolError, Record, RecordLimit, Sink, Subject, Suppressed, is_error, line, render,
};
use crate::config::{Log, LogFormat};
use crate::values::{Endpoint, Flow, Reason, RequestSummary, UserKey};

const DOCS: &str = include_str!("../../docs/logging.md");

/// The time of every example in the documentation.
const EXAMPLE_TIME: &str = "2026-03-09T08:15:42.250917Z";

/// The two files of a log, with their lines after the log has ended.
struct Written {
    log: Vec<String>,
    errors: Vec<String>,
}

fn files(folder: &TempDir) -> (PathBuf, PathBuf) {
    let file = |name| folder.path().join(name);
    (file("framewall.log"), file("errors.log"))
}

fn log(folder: &TempDir, level: Level, format: LogFormat) -> Log {
    let (file, error_file) = files(folder);
    Log { level, format: Some(format), file: Some(file), error_file: Some(error_file) }
}

fn written(level: Level, format: LogFormat, act: impl FnOnce(&Journal)) -> Written {
    let folder = TempDir::new().unwrap();
    let (diagnostics, guard) = start::open(&log(&folder, level, format), None).unwrap();
    tracing::subscriber::with_default(Registry::default().with(diagnostics), || {
        act(&guard.journal());
    });
    drop(guard);
    let (file, error_file) = files(&folder);
    Written { log: lines(&file), errors: lines(&error_file) }
}

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn subject() -> Subject {
    Subject {
        upstream: Some("ws://127.0.0.1:8765".into()),
        request_id: "019cd1b5-5e3a-7c41-9a0e-2f6b8d4c7e15".to_owned(),
        peer: "203.0.113.7:51544".parse().unwrap(),
        route: Some("chat".into()),
        subprotocol: Some("chat.v1".to_owned()),
        unlisted: None,
        user: None,
        request: None,
    }
}

/// A [`subject`] with a request; the log must not contain its query.
fn asking() -> Subject {
    let head = b"GET /ws/chat?token=secret HTTP/1.1\r\nHost: chat.example.com\r\n\r\n";
    Subject { request: Some(Box::new(RequestSummary::of_raw(head))), ..subject() }
}

fn early() -> Subject {
    Subject { route: None, subprotocol: None, upstream: None, ..subject() }
}

fn ended() -> Ended {
    Ended {
        by: Some(Endpoint::Client),
        reason: Reason::FrameProtocol,
        code: Some(1002),
        detail: Some("told both sides".to_owned()),
        duration: Duration::from_micros(83_912_400),
        client: Flow { frames: 41, messages: 38, bytes: 5204 },
        upstream: Flow { frames: 120, messages: 117, bytes: 28_033 },
        let_through: 0,
    }
}

fn bad_frame() -> ProtocolError<'static> {
    ProtocolError {
        reason: Reason::FrameProtocol,
        from: Endpoint::Client,
        frame_offset: 5204,
        offset: 5204,
        header: &[0xc1, 0xfe],
        decoded: "fin=1 rsv=100 opcode=0x1 (text) mask=1 length=?",
        section: "RFC 6455 section 5.2",
        rule: "a reserved bit is set, and no extension was negotiated",
    }
}

fn lost_line(format: LogFormat) -> String {
    render::line(&lost().event(), format, &line::now()).finish()
}

fn lost() -> Lost {
    Lost {
        write_failed: 3,
        error: Some("No space left on device (os error 28)".to_owned()),
        ..Lost::default()
    }
}

/// Records the events of the examples in the documentation.
fn record_examples(journal: &Journal) {
    let tried = Subject { subprotocol: None, ..asking() };
    let refused = Subject { upstream: None, ..tried.clone() };
    let subject = &subject();
    let early = &early();
    for event in [
        Event::Refused {
            subject: &refused,
            reason: Reason::OriginDenied,
            detail: "Origin: https://evil.example",
        },
        Event::Answered { subject: &tried, status: 401, cut: false },
        Event::Forwarded {
            subject: &tried,
            status: 200,
            bytes: 5120,
            is_whole: true,
            reason: None,
            duration: Duration::from_millis(12),
        },
        Event::SessionOpened { subject },
        Event::ProtocolError { subject, error: bad_frame() },
        Event::SessionEnded { subject, ended: &ended() },
        Event::ConnectionError {
            subject: early,
            reason: Reason::TlsFailed,
            detail: "received fatal alert: UnknownCA",
        },
        Event::Limited {
            subject,
            reason: Reason::LimitMessages,
            detail: "it sent more than its rate allows",
        },
        Event::MessageRefused {
            subject,
            from: Endpoint::Client,
            reason: Reason::MessageSchema,
            outcome: "drop",
            detail: "messages.schema: \"/action\" breaks /properties/action/type",
        },
        Event::WouldRefuse {
            subject: early,
            reason: Reason::FirewallDenied,
            detail: "203.0.113.7: firewall.deny: 203.0.113.0/24",
        },
    ] {
        journal.record(event);
    }
}

fn refused(journal: &Journal, subject: &Subject, reason: Reason, detail: &str) {
    journal.record(Event::Refused { subject, reason, detail });
}

fn at_example_time(line: &str, format: LogFormat) -> String {
    let (start, length) = match format {
        LogFormat::Json => (r#"{"timestamp":""#.len(), EXAMPLE_TIME.len()),
        LogFormat::Pretty => (0, EXAMPLE_TIME.len()),
    };
    let (before, rest) = line.split_at(start);
    format!("{before}{EXAMPLE_TIME}{}", &rest[length..])
}

fn documented_examples(format: LogFormat) -> BTreeSet<String> {
    let begins = match format {
        LogFormat::Json => "{\"timestamp\"",
        LogFormat::Pretty => "2026-",
    };
    DOCS.lines().filter(|line| line.starts_with(begins)).map(str::to_owned).collect()
}

/// The fields that the section of `heading` lists, each with whether it is always present.
fn documented_fields(heading: &str) -> Vec<(String, bool)> {
    let section = DOCS.split("\n## ").find(|text| text.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("docs/logging.md has no section {heading}"));
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name.to_owned(), rest.starts_with("always")))
        .collect()
}

#[test]
fn the_documented_examples_are_the_written_lines() {
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let written = written(Level::INFO, format, record_examples);
        let real: BTreeSet<_> = written
            .log
            .iter()
            .map(String::as_str)
            .chain([lost_line(format).trim_end()])
            .map(|line| at_example_time(line, format))
            .collect();
        assert_eq!(documented_examples(format), real);
    }
}

#[test]
fn the_documentation_lists_every_field() {
    let act = |journal: &Journal| {
        let subject = Subject { unlisted: Some("chat.v9".to_owned()), ..asking() };
        refused(journal, &subject, Reason::UpstreamHandshake, "x");
        refused(journal, &asking(), Reason::RouteNone, "");
        journal.record(Event::Answered { subject: &subject, status: 500, cut: true });
        record_examples(journal);
        refused(journal, &early(), Reason::ProxyMalformed, "");
    };
    let common =
        documented_fields("Every line").into_iter().chain(documented_fields("Every record"));
    let common: Vec<_> = common.collect();
    for line in written(Level::INFO, LogFormat::Json, act).log {
        let record: Value = serde_json::from_str(&line).unwrap();
        let record = record.as_object().unwrap();
        let heading = format!("`{}`", record["event"].as_str().unwrap());
        let mut fields = common.clone();
        fields.extend(documented_fields(&heading));
        for name in record.keys() {
            assert!(fields.iter().any(|(known, _)| known == name), "{name}: {line}");
        }
        for (name, always) in fields {
            assert!(!always || record.contains_key(&name), "{name}: {line}");
        }
    }
}

#[test]
fn the_documentation_names_every_event() {
    let mut found = BTreeSet::new();
    for_every_event(|event| {
        found.insert(event.name());
    });
    // The log does not record these events.
    assert!(found.remove("connected") && found.remove("counters"));
    assert!(found.contains("session.opened"), "{found:?}");
    for event in found {
        let heading = DOCS.contains(&format!("\n## `{event}`\n"));
        assert!(heading || DOCS.contains(&format!("\n| `{event}` | ")), "{event}");
    }
}

#[test]
fn the_documentation_lists_the_reasons_of_the_error_file() {
    let (_, section) = DOCS.split_once("\n## The error file\n").unwrap();
    let listed: BTreeSet<_> = section
        .lines()
        .filter(|line| line.starts_with('`') && line.ends_with('`') && !line.contains("record"))
        .flat_map(|line| line.split(' '))
        .map(|name| name.trim_matches('`'))
        .collect();
    let errors = Reason::ALL.iter().filter(|&&reason| is_error(reason));
    assert_eq!(listed, errors.map(|reason| reason.name()).collect());
}

#[test]
fn the_error_file_gets_errors_alone() {
    let written = written(Level::INFO, LogFormat::Pretty, |journal| {
        record_examples(journal);
        refused(journal, &subject(), Reason::UpstreamUnavailable, "");
        refused(journal, &early(), Reason::RouteNone, "");
        refused(journal, &early(), Reason::HandshakeMalformed, "");
        tracing::error!("something of the gateway's own");
    });
    assert_eq!(written.log.len(), 14);
    let errors = [
        "protocol.error",
        "connection.error",
        "reason=upstream.unavailable",
        "reason=handshake.malformed",
    ];
    assert_eq!(written.errors.len(), errors.len());
    for (line, expected) in written.errors.iter().zip(errors) {
        assert!(line.contains(expected), "{line}");
        assert!(written.log.contains(line), "{line}");
    }
}

#[test]
fn the_error_file_does_not_depend_on_the_level() {
    let written = written(Level::ERROR, LogFormat::Json, record_examples);
    assert_eq!(written.log, Vec::<String>::new());
    assert_eq!(written.errors.len(), 2);
}

#[test]
fn other_crates_log_warnings_and_errors() {
    let written = written(Level::TRACE, LogFormat::Json, |_| {
        tracing::trace!("ours");
        tracing::info!(target: "hyper::proto", "theirs");
        tracing::info!(target: "framewallish", "not ours either");
        tracing::warn!(target: "hyper::proto", size = 3_u128, fine = true, "theirs, and it matters");
    });
    let messages: Vec<Value> =
        written.log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(messages[0]["message"], "ours");
    assert_eq!(messages[1]["target"], "hyper::proto");
    assert_eq!(messages[1]["size"], 3);
    assert_eq!(messages[1]["fine"], true);
}

#[test]
fn a_peer_cannot_forge_a_line() {
    let forged = "x\n{\"event\":\"session.opened\"}\u{1b}[1A\r";
    let act = |journal: &Journal| {
        let subject = Subject {
            request_id: forged.to_owned(),
            subprotocol: Some(forged.to_owned()),
            unlisted: Some(forged.to_owned()),
            ..subject()
        };
        refused(journal, &subject, Reason::HandshakeMalformed, forged);
    };
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let written = written(Level::INFO, format, act);
        assert_eq!(written.log.len(), 1);
        assert!(!written.log[0].contains(char::is_control));
        assert_eq!(written.errors, written.log);
    }
    let json: Value =
        serde_json::from_str(&written(Level::INFO, LogFormat::Json, act).log[0]).unwrap();
    assert_eq!(json["detail"], forged);
}

#[test]
fn the_log_shows_at_most_the_header_of_a_frame() {
    let frame: Vec<u8> = (0..40).collect();
    let error = ProtocolError { header: &frame, ..bad_frame() };
    let written = written(Level::INFO, LogFormat::Json, |journal| {
        journal.record(Event::ProtocolError { subject: &subject(), error });
    });
    let record: Value = serde_json::from_str(&written.log[0]).unwrap();
    assert_eq!(record["header_hex"], "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d");
}

#[test]
fn files_are_appended_to_and_closed_to_others() {
    let folder = TempDir::new().unwrap();
    let (file, _) = files(&folder);
    for _ in 0..2 {
        let log = log(&folder, Level::INFO, LogFormat::Json);
        let (_, guard) = start::open(&log, None).unwrap();
        guard.journal().record(Event::SessionOpened { subject: &subject() });
    }
    assert_eq!(lines(&file).len(), 2);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
}

#[test]
fn a_file_that_cannot_be_opened_names_its_key() {
    let folder = TempDir::new().unwrap();
    let log = Log {
        error_file: Some("/nonexistent/errors.log".into()),
        ..log(&folder, Level::INFO, LogFormat::Json)
    };
    let error = start::open(&log, None).unwrap_err();
    assert!(matches!(error, LogError::Open { key: "error_file", .. }));
    assert_eq!(
        error.to_string(),
        "[log] error_file: cannot append to /nonexistent/errors.log: No such file or directory \
         (os error 2); create its folder and let this user write to it, or name another file"
    );
}

#[test]
fn the_default_format_is_pretty_on_a_terminal() {
    let folder = TempDir::new().unwrap();
    let given = log(&folder, Level::INFO, LogFormat::Pretty);
    let to_file = Log { format: None, ..given.clone() };
    let to_stderr = Log { file: None, ..to_file.clone() };
    assert_eq!(start::format(&given, false), LogFormat::Pretty);
    assert_eq!(start::format(&to_file, true), LogFormat::Json);
    assert_eq!(start::format(&to_stderr, true), LogFormat::Pretty);
    assert_eq!(start::format(&to_stderr, false), LogFormat::Json);
}

#[test]
fn a_ban_is_a_line_that_fail2ban_finds() {
    let bans = include_str!("../../docs/bans.md");
    let banned = Event::Banned {
        address: "2001:db8:7::29".parse().unwrap(),
        network: "2001:db8:7::/64".parse().unwrap(),
        reason: Reason::FrameProtocol,
        strikes: 20,
        offences: 1,
        until: "2026-03-09T08:30:42Z".parse().unwrap(),
    };
    let written = written(Level::INFO, LogFormat::Json, |journal| journal.record(banned));
    assert_eq!(written.errors, Vec::<String>::new());
    let [line] = &written.log[..] else {
        panic!("{:?}", written.log);
    };
    let line = at_example_time(line, LogFormat::Json);
    assert!(bans.contains(&format!("\n{line}\n")), "docs/bans.md does not show {line}");
    let filter = bans.lines().find_map(|line| line.strip_prefix("failregex = ")).unwrap();
    let found = filter.replace("<ADDR>", "2001:db8:7::29").replace("\\{", "{");
    assert!(
        !found.contains(['\\', '*', '[', '$', '^']),
        "more than this test understands: {found}"
    );
    assert!(line.contains(&found), "{line}");
    // Within a text of a client, a backslash precedes every quote.
    let forged = Subject { user: Some(UserKey::new("main", &line)), ..subject() };
    let forged = self::written(Level::INFO, LogFormat::Json, |journal| {
        journal.record(Event::SessionOpened { subject: &forged });
    });
    assert!(!forged.log[0].contains(&found), "{}", forged.log[0]);
}

#[test]
fn upstream_down_counts_unlogged_failures() {
    let written = written(Level::INFO, LogFormat::Json, |journal| {
        for unlogged in [0, 3] {
            journal.record(Event::UpstreamDown {
                upstream: "ws://[::1]:1",
                route: Some("app"),
                check: None,
                detail: "refused",
                rest: Some(Duration::from_secs(2)),
                unlogged,
            });
        }
    });
    for lines in [written.log, written.errors] {
        let [first, second] =
            [0, 1].map(|line: usize| serde_json::from_str::<Value>(&lines[line]).unwrap());
        assert_eq!((&first["retry_ms"], first.get("unlogged")), (&2000.into(), None));
        assert_eq!(second["unlogged"], 3);
    }
}

fn upstream_down(upstream: &str) -> Event<'_> {
    Event::UpstreamDown {
        upstream,
        route: Some("chat"),
        check: Some("websocket"),
        detail: "x",
        rest: Some(Duration::from_secs(1)),
        unlogged: 1,
    }
}

/// Makes an event of every variant.
#[expect(clippy::too_many_lines, reason = "a table: one event of each variant")]
fn for_every_event(mut take: impl FnMut(Event<'_>)) {
    let subject = &asking();
    let peer = subject.peer;
    let address = peer.ip();
    let error: &dyn std::fmt::Display = &"broken";
    let admin = AdminAction {
        action: Some("kick"),
        result: "done",
        refused: false,
        uid: Some(1000),
        sessions: Some(3),
        request: Some("{\"kick\":{}}"),
        detail: Some("x"),
    };
    let suppressed = Suppressed { counts: [1; ClientCaused::COUNT], mostly: Some(address) };
    let until = "2026-03-09T08:30:42Z".parse().unwrap();
    let reason = Reason::RouteNone;
    let detail = "x";
    let second = Duration::from_secs(1);
    let (issuer, source) = ("main", "https://id.example/keys");
    let upstream = "ws://127.0.0.1:8765";
    let counters = Counters { connections: 2, sessions: 1, routes: BTreeMap::new() };
    let drain = DrainRecord { server: Some(upstream), route: None, generation: None, sessions: 2 };
    let observation = ObservationRecord { route: "chat", direction: "messages", uid: Some(1000) };
    let all = [
        Event::Listening { address: peer, tls: true },
        Event::Lint { name: "log_file", line: Some(3), message: "x" },
        Event::DefaultLimits { routes: "chat, app" },
        Event::OpenFiles { limit: 1024, wanted: 4096 },
        Event::AcceptFailed { error, pause: second },
        Event::SignalIgnored { signal: "SIGUSR2" },
        Event::Reloaded {
            generation: 1,
            sessions: 2,
            draining: 3,
            warnings: 0,
            after_restart: &["[log]"],
        },
        Event::ReloadFailed { error },
        Event::Upgraded { pid: 7, sessions: 2 },
        Event::UpgradeFailed { error },
        Event::DrainBegun { drain, over: second },
        Event::Drained(drain),
        Event::Undrained(drain),
        Event::ObservationBegun { observation, lasting: second },
        Event::ObservationEnded { observation, sessions: 2, messages: 9, ended: "time" },
        Event::Panic { place: "src/main.rs:1:1" },
        Event::Stopping { sessions: 2 },
        Event::Cut { sessions: 1 },
        Event::Stopped,
        Event::Counters(&counters),
        Event::Connected { peer },
        Event::Dropped { peer, reason, detail },
        Event::Silent { subject, detail },
        Event::ConnectionError { subject, reason, detail },
        Event::Refused { subject, reason, detail },
        Event::RefusedAfterHandshake { subject, reason, detail },
        Event::Answered { subject, status: 401, cut: true },
        Event::Forwarded {
            subject,
            status: 200,
            bytes: 1,
            is_whole: false,
            reason: Some(Reason::SessionKicked),
            duration: second,
        },
        Event::WouldRefuse { subject, reason, detail },
        Event::MessageRefused { subject, from: Endpoint::Client, reason, outcome: "drop", detail },
        Event::SessionOpened { subject },
        Event::TokenRenewal { request_id: "1", peer: address, result: "renewed" },
        Event::ProtocolError { subject, error: bad_frame() },
        Event::Limited { subject, reason, detail },
        Event::SessionEnded { subject, ended: &ended() },
        upstream_down(upstream),
        Event::UpstreamUp { upstream, check: Some("websocket"), after: second, failures: 3 },
        Event::NameUnresolved { host: "app", addresses: 2, error: "x" },
        Event::NameResolved { host: "app", addresses: 2 },
        Event::UpstreamBusy { upstream, route: "chat", waiting: 3, unlogged: 1 },
        Event::JwksRefreshed { issuer, source, keys: 2, names: "a, b" },
        Event::JwksStale { issuer, source, age: second, error: "x" },
        Event::JwksFailed { issuer, source, error: "x" },
        Event::Banned {
            address,
            network: "203.0.113.7/32".parse().unwrap(),
            reason,
            strikes: 20,
            offences: 1,
            until,
        },
        Event::BansFull { address, reason },
        Event::BansUnsaved { error },
        Event::Admin(admin),
        Event::AdminTimeout,
        Event::AdminFailed { error },
        Event::Suppressed(&suppressed),
        Event::LinesLost { queue_full: 1, write_failed: 2, error: Some("x") },
        Event::LogReopened,
        Event::LogReopenFailed { error: "x" },
    ];
    let mut variants: Vec<_> = all.iter().map(variant).collect();
    variants.sort_unstable();
    assert_eq!(variants, (0..all.len()).collect::<Vec<_>>(), "one event of each variant");
    all.into_iter().for_each(&mut take);
}

/// A number for each variant. A new variant does not compile without one, and with one
/// [`for_every_event`] fails until it makes such an event.
fn variant(event: &Event<'_>) -> usize {
    match event {
        Event::Listening { .. } => 0,
        Event::Lint { .. } => 1,
        Event::OpenFiles { .. } => 2,
        Event::AcceptFailed { .. } => 3,
        Event::SignalIgnored { .. } => 4,
        Event::Reloaded { .. } => 5,
        Event::ReloadFailed { .. } => 6,
        Event::Panic { .. } => 7,
        Event::Stopping { .. } => 8,
        Event::Cut { .. } => 9,
        Event::Stopped => 10,
        Event::Connected { .. } => 11,
        Event::Dropped { .. } => 12,
        Event::Silent { .. } => 13,
        Event::ConnectionError { .. } => 14,
        Event::Refused { .. } => 15,
        Event::RefusedAfterHandshake { .. } => 16,
        Event::Answered { .. } => 17,
        Event::WouldRefuse { .. } => 18,
        Event::SessionOpened { .. } => 19,
        Event::TokenRenewal { .. } => 20,
        Event::ProtocolError { .. } => 21,
        Event::Limited { .. } => 22,
        Event::SessionEnded { .. } => 23,
        Event::UpstreamDown { .. } => 24,
        Event::UpstreamUp { .. } => 25,
        Event::JwksRefreshed { .. } => 26,
        Event::JwksStale { .. } => 27,
        Event::JwksFailed { .. } => 28,
        Event::Banned { .. } => 29,
        Event::BansFull { .. } => 30,
        Event::BansUnsaved { .. } => 31,
        Event::Admin(_) => 32,
        Event::AdminTimeout => 33,
        Event::AdminFailed { .. } => 34,
        Event::Suppressed(_) => 35,
        Event::LinesLost { .. } => 36,
        Event::LogReopened => 37,
        Event::LogReopenFailed { .. } => 38,
        Event::Counters(_) => 39,
        Event::Forwarded { .. } => 40,
        Event::Upgraded { .. } => 41,
        Event::UpgradeFailed { .. } => 42,
        Event::DrainBegun { .. } => 43,
        Event::Drained(_) => 44,
        Event::Undrained(_) => 45,
        Event::NameUnresolved { .. } => 46,
        Event::NameResolved { .. } => 47,
        Event::MessageRefused { .. } => 48,
        Event::UpstreamBusy { .. } => 49,
        Event::DefaultLimits { .. } => 50,
        Event::ObservationBegun { .. } => 51,
        Event::ObservationEnded { .. } => 52,
    }
}

/// A third sink, which counts events by name.
#[derive(Default)]
struct Counter {
    names: Mutex<Vec<&'static str>>,
    over_rate: Mutex<usize>,
}

impl Sink for Counter {
    fn record(&self, record: &Record<'_>) {
        self.names.lock().unwrap().push(record.event.name());
        *self.over_rate.lock().unwrap() += usize::from(record.over_rate);
    }
}

/// A rate limit that allows no records.
struct Nothing;

impl RecordLimit for Nothing {
    fn allows(&self, _: ClientCaused, _: IpAddr) -> bool {
        false
    }
}

#[test]
fn a_third_sink_receives_every_event() {
    let counter = Arc::new(Counter::default());
    let journal = Journal::default().with(counter.clone());
    let mut names = Vec::new();
    for_every_event(|event| {
        names.push(event.name());
        journal.record(event);
    });
    assert_eq!(*counter.names.lock().unwrap(), names);
    assert_eq!(*counter.over_rate.lock().unwrap(), 0);
}

#[test]
fn a_sink_receives_events_that_the_log_omits() {
    let counter = Arc::new(Counter::default());
    let sink = counter.clone();
    let written = written(Level::TRACE, LogFormat::Json, |journal| {
        let journal = journal.clone().with(sink).limited_by(Arc::new(Nothing));
        refused(&journal, &subject(), Reason::HandshakeMalformed, "");
        journal.record(Event::SessionOpened { subject: &subject() });
    });
    assert_eq!(*counter.names.lock().unwrap(), ["refused", "session.opened"]);
    assert_eq!(*counter.over_rate.lock().unwrap(), 1);
    assert_eq!(written.log.len(), 1);
    assert_eq!(written.errors, Vec::<String>::new());
}

#[test]
fn sinks_receive_the_events_of_log_files() {
    let folder = TempDir::new().unwrap();
    let (_, guard) = start::open(&log(&folder, Level::INFO, LogFormat::Json), None).unwrap();
    let counter = Arc::new(Counter::default());
    let guard = guard.with(counter.clone());
    guard.files().reopen();
    drop(guard);
    assert_eq!(*counter.names.lock().unwrap(), ["log.reopened"; 2]);
    for file in [files(&folder).0, files(&folder).1] {
        assert_eq!(lines(&file).len(), 1, "each file has its own");
    }
}

/// The level, and the meaning with its fields, in the documentation's row for an event.
fn documented_row(event: &str) -> (&'static str, &'static str) {
    let (_, section) = DOCS.split_once("\n## The gateway's own\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let row = section.lines().find_map(|line| line.strip_prefix(&format!("| `{event}` | ")));
    row.and_then(|row| row.split_once(" | ")).unwrap_or_else(|| panic!("no row of {event}"))
}

#[test]
fn the_log_writes_every_event_as_documented() {
    let everywhere =
        documented_fields("Every line").into_iter().chain([("event".to_owned(), true)]);
    let everywhere: Vec<_> = everywhere.collect();
    for_every_event(|event| {
        let line = render::line(&event, LogFormat::Json, EXAMPLE_TIME).finish();
        let record: Value = serde_json::from_str(&line).unwrap();
        let heading = format!("`{}`", event.name());
        assert_eq!(record["event"], event.name());
        let mut fields = everywhere.clone();
        if event.subject().is_some() {
            fields.extend(documented_fields("Every record"));
        }
        let has_section = DOCS.contains(&format!("\n## {heading}\n"));
        if has_section {
            fields.extend(documented_fields(&heading));
        }
        let is_documented = |name: &String| {
            fields.iter().any(|(known, _)| known == name)
                || !has_section && documented_row(event.name()).1.contains(&format!("`{name}`"))
        };
        if matches!(event, Event::Connected { .. } | Event::Counters(_)) {
            return;
        }
        for name in record.as_object().unwrap().keys() {
            assert!(is_documented(name), "{name}: {line}");
        }
        if !has_section {
            let (level, _) = documented_row(event.name());
            assert!(level.contains(record["level"].as_str().unwrap()), "{level}: {line}");
        }
    });
}

#[test]
fn the_log_omits_events_below_its_level() {
    let mut names = BTreeSet::new();
    let written = written(Level::INFO, LogFormat::Json, |journal| {
        for_every_event(|event| {
            if event.level() <= Level::INFO {
                names.insert(event.name());
            }
            journal.record(event);
        });
    });
    let events = written.log.iter().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["event"].as_str().unwrap().to_owned()
    });
    let events: BTreeSet<String> = events.collect();
    // The log files themselves contain these.
    for name in ["log.lost", "log.reopened", "log.reopen_failed"] {
        assert!(names.remove(name));
    }
    assert_eq!(events, names.into_iter().map(str::to_owned).collect());
}
