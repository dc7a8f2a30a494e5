//! `[firewall]`: its lists, its files and its databases.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use framewall::config::{Config, Mode, parse};
use framewall::firewall::Rules;
use tempfile::TempDir;

use crate::folder::{folder, load_in, root, without_folder};

const LEAST: &str = r#"
[server]
listen = ["127.0.0.1:0"]
trusted_proxies = ["10.9.0.0/16", "127.0.0.1"]
[tls]
mode = "off"
[routes.app]
path = "/ws"
upstream = ["ws://127.0.0.1:1"]
origins = ["https://a.example"]
auth = "none"
[firewall]
"#;

/// A table of every key that names no file.
pub(crate) const SEED: &str = r#"
[firewall]
allow = ["10.0.0.0/8", "::1", "::ffff:192.0.2.0/120"]
deny = ["10.1.0.0/16", "2001:db8::/32"]
deny_files = []
mode = "report"
"#;

/// The configuration with `keys` in `[firewall]`.
fn config(folder: &TempDir, keys: &str) -> Config {
    let text = format!("{LEAST}{keys}\n");
    load_in(folder, &text).unwrap_or_else(|error| panic!("{error}")).config
}

/// What is told of `keys`, without the source lines.
fn refused(folder: &TempDir, keys: &str) -> Vec<String> {
    let error = load_in(folder, &format!("{LEAST}{keys}\n")).unwrap_err().to_string();
    let told = without_folder(&error, folder);
    let titles = told.lines().filter_map(|line| line.strip_prefix("error: "));
    titles.map(str::to_owned).collect()
}

/// What is warned of beside the open route, with the lines within `[firewall]`.
fn lints(folder: &TempDir, keys: &str) -> Vec<(usize, String)> {
    let text = format!("{LEAST}{keys}\n");
    let loaded = load_in(folder, &text).unwrap_or_else(|error| panic!("{error}"));
    let within = |line: usize| line - LEAST.lines().count();
    let lints = loaded.lints.iter().filter(|lint| !lint.message().contains("admits anybody"));
    let told = |lint: &framewall::config::Lint| {
        (within(lint.line().unwrap()), without_folder(lint.message(), folder))
    };
    lints.map(told).collect()
}

fn denied(rules: &Rules, ip: &str) -> bool {
    rules.judge(ip.parse::<IpAddr>().unwrap()).is_denied()
}

fn told(folder: &TempDir, rules: &Rules, ip: &str) -> String {
    without_folder(&rules.judge(ip.parse().unwrap()).to_string(), folder)
}

#[test]
fn without_a_firewall_every_address_may_connect() {
    let folder = folder();
    let text = LEAST.replace("[firewall]", "");
    let firewall = load_in(&folder, &text).unwrap().config.firewall;
    assert!(firewall.rules.is_empty() && firewall.rules.files().is_empty());
    assert_eq!(firewall.mode, Mode::Enforce);
    assert!(config(&folder, "").firewall.rules.is_empty());
}

#[test]
fn the_lists_are_in_the_rules() {
    let folder = folder();
    let firewall = config(
        &folder,
        "allow = [\"10.0.0.0/8\", \"::ffff:192.0.2.0/120\"]\ndeny = [\"10.1.0.0/16\"]\n\
         deny_files = [\"lists/block.txt\", \"lists/empty.txt\"]\nmode = \"report\"",
    )
    .firewall;
    let rules = &firewall.rules;
    assert_eq!(firewall.mode, Mode::Report);
    assert_eq!(told(&folder, rules, "192.0.2.1"), "firewall.allow: 192.0.2.0/24");
    assert_eq!(told(&folder, rules, "10.1.2.3"), "firewall.deny: 10.1.0.0/16");
    assert_eq!(told(&folder, rules, "10.2.3.4"), "lists/block.txt line 3: 10.2.3.4");
    assert!(!denied(rules, "10.3.0.1") && denied(rules, "10.1.2.3") && denied(rules, "10.2.3.4"));
    assert_eq!(told(&folder, rules, "::1"), "firewall.allow does not list it");
    let files = ["lists/block.txt", "lists/empty.txt"].map(|name| folder.path().join(name));
    assert_eq!(rules.files(), files);
}

#[test]
fn databases_are_in_the_rules() {
    let folder = folder();
    let keys = "geoip = [\"geoip/country.mmdb\", \"geoip/asn.mmdb\"]\nallow_countries = [\"US\"]\n\
        deny_asns = [64496, 0xfa56ea00]\nallow = [\"127.0.0.1\"]";
    let rules = config(&folder, keys).firewall.rules;
    assert_eq!(told(&folder, &rules, "203.0.113.200"), "firewall.allow_countries: US");
    assert_eq!(told(&folder, &rules, "203.0.113.1"), "firewall.deny_asns: AS4200000000");
    assert_eq!(told(&folder, &rules, "198.51.100.1"), "firewall.deny_asns: AS64496");
    assert!(denied(&rules, "192.0.2.1") && denied(&rules, "10.0.0.1"));
    assert!(!denied(&rules, "127.0.0.1"));
    let files = ["geoip/country.mmdb", "geoip/asn.mmdb"].map(|name| folder.path().join(name));
    assert_eq!(rules.files(), files);
    let one = "geoip = \"geoip/country.mmdb\"\ndeny_countries = [\"DE\", \"XK\"]";
    let rules = config(&folder, one).firewall.rules;
    assert_eq!(told(&folder, &rules, "192.0.2.1"), "firewall.deny_countries: DE");
    assert!(!denied(&rules, "10.0.0.1"), "no country is known of it");
}

