//! `[limits]` and what routes make of them.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use framewall::config::{Config, Limits, Mode, OnExceed, parse};
use framewall::values::Rate;

use crate::folder::folder;
use crate::lints;

const HEAD: &str = "\
[server]
listen = [\"127.0.0.1:0\"]
[tls]
mode = \"off\"
[jwt.main]
algorithms = [\"HS256\"]
secret = \"env:CARGO_PKG_DESCRIPTION\"
issuer = \"https://issuer.example\"
audience = [\"chat\"]
";

/// A file of these limits, and of a route for each of `routes` with those.
fn text(limits: &str, routes: &[&str]) -> String {
    let route = |(at, limits): (usize, &&str)| {
        format!(
            "[routes.r{at}]\npath = \"/{at}\"\nupstream = [\"ws://127.0.0.1:1\"]\n\
             auth = \"main\"\n[routes.r{at}.limits]\n{limits}\n"
        )
    };
    let routes: String = routes.iter().enumerate().map(route).collect();
    format!("{HEAD}[limits]\n{limits}\n{routes}")
}

fn config(limits: &str, routes: &[&str]) -> Config {
    let loaded = parse(&text(limits, routes), Path::new("f.toml"));
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.lints.is_empty(), "{:?}", loaded.lints);
    loaded.config
}

pub(crate) fn rate(count: u64, seconds: u64, burst: u64) -> Rate {
    Rate { count, per: Duration::from_secs(seconds), burst }
}

/// Every key but `mode`.
pub(crate) const ALL: &str = r#"
connections_per_ip = 100
handshakes_per_ip = "20/s burst 40"
connections_per_user = 0x14
messages = "100/s burst 200"
bytes = "1MiB/s burst 4MiB"
messages_per_user = "500/m"
control_frames = "10/h burst 20"
on_exceed = "delay"
"#;

fn all() -> Limits {
    Limits {
        connections_per_ip: NonZeroU32::new(100),
        handshakes_per_ip: Some(rate(20, 1, 40)),
        requests: None,
        connections_per_user: NonZeroU32::new(20),
        messages: Some(rate(100, 1, 200)),
        bytes: Some(rate(1 << 20, 1, 4 << 20)),
        messages_per_user: Some(rate(500, 60, 500)),
        control_frames: Some(rate(10, 3600, 20)),
        on_exceed: OnExceed::Delay,
        mode: Mode::Enforce,
    }
}

#[test]
fn only_connections_of_an_address_are_limited_by_default() {
    let config = config("", &[""]);
    let tenth = Limits { connections_per_ip: NonZeroU32::new(10_000), ..Limits::default() };
    assert_eq!(config.limits, tenth);
    assert_eq!(config.routes[0].limits, Limits::default());
}

#[test]
fn global_limits_apply_to_every_route() {
    let config = config(ALL, &["", "messages = \"1/s\""]);
    assert_eq!(config.limits, all());
    assert_eq!(config.routes[0].limits, all());
    assert_eq!(config.routes[1].limits, Limits { messages: Some(rate(1, 1, 1)), ..all() });
}

#[test]
fn a_route_overrides_each_limit_of_its_sessions() {
    let other = "bytes = \"2KiB/s\"\nmessages_per_user = \"2/s\"\ncontrol_frames = \"3/s\"\n\
        on_exceed = \"close\"";
    let config = config(ALL, &[other]);
    let expected = Limits {
        bytes: Some(rate(2048, 1, 2048)),
        messages_per_user: Some(rate(2, 1, 2)),
        control_frames: Some(rate(3, 1, 3)),
        on_exceed: OnExceed::Close,
        ..all()
    };
    assert_eq!(config.routes[0].limits, expected);
    assert_eq!(config.limits, all(), "[limits] stays as it is");
}

#[test]
fn off_disables_an_inherited_limit() {
    let off =
        "messages = \"off\"\nbytes = \"off\"\nmessages_per_user = \"off\"\non_exceed = \"drop\"";
    let config = config(ALL, &[off]);
    let expected = Limits {
        messages: None,
        bytes: None,
        messages_per_user: None,
        on_exceed: OnExceed::Drop,
        ..all()
    };
    assert_eq!(config.routes[0].limits, expected);
}

/// What `[limits]` says of excess may be for the limits of a route alone.
#[test]
fn on_exceed_and_mode_are_used_by_any_limit() {
    let config = config("on_exceed = \"delay\"", &["", "control_frames = \"5/s\""]);
    assert_eq!(config.routes[1].limits.on_exceed, OnExceed::Delay);
    for limit in [
        "messages = \"1/s\"",
        "bytes = \"1KiB/s\"",
        "messages_per_user = \"1/s\"",
        "control_frames = \"1/s\"",
    ] {
        self::config(&format!("{limit}\non_exceed = \"close\"\nmode = \"enforce\""), &[""]);
    }
    for limit in
        ["connections_per_ip = 1", "handshakes_per_ip = \"1/s\"", "connections_per_user = 1"]
    {
        self::config(&format!("{limit}\nmode = \"enforce\""), &[""]);
        let with_on_exceed = text(&format!("{limit}\non_exceed = \"close\""), &[""]);
        let error = parse(&with_on_exceed, Path::new("f.toml")).unwrap_err().to_string();
        assert!(error.starts_with("error: limits.on_exceed is given, but"), "{error}");
    }
}

#[test]
fn a_route_is_in_report_mode_alone() {
    let limits = text("messages = \"1/s\"", &["mode = \"report\"", ""]);
    let config = parse(&limits, Path::new("f.toml")).unwrap().config;
    let modes: Vec<_> = config.routes.iter().map(|route| route.limits.mode).collect();
    assert_eq!((config.limits.mode, modes), (Mode::Enforce, vec![Mode::Report, Mode::Enforce]));
}

#[test]
fn report_mode_causes_a_warning_at_its_place() {
    let routes = ["", "mode = \"report\"", "mode = \"enforce\""];
    let text = text("messages = \"1/s\"\nmode = \"report\"", &routes);
    let told = |key| format!("{key} is \"report\": what it refuses is let through");
    assert_eq!(
        lints(&folder(), &text),
        [(12, told("limits.mode")), (24, told("routes.r1.limits.mode"))]
    );
}

#[test]
fn limits_of_users_need_a_token() {
    let users = "connections_per_user = 5\nmessages_per_user = \"5/s\"";
    let text = text(users, &[users.lines().last().unwrap(), "messages_per_user = \"off\""]);
    let folder = folder();
    assert_eq!(lints(&folder, &text), []);
    let open = text.replacen("auth = \"main\"\n", "auth = \"none\"\norigins = [\"*\"]\n", 1);
    let told: Vec<_> = lints(&folder, &open).into_iter().map(|(_, lint)| lint).collect();
    let in_route = "routes.r0.limits.messages_per_user counts nobody: auth is \"none\"";
    assert_eq!(
        told.iter().filter(|lint| lint.contains("counts nobody")).collect::<Vec<_>>(),
        [in_route]
    );
    let open = text.replace("auth = \"main\"\n", "auth = \"none\"\norigins = [\"*\"]\n");
    let told: Vec<_> = lints(&folder, &open).into_iter().map(|(_, lint)| lint).collect();
    assert_eq!(
        told.iter().filter(|lint| lint.contains("counts nobody")).collect::<Vec<_>>(),
        [
            "limits.connections_per_user counts nobody: no route asks for a token",
            "limits.messages_per_user counts nobody: no route asks for a token",
            in_route,
        ]
    );
}
