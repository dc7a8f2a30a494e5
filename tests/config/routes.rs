//! What a route is for: hosts in their canonical form, and paths that none is for.

use std::fmt::Write as _;

use framewall::config::Lint;

use crate::folder::{folder, load_in};

/// A configuration with these routes, each with its host, path and further lines.
fn file(routes: &[(&str, &str, &str)]) -> String {
    let mut text =
        "allow = [\"auth.none\"]\n[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n"
            .to_owned();
    for (index, (host, path, more)) in routes.iter().enumerate() {
        let host = if host.is_empty() { String::new() } else { format!("host = {host}\n") };
        writeln!(
            text,
            "[routes.r{index}]\n{host}path = \"{path}\"\nupstream = [\"unix:app.sock\"]\n\
             auth = \"none\"\n{more}"
        )
        .unwrap();
    }
    text
}

/// The lints' names and messages.
fn lints(routes: &[(&str, &str, &str)]) -> Vec<String> {
    let loaded = load_in(&folder(), &file(routes)).unwrap_or_else(|error| panic!("{error}"));
    let shown = |lint: &Lint| format!("{}: {}", lint.name(), lint.message());
    loaded.lints.iter().map(shown).collect()
}

#[test]
fn a_bare_path_without_a_route_causes_a_warning() {
    let left = |path: &str, host: &str| {
        vec![format!(
            "path.bare: \"{path}/*\" is not for {path} itself, and no other route{host} is: a \
             client that asks for it gets route.none (404)"
        )]
    };
    let (one, star, both) = ("[\"One.example.\"]", "[\"*.example\"]", "[\"one.example\", \"b\"]");
    for (routes, told) in [
        (vec![("", "/*", "")], vec![]),
        (vec![("", "/ws", "")], vec![]),
        (vec![("", "/ws/*", "")], left("/ws", "")),
        (vec![("", "/a/ws/*", "")], left("/a/ws", "")),
        (vec![("", "/ws/*", ""), ("", "/ws", "")], vec![]),
        (vec![("", "/ws/*", ""), ("", "/*", "")], vec![]),
        (vec![("", "/a/b/*", ""), ("", "/a/*", ""), ("", "/a", "")], vec![]),
        (vec![("", "/ws/*", ""), ("", "/ws/a", "")], left("/ws", "")),
        (vec![("", "/ws/*", "allow = [\"path.bare\"]")], vec![]),
        (vec![(one, "/ws/*", ""), ("", "/ws", "")], vec![]),
        (vec![(one, "/ws/*", ""), (star, "/ws", "")], vec![]),
        (
            vec![(one, "/ws/*", ""), ("[\"two.example\"]", "/ws", "")],
            left("/ws", " of one.example"),
        ),
        (vec![("", "/ws/*", ""), (one, "/ws", "")], left("/ws", "")),
        (vec![(star, "/ws/*", ""), (one, "/ws", "")], left("/ws", " of *.example")),
        (vec![(both, "/ws/*", ""), (one, "/ws", "")], left("/ws", " of b")),
    ] {
        assert_eq!(lints(&routes), told, "{routes:?}");
    }
}

#[test]
fn two_spellings_of_a_host_are_equal_routes() {
    for (one, other) in [
        ("[\"chat.example\"]", "[\"CHAT.example.\"]"),
        ("[\"[::1]\"]", "[\"[0:0::1]\"]"),
        ("[\"*.chat.example\"]", "[\"*.Chat.example.\"]"),
    ] {
        let text = file(&[(one, "/ws", ""), (other, "/ws", "")]);
        let error = load_in(&folder(), &text).unwrap_err().to_string();
        assert!(error.contains("are equal"), "{error}");
    }
}

#[test]
fn a_shared_origin_causes_a_warning() {
    for (origins, told) in [
        ("[\"https://a.example\", \"qrc://\", \"capacitor://localhost\"]", ""),
        ("[\"https://*.a.example\"]", ""),
        ("[\"https://a.example\", \"null\"]", "origins.shared: \"null\" is also the origin of"),
        ("[\"\"]", "origins.shared: an empty Origin says nothing"),
        ("[\"FILE://\"]", "origins.shared: \"file://\" is the origin of every file"),
        ("[\"null\"]\nallow = [\"origins.shared\"]", ""),
        ("[\"*\"]", "origins.any: every web page may connect"),
    ] {
        let more = format!("origins = {origins}");
        let lints = lints(&[("", "/ws", &more)]);
        assert_eq!(lints.len(), usize::from(!told.is_empty()), "{origins}: {lints:?}");
        assert!(lints.iter().all(|lint| lint.starts_with(told)), "{origins}: {lints:?}");
    }
}
