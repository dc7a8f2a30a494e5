//! The tokens of a GraphQL document (GraphQL specification, October 2021, section 2.1). It is stricter than the
//! specification where implementations differ: a byte order mark is refused, also between tokens, and so are control
//! characters and the line separators that the first parsers ended a comment at.

/// A token. Numbers and strings are values whose content the rules do not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Mark(u8),
    /// `...`
    Spread,
    Name(&'t str),
    /// An integer or a float.
    Number(&'t str),
    /// A string or block string, with its quotes.
    Text(&'t str),
    End,
}

/// The text is not GraphQL at this byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError(pub(super) usize);

/// Reads one token after the other.
#[derive(Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self::at(text, 0)
    }

    /// Begins at this byte.
    pub(super) fn at(text: &'t str, at: usize) -> Self {
        Self { text, bytes: text.as_bytes(), at }
    }

    /// The byte after the last token.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// The next token; [`Token::End`] at the end, as often as it is asked for.
    pub(super) fn next(&mut self) -> Result<Token<'t>, SyntaxError> {
        self.skip_ignored()?;
        let Some(byte) = self.peek() else {
            return Ok(Token::End);
        };
        let begin = self.at;
        match byte {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => {
                self.at += 1;
                Ok(Token::Mark(byte))
            }
            b'.' if self.begins(b"...") => {
                self.at += 3;
                Ok(Token::Spread)
            }
            b'"' => self.string().map(|()| Token::Text(&self.text[begin..self.at])),
            b'-' | b'0'..=b'9' => self.number().map(|()| Token::Number(&self.text[begin..self.at])),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => Ok(Token::Name(self.name())),
            _ => Err(self.error()),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn begins(&self, with: &[u8]) -> bool {
        self.bytes[self.at..].starts_with(with)
    }

    fn error(&self) -> SyntaxError {
        SyntaxError(self.at)
    }

    /// Skips blanks, line ends, commas and comments.
    fn skip_ignored(&mut self) -> Result<(), SyntaxError> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.at += 1,
                b'#' => self.comment()?,
                _ => break,
            }
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), SyntaxError> {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' | b'\r' => break,
                0..0x20 if byte != b'\t' => return Err(self.error()),
                0xe2 if self.begins("\u{2028}".as_bytes())
                    || self.begins("\u{2029}".as_bytes()) =>
                {
                    return Err(self.error());
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn name(&mut self) -> &'t str {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
            self.at += 1;
        }
        &self.text[begin..self.at]
    }

    /// Reads an integer or a float (sections 2.9.1 and 2.9.2).
    fn number(&mut self) -> Result<(), SyntaxError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        match self.peek() {
            Some(b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => Err(self.error()),
            _ => Ok(()),
        }
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.error());
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    /// Reads a string or a block string (section 2.9.4).
    fn string(&mut self) -> Result<(), SyntaxError> {
        if self.begins(b"\"\"\"") {
            return self.block_string();
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0x20.. | b'\t') => self.at += 1,
                _ => return Err(self.error()),
            }
        }
    }

    fn block_string(&mut self) -> Result<(), SyntaxError> {
        self.at += 3;
        loop {
            match self.peek() {
                Some(b'"') if self.begins(b"\"\"\"") => {
                    self.at += 3;
                    return Ok(());
                }
                Some(b'\\') if self.begins(b"\\\"\"\"") => self.at += 4,
                Some(0x20.. | b'\t' | b'\n' | b'\r') => self.at += 1,
                _ => return Err(self.error()),
            }
        }
    }

    /// Reads an escape of a string, without a look at the character that it stands for.
    fn escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                if self.peek() == Some(b'{') {
                    self.at += 1;
                    self.hex_digits(1, 8)?;
                    if self.peek() != Some(b'}') {
                        return Err(self.error());
                    }
                    self.at += 1;
                } else {
                    self.hex_digits(4, 4)?;
                }
            }
            _ => return Err(self.error()),
        }
        Ok(())
    }

    fn hex_digits(&mut self, least: usize, most: usize) -> Result<(), SyntaxError> {
        let rest = self.bytes[self.at..].iter().take(most);
        let digits = rest.take_while(|byte| byte.is_ascii_hexdigit()).count();
        self.at += digits;
        if digits < least { Err(self.error()) } else { Ok(()) }
    }
}
