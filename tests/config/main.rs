//! Configuration files, good and bad, through the front door.

#![allow(clippy::unwrap_used)]

mod bans;
mod firewall;
mod folder;
mod limits;
mod lints;
mod messages;
mod places;
mod profile;
mod routes;
mod schema;
mod tokens;
mod upstreams;

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use framewall::config::{
    Balance, Compression, HostPattern, Lifetime, Limits, Lint, LoadError, Loaded, LogFormat,
    Origins, PathPattern, ProxyProtocol, RetryHint, UnknownClients, UpstreamAddress, load, parse,
};
use framewall::tls::{ClientAuth, TlsVersion};
use framewall::values::{FieldPattern, FieldRules};
use framewall::values::{Origin, OriginPattern};
use proptest::prelude::*;
use rcgen::KeyPair;
use tempfile::TempDir;

use folder::{folder, load_in, root, set_mode, without_folder, write_private};

fn files_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(!paths.is_empty(), "{folder} has files");
    paths
}

/// Each `tests/config/bad/NAME.toml` is refused with the text of `NAME.txt`; `UPDATE=1` rewrites it.
#[test]
fn bad_files_are_refused_word_for_word() {
    let folder = folder();
    let mut wrong = Vec::new();
    for path in files_in("tests/config/bad") {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap();
        let copy = folder.path().join(name);
        fs::write(&copy, text).unwrap();
        let error = load(&copy).expect_err(&path.display().to_string());
        let told = without_folder(&error.to_string(), &folder);
        assert!(!format!("{told}{error:?}").contains("hunter"), "a secret is shown:\n{told}");
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &told).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", name.display()));
        }
    }
    assert!(wrong.is_empty(), "run with UPDATE=1 to accept:\n{}", wrong.join("\n"));
}

