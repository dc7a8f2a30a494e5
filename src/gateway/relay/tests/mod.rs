//! Tests of the pumps over sockets.

mod slow;
mod turns;

use crate::config::WebSocket;
use crate::values::Endpoint;
use crate::wire::tests::*;

/// `[websocket]` with these lines.
pub(super) fn settings(lines: &str) -> WebSocket {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[websocket]\n{lines}\n\
         [routes.a]\npath = \"/\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"none\"\n"
    );
    let loaded = crate::config::parse(&text, std::path::Path::new("test.toml"));
    loaded.unwrap().config.routes[0].websocket.clone()
}
