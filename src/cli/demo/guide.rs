//! What the demo prints: lines to copy, what each of them gets, and what the log then says.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::tokens::{AUDIENCE, Tokens, USER};

/// The fields of an opening handshake; the key is that of RFC 6455 section 1.3.
const HANDSHAKE: &str = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' \
    -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='";
/// How long the token lives whose session is watched to its end.
const SHORT: &str = "5s";

pub(super) struct Guide<'a> {
    pub(super) port: u16,
    pub(super) application: SocketAddr,
    pub(super) cert: &'a Path,
    pub(super) folder: &'a Folder,
    pub(super) tokens: &'a Tokens,
    /// This program.
    pub(super) framewall: PathBuf,
}

impl Guide<'_> {
    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}/ws", self.port)
    }

    /// A handshake with these options beside what every one has.
    fn curl(&self, options: &str) -> String {
        let (cert, url) = (self.cert.display(), self.url("https"));
        format!("curl -i -m 2 --http1.1 --cacert {cert} {options}{HANDSHAKE} {url}")
    }

    fn curl_with(&self, token: &str) -> String {
        self.curl(&format!("-H 'Authorization: Bearer {token}' "))
    }

    /// A connection with a token, and what is done with it.
    fn python(&self, token: &str, call: &str) -> String {
        let (cert, url) = (self.cert.display(), self.url("wss"));
        format!(
            "python3 -c \"import ssl; from websockets.sync.client import connect; \
             ws = connect('{url}', ssl=ssl.create_default_context(cafile='{cert}'), \
             additional_headers={{'Authorization': 'Bearer {token}'}}); {call}\""
        )
    }

    /// The shell makes the token when the line is run, so that it is as young as the connection.
    fn python_with_short_token(&self) -> String {
        let (framewall, secret) = (self.framewall.display(), self.folder.secret());
        let token = format!(
            "$('{framewall}' token mint --secret file:{} --user {USER} --audience {AUDIENCE} \
             --lifetime {SHORT})",
            secret.display()
        );
        self.python(&token, "[print(message) for message in ws]")
    }
}

impl fmt::Display for Guide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_head(f)?;
        self.fmt_admitted(f)?;
        self.fmt_refused(f)?;
        f.write_str("Ctrl-C stops it.\n\n")
    }
}

impl Guide<'_> {
    fn fmt_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, application, tokens, .. } = self;
        writeln!(
            f,
            "
Framewall is on {}, in front of a small application on ws://{application}.
Its configuration: {}

It wants a token. The user is {USER}; the secret, made for this demo, is in {}
  valid    {}
  expired  {}
  forged   {}

In a browser: open https://localhost:{port}/ once and accept the development certificate (the
answer there is a refusal: this is no web server), then open
  http://{application}/
The page hands the valid token in as a subprotocol, since a browser cannot set headers.
",
            self.url("wss"),
            self.folder.config().display(),
            self.folder.secret().display(),
            tokens.valid,
            tokens.expired,
            tokens.forged,
        )
    }

    fn fmt_admitted(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let valid = &self.tokens.valid;
        writeln!(
            f,
            "With Python (pip install websockets): a greeting by name, and an echo
  {}

With curl: accepted, a 101 and the greeting
  {}
",
            self.python(valid, "print(ws.recv()); ws.send('hello'); print(ws.recv()); ws.close()"),
            self.curl_with(valid),
        )
    }

    fn fmt_refused(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tokens { valid, expired, forged, .. } = self.tokens;
        let evil = format!("-H 'Origin: https://evil.example' -H 'Authorization: Bearer {valid}' ");
        let (cert, url) = (self.cert.display(), self.url("https"));
        writeln!(
            f,
            "What is refused, and what the log below then says:
  no token: 401, reason=token.missing
  {}
  an expired token: 401, reason=token.expired
  {}
  a token that was signed with another secret: 401, reason=token.invalid
  {}
  a page of another origin, whatever its token: 403, reason=origin.denied
  {}
  plain HTTP: 426, reason=upgrade.required
  curl -i --cacert {cert} {url}
  a message above max_message_size: close code 1009, reason=frame.too_big
  {}
  a token that lasts {SHORT}, and its session with it: close code 4401, reason=token.expired
  {}
",
            self.curl(""),
            self.curl_with(expired),
            self.curl_with(forged),
            self.curl(&evil),
            self.python(valid, "ws.send(bytes(2 << 20)); [print(message) for message in ws]"),
            self.python_with_short_token(),
        )
    }
}
