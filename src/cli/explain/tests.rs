use clap::Parser;

use super::{ExplainArgs, decide, text};
use crate::config;
use crate::policy::tests::{PROBED, configuration, write_secret};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ExplainArgs,
}

/// What is printed for a client with a good token, on a route of this name.
fn explained(route: &str, token_from: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let token = write_secret(folder.path());
    let path = folder.path().join("framewall.toml");
    let config = config::parse(&configuration(route, token_from), &path).unwrap().config;
    let line = ["explain", "--ip", "192.0.2.1", "--path", "/ws", "--token", &token];
    let Line { args } = Line::parse_from(line);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (steps, verdict) =
        runtime.block_on(decide(&args, config, None, Some(token.clone()), None)).unwrap();
    text(&steps, &verdict)
}

#[test]
fn a_check_of_the_list_is_a_step() {
    for place in ["header", "message"] {
        let text = explained("open", place);
        assert!(text.contains("\nprobe        not probed (routes.open.probe)\nuser "), "{text}");
        let text = explained(PROBED, place);
        let end = "\nprobe        the route is probed (routes.probed.probe)\nrefused      route.none (404)\n";
        assert!(text.ends_with(end), "{text}");
    }
}