/// Loads an example of `config/` among the files that it names.
fn example(path: &Path) -> Loaded {
    let folder = folder();
    for name in ["config", "secrets", "run"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    write_private(&folder.path().join("secrets/jwt"), folder::SECRET);
    fs::create_dir(folder.path().join("config/lists")).unwrap();
    let list = "config/lists/block.txt";
    fs::copy(root().join(list), folder.path().join(list)).unwrap();
    let copy = folder.path().join("config").join(path.file_name().unwrap());
    fs::copy(path, &copy).unwrap();
    load(&copy).unwrap_or_else(|error| panic!("{error}"))
}

fn messages(lints: &[Lint]) -> Vec<&str> {
    lints.iter().map(Lint::message).collect()
}

#[test]
fn the_examples_load() {
    for path in files_in("config") {
        let loaded = example(&path);
        let lints = messages(&loaded.lints);
        let known = |lint: &&str| {
            lint.contains("admits anybody") || lint.ends_with("not set: firewall.ban")
        };
        assert!(lints.iter().all(known), "{lints:?}");
    }
}

const LEAST: &str = "\
[server]
listen = [\"127.0.0.1:0\"]
[tls]
mode = \"off\"
[routes.app]
path = \"/ws\"
upstream = [\"ws://127.0.0.1:1\"]
auth = \"none\"
";

#[test]
fn absent_keys_have_defaults() {
    let loaded = parse(LEAST, Path::new("f.toml")).unwrap_or_else(|error| panic!("{error}"));
    let config = loaded.config;
    assert!(config.tls.is_none());
    assert_eq!(config.server.max_connections, 100_000);
    assert_eq!((config.server.max_head, config.server.max_fields), (64 * 1024, 200));
    assert_eq!(config.server.handshake_timeout, Duration::from_secs(10));
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(30));
    assert!(config.server.trusted_proxies.is_empty());
    assert_eq!(config.server.proxy_protocol, ProxyProtocol::Off);
    assert_eq!(config.server.health_path, None);
    assert_eq!(config.server.unknown_clients, UnknownClients::Refuse);
    assert_eq!(config.server.fields, FieldRules::default());
    assert_eq!(config.log.level, tracing::Level::INFO);
    assert_eq!((config.log.format, config.log.file, config.log.error_file), (None, None, None));
    let route = &config.routes[0];
    assert!(route.host.is_empty() && route.subprotocols.is_empty() && !route.require_origin);
    assert!(route.cluster.trust.is_none());
    assert_eq!((&route.upstream_host, &route.cluster.server_name), (&None, &None));
    assert_eq!(route.cluster.dial_timeout, Duration::from_secs(1));
    assert_eq!((&route.cluster.name, &route.cluster.balance), (&None, &Balance::First));
    assert_eq!(route.origins, Origins::Same);
    let websocket = &route.websocket;
    assert_eq!((websocket.max_message_size, websocket.max_frame_size), (1 << 20, 1 << 20));
    assert_eq!(websocket.max_fragments, 1024);
    assert_eq!(websocket.max_inflation_ratio, NonZeroU32::new(200));
    assert_eq!(websocket.message_timeout, Some(Duration::from_secs(30)));
    assert_eq!(websocket.ping_interval, Some(Duration::from_secs(30)));
    assert_eq!((websocket.idle_timeout, websocket.max_lifetime), (None, None));
    assert_eq!(websocket.compression, Compression::Off);
    let tenth = Limits { connections_per_ip: NonZeroU32::new(10_000), ..Limits::default() };
    assert_eq!((&config.limits, &route.limits), (&tenth, &Limits::default()));
}

const FULL: &str = r#"
[server]
listen = ["127.0.0.1:8443", "[::1]:8443"]
max_connections = 5
max_head = "48KiB"
max_fields = 300
handshake_timeout = "250ms"
shutdown_grace = "1m"
trusted_proxies = ["10.0.0.0/8"]
proxy_protocol = "required"
unknown_clients = "proxy"
health_path = "/healthz"
drop_headers = ["X-Tenant", "X-Internal-*"]
keep_headers = ["X_Original_URL", "X-Internal-Hint"]

[tls]
certificates = [{ cert = "certs/site.pem", key = "certs/site.key" }]
min_version = "1.3"
client_auth = "optional"
client_ca = "certs/ca.pem"

[websocket]
max_message_size = "2MiB"
max_frame_size = "1KiB"
max_fragments = 7
max_inflation_ratio = 20
message_timeout = "off"
idle_timeout = "1h"
ping_interval = "off"
max_lifetime = "1d"
compression = "inspect"

[routes.z]
host = ["Chat.example.com", "*.example.com"]
path = "/ws/*"
upstream = ["wss://App", "unix:run/app.sock"]
upstream_ca = "certs/ca.pem"
upstream_server_name = "App.internal"
upstream_host = "App.internal:8080"
dial_timeout = "3s"
origins = ["https://chat.example.com"]
require_origin = true
subprotocols = ["chat.v2", "chat.v1"]
auth = "none"
websocket = { max_message_size = "64KiB", message_timeout = "5s", max_inflation_ratio = "off", max_lifetime = "4h jitter 25%" }

[routes.a]
path = "/"
upstream = ["ws://app"]
origins = ["*"]
auth = "none"
[routes.a.websocket]
idle_timeout = "off"
retry_hint = "5s..1m"
compression = "off"

[log]
level = "debug"
format = "pretty"
file = "framewall.log"
error_file = "certs/errors.log"
"#;

#[test]
fn given_keys_are_read() {
    let folder = folder();
    let config = load_in(&folder, FULL).unwrap_or_else(|error| panic!("{error}")).config;
    let server = config.server;
    let listen: Vec<SocketAddr> =
        vec!["127.0.0.1:8443".parse().unwrap(), "[::1]:8443".parse().unwrap()];
    assert_eq!(server.listen, listen);
    assert_eq!(server.max_connections, 5);
    assert_eq!((server.max_head, server.max_fields), (48 * 1024, 300));
    assert_eq!(server.handshake_timeout, Duration::from_millis(250));
    assert_eq!(server.shutdown_grace, Duration::from_secs(60));
    assert_eq!(server.trusted_proxies, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(server.proxy_protocol, ProxyProtocol::Required);
    assert_eq!(server.health_path.as_deref(), Some("/healthz"));
    assert_eq!(server.unknown_clients, UnknownClients::Proxy);
    let patterns = |texts: [&str; 2]| texts.map(|text| FieldPattern::parse(text).unwrap()).to_vec();
    let fields = FieldRules {
        drop: patterns(["x-tenant", "x-internal-*"]),
        keep: patterns(["x-original-url", "x-internal-hint"]),
    };
    assert_eq!(server.fields, fields);
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificates[0].file, folder.path().join("certs/site.pem"));
    assert_eq!(tls.certificates[0].chain().count(), 1);
    assert_eq!(tls.min_version, TlsVersion::Tls13);
    assert!(matches!(tls.client_auth, ClientAuth::Optional(roots) if roots.len() == 1));
    assert_eq!(config.log.level, tracing::Level::DEBUG);
    assert_eq!(config.log.format, Some(LogFormat::Pretty));
    assert_eq!(config.log.file, Some(folder.path().join("framewall.log")));
    assert_eq!(config.log.error_file, Some(folder.path().join("certs/errors.log")));
}

#[test]
fn routes_keep_their_order_and_override_limits() {
    let folder = folder();
    let config = load_in(&folder, FULL).unwrap_or_else(|error| panic!("{error}")).config;
    let [z, a] = config.routes.as_slice() else { panic!("two routes") };
    assert_eq!((&*z.name, &*a.name), ("z", "a"));
    assert_eq!(
        z.host,
        [
            HostPattern::Exact(framewall::values::Host::parse("chat.example.com").unwrap()),
            HostPattern::Wildcard(framewall::values::Host::parse("example.com").unwrap())
        ]
    );
    assert_eq!(z.path, PathPattern::Below("/ws/".into()));
    let socket = folder.path().join("run/app.sock");
    let wss = UpstreamAddress::Wss { host: "app".into(), port: 443 };
    let servers: Vec<_> = z.cluster.servers.iter().map(|server| &server.address).collect();
    assert_eq!(servers, [&wss, &UpstreamAddress::Unix(socket)]);
    let trust = z.cluster.trust.as_ref().unwrap();
    assert_eq!((trust.roots.len(), trust.exact.len()), (1, 1));
    assert_eq!(z.cluster.server_name.as_deref(), Some("app.internal"));
    assert_eq!(z.upstream_host.as_deref(), Some("app.internal:8080"));
    assert_eq!(z.cluster.dial_timeout, Duration::from_secs(3));
    assert_eq!(
        z.origins,
        Origins::Listed(vec![OriginPattern::Exact(
            Origin::parse("https://chat.example.com").unwrap()
        )])
    );
    assert!(z.require_origin && !a.require_origin);
    assert_eq!(z.subprotocols, ["chat.v2", "chat.v1"]);
    assert_eq!((z.websocket.max_message_size, z.websocket.max_frame_size), (64 << 10, 1 << 10));
    assert_eq!(z.websocket.message_timeout, Some(Duration::from_secs(5)));
    assert_eq!(z.websocket.compression, Compression::Inspect);
    assert_eq!(z.websocket.max_inflation_ratio, None);
    assert_eq!(a.websocket.max_inflation_ratio, NonZeroU32::new(20));
    assert_eq!(a.websocket.compression, Compression::Off);
    assert_eq!(a.origins, Origins::Any);
    assert_eq!((a.websocket.max_message_size, a.websocket.max_fragments), (2 << 20, 7));
    assert_eq!((a.websocket.message_timeout, a.websocket.idle_timeout), (None, None));
    assert_eq!(a.websocket.ping_interval, None);
    let longest = Duration::from_secs(86_400);
    assert_eq!(a.websocket.max_lifetime, Some(Lifetime { longest, jitter: 10 }));
    let longest = Duration::from_secs(4 * 3600);
    assert_eq!(z.websocket.max_lifetime, Some(Lifetime { longest, jitter: 25 }));
    assert_eq!(a.websocket.retry_hint, Some(RetryHint { least: 5, most: 60 }));
    assert_eq!(z.websocket.retry_hint, None);
}

#[test]
fn keys_of_each_algorithm_are_read() {
    let algorithms = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ];
    for algorithm in algorithms {
        let folder = folder();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certs = folder.path().join("certs");
        write_private(&certs.join("site.pem"), &params.self_signed(&key).unwrap().pem());
        write_private(&certs.join("site.key"), &key.serialize_pem());
        load_in(&folder, FULL).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The messages of the warnings of `text`, in its order, with their lines.
pub(crate) fn lints(folder: &TempDir, text: &str) -> Vec<(usize, String)> {
    let loaded = load_in(folder, text).unwrap_or_else(|error| panic!("{error}"));
    let told = |lint: &Lint| (lint.line().unwrap(), without_folder(lint.message(), folder));
    loaded.lints.iter().map(told).collect()
}

#[test]
fn unsafe_choices_are_warned_of_at_their_place() {
    let folder = folder();
    set_mode(&folder.path().join("certs/site.key"), 0o640);
    let text = FULL.replace("10.0.0.0/8", "::ffff:0:0/96");
    let told = |line, text: &str| (line, text.to_owned());
    assert_eq!(
        lints(&folder, &text),
        [
            told(9, "every peer is a trusted proxy: each client can claim any address"),
            told(17, "the private key certs/site.key can be read by other users"),
            told(
                35,
                "\"/ws/*\" is not for /ws itself, and no other route of chat.example.com is: a client \
                 that asks for it gets route.none (404)"
            ),
            told(44, "routes.z admits anybody: it has no authentication"),
            told(50, "every web page may connect from its visitors' browsers"),
            told(51, "routes.a admits anybody: it has no authentication"),
        ]
    );
}

#[test]
fn plain_http_is_warned_of_where_others_can_reach_it() {
    let folder = folder();
    let told = lints(&folder, &LEAST.replace("127.0.0.1:0", "0.0.0.0:80"));
    assert_eq!(told[1], (4, "TLS is off on 0.0.0.0:80, which other machines can reach".to_owned()));
    let told: Vec<_> = lints(&folder, LEAST).into_iter().map(|(line, _)| line).collect();
    assert_eq!(told, [8], "no authentication");
}

#[test]
fn lints_are_shown_like_errors() {
    let loaded = parse(LEAST, Path::new("f.toml")).unwrap_or_else(|error| panic!("{error}"));
    let expected = "\
warning[auth.none]: routes.app admits anybody: it has no authentication
 --> f.toml:8:8
  |
8 | auth = \"none\"
  |        ^^^^^^
  |
  = help: if the application authenticates its clients itself, write allow = [\"auth.none\"] in the route
";
    assert_eq!(loaded.lints[0].to_string(), expected);
    assert!(loaded.lints[0].render(true).contains('\u{1b}'));
}

#[test]
fn binary_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.toml");
    let told = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        without_folder(&load(&path).unwrap_err().to_string(), &folder)
    };
    assert_eq!(
        told(b"a = '\xff'"),
        "the configuration f.toml is not UTF-8 at byte 5: save it as UTF-8"
    );
    assert_eq!(
        told(&vec![b'#'; (1 << 20) + 1]),
        "the configuration f.toml is larger than 1 MiB: is it the right file?"
    );
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(&error, LoadError::Unreadable { .. }), "{error}");
    assert!(error.to_string().ends_with(": it is a folder"), "{error}");
}

#[test]
fn many_errors_are_counted_and_the_first_ones_shown() {
    let text: String = (0..5_000).map(|n| format!("k{n} = 1")).collect::<Vec<_>>().join("\n");
    let LoadError::Invalid(report) = parse(&text, Path::new("f.toml")).unwrap_err() else {
        panic!("a report")
    };
    assert_eq!(report.errors(), 5_003);
    let told = report.to_string();
    assert_eq!(told.matches("error: ").count(), 100);
    assert!(told.ends_with("\n5003 errors in f.toml, 4903 of them not shown\n"));
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let text = format!("a = {}{}", open.repeat(100_000), close.repeat(100_000));
        assert!(parse(&text, Path::new("f.toml")).is_err());
    }
    let dotted = format!("{}a = 1", "a.".repeat(100_000));
    assert!(parse(&dotted, Path::new("f.toml")).is_err());
}

