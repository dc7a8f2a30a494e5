//! Generates the reference of all keys from the table of keys.

use super::keys::{self, Row, Section};
use super::lints::LintName;

const INTRO: &str = "# Configuration reference

One TOML file. An unknown key, a wrong type, a contradiction or a missing file is refused at start, with the place.
Relative paths are relative to the file's folder. This page is written from the table of keys in `src/config/keys/`.

The same table is a JSON Schema: [config/framewall.schema.json](../config/framewall.schema.json), which `framewall schema`
prints. Editors complete and check keys by it, VS Code with the extension Even Better TOML, others with the language server
Taplo, where the first line of the file names it: `#:schema framewall.schema.json`, a path relative to the file, or an address.

- A size is a whole number and `B`, `KiB`, `MiB` or `GiB`: `\"64KiB\"`.
- A duration is a whole number and `ms`, `s`, `m`, `h` or `d`: `\"30s\"`.
- A rate is a number or a size, and `/s`, `/m` or `/h`: `\"100/s\"`. `\"100/s burst 200\"` lets 200 come at once;
  not said, the burst is the number itself. It must come back within a day: `\"1/h burst 24\"` and no more.
- Lists have no entry twice.
- A secret is never written into the file: `\"env:NAME\"` is what a variable holds, `\"file:PATH\"` what a file does.
";

const LINTS: &str = "Valid but unsafe choices. `framewall check` shows them at their place and `framewall run` once in its log;
`framewall check --strict` exits with 78 while there is one. `allow` in a route acknowledges one for that route, `allow` at the
top of the file for the whole file: an acknowledged lint is no longer shown.
";

/// The text of `docs/configuration.md`: all keys with their type, bounds, default and meaning.
#[must_use]
pub fn reference() -> String {
    let sections = Section::ALL.into_iter().map(section);
    INTRO.to_owned() + &sections.collect::<String>() + &lints()
}

fn lints() -> String {
    let rows = LintName::ALL.iter().map(|lint| format!("| `{lint}` | {} |\n", lint.meaning()));
    let rows: String = rows.collect();
    format!("\n## Lints\n\n{LINTS}\n| lint | when |\n|---|---|\n{rows}")
}

fn section(section: Section) -> String {
    let title = match section {
        Section::File => "The top of the file".to_owned(),
        Section::Certificate => "Each entry of `certificates` in `[tls]`".to_owned(),
        Section::Limits => "`[limits]` and `[routes.NAME.limits]`".to_owned(),
        Section::Messages => "`[routes.NAME.messages]` and `[routes.NAME.replies]`".to_owned(),
        Section::WebSocket => "`[websocket]` and `[routes.NAME.websocket]`".to_owned(),
        other => format!("`{other}`"),
    };
    let head = "| key | value | not given | meaning |\n|---|---|---|---|\n";
    let rows = keys::of(section);
    let rows: String = rows.map(table_row).collect();
    format!("\n## {title}\n\n{head}{rows}")
}

fn table_row(row: &Row) -> String {
    let cells = [&row.words, &row.absent, row.meaning];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| `{}` | {} |\n", row.name, cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::reference;
    use crate::config::keys::{self, Row, Section};
    use crate::config::limits::OF_NO_ROUTE;
    use crate::config::parse;

    #[test]
    fn the_reference_is_the_one_in_docs() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written == reference(), "run the tests once with UPDATE_DOCS=1");
    }

    /// A file that sets only `row`'s key, to a value of a type that no key accepts, and the name of the
    /// key in the error.
    fn misused(row: &Row) -> (String, String) {
        let name = row.name;
        let (header, path) = match row.section {
            Section::File => (String::new(), String::new()),
            Section::Server => ("[server]\n".into(), "server.".into()),
            Section::Tls => ("[tls]\n".into(), "tls.".into()),
            Section::Certificate => ("[[tls.certificates]]\n".into(), "tls.certificates.".into()),
            Section::Firewall => ("[firewall]\n".into(), "firewall.".into()),
            Section::Ban => ("[firewall.ban]\n".into(), "firewall.ban.".into()),
            Section::Limits => ("[limits]\n".into(), "limits.".into()),
            Section::WebSocket => ("[websocket]\n".into(), "websocket.".into()),
            Section::Issuers
            | Section::Upstreams
            | Section::Routes
            | Section::MessageTypes
            | Section::RouteLimits => {
                unreachable!("no key of its own")
            }
            Section::Issuer => ("[jwt.x]\n".into(), "jwt.x.".into()),
            Section::Upstream => ("[upstreams.x]\n".into(), "upstreams.x.".into()),
            Section::Health => ("[upstreams.x.health]\n".into(), "upstreams.x.health.".into()),
            Section::Admin => ("[admin]\n".into(), "admin.".into()),
            Section::Route => ("[routes.x]\n".into(), "routes.x.".into()),
            Section::Messages => ("[routes.x.messages]\n".into(), "routes.x.messages.".into()),
            Section::MessageType => {
                ("[routes.x.messages.types.y]\n".into(), "routes.x.messages.types.y.".into())
            }
            Section::Log => ("[log]\n".into(), "log.".to_owned()),
        };
        (format!("{header}{name} = 1979-05-27\n"), format!("{path}{name}"))
    }

    #[test]
    fn every_key_of_the_table_is_read() {
        for row in keys::all() {
            let (text, key) = misused(row);
            let error = parse(&text, Path::new("f.toml")).unwrap_err().to_string();
            let expected = format!("error: {key}: this is a date or time\n");
            assert!(error.contains(&expected), "{key} is not read:\n{error}");
        }
    }

    #[test]
    fn every_key_of_websocket_is_read_in_a_route_too() {
        for name in keys::names(Section::WebSocket) {
            assert_read("routes.x.websocket", name);
        }
    }

    #[test]
    fn the_keys_of_limits_that_a_route_has_are_read_there_too() {
        let names = keys::names(Section::Limits);
        for name in names.into_iter().filter(|name| OF_NO_ROUTE.iter().all(|(no, _)| no != name)) {
            assert_read("routes.x.limits", name);
        }
    }

    fn assert_read(table: &str, name: &str) {
        let text = format!("[{table}]\n{name} = 1979-05-27\n");
        let error = parse(&text, Path::new("f.toml")).unwrap_err().to_string();
        assert!(error.contains(&format!("{table}.{name}: this is")), "{error}");
    }

    #[test]
    fn every_default_is_in_the_full_example() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/framewall.toml");
        let example = std::fs::read_to_string(path).unwrap();
        for row in keys::all().filter(|row| row.section != Section::File) {
            let (name, absent) = (row.name, row.absent.as_str());
            let default = absent.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            match default.filter(|_| !absent[1..].contains("` ")) {
                Some(value) => {
                    let line = format!("{name} = {value}");
                    assert!(example.contains(&line), "{line}");
                }
                None => assert!(
                    example.contains(&format!("{name} = "))
                        || example.contains(&format!(".{name}]"))
                        || example.contains(&format!(".{name}.")),
                    "{name}"
                ),
            }
        }
    }
}
