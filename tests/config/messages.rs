//! Lints about the rules for messages.

use std::fs;

use framewall::config::{Lint, examine};
use tempfile::TempDir;

use crate::folder::{folder, load_in, without_folder};

const OPEN: &str = "allow = [\"auth.none\", \"server.unprotected\", \"tls.off\"]\n";

/// A configuration whose route has these rules for the messages of clients.
fn file(listen: &str, auth: &str, rules: &str) -> String {
    format!(
        "{OPEN}[server]\nlisten = [\"{listen}\"]\n[tls]\nmode = \"off\"\n\
         [jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:keys/secret\"\n\
         issuer = \"https://a.example\"\naudience = [\"chat\"]\n\
         [routes.jwt]\npath = \"/jwt\"\nauth = \"main\"\nupstream = [\"ws://127.0.0.1:1\"]\n\
         [routes.app]\npath = \"/ws\"\nauth = \"{auth}\"\nupstream = [\"ws://127.0.0.1:1\"]\n\
         [routes.app.messages]\n{rules}\n"
    )
}

fn shown(lints: &[Lint], folder: &TempDir) -> Vec<(String, String)> {
    let shown = |lint: &Lint| (lint.name().to_string(), without_folder(lint.message(), folder));
    lints.iter().map(shown).collect()
}

/// The lints of a gateway on a loopback address, whose route admits anybody.
fn lints(rules: &str) -> Vec<(String, String)> {
    let folder = folder();
    let loaded = load_in(&folder, &file("127.0.0.1:8443", "none", rules));
    shown(&loaded.unwrap_or_else(|error| panic!("{error}")).lints, &folder)
}

fn one(name: &str, what: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), what.to_owned())]
}

#[test]
fn patterns_that_match_nothing_are_warned_of() {
    for pattern in ["[a&&b]", "$a", "a^", "(?m)a^b", "\\\\b\\\\B", "x(?:$y)+"] {
        let text = pattern.replace("\\\\", "\\");
        let what = format!("routes.app.messages.deny_patterns: no text matches \"{text}\"");
        let found = lints(&format!("deny_patterns = [\"(?i)<script\", \"{pattern}\"]"));
        assert_eq!(found, one("messages.never", &what));
    }
    let found = lints("max_size = \"16B\"\ndeny_patterns = [\"^.{16}$\", \"a{17,}\"]");
    let what = "routes.app.messages.deny_patterns: a text that matches \"a{17,}\" has at least 17 \
                bytes, and max_size is 16B";
    assert_eq!(found, one("messages.never", what));
    let fine =
        "deny_patterns = [\"(?i)<script\", \"^$\", \"(?m)^x$\", \"\\\\bselect\\\\b\", \"a\\n^|b\"]";
    assert_eq!(lints(fine), []);
}

#[test]
fn a_pattern_that_says_the_same_as_another_is_warned_of() {
    for second in ["[ab]", "(?:b|a)", "[a-b]"] {
        let found = lints(&format!("deny_patterns = [\"a|b\", \"c\", \"{second}\"]"));
        let what = format!(
            "routes.app.messages.deny_patterns: \"{second}\" matches the same texts as an earlier pattern"
        );
        assert_eq!(found, one("messages.repeated", &what));
    }
    assert_eq!(lints("deny_patterns = [\"a\", \"(?i)a\"]"), []);
}

