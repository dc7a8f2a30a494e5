//! The text that the demo prints: the page's address, and commands with the expected result of each.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::tokens::{AUDIENCE, Tokens, USER};

/// The client in Python, written into the demo's folder.
pub(super) const TALK: &str = include_str!("talk.py");

/// The lifetime of the token in the example of a session that ends with its token.
const SHORT: &str = "5s";

pub(super) struct Guide<'a> {
    pub(super) port: u16,
    /// The gateway without TLS, for the page.
    pub(super) plain: SocketAddr,
    pub(super) application: SocketAddr,
    pub(super) cert: &'a Path,
    pub(super) folder: &'a Folder,
    pub(super) tokens: &'a Tokens,
    /// This program.
    pub(super) framewall: PathBuf,
}

impl Guide<'_> {
    /// The shell variables of the printed lines.
    pub(super) fn environment(&self) -> String {
        let Self { port, cert, folder, tokens, framewall, .. } = self;
        format!(
            "export CA='{}' WSS='wss://localhost:{port}/ws'\n\
             CURL='{}' TALK='{}'\n\
             GOOD='{}'\n\
             EXPIRED='{}'\n\
             FORGED='{}'\n\
             short_token() {{ '{}' token mint --secret 'file:{}' --user {USER} --audience \
             {AUDIENCE} --lifetime {SHORT}; }}\n",
            cert.display(),
            folder.curl().display(),
            folder.talk().display(),
            tokens.valid,
            tokens.expired,
            tokens.forged,
            framewall.display(),
            folder.secret().display(),
        )
    }

    /// The curl options for an opening handshake; the key is that of RFC 6455 section 1.3.
    pub(super) fn curl_options(&self) -> String {
        format!(
            "url = \"https://localhost:{}/ws\"\ncacert = \"{}\"\nsilent\nshow-error\ninclude\n\
             no-buffer\nhttp1.1\nmax-time = 5\nheader = \"Connection: Upgrade\"\n\
             header = \"Upgrade: websocket\"\nheader = \"Sec-WebSocket-Version: 13\"\n\
             header = \"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\"\n",
            self.port,
            self.cert.display(),
        )
    }
}

impl fmt::Display for Guide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, plain, application, folder, .. } = self;
        writeln!(
            f,
            "
Open this page:  http://{application}/
It sends attacks through a blind proxy and through Framewall, and shows both results and the gateway's log.

The gateway listens on wss://localhost:{port}/ws, and for the page without TLS on ws://{plain}/ws.
Its configuration: {}
The application has no authentication of its own: the gateway requires a token of user {USER}.

To try it from a shell, set the variables that the commands below use:
  . {}

Accepted: curl shows the 101; Python (pip install websockets) shows a greeting by name and an echo
  curl -K $CURL --no-show-error -m 1 -H \"Authorization: Bearer $GOOD\" | head -n 1
  python3 $TALK $GOOD hello

Refused, each with the reason that the log below shows:
  no token: 401 token.missing
  curl -K $CURL
  an expired token: 401 token.expired
  curl -K $CURL -H \"Authorization: Bearer $EXPIRED\"
  a token with a signature of another key: 401 token.invalid
  curl -K $CURL -H \"Authorization: Bearer $FORGED\"
  a page of another origin, with a valid token: 403 origin.denied
  curl -K $CURL -H \"Authorization: Bearer $GOOD\" -H 'Origin: https://evil.example'
  plain HTTP: 426 upgrade.required
  curl -i --cacert $CA https://localhost:{port}/ws
  a message above max_message_size: closed with 1009 frame.too_big
  python3 $TALK $GOOD --bytes 2097152
  a token with a lifetime of {SHORT}; the session ends with it: closed with 4401 token.expired
  python3 $TALK $(short_token) --stay

Ctrl-C stops the demo.
",
            folder.config().display(),
            folder.environment().display(),
        )
    }
}
