//! The border between requests once more (RFC 9112), over bytes that lie in one place and with no regard to speed: at the
//! first doubt about a head, or about the end of a body, nothing behind it is a request.

/// A request, as far as its border to the next one depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The method.
    pub method: String,
    /// The target as it is written.
    pub target: String,
    /// The names, in lower case, and values of the fields.
    pub fields: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

/// What comes next in a stream of requests.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A request, and the number of its bytes.
    Message(Message, usize),
    /// The beginning of a request, or nothing.
    Partial,
    /// Bytes that are no request.
    Doubt(&'static str),
}

impl Message {
    /// The values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// Reads the next request.
pub fn next(bytes: &[u8]) -> Next {
    let mut start = 0;
    while bytes[start..].starts_with(b"\r\n") {
        start += 2;
    }
    let Some(length) = find(&bytes[start..], b"\r\n\r\n") else {
        return Next::Partial;
    };
    let body_at = start + length + 4;
    let message = match head(&bytes[start..start + length]) {
        Ok(message) => message,
        Err(doubt) => return Next::Doubt(doubt),
    };
    match body(&message, &bytes[body_at..]) {
        Ok(Some((body, taken))) => Next::Message(Message { body, ..message }, body_at + taken),
        Ok(None) => Next::Partial,
        Err(doubt) => Next::Doubt(doubt),
    }
}

/// All requests up to the first doubt.
pub fn all(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Next::Message(message, taken) = next(bytes) {
        messages.push(message);
        bytes = &bytes[taken..];
    }
    messages
}

fn head(head: &[u8]) -> Result<Message, &'static str> {
    let text: String = head.iter().copied().map(char::from).collect();
    let mut lines = text.split("\r\n");
    let mut line = lines.next().unwrap_or_default().split(' ');
    let parts = (line.next(), line.next(), line.next(), line.next());
    let (Some(method), Some(target), Some("HTTP/1.1"), None) = parts else {
        return Err("the request line");
    };
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a field without a colon")?;
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err("the name of a field");
        }
        if value.contains(['\r', '\n', '\0']) {
            return Err("the value of a field");
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(Message { method, target, fields, body: Vec::new() })
}

/// The body, and the number of its bytes with their framing; `None` if it is not complete.
fn body(message: &Message, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    match (&*message.all("content-length"), &*message.all("transfer-encoding")) {
        ([], []) => Ok(Some((Vec::new(), 0))),
        ([length], [])
            if !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit()) =>
        {
            let length: usize = length.parse().map_err(|_| "the length")?;
            Ok(bytes.get(..length).map(|body| (body.to_vec(), length)))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => chunks(bytes),
        _ => Err("the length"),
    }
}

fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(length) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let line = &bytes[at..at + length];
        at += length + 2;
        let (digits, extension) = line.split_at(find(line, b";").unwrap_or(line.len()));
        let hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
        if digits.is_empty() || digits.len() > 16 || !hexadecimal || extension.contains(&b'\n') {
            return Err("the size of a chunk");
        }
        let digits = std::str::from_utf8(digits).map_err(|_| "the size of a chunk")?;
        let size = u64::from_str_radix(digits, 16).map_err(|_| "the size of a chunk")?;
        let size = usize::try_from(size).map_err(|_| "the size of a chunk")?;
        if size == 0 {
            break;
        }
        let Some(data) = at.checked_add(size).and_then(|end| bytes.get(at..end)) else {
            return Ok(None);
        };
        body.extend_from_slice(data);
        at += size;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err("the end of a chunk"),
            None => return Ok(None),
        }
    }
    // Trailers end with an empty line.
    loop {
        let Some(length) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        at += length + 2;
        if length == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
