//! Arbitrary text as a configuration file: it never panics, and either it may run, or it is refused
//! with an error that says where.

#![no_main]

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use framewall::config::{Limits, LoadError, Loaded, OnExceed, parse};
use framewall::values::Rate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The folder does not exist, so that a relative path names no file.
    match parse(text, Path::new("no-such-folder/framewall.toml")) {
        Ok(loaded) => check_loaded(&loaded),
        Err(error) => check_error(&error, text),
    }
});

fn check_loaded(Loaded { config, lints }: &Loaded) {
    assert!(!config.server.listen.is_empty() && !config.routes.is_empty());
    assert!(config.tls.as_ref().is_none_or(|tls| !tls.certificates.is_empty()));
    check_limits(&config.limits);
    for route in &config.routes {
        check_limits(&route.limits);
        assert!(!route.cluster.servers.is_empty(), "{}", route.name);
        assert!(route.websocket.max_frame_size >= 125 && route.websocket.max_fragments > 0);
        let ratio = route.websocket.max_inflation_ratio;
        assert!(ratio.is_none_or(|ratio| ratio.get() <= 1032));
    }
    for lint in lints {
        assert!(!lint.message().is_empty() && lint.line().is_none_or(|line| line > 0));
    }
}

fn check_limits(limits: &Limits) {
    let events = [
        limits.handshakes_per_ip,
        limits.messages,
        limits.messages_per_user,
        limits.control_frames,
    ];
    events.into_iter().flatten().for_each(|rate| check_rate(rate, 1..=1_000_000));
    limits.bytes.into_iter().for_each(|rate| check_rate(rate, (1 << 10)..=(10 << 30)));
    assert!(limits.on_exceed != OnExceed::Drop || limits.bytes.is_none(), "{limits:?}");
}

fn check_rate(rate: Rate, bounds: RangeInclusive<u64>) {
    assert!(bounds.contains(&rate.count) && bounds.contains(&rate.burst), "{rate:?}");
    assert!([1, 60, 3600].map(Duration::from_secs).contains(&rate.per), "{rate:?}");
    assert!(rate.burst * rate.per.as_secs() <= rate.count * 24 * 3600, "{rate:?}");
}

fn check_error(error: &LoadError, text: &str) {
    let LoadError::Invalid(report) = error else {
        panic!("a text was read as a file: {error}");
    };
    assert!(report.errors() > 0);
    let plain = error.render(false);
    assert!(plain.contains("error") && plain.ends_with('\n'), "{plain:?}");
    assert!(plain.contains("framewall.toml"), "{plain:?}");
    assert!(plain.contains('\u{1b}') <= text.contains('\u{1b}'), "{plain:?}");
    assert!(!error.render(true).is_empty());
    assert_eq!(error.to_string(), plain.trim_end_matches('\n').to_owned() + "\n");
}
