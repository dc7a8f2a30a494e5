//! Recorded results of PHP 8.2.36: whether `$_GET["access_token"]` and `$_COOKIE["session"]` are set
//! and not empty. The gateway must check or refuse every value that PHP reads.

use super::{judged, lines, request_of};

const QUERIES: [(&str, bool); 26] = [
    ("access_token=x", true),
    ("access.token=x", true),
    ("access+token=x", true),
    ("access%20token=x", true),
    ("access%2Etoken=x", true),
    ("access[token=x", true),
    ("access%5Btoken=x", true),
    ("access_token[]=x", true),
    ("access_token%5B%5D=x", true),
    ("access_token[a][b]=x", true),
    ("access_token%00=x", true),
    ("access_token%00x=x", true),
    ("%20access_token=x", true),
    ("+access_token=x", true),
    ("++access.token=x", true),
    ("%61ccess_token=x", true),
    ("access%5Ftoken=x", true),
    ("[access_token]=x", false),
    ("access%255Ftoken=x", false),
    ("access-token=x", false),
    ("%00access_token=x", false),
    ("access_token.=x", false),
    ("user[access_token]=x", false),
    ("access_token]=x", false),
    ("access[token]=x", false),
    ("access..token=x", false),
];

const COOKIES: [(&[u8], bool); 29] = [
    (b"session=x", true),
    (b"a=1; session=x", true),
    (b"a=1;session=x", true),
    (b"a; session=x", true),
    (b";;session=x", true),
    (b" session=x", true),
    (b"\tsession=x", true),
    (b"session= x", true),
    (b"session==x", true),
    (b"session=x y", true),
    (b"session=\xff", true),
    (b"session=%78", true),
    (b"session[]=x", true),
    (b"session[a]=x", true),
    (b"a=\"1;session=x\"", true),
    (b"session =x", false),
    (b"session\t=x", false),
    (b"a=1, session=x", false),
    (b"a=1,session=x", false),
    (b"a=1 session=x", false),
    (b"\xa0session=x", false),
    (b"session\xa0=x", false),
    (b"sess%69on=x", false),
    (b"session%00=x", false),
    (b"%20session=x", false),
    (b"session[=x", false),
    (b"Session=x", false),
    (b"=session=x", false),
    (b"session", false),
];

#[test]
fn credentials_that_php_reads_are_found_or_refused() {
    for (query, read) in QUERIES {
        let target = format!("/ws?a=1&{query}&b=2");
        match judged(request_of(&target, &[])) {
            Ok((found, rest)) => {
                assert!(found.is_some() || !read, "{query}");
                let left = if found.is_some() { "/ws?a=1&b=2" } else { &target };
                assert_eq!(rest.target(), left);
            }
            Err((reason, _)) => assert_eq!(reason.name(), "token.invalid", "{query}"),
        }
    }
    for (line, read) in COOKIES {
        let shown = line.escape_ascii();
        match judged(request_of("/ws", &[("cookie", line)])) {
            Ok((found, rest)) => {
                assert!(found.is_some() || !read, "{shown}");
                assert_eq!(found.is_none(), lines(&rest, "cookie") == [line], "{shown}");
            }
            Err((reason, _)) => assert_eq!(reason.name(), "token.invalid", "{shown}"),
        }
    }
}
