//! `framewall check`: loads the configuration, prints errors and warnings, and starts nothing.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use super::CONFIG;
use crate::config::{self, Lint, Loaded};
use crate::policy::token::Verifiers;

/// Checks the file at `path` and prints the result to standard error. Exit code 0: valid, perhaps
/// with warnings; 78: invalid, or with warnings and `strict`.
#[must_use]
pub fn check(path: &Path, strict: bool) -> ExitCode {
    let mut stderr = std::io::stderr();
    let (code, text) = verdict(path, strict, stderr.is_terminal());
    // Standard error may be closed; the exit code still reports the result.
    let _ = stderr.write_all(text.as_bytes());
    ExitCode::from(code)
}

/// The exit code and the text of [`check`], with ANSI colours if `styled`.
#[must_use]
pub fn verdict(path: &Path, strict: bool, styled: bool) -> (u8, String) {
    match config::examine(path) {
        // The gateway's own verifier checks the keys.
        Ok(loaded) => match Verifiers::new(&loaded.config, None) {
            Ok(_) => accept(path, strict, styled, &loaded),
            Err(error) => (CONFIG, format!("error: {error}\n{} is refused\n", path.display())),
        },
        Err(error) => (CONFIG, error.render(styled)),
    }
}

fn accept(path: &Path, strict: bool, styled: bool, loaded: &Loaded) -> (u8, String) {
    let show = |lint: &Lint| lint.render(styled) + "\n";
    let lints: String = loaded.lints.iter().map(show).collect();
    let name = path.display();
    let routes = counted(loaded.config.routes.len(), "route");
    match loaded.lints.len() {
        0 => (0, format!("{name} is valid: {routes}\n")),
        some => {
            let some = counted(some, "warning");
            let (code, end) = if strict {
                (CONFIG, format!("{name} is refused: --strict, and {some}\n"))
            } else {
                (0, format!("{name} is valid: {routes}, {some}\n"))
            };
            (code, lints + &end)
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::verdict;

    const OPEN: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n\
        [routes.app]\npath = \"/ws\"\nupstream = [\"ws://127.0.0.1:1\"]\n\
        origins = [\"https://a.example\"]\nauth = \"none\"\n";

    fn check(text: &str, strict: bool) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        let (code, text) = verdict(&path, strict, false);
        (code, text.replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn warnings_pass_unless_strict() {
        let (code, text) = check(OPEN, false);
        assert_eq!(code, 0);
        assert!(text.starts_with("warning[auth.none]: routes.app admits anybody"), "{text}");
        assert!(text.ends_with("\n\nf.toml is valid: 1 route, 1 warning\n"), "{text}");
        let (code, text) = check(OPEN, true);
        assert_eq!(code, 78);
        assert!(text.ends_with("f.toml is refused: --strict, and 1 warning\n"), "{text}");
    }

    #[test]
    fn a_route_with_a_token_passes_strictly() {
        let text = OPEN.replace("\"none\"", "\"main\"")
            + "[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"env:CARGO_PKG_DESCRIPTION\"\n\
                issuer = \"https://issuer.example\"\naudience = [\"chat\"]\n";
        assert_eq!(check(&text, true), (0, "f.toml is valid: 1 route\n".to_owned()));
    }

    #[test]
    fn an_acknowledged_lint_is_not_shown() {
        let valid = (0, "f.toml is valid: 1 route\n".to_owned());
        assert_eq!(check(&(OPEN.to_owned() + "allow = [\"auth.none\"]\n"), true), valid);
        assert_eq!(check(&("allow = [\"auth.none\"]\n".to_owned() + OPEN), true), valid);
    }

    #[test]
    fn a_lint_is_acknowledged_in_its_own_route_alone() {
        let second = "[routes.app2]\npath = \"/two\"\nupstream = [\"ws://127.0.0.1:1\"]\n\
            auth = \"none\"\nlimits = { messages = \"1/s\", mode = \"report\" }\n";
        let acknowledging = |names: &str| {
            let (code, text) = check(&format!("{OPEN}allow = [{names}]\n{second}"), true);
            assert_eq!(code, 78);
            let shown = |name: &str| text.contains(&format!("warning[{name}]"));
            (text.matches("warning[").count(), shown("auth.none"), shown("limits.report"))
        };
        assert_eq!(acknowledging("\"auth.none\", \"limits.report\""), (2, true, true));
        let below = format!("{OPEN}{second}allow = [\"limits.report\"]\n");
        let (_, text) = check(&below, true);
        assert!(
            !text.contains("limits.report") && text.matches("auth.none]:").count() == 2,
            "{text}"
        );
    }

    #[test]
    fn report_mode_causes_a_warning() {
        let text = OPEN.to_owned() + "[firewall]\ndeny = [\"192.0.2.1\"]\nmode = \"report\"\n";
        let (code, output) = check(&text, false);
        assert_eq!(code, 0);
        let expected = "warning[firewall.report]: firewall.mode is \"report\": what it denies is let through\n";
        assert!(output.contains(expected), "{output}");
        assert_eq!(check(&text, true).0, 78);
    }

    #[test]
    fn errors_and_missing_files_are_78() {
        let (code, text) = check("[server]\n", false);
        assert_eq!(code, 78);
        assert!(text.ends_with("3 errors in f.toml\n"), "{text}");
        let (code, text) = verdict(std::path::Path::new("no/such.toml"), false, false);
        let expected = "error: cannot read the configuration no/such.toml: there is no such file\n";
        assert_eq!((code, text.as_str()), (78, expected));
    }

    /// Only the verifier detects a key of the right type with which anyone can sign.
    #[test]
    fn check_runs_the_verifier_on_keys() {
        let modulus = "x".repeat(342) + "w";
        let keys = format!(r#"{{"keys": [{{"kty": "RSA", "n": "{modulus}", "e": "AQ"}}]}}"#);
        let jwt = "[jwt.main]\nalgorithms = [\"RS256\"]\nissuer = \"a\"\naudience = [\"b\"]\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.toml");
        std::fs::write(folder.path().join("keys.json"), keys).unwrap();
        let text = OPEN.replace("\"none\"", "\"main\"") + jwt + "jwks = \"keys.json\"\n";
        std::fs::write(&path, text).unwrap();
        let (code, output) = verdict(&path, false, false);
        assert_eq!(code, 78, "{output}");
        assert!(
            output.starts_with("error: [jwt.main]: ") && output.contains("exponent"),
            "{output}"
        );
    }

    #[test]
    fn the_caller_chooses_colours() {
        let path = std::path::Path::new("no/such.toml");
        assert!(!verdict(path, false, false).1.contains('\u{1b}'));
        assert!(verdict(path, false, true).1.contains('\u{1b}'));
    }
}
