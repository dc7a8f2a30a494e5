//! `profile`, and what is said of addresses that other machines can reach.

use std::num::NonZeroU32;
use std::time::Duration;

use framewall::config::{Config, Limits, Mode, OnExceed, WebSocket};

use crate::folder::{folder, load_in, root};
use crate::limits::rate;
use crate::lints;

const REST: &str = "\
[tls]
certificates = [{ cert = \"certs/dev.pem\", key = \"certs/dev.key\" }]
[jwt.main]
algorithms = [\"HS256\"]
secret = \"env:CARGO_PKG_DESCRIPTION\"
issuer = \"https://issuer.example\"
audience = [\"chat\"]
[routes.a]
path = \"/a\"
upstream = [\"ws://127.0.0.1:1\"]
auth = \"main\"
";

fn load(text: &str) -> Config {
    let folder = folder();
    load_in(&folder, text).unwrap_or_else(|error| panic!("{error}")).config
}

fn file(top: &str, listen: &str, rest: &str) -> String {
    format!("{top}\n[server]\nlisten = [{listen}]\n{REST}{rest}")
}

const LOOPBACK: &str = "\"127.0.0.1:0\"";
const OWASP: &str = "profile = \"owasp\"";

fn owasp() -> Limits {
    Limits {
        connections_per_ip: NonZeroU32::new(100),
        handshakes_per_ip: Some(rate(5, 1, 100)),
        requests: None,
        connections_per_user: NonZeroU32::new(20),
        messages: Some(rate(100, 60, 100)),
        bytes: Some(rate(8 << 20, 60, 8 << 20)),
        messages_per_user: Some(rate(400, 60, 400)),
        control_frames: Some(rate(2, 1, 20)),
        on_exceed: OnExceed::Close,
        mode: Mode::Enforce,
    }
}

#[test]
fn the_profile_has_the_values_of_the_cheat_sheet() {
    let config = load(&file(OWASP, LOOPBACK, ""));
    let route = &config.routes[0];
    assert_eq!((&config.limits, &route.limits), (&owasp(), &owasp()));
    assert!(route.require_origin);
    let plain = load(&file("", LOOPBACK, ""));
    let expected = WebSocket {
        max_message_size: 64 << 10,
        max_frame_size: 64 << 10,
        idle_timeout: Some(Duration::from_secs(900)),
        ping_interval: Some(Duration::from_secs(30)),
        ..plain.routes[0].websocket.clone()
    };
    assert_eq!(route.websocket, expected);
    assert!(!plain.routes[0].require_origin);
}

#[test]
fn each_value_of_the_profile_is_overridden_by_the_file_and_by_a_route() {
    let given = "\
require_origin = false
limits = { messages = \"1/s\", bytes = \"off\" }
websocket = { max_frame_size = \"2KiB\", idle_timeout = \"off\" }
[limits]
connections_per_ip = \"off\"
messages = \"2/s\"
control_frames = \"off\"
[websocket]
max_message_size = \"2MiB\"
max_frame_size = \"1KiB\"
";
    let config = load(&file(OWASP, LOOPBACK, given));
    let route = &config.routes[0];
    assert!(!route.require_origin);
    let expected = Limits {
        connections_per_ip: None,
        messages: Some(rate(2, 1, 2)),
        control_frames: None,
        ..owasp()
    };
    assert_eq!(config.limits, expected);
    assert_eq!(route.limits, Limits { messages: Some(rate(1, 1, 1)), bytes: None, ..expected });
    let websocket = &route.websocket;
    assert_eq!((websocket.max_message_size, websocket.max_frame_size), (2 << 20, 2 << 10));
    assert_eq!(websocket.idle_timeout, None);
    assert_eq!(websocket.ping_interval, Some(Duration::from_secs(30)), "left to the profile");
}

const OPEN: &str = "\"127.0.0.1:0\", \"0.0.0.0:8443\"";

fn unprotected(lints: &[(usize, String)]) -> Vec<(usize, &str)> {
    let told = "other machines can reach 0.0.0.0:8443, and these are not set: ";
    let missing = lints.iter().map(|(line, lint)| (*line, lint.strip_prefix(told)));
    missing.filter_map(|(line, lint)| Some((line, lint?))).collect()
}

#[test]
fn a_reachable_address_gets_one_warning_with_the_missing_limits() {
    let folder = folder();
    let told = |top, listen, rest| lints(&folder, &file(top, listen, rest));
    let bare = told("", OPEN, "");
    assert_eq!(
        unprotected(&bare),
        [(
            3,
            "limits.connections_per_ip, limits.handshakes_per_ip, limits.messages, limits.bytes, \
             firewall.ban"
        )]
    );
    assert_eq!(bare.len(), 1, "{bare:?}");
    assert_eq!(told("", LOOPBACK, ""), []);
    assert_eq!(told("", "\"[::1]:0\", \"127.9.9.9:0\"", ""), []);
    assert_eq!(unprotected(&told(OWASP, OPEN, "")), [(3, "firewall.ban")]);
}

#[test]
fn a_limit_is_missing_where_a_route_lacks_it() {
    let folder = folder();
    let route = "[routes.b]\npath = \"/b\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"main\"\n";
    let limits = "[limits]\nconnections_per_ip = 1\nhandshakes_per_ip = \"1/s\"\n";
    let both = |keys| format!("limits = {{ messages = \"1/s\" }}\n{limits}{keys}\n{route}");
    let text = file("", OPEN, &both("bytes = \"1KiB/s\""));
    assert_eq!(
        unprotected(&lints(&folder, &text)),
        [(3, "routes.b.limits.messages, firewall.ban")]
    );
    let text = file(OWASP, OPEN, &both("bytes = \"off\""));
    assert_eq!(unprotected(&lints(&folder, &text)), [(3, "limits.bytes, firewall.ban")]);
}

#[test]
fn the_warning_suggests_the_profile_where_it_helps() {
    let folder = folder();
    let help = |top, rest| {
        let text = file(top, OPEN, rest);
        load_in(&folder, &text).unwrap().lints[0].to_string()
    };
    let by_profile = "\
warning[server.unprotected]: other machines can reach 0.0.0.0:8443, and these are not set: \
limits.connections_per_ip, limits.handshakes_per_ip, limits.messages, limits.bytes, firewall.ban
 --> f.toml:3:10
  |
3 | listen = [\"127.0.0.1:0\", \"0.0.0.0:8443\"]
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: set them, or say profile = \"owasp\" at the top of the file, which sets the limits that \
the file does not
";
    assert_eq!(help("", "").replace(&format!("{}/", folder.path().display()), ""), by_profile);
    let by_hand = "= help: set them: docs/hardening.md has values\n";
    assert!(help(OWASP, "").ends_with(by_hand));
    assert!(help(OWASP, "[limits]\nbytes = \"off\"").ends_with(by_hand));
    let all = format!("[limits]{}", crate::limits::ALL);
    assert!(help("", &all).ends_with(by_hand), "the profile would add nothing");
}

/// What `docs/hardening.md` calls clean.
#[test]
fn the_hardened_example_has_no_warnings() {
    let loaded = crate::example(&root().join("config/owasp.toml"));
    assert_eq!(loaded.config.server.listen, ["0.0.0.0:8443".parse().unwrap()]);
    assert_eq!(crate::messages(&loaded.lints), [""; 0]);
    let [chat, sensors] = loaded.config.routes.as_slice() else { panic!("two routes") };
    let limits = Limits { connections_per_ip: NonZeroU32::new(50), ..owasp() };
    assert_eq!((&chat.limits, chat.require_origin), (&limits, true));
    let expected = Limits {
        messages: Some(rate(20, 1, 40)),
        messages_per_user: None,
        on_exceed: OnExceed::Delay,
        ..limits
    };
    assert_eq!((&sensors.limits, sensors.require_origin), (&expected, false));
}