#[test]
fn a_configuration_is_cheap_to_clone() {
    let config = config(&folder(), "deny = [\"10.0.0.0/8\"]");
    let again = config.clone();
    assert!(std::sync::Arc::ptr_eq(&config.firewall.rules, &again.firewall.rules));
}

#[test]
fn a_list_file_that_is_too_large_is_refused() {
    let folder = folder();
    let large = fs::File::create(folder.path().join("lists/large.txt")).unwrap();
    large.set_len((256 << 20) + 1).unwrap();
    assert_eq!(
        refused(&folder, "deny_files = [\"lists/large.txt\"]"),
        ["firewall.deny_files: lists/large.txt is larger than 256 MiB"]
    );
    fs::write(folder.path().join("lists/long.txt"), vec![b'\n'; 1 << 24]).unwrap();
    assert_eq!(
        refused(&folder, "deny_files = [\"lists/long.txt\"]"),
        ["firewall.deny_files: lists/long.txt has more than 16777216 lines"]
    );
}

#[test]
fn all_lists_together_have_a_bound() {
    let folder = folder();
    let half = "192.0.2.1\n".repeat(2_000_000);
    for name in ["a", "b"] {
        fs::write(folder.path().join("lists").join(name), &half).unwrap();
    }
    let two = "deny_files = [\"lists/a\", \"lists/b\"]";
    assert_eq!(config(&folder, two).firewall.rules.len(), 1);
    assert_eq!(
        refused(&folder, &format!("{two}\ndeny = [\"192.0.2.1\"]")),
        ["firewall.deny_files: lists/b makes the lists longer than 4000000 entries in all"]
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_refused() {
    let folder = folder();
    let path = folder.path().join("lists/block.txt");
    crate::folder::set_mode(&path, 0o000);
    // The superuser may read it all the same.
    if fs::read(&path).is_err() {
        assert_eq!(
            refused(&folder, "deny_files = [\"lists/block.txt\"]"),
            ["firewall.deny_files: cannot read lists/block.txt: this user may not read it"]
        );
    }
}

#[test]
fn rules_for_every_address_and_report_mode_cause_warnings() {
    let folder = folder();
    let keys = "allow = [\"::/0\", \"128.0.0.0/1\"]\ndeny = [\"10.0.0.1\",\n\"::ffff:0:0/96\"]\n\
        deny_files = [\"lists/everybody.txt\"]\nmode = \"report\"";
    let everybody = |line, text: &str| (line, text.to_owned());
    assert_eq!(
        lints(&folder, keys),
        [
            everybody(
                1,
                "firewall.allow: ::/0 is every IPv6 address: `allow` keeps nobody out of these"
            ),
            everybody(3, "firewall.deny: 0.0.0.0/0 is every IPv4 address"),
            everybody(3, "firewall.deny: 0.0.0.0/0 covers the trusted proxy 10.9.0.0/16"),
            everybody(3, "firewall.deny: 0.0.0.0/0 covers the trusted proxy 127.0.0.1"),
            everybody(
                4,
                "firewall.deny_files: lists/everybody.txt line 2: ::/0 is every IPv6 address"
            ),
            everybody(5, "firewall.mode is \"report\": what it denies is let through"),
        ]
    );
    assert_eq!(lints(&folder, "deny = [\"10.0.0.1\"]\nmode = \"enforce\""), []);
}

#[test]
fn a_list_that_denies_a_trusted_proxy_is_warned_of() {
    let folder = folder();
    fs::write(folder.path().join("lists/proxy.txt"), "192.0.2.1\n127.0.0.1\n").unwrap();
    let keys = "deny = [\"192.0.2.0/24\",\n\"10.9.0.0/16\", \"10.9.1.0/24\"]\n\
        deny_files = [\"lists/block.txt\", \"lists/proxy.txt\"]";
    let told = |line, text: &str| (line, text.to_owned());
    assert_eq!(
        lints(&folder, keys),
        [
            told(2, "firewall.deny: 10.9.0.0/16 covers the trusted proxy 10.9.0.0/16"),
            told(3, "lists/proxy.txt line 2: 127.0.0.1 covers the trusted proxy 127.0.0.1"),
        ]
    );
    let allowed = "allow = [\"10.9.0.0/16\", \"127.0.0.1\"]\ndeny = [\"10.0.0.0/8\"]";
    assert_eq!(lints(&folder, allowed), []);
}

#[test]
fn a_long_list_is_read_at_once() {
    let networks: Vec<_> =
        (0..40_000).map(|n| format!("\"10.0.{}.{}\"", n / 256, n % 256)).collect();
    let text = format!("{LEAST}deny = [{}, \"10.0.0.1\"]\n", networks.join(","));
    let error = parse(&text, Path::new("f.toml")).unwrap_err().to_string();
    assert!(error.starts_with("error: firewall.deny: \"10.0.0.1/32\" is said twice"), "{error}");
}

#[test]
fn the_script_makes_every_test_database() {
    let script = fs::read_to_string(root().join("tests/data/make_geoip.py")).unwrap();
    for entry in fs::read_dir(root().join("tests/data")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_database = path.extension().is_some_and(|extension| extension == "mmdb");
        assert!(!is_database || script.contains(&format!("\"{name}\"")), "{name}");
    }
}
