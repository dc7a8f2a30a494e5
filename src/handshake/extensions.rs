//! Parses `Sec-WebSocket-Extensions` (RFC 6455 section 9.1) strictly by its grammar.

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use crate::values::{is_token, is_token_byte};

/// An element of the list: an offered or accepted extension.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
}

/// `name`, `name=value` or `name="value"`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// Parses the extensions of all lines of the field, in their order. An absent or empty field has
/// none, and empty elements are ignored (RFC 9110 section 5.6.1.2). A value that is not a list of
/// extensions is an error and fails the handshake (RFC 6455 section 9.1).
pub(super) fn extensions(headers: &HeaderMap) -> Result<Vec<Extension>, ()> {
    let mut found = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let mut cursor = Cursor { rest: value.to_str().map_err(|_| ())? };
        loop {
            cursor.skip_space();
            if !cursor.is_at_an_end() {
                found.push(cursor.extension()?);
            }
            if cursor.rest.is_empty() {
                break;
            }
            cursor.expect(',')?;
        }
    }
    Ok(found)
}

/// The unread rest of a line.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn extension(&mut self) -> Result<Extension, ()> {
        let name = self.token()?.to_owned();
        let mut parameters = Vec::new();
        while self.takes(';') {
            parameters.push(self.parameter()?);
        }
        Ok(Extension { name, parameters })
    }

    fn parameter(&mut self) -> Result<Parameter, ()> {
        let name = self.token()?.to_owned();
        let value = if self.takes('=') { Some(self.value()?) } else { None };
        Ok(Parameter { name, value })
    }

    /// Parses a value. A quoted one must be a token after unquoting.
    fn value(&mut self) -> Result<String, ()> {
        self.skip_space();
        let Some(mut quoted) = self.rest.strip_prefix('"') else {
            return self.token().map(str::to_owned);
        };
        let mut value = String::new();
        loop {
            let mut characters = quoted.chars();
            match characters.next().ok_or(())? {
                '"' => break quoted = characters.as_str(),
                '\\' => value.push(characters.next().ok_or(())?),
                character => value.push(character),
            }
            quoted = characters.as_str();
        }
        self.rest = quoted;
        self.skip_space();
        if is_token(&value) { Ok(value) } else { Err(()) }
    }

    fn token(&mut self) -> Result<&'a str, ()> {
        self.skip_space();
        let end = self.rest.bytes().position(|byte| !is_token_byte(byte));
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        self.skip_space();
        if token.is_empty() { Err(()) } else { Ok(token) }
    }

    /// Whether an element ends here.
    fn is_at_an_end(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with(',')
    }

    fn takes(&mut self, character: char) -> bool {
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, character: char) -> Result<(), ()> {
        if self.takes(character) { Ok(()) } else { Err(()) }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::SEC_WEBSOCKET_EXTENSIONS;

    use super::extensions;

    /// The parsed extensions in plain form: `a;b=c,d`.
    fn read(lines: &[&'static str]) -> Result<String, ()> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, line.parse().unwrap());
        }
        let written = extensions(&headers)?.into_iter().map(|extension| {
            let parameters = extension.parameters.into_iter().map(|parameter| {
                let value = parameter.value.map_or(String::new(), |value| format!("={value}"));
                format!(";{}{value}", parameter.name)
            });
            extension.name + &parameters.collect::<String>()
        });
        Ok(written.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn lists_over_several_lines_with_parameters_and_quotes() {
        for (lines, expected) in [
            (&[][..], ""),
            (&["a"], "a"),
            (&["a, b;x", "c"], "a,b;x,c"),
            (&[" a ;\tx = 1 ; y ,b "], "a;x=1;y,b"),
            (&["a; x=\"10\"; y=\"1\\0\""], "a;x=10;y=10"),
            (&["a;x;x"], "a;x;x"),
            (&[""], ""),
            (&[" ", ","], ""),
            (&["a,"], "a"),
            (&[", a , ,b;x,", "", "c"], "a,b;x,c"),
        ] {
            assert_eq!(read(lines), Ok(expected.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn malformed_extension_lists_are_refused() {
        for line in [
            "a b",
            "a;,b",
            "a;x=,b",
            ";a",
            "a;",
            "a;;x",
            "a;x=",
            "a;=1",
            "a;x=1 2",
            "a;x=\"",
            "a;x=\"1",
            "a;x=\"1\\",
            "a;x=\"\"",
            "a;x=\"1 2\"",
            "a;x=\"1,2\"",
            "a;x=\"1\"2",
            "a=1",
            "a;x==1",
            "\"a\"",
            "a;x=(1)",
        ] {
            assert_eq!(read(&[line]), Err(()), "{line:?}");
            assert_eq!(read(&["a", line]), Err(()), "{line:?} on the second line");
        }
    }
}
