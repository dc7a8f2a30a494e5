//! `[firewall.ban]`

use std::time::Duration;

use framewall::config::BanRules;

use super::folder::{folder, load_in};

const REST: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n\
    [routes.app]\npath = \"/ws\"\nupstream = [\"ws://127.0.0.1:1\"]\n\
    origins = [\"https://a.example\"]\nauth = \"none\"\n";

/// What comes of it, and the lines and texts of its warnings.
fn ban(firewall: &str) -> (Option<BanRules>, Vec<(usize, String)>) {
    let folder = folder();
    let loaded = load_in(&folder, &format!("{firewall}\n{REST}")).unwrap_or_else(|e| panic!("{e}"));
    let lints = loaded.lints.iter();
    let lints = lints.map(|lint| (lint.line().unwrap(), lint.message().to_owned()));
    let lints = lints.filter(|(_, message)| !message.contains("admits anybody")).collect();
    let mut ban = loaded.config.firewall.ban;
    // Another folder at each run.
    if let Some(file) = ban.as_mut().and_then(|ban| ban.file.as_mut()) {
        *file = file.strip_prefix(folder.path()).unwrap().to_owned();
    }
    (ban, lints)
}

#[test]
fn bans_are_off_by_default() {
    assert_eq!(ban("").0, None);
    assert_eq!(ban("[firewall]").0, None);
    let defaults = BanRules {
        strikes: 20.try_into().unwrap(),
        within: Duration::from_secs(60),
        duration: Duration::from_secs(15 * 60),
        max_duration: Duration::from_secs(24 * 3600),
        exempt: Vec::new(),
        file: None,
    };
    assert_eq!(ban("[firewall.ban]"), (Some(defaults.clone()), vec![]));
    assert_eq!(ban("firewall = { ban = {} }").0, Some(defaults));
}

#[test]
fn given_keys_are_read() {
    let given = ban("[firewall.ban]\nstrikes = 5\nwithin = \"10s\"\nduration = \"1h\"\n\
        max_duration = \"1h\"\nexempt = [\"10.0.0.0/8\", \"2001:db8::1\"]\nfile = \"bans.json\"");
    let wanted = BanRules {
        strikes: 5.try_into().unwrap(),
        within: Duration::from_secs(10),
        duration: Duration::from_secs(3600),
        max_duration: Duration::from_secs(3600),
        exempt: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()],
        file: Some("bans.json".into()),
    };
    assert_eq!(given, (Some(wanted), vec![]));
}

#[test]
fn an_exemption_of_every_address_causes_a_warning() {
    let (_, lints) = ban("[firewall.ban]\nexempt = [\"10.0.0.0/8\", \"0.0.0.0/0\"]");
    assert_eq!(lints, [(2, "every address is exempt: strikes ban nobody".to_owned())]);
}
