//! `[upstreams.NAME]`, and the routes that name such a table.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use framewall::config::{
    Balance, CheckKind, HashKey, HealthCheck, Lint, Loaded, ServerBounds, Unhealthy,
    UpstreamAddress, UpstreamServer, parse,
};

use crate::folder::{folder, load_in, root};

const HEAD: &str =
    "allow = [\"auth.none\"]\n[server]\nlisten = [\"127.0.0.1:8443\"]\n[tls]\nmode = \"off\"\n";

fn route(name: &str, upstream: &str) -> String {
    format!("[routes.{name}]\npath = \"/{name}\"\nupstream = {upstream}\nauth = \"none\"\n")
}

fn read(text: &str) -> Loaded {
    let text = format!("{HEAD}{text}");
    parse(&text, Path::new("f.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn lints(loaded: &Loaded) -> Vec<(String, String)> {
    let shown = |lint: &Lint| (lint.name().to_string(), lint.message().to_owned());
    loaded.lints.iter().map(shown).collect()
}

#[test]
fn a_table_is_read_once_for_all_its_routes() {
    let table = "[upstreams.app]\n\
        servers = [\"wss://App\", { url = \"ws://b:81\", weight = 1000 }, { url = \"unix:run/s\", backup = true }]\n\
        balance = \"hash:cookie:sid\"\ndial_timeout = \"3s\"\nmax_connections = 20000\nmax_handshakes = 100\nca = \"certs/ca.pem\"\nserver_name = \"App.internal\"\n";
    let text = format!("{HEAD}{table}{}{}", route("a", "\"app\""), route("b", "\"app\""));
    let folder = folder();
    let config = load_in(&folder, &text).unwrap_or_else(|error| panic!("{error}")).config;
    let [a, b] = config.routes.as_slice() else { panic!("two routes") };
    assert!(Arc::ptr_eq(&a.cluster, &b.cluster));
    let cluster = &a.cluster;
    let server = |address, weight, backup| UpstreamServer { address, weight, backup };
    assert_eq!(
        cluster.servers,
        [
            server(UpstreamAddress::Wss { host: "app".into(), port: 443 }, 1, false),
            server(UpstreamAddress::Ws { host: "b".into(), port: 81 }, 1000, false),
            server(UpstreamAddress::Unix(folder.path().join("run/s")), 1, true),
        ]
    );
    assert_eq!(cluster.name.as_deref(), Some("app"));
    assert_eq!(cluster.balance, Balance::Hash(HashKey::Cookie("sid".into())));
    assert_eq!(cluster.dial_timeout, Duration::from_secs(3));
    assert_eq!(cluster.server_name.as_deref(), Some("app.internal"));
    let bounds = ServerBounds { max_connections: Some(20_000), max_handshakes: Some(100) };
    assert_eq!(cluster.bounds, bounds);
    let others = ServerBounds { max_connections: Some(10), max_handshakes: None };
    let both = ServerBounds { max_connections: Some(10), max_handshakes: Some(100) };
    assert_eq!((bounds.and(others), others.and(bounds)), (both, both));
    assert_eq!(cluster.trust.as_ref().unwrap().roots.len(), 1);
}

#[test]
fn http_and_https_mean_the_same_as_ws_and_wss() {
    let text = |servers: &str| {
        format!("{HEAD}[upstreams.app]\nservers = [{servers}]\n{}", route("a", "\"app\""))
    };
    let text_of_both = text("\"http://a\", \"https://B:444\"");
    let loaded =
        parse(&text_of_both, Path::new("f.toml")).unwrap_or_else(|error| panic!("{error}"));
    let cluster = &loaded.config.routes[0].cluster;
    let addresses: Vec<_> = cluster.servers.iter().map(|server| &server.address).collect();
    let wss = UpstreamAddress::Wss { host: "b".into(), port: 444 };
    assert_eq!(addresses, [&UpstreamAddress::Ws { host: "a".into(), port: 80 }, &wss]);
    assert!(cluster.trust.is_some(), "https:// is verified");
    let twice = text("\"ws://a:80\", \"http://A\"");
    let refused = parse(&twice, Path::new("f.toml")).unwrap_err().to_string();
    assert!(refused.contains("\"ws://a:80\" is said twice"), "{refused}");
}

#[test]
fn absent_keys_of_a_table_have_defaults() {
    let text = format!("[upstreams.app]\nservers = [\"ws://a\"]\n{}", route("a", "\"app\""));
    let loaded = read(&text);
    let cluster = &loaded.config.routes[0].cluster;
    assert_eq!((&cluster.balance, cluster.dial_timeout), (&Balance::Least, Duration::from_secs(1)));
    assert!(cluster.trust.is_none() && cluster.server_name.is_none());
    assert_eq!(cluster.bounds, ServerBounds::default());
    assert_eq!(lints(&loaded), []);
}

#[test]
fn the_check_of_a_table_is_read() {
    let table = |health: &str| {
        let head = "[upstreams.app]\nservers = [\"ws://a\", \"ws://b\"]\n";
        let text = format!("{head}{health}{}", route("a", "\"app\""));
        Arc::clone(&read(&text).config.routes[0].cluster)
    };
    let absent = table("");
    assert_eq!(
        (&absent.health, absent.unhealthy, absent.slow_start),
        (&None, Unhealthy::Stop, None)
    );
    assert_eq!(table("health = { check = \"off\", path = \"/ws\" }\n").health, None);
    let check = |kind, host: Option<&str>| HealthCheck {
        kind,
        host: host.map(str::to_owned),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        down_after: 3,
        up_after: 2,
    };
    for (text, expected) in [
        ("check = \"tcp\"", check(CheckKind::Tcp, None)),
        (
            "check = \"http\", path = \"/healthz?deep=1\", host = \"App:81\"",
            check(CheckKind::Http("/healthz?deep=1".into()), Some("app:81")),
        ),
        ("check = \"websocket\", path = \"/ws\"", check(CheckKind::WebSocket("/ws".into()), None)),
    ] {
        assert_eq!(table(&format!("health = {{ {text} }}\n")).health, Some(expected), "{text}");
    }
    let whole = table(
        "health = { check = \"tcp\", interval = \"1s\", timeout = \"3s\", down_after = 5, up_after = 1 }\n\
         unhealthy = \"drain\"\nslow_start = \"30s\"\n",
    );
    let HealthCheck { interval, timeout, down_after, up_after, .. } = whole.health.clone().unwrap();
    assert_eq!((interval, timeout), (Duration::from_secs(1), Duration::from_secs(3)));
    assert_eq!((down_after, up_after), (5, 1));
    let half_minute = Some(Duration::from_secs(30));
    assert_eq!((whole.unhealthy, whole.slow_start), (Unhealthy::Drain, half_minute));
}

#[test]
fn a_bound_that_the_gateway_never_reaches_is_warned_of() {
    let table = |bound: &str| {
        let text = format!("[upstreams.app]\nservers = [\"ws://a\"]\nmax_connections = {bound}\n");
        read(&(text + &route("a", "\"app\"")))
    };
    let what =
        "upstreams.app.max_connections is 100001, more than `max_connections` of [server], 100000";
    assert_eq!(lints(&table("100001")), [("upstream.unreached".to_owned(), what.to_owned())]);
    for bound in ["100000", "\"off\""] {
        assert_eq!(lints(&table(bound)), []);
    }
}

#[test]
fn a_table_without_a_route_is_warned_of() {
    let text = format!("[upstreams.app]\nservers = [\"ws://a\"]\n{}", route("a", "[\"ws://a\"]"));
    let expected = ("upstream.unused".to_owned(), "upstreams.app is used by no route".to_owned());
    assert_eq!(lints(&read(&text)), [expected]);
}

#[test]
fn a_server_that_is_the_gateway_itself_is_warned_of() {
    let text = format!(
        "[upstreams.app]\nservers = [\"ws://a\", {{ url = \"ws://localhost:8443\" }}]\n{}",
        route("a", "\"app\"")
    );
    let what =
        "the upstream ws://localhost:8443 is the gateway itself, which listens on 127.0.0.1:8443";
    assert_eq!(lints(&read(&text)), [("upstream.self".to_owned(), what.to_owned())]);
}

/// Each configuration of docs/load-balancers.md, with a route behind it.
#[test]
fn the_page_about_load_balancers_has_valid_configurations() {
    let page = std::fs::read_to_string(root().join("docs/load-balancers.md")).unwrap();
    let blocks: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let text = block.split("```").next().unwrap();
        let text = format!("{text}{}allow = [\"auth.none\"]\n", route("app", "[\"ws://a\"]"));
        let loaded = load_in(&folder(), &text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.config.server.trusted_proxies.len(), 1, "{text}");
    }
}