#[test]
fn unlisted_types_are_warned_of_where_others_can_send_them() {
    let folder = folder();
    let rules = "type_at = \"/t\"\nunlisted = \"allow\"\n[routes.app.messages.types.say]";
    for (listen, auth, rules, who) in [
        ("127.0.0.1:8443", "none", rules, Some("anybody may connect")),
        ("127.0.0.1:8443", "main", rules, None),
        ("0.0.0.0:8443", "main", rules, Some("other machines can reach 0.0.0.0:8443")),
        ("0.0.0.0:8443", "main", "type_at = \"/t\"\n[routes.app.messages.types.say]", None),
        (
            "0.0.0.0:8443",
            "none",
            "[routes.app.replies]\ntype_at = \"/t\"\nunlisted = \"allow\"",
            None,
        ),
    ] {
        let loaded = load_in(&folder, &file(listen, auth, rules));
        let found = shown(&loaded.unwrap_or_else(|error| panic!("{error}")).lints, &folder);
        let expected = who.map_or(Vec::new(), |who| {
            let what = format!(
                "routes.app.messages.unlisted is \"allow\": messages without a listed type pass, and {who}"
            );
            one("messages.unlisted", &what)
        });
        assert_eq!(found, expected, "{listen} {auth}");
    }
    let allowed = file("127.0.0.1:8443", "none", rules)
        .replace("path = \"/ws\"", "path = \"/ws\"\nallow = [\"messages.unlisted\"]");
    assert!(load_in(&folder, &allowed).unwrap().lints.is_empty());
}

#[test]
fn strikes_without_bans_are_warned_of() {
    let what =
        "routes.app.messages.strike is set, and there is no [firewall.ban]: no strike is counted";
    assert_eq!(lints("strike = true"), one("messages.no_bans", what));
    assert_eq!(lints("strike = true\n[firewall.ban]\nstrikes = 9"), []);
    assert_eq!(lints("strike = false"), []);
}

/// Only `framewall check` reads the folders.
#[test]
fn schemas_that_nothing_uses_are_warned_of_by_check() {
    const SCHEMA: &str = r#"{ "$schema": "https://json-schema.org/draft/2020-12/schema" }"#;
    let folder = folder();
    let schemas = folder.path().join("schemas");
    fs::create_dir_all(schemas.join("parts")).unwrap();
    let write = |name: &str, text: &str| fs::write(schemas.join(name), text).unwrap();
    write("chat.json", r#"{ "properties": { "next": { "$ref": "parts/next.json" } } }"#);
    write("parts/next.json", r#"{ "properties": { "last": { "$ref": "last.json#/$defs/x" } } }"#);
    write("parts/last.json", r#"{ "$defs": { "x": { "type": "integer" } } }"#);
    write("say.json", SCHEMA);
    let rules = "schema = \"schemas/chat.json\"\ntype_at = \"/t\"\n\
                 [routes.app.messages.types.say]\nschema = \"schemas/say.json\"";
    let text = file("127.0.0.1:8443", "none", rules);
    let path = folder.path().join("f.toml");
    let check = |text: &str| {
        fs::write(&path, text).unwrap();
        let loaded = examine(&path).unwrap_or_else(|error| panic!("{error}"));
        let files = loaded.config.files.clone();
        (shown(&loaded.lints, &folder), files)
    };
    // Other files may lie beside the schemas.
    write("settings.json", r#"{ "$schema": "https://editor.example/settings.json" }"#);
    write("message.json", r#"{ "t": "say" }"#);
    write("broken.json", "{");
    write("schema.txt", SCHEMA);
    let (found, files) = check(&text);
    assert_eq!(found, []);
    for name in ["chat.json", "parts/next.json", "parts/last.json", "say.json"] {
        let used = schemas.join(name).canonicalize().unwrap();
        assert!(files.iter().any(|file| file.canonicalize().unwrap() == used), "{name}");
    }

    write("old.json", SCHEMA);
    write("Draft.JSON", &SCHEMA.replace("https", "http"));
    write("parts/old.json", SCHEMA);
    let (found, _) = check(&text);
    let what = |place: &str, names| {
        format!("no `schema` and no $ref leads to these JSON Schemas in schemas{place}: {names}")
    };
    let expected = [("", "Draft.JSON, old.json"), ("/parts", "old.json")]
        .map(|(place, names)| ("messages.schema_unused".to_owned(), what(place, names)));
    assert_eq!(found, expected);
    let allow = text.replace("[\"auth.none\"", "[\"messages.schema_unused\", \"auth.none\"");
    assert_eq!(check(&allow).0, []);
    let loaded = load_in(&folder, &text).unwrap();
    assert_eq!(shown(&loaded.lints, &folder), []);
}
