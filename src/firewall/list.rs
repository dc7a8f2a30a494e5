//! List files with one address or network on each line.

use std::fmt;

use ipnet::IpNet;

use crate::values::{Network, NetworkError};

/// The largest number of lines in a list, comments included.
pub const MAX_LINES: u32 = 1 << 24;

/// The number of bad lines that are reported one by one.
const SHOWN: usize = 5;

/// The number of bytes that are shown of a bad line.
const SHOWN_BYTES: usize = 64;

/// The networks of a list, each with its line number, counted from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List(pub(super) Vec<(IpNet, u32)>);

/// The reason why a list cannot be used.
#[derive(Debug)]
pub enum BadList {
    /// Some lines are neither an address nor a network.
    Lines {
        /// The first bad lines, at least one.
        first: Vec<BadLine>,
        /// The number of further bad lines.
        more: usize,
    },
    /// The list has more than [`MAX_LINES`] lines.
    TooLong,
}

/// A line that is neither an address nor a network.
#[derive(Debug)]
pub struct BadLine {
    /// The line number, counted from 1.
    pub line: u32,
    /// The beginning of the line without its comment; unprintable characters are escaped.
    pub text: String,
    /// The error in the line.
    pub error: NetworkError,
}

impl List {
    /// Reads a list with one address or network in CIDR notation on each line, IPv4 or IPv6. `#`
    /// starts a comment; blank lines and white space around an entry are ignored; lines end with LF
    /// or CRLF. A byte order mark at the beginning is skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadList> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut networks = Vec::new();
        let (mut first, mut bad) = (Vec::new(), 0_usize);
        for (line, text) in (1_u32..).zip(bytes.split(|byte| *byte == b'\n')) {
            if line > MAX_LINES {
                return Err(BadList::TooLong);
            }
            match parse_line(text) {
                None => {}
                Some(Ok(network)) => networks.push((network, line)),
                Some(Err(error)) => {
                    bad += 1;
                    if first.len() < SHOWN {
                        first.push(BadLine { line, text: shown(entry(text)), error });
                    }
                }
            }
        }
        match bad - first.len() {
            _ if bad == 0 => Ok(Self(networks)),
            more => Err(BadList::Lines { first, more }),
        }
    }

    /// The networks with their line numbers, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, u32)> + '_ {
        self.0.iter().copied()
    }

    /// The number of networks, with duplicates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list has no networks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The network on a line; `None` for a line without an entry.
fn parse_line(line: &[u8]) -> Option<Result<IpNet, NetworkError>> {
    let entry = entry(line);
    if entry.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(entry).map_err(|_| NetworkError::NotANetwork);
    Some(text.and_then(Network::parse).map(Network::prefix))
}

/// The line without its comment and surrounding white space.
fn entry(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| *byte == b'#').unwrap_or(line.len());
    line[..end].trim_ascii()
}

/// The beginning of an entry, safe to print.
fn shown(entry: &[u8]) -> String {
    let cut = entry.len() > SHOWN_BYTES;
    let entry = if cut { &entry[..SHOWN_BYTES] } else { entry };
    let mut text = entry.escape_ascii().to_string();
    if cut {
        text.push_str("...");
    }
    text
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: \"{}\" {}", self.line, self.text, self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::{BadList, List, MAX_LINES};

    fn networks(bytes: &[u8]) -> Vec<(String, u32)> {
        let list = List::parse(bytes).unwrap_or_else(|bad| panic!("{bad:?}"));
        list.iter().map(|(network, line)| (network.to_string(), line)).collect()
    }

    /// The messages for the bad lines, and the number of further bad lines.
    fn faults(bytes: &[u8]) -> (Vec<String>, usize) {
        match List::parse(bytes) {
            Err(BadList::Lines { first, more }) => {
                (first.iter().map(ToString::to_string).collect(), more)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_list_is_read_line_by_line() {
        let text = b"\xef\xbb\xbf# comment\r\n192.0.2.1\r\n\n \t \n\t10.0.0.0/8 # why\n\
            2001:db8::/32#x\n::ffff:192.0.2.0/120\n192.0.2.1";
        let expected = [
            ("192.0.2.1/32", 2),
            ("10.0.0.0/8", 5),
            ("2001:db8::/32", 6),
            ("192.0.2.0/24", 7),
            ("192.0.2.1/32", 8),
        ];
        assert_eq!(networks(text), expected.map(|(network, line)| (network.to_owned(), line)));
        for empty in [b"".as_slice(), b"\n\n", b"# nothing", b"#\r\n", b"\xef\xbb\xbf"] {
            let list = List::parse(empty).unwrap();
            assert!(list.is_empty(), "{empty:?}");
        }
    }

    #[test]
    fn a_bad_line_is_reported_with_its_error() {
        assert_eq!(
            faults(b"192.0.2.1\n192.0.2.300\n10.0.0.1/8 # x\nfoo\x1b[31m\tbar\n\xff\xfe1\0\n"),
            (
                vec![
                    "line 2: \"192.0.2.300\" is not an address or network".to_owned(),
                    "line 3: \"10.0.0.1/8\" has bits set beyond its prefix".to_owned(),
                    "line 4: \"foo\\x1b[31m\\tbar\" is not an address or network".to_owned(),
                    "line 5: \"\\xff\\xfe1\\x00\" is not an address or network".to_owned(),
                ],
                0
            )
        );
    }

    #[test]
    fn shown_errors_are_bounded() {
        let long = "x".repeat(1 << 20);
        let (shown, more) = faults(long.as_bytes());
        let expected = format!("line 1: \"{}...\" is not an address or network", "x".repeat(64));
        assert_eq!((shown, more), (vec![expected], 0));
        let (shown, more) = faults("x\n".repeat(1000).as_bytes());
        assert_eq!((shown.len(), more), (5, 995));
    }

    #[test]
    fn lines_that_other_programs_read_differently_are_refused() {
        for text in [
            "192.0.2.0 - 192.0.2.255",
            "192.0.2.1,192.0.2.2",
            "192.0.2.1 192.0.2.2",
            "192.0.2.0/255.255.255.0",
            "192.0.2.0/24 ; x",
            "192.0.2.01",
            "192.0.2",
            "0xc0000201",
            "fe80::1%eth0",
            "[2001:db8::1]",
            "192.0.2.1:80",
            "example.com",
            "192.0.2.1\r192.0.2.2",
            "1\u{661}.0.0.1",
        ] {
            assert_eq!(faults(text.as_bytes()).0.len(), 1, "{text}");
        }
    }

    #[test]
    fn a_list_has_a_bound() {
        let mut text = vec![b'\n'; MAX_LINES as usize - 1];
        assert!(List::parse(&text).unwrap().is_empty());
        text.push(b'\n');
        assert!(matches!(List::parse(&text), Err(BadList::TooLong)));
    }
}
