//! Requests with mutated carriers, read by the gateway and by models of the parsers that applications
//! use: a request that the gateway admits must have no remainder that a parser takes for the token.

use proptest::prelude::*;

use super::{judged, lines, request_of};
use crate::handshake::RequestHead;

const NAME: &str = "session";
const PARAMETER: &str = "access_token";

/// A parser of one text: the names and values that it finds.
type Reader = fn(&[u8]) -> Vec<(Vec<u8>, Vec<u8>)>;

fn pairs(text: &[u8], apart: &[u8], strip: fn(u8) -> bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let strip = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| !strip(*byte)).unwrap_or(bytes.len());
        let end = bytes.iter().rposition(|byte| !strip(*byte)).map_or(start, |last| last + 1);
        bytes[start..end].to_vec()
    };
    text.split(|byte| apart.contains(byte))
        .filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((strip(&pair[..equals]), strip(&pair[equals + 1..])))
        })
        .collect()
}

/// The parsers of Node's `cookie` and Go.
fn strict(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs(text, b";", |byte| byte == b' ' || byte == b'\t')
}

/// Starlette and Django: `str.strip()` over Latin-1.
fn latin(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs(text, b";", |byte| matches!(byte, b'\t'..=b'\r' | 0x1c..=b' ' | 0x85 | 0xa0))
}

/// Werkzeug: `str.strip()` over UTF-8.
fn unicode(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = String::from_utf8_lossy(text);
    let strip = |part: &str| part.trim().as_bytes().to_vec();
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (strip(name), strip(value)));
    text.split(';').filter_map(pair).collect()
}

/// Old Rack, old werkzeug, Tomcat: a comma separates pairs like `;`.
fn commas(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs(text, b";,", |byte| byte.is_ascii_whitespace())
}

/// `http.cookies`: blanks separate pairs, too.
fn blanks(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs(text, b"; \t,", |_| false)
}

/// Rack before 2.2.3, PHP before 7.2.34: names are percent-decoded, and end at a NUL.
fn decoding(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode = |name: &[u8]| -> Vec<u8> {
        let name: Vec<u8> = percent_encoding::percent_decode(name).collect();
        name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
    };
    strict(text).into_iter().map(|(name, value)| (decode(&name), value)).collect()
}

/// PHP: `_` replaces some characters, and names may have list indices.
fn php(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fold = |name: &[u8]| -> Vec<u8> {
        let list = name.iter().position(|byte| *byte == b'[').filter(|at| *at > 0);
        let name = &name[..list.unwrap_or(name.len())];
        let fold = |byte: &u8| if b". ".contains(byte) { b'_' } else { *byte };
        name.iter().skip_while(|byte| **byte == b' ').map(fold).collect()
    };
    decoding(text).into_iter().map(|(name, value)| (fold(&name), value)).collect()
}

/// ASP.NET Core: name lookup ignores case.
fn any_case(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    strict(text).into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

const COOKIES: [(&str, Reader); 8] = [
    ("strict", strict),
    ("Latin-1", latin),
    ("UTF-8", unicode),
    ("commas", commas),
    ("blanks", blanks),
    ("decoding", decoding),
    ("PHP", php),
    ("ASP.NET Core", any_case),
];

/// Parses a query, after `&` (and `;`) and `=` were separated.
fn parameters(query: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let spaced: Vec<u8> =
        query.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let modern: Vec<u8> = spaced
        .iter()
        .map(|byte| match byte {
            b'&' => b';',
            b';' => b'&',
            other => *other,
        })
        .collect();
    let old: Vec<u8> = spaced.iter().map(|byte| if *byte == b'&' { b';' } else { *byte }).collect();
    [decoding(&modern), php(&modern), decoding(&old), php(&old)].concat()
}

/// The remainder that a parser still takes for the token.
fn left(request: &RequestHead) -> Option<String> {
    let cookies = lines(request, "cookie");
    let mut texts = cookies.clone();
    // WSGI and Node join lines this way.
    texts.push(cookies.join(&b","[..]));
    texts.push(cookies.join(&b"; "[..]));
    for text in &texts {
        for (reader, read) in COOKIES {
            let found = read(text).into_iter();
            let mut found =
                found.filter(|(name, value)| name == NAME.as_bytes() && !value.is_empty());
            if found.next().is_some() {
                return Some(format!("{reader} finds a cookie in {}", text.escape_ascii()));
            }
        }
    }
    let query = request.target().split_once('?').map_or("", |(_, query)| query);
    let found = parameters(query.as_bytes()).into_iter();
    let mut found = found.filter(|(name, value)| {
        name.eq_ignore_ascii_case(PARAMETER.as_bytes()) && !value.is_empty()
    });
    if found.next().is_some() {
        return Some(format!("a parameter is in {query}"));
    }
    request.headers().contains_key("authorization").then(|| "Authorization is there".to_owned())
}

fn piece(of: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let chosen = prop::sample::select(of).prop_map(<[u8]>::to_vec);
    prop::collection::vec(chosen, 0..7).prop_map(|pieces| pieces.concat())
}

fn cookie() -> impl Strategy<Value = Vec<u8>> {
    piece(&[
        b"session",
        b"SESSION",
        b"Session",
        b"=",
        b"=",
        b";",
        b"; ",
        b",",
        b" ",
        b"\t",
        b"\"",
        b"x",
        b"a.b.c",
        b"\xa0",
        b"\x85",
        b"\xc2\xa0",
        b"\xe2\x80\x83",
        b"\xfc",
        b"%00",
        b"%73ession",
        b"[",
        b"]",
        b".",
        b"a=1; ",
    ])
}

fn query() -> impl Strategy<Value = Vec<u8>> {
    piece(&[
        b"access_token",
        b"access",
        b"_",
        b"token",
        b"=",
        b"=",
        b"&",
        b";",
        b"+",
        b"%20",
        b".",
        b"%00",
        b"[",
        b"]",
        b"%5B",
        b"Access_Token",
        b"%61ccess_token",
        b"x",
        b"a.b.c",
        b"%3B",
        b"%3D",
    ])
}

fn authorization() -> impl Strategy<Value = Vec<u8>> {
    piece(&[b"Bearer", b"bearer", b"Basic", b" ", b"\t", b"\xa0", b"x", b"a.b.c", b",", b"="])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn no_lenient_parser_finds_a_credential_that_was_not_checked(
        query in query(),
        cookies in prop::collection::vec(cookie(), 0..3),
        authorization in prop::option::of(authorization()),
    ) {
        let target = format!("/ws?{}", String::from_utf8(query).unwrap());
        let cookies = cookies.iter().map(|line| ("cookie", line.as_slice()));
        let authorization = authorization.iter().map(|line| ("authorization", line.as_slice()));
        let fields: Vec<_> = cookies.chain(authorization).collect();
        if let Ok((_, rest)) = judged(request_of(&target, &fields)) {
            prop_assert_eq!(left(&rest), None);
        }
    }
}
