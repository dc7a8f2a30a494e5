//! Request heads to send, right or wrong, and the answers to them.

use std::fmt::Write as _;

use serde_json::Value;

/// The key of RFC 6455 section 1.3, and the answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request head. Fields are sent as they are given, in their order.
#[derive(Debug, Clone)]
pub struct Request {
    line: String,
    fields: Vec<(String, String)>,
}

impl Request {
    /// A valid opening handshake for `target` on `localhost`.
    pub fn upgrade(target: &str) -> Self {
        Self::with_line(&format!("GET {target} HTTP/1.1"))
    }

    /// A valid opening handshake but for its request line.
    pub fn with_line(line: &str) -> Self {
        let fields = [
            ("Host", "localhost"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        Self {
            line: line.to_owned(),
            fields: fields
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    /// The same with one more field, behind the others.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with the target and the further fields of another.
    pub fn merge(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.line.clone_from(&other.line);
        let own = self.fields.clone();
        both.fields.extend(other.fields.iter().filter(|field| !own.contains(field)).cloned());
        both
    }

    /// The same without any field of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self
    }

    /// The same with exactly one field of this name.
    pub fn set(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// The head on the wire.
    /// The head as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.line);
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// A head that was read: an answer, or a request at the upstream's end; and the answer's body.
#[derive(Debug, Clone)]
pub struct Response {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Reads a head, with the empty line that ends it.
    pub fn parse(head: &[u8]) -> Self {
        let text = String::from_utf8(head.to_vec()).unwrap();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        };
        Self { line, fields: lines.map(field).collect(), body: Vec::new() }
    }

    /// The status code of an answer.
    pub fn status(&self) -> u16 {
        let code = self.line.split(' ').nth(1).unwrap_or_default();
        code.parse().unwrap_or_else(|_| panic!("no status: {self:?}"))
    }

    /// The values of all fields of this name, compared without case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the only field of this name.
    pub fn only(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} more than once: {self:?}");
        values.first().copied()
    }

    /// Whether the connection ends behind the answer.
    pub fn says_close(&self) -> bool {
        let options = self.all("connection").join(",").to_ascii_lowercase();
        options.split(',').any(|option| option.trim() == "close")
    }

    /// The RFC 9457 problem in the body; `None` if it is not one.
    pub fn problem(&self) -> Option<Value> {
        (self.only("content-type") == Some("application/problem+json"))
            .then(|| serde_json::from_slice(&self.body).unwrap())
    }

    /// The reason that a problem body names.
    pub fn reason(&self) -> String {
        let problem = self.problem();
        let problem = problem.unwrap_or_else(|| panic!("no problem body: {self:?}"));
        problem["reason"].as_str().unwrap_or_default().to_owned()
    }
}