/// Loads or says why not; what it says can be shown.
fn survives(text: &str) {
    match parse(text, Path::new("f.toml")) {
        Ok(loaded) => loaded.lints.iter().for_each(|lint| drop(lint.to_string())),
        Err(error) => assert!(error.render(true).len() >= error.to_string().len()),
    }
}

/// A table of upstreams with each kind of server.
const TABLE: &str = "[upstreams.app]\nbalance = \"hash:query:room\"\n\
    servers = [\"ws://a\", { url = \"unix:b\", weight = 2, backup = true }]\n";

/// A configuration with many kinds of values that names no file.
fn seed() -> String {
    let tls = FULL.find("[tls]").unwrap();
    let websocket = FULL.find("[websocket]").unwrap();
    let text = format!("{}[tls]\nmode = \"off\"\n{}", &FULL[..tls], &FULL[websocket..]);
    let text = text
        .replace("upstream_ca", "# upstream_ca")
        .replace("upstream_server_name", "# upstream_server_name")
        .replace("wss://", "ws://")
        .replace("certs/errors.log", "errors.log")
        .replace("auth = \"none\"\nwebsocket", "auth = \"main\"\nrefresh = \"r\"\nwebsocket");
    format!(
        "profile = \"owasp\"\n{text}{TABLE}{}{}[limits]{}",
        tokens::ISSUER,
        firewall::SEED,
        limits::ALL
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        survives(&text);
    }

    #[test]
    fn arbitrary_toml_never_panics(text in "([\\[\\]{}=.,\"'#\n\r\t ]|[a-z0-9_-]{1,4}|server|tls|routes|listen|\u{e4}|\u{1f600}){0,60}") {
        survives(&text);
    }

    #[test]
    fn mutated_files_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, "(?s).{0,3}"), 1..8)
    ) {
        let mut text: Vec<char> = seed().chars().collect();
        for (at, remove, insert) in edits {
            let at = at.index(text.len());
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        survives(&text.into_iter().collect::<String>());
    }
}

#[test]
fn the_seed_of_mutations_is_valid() {
    let loaded = parse(&seed(), Path::new("f.toml"));
    assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
}
