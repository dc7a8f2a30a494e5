use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::emit::is_error;
use super::start::{self, ObserveError};
use super::writer::Lost;
use super::{Ended, ProtocolError, Subject};
use crate::config::{Log, LogFormat};
use crate::state::bans::NewBan;
use crate::state::store::{Author, Ban};
use crate::values::Endpoint;
use crate::values::Flow;
use crate::values::Network;
use crate::values::Reason;
use crate::values::RequestSummary;

const DOCS: &str = include_str!("../../docs/logging.md");

/// The time of every example in the documentation.
const EXAMPLE_TIME: &str = "2026-03-09T08:15:42.250917Z";

/// The two files of a log, and what they hold once `say` was run and the log ended.
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

fn written(level: Level, format: LogFormat, say: impl FnOnce()) -> Written {
    let folder = TempDir::new().unwrap();
    let (recorder, guard) = start::open(&log(&folder, level, format)).unwrap();
    tracing::subscriber::with_default(Registry::default().with(recorder), say);
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

/// As [`subject`], of a request whose query is no business of the log.
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

fn lost() -> Lost {
    Lost {
        write_failed: 3,
        error: Some("No space left on device (os error 28)".to_owned()),
        ..Lost::default()
    }
}

/// One of each record, as the documentation shows them.
fn say_examples() {
    let tried = Subject { subprotocol: None, ..asking() };
    let refused = Subject { upstream: None, ..tried.clone() };
    super::refused(&refused, Reason::OriginDenied, "Origin: https://evil.example");
    super::answered(&tried, 401, false);
    super::session_opened(&subject());
    super::protocol_error(&subject(), &bad_frame());
    super::session_ended(&subject(), &ended());
    super::connection_error(&early(), Reason::TlsFailed, "received fatal alert: UnknownCA");
    super::limited(&subject(), Reason::LimitMessages, "it sent more than its rate allows");
    let denied = "203.0.113.7: firewall.deny: 203.0.113.0/24";
    super::would_refuse(&early(), Reason::FirewallDenied, denied);
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

/// The fields that the section of `heading` lists, with whether they are always there.
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
fn the_documentation_shows_what_is_written() {
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let written = written(Level::INFO, format, say_examples);
        let real: BTreeSet<_> = written
            .log
            .iter()
            .map(String::as_str)
            .chain([lost().line(format).trim_end()])
            .map(|line| at_example_time(line, format))
            .collect();
        assert_eq!(documented_examples(format), real);
    }
}

#[test]
fn the_documentation_lists_every_field() {
    let say = || {
        let subject = Subject { unlisted: Some("chat.v9".to_owned()), ..asking() };
        super::refused(&subject, Reason::UpstreamHandshake, "x");
        super::refused(&asking(), Reason::RouteNone, "");
        super::answered(&subject, 500, true);
        say_examples();
        super::refused(&early(), Reason::ProxyMalformed, "");
    };
    let common =
        documented_fields("Every line").into_iter().chain(documented_fields("Every record"));
    let common: Vec<_> = common.collect();
    for line in written(Level::INFO, LogFormat::Json, say).log {
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

/// Every `event = "NAME"` of the source, wherever it is said.
fn events(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            events(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let names = source.split("event = \"").skip(1);
            found.extend(names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

#[test]
fn the_documentation_names_every_event() {
    let mut found = BTreeSet::new();
    events(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
        .retain(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte)));
    assert!(found.contains("session.opened"), "{found:?}");
    for event in found {
        let heading = DOCS.contains(&format!("\n## `{event}`\n"));
        assert!(heading || DOCS.contains(&format!("\n| `{event}` | ")), "{event}");
    }
}

#[test]
fn the_documentation_lists_what_the_error_file_gets() {
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
    let written = written(Level::INFO, LogFormat::Pretty, || {
        say_examples();
        super::refused(&subject(), Reason::UpstreamUnavailable, "");
        super::refused(&early(), Reason::RouteNone, "");
        super::refused(&early(), Reason::HandshakeMalformed, "");
        tracing::error!("something of the gateway's own");
    });
    assert_eq!(written.log.len(), 12);
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
    let written = written(Level::ERROR, LogFormat::Json, say_examples);
    assert_eq!(written.log, Vec::<String>::new());
    assert_eq!(written.errors.len(), 2);
}

#[test]
fn other_crates_are_heard_from_warnings_up() {
    let written = written(Level::TRACE, LogFormat::Json, || {
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
    let say = || {
        let subject = Subject {
            request_id: forged.to_owned(),
            subprotocol: Some(forged.to_owned()),
            unlisted: Some(forged.to_owned()),
            ..subject()
        };
        super::refused(&subject, Reason::HandshakeMalformed, forged);
    };
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let written = written(Level::INFO, format, say);
        assert_eq!(written.log.len(), 1);
        assert!(!written.log[0].contains(char::is_control));
        assert_eq!(written.errors, written.log);
    }
    let json: Value =
        serde_json::from_str(&written(Level::INFO, LogFormat::Json, say).log[0]).unwrap();
    assert_eq!(json["detail"], forged);
}

#[test]
fn no_more_of_a_frame_than_its_header_is_written() {
    let frame: Vec<u8> = (0..40).collect();
    let error = ProtocolError { header: &frame, ..bad_frame() };
    let written = written(Level::INFO, LogFormat::Json, || {
        super::protocol_error(&subject(), &error);
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
        let (recorder, _guard) = start::open(&log).unwrap();
        tracing::subscriber::with_default(Registry::default().with(recorder), || {
            super::session_opened(&subject());
        });
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
    let error = start::open(&log).unwrap_err();
    assert!(matches!(error, ObserveError::Open { key: "error_file", .. }));
    assert_eq!(
        error.to_string(),
        "[log] error_file: cannot append to /nonexistent/errors.log: No such file or directory \
         (os error 2); create its folder and let this user write to it, or name another file"
    );
}

#[test]
fn the_format_follows_the_reader() {
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
    let network: Network = "2001:db8:7::/64".parse().unwrap();
    let ban = Ban {
        network,
        until: "2026-03-09T08:30:42Z".parse().unwrap(),
        at: "2026-03-09T08:15:42Z".parse().unwrap(),
        by: Author::Gateway,
        why: Some("frame.protocol".to_owned()),
        offences: 1,
        remembered: None,
    };
    let address = "2001:db8:7::29".parse().unwrap();
    let new = NewBan { address, reason: Reason::FrameProtocol, strikes: 20, ban };
    let written = written(Level::INFO, LogFormat::Json, || super::banned(&new));
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
    // Within a text of a client's, every quote has a backslash before it.
    let forged = Subject { user: Some(line), ..subject() };
    let forged = self::written(Level::INFO, LogFormat::Json, || super::session_opened(&forged));
    assert!(!forged.log[0].contains(&found), "{}", forged.log[0]);
}

#[test]
fn an_upstream_that_is_down_says_what_was_not_written_if_anything() {
    let written = written(Level::INFO, LogFormat::Json, || {
        for unlogged in [0, 3] {
            super::upstream_down(
                "ws://[::1]:1",
                "app",
                "refused",
                Duration::from_secs(2),
                unlogged,
            );
        }
    });
    for lines in [written.log, written.errors] {
        let [first, second] =
            [0, 1].map(|line: usize| serde_json::from_str::<Value>(&lines[line]).unwrap());
        assert_eq!((&first["retry_ms"], first.get("unlogged")), (&2000.into(), None));
        assert_eq!(second["unlogged"], 3);
    }
}
