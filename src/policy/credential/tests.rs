use http::{HeaderValue, Request};

use super::{Credential, empty, find};
use crate::handshake::{RequestHead, UpgradeRequest};
use crate::values::Reason;
use crate::values::TokenPlace;

mod lenient;
mod offers;
mod php;

/// Names and values of header fields.
type Fields<'a> = &'a [(&'a str, &'a [u8])];

fn everywhere() -> [TokenPlace; 5] {
    [
        TokenPlace::Header,
        TokenPlace::Subprotocol,
        TokenPlace::Query("access_token".into()),
        TokenPlace::Cookie("session".into()),
        TokenPlace::Field("x-auth-token".parse().unwrap()),
    ]
}

fn request_of(target: &str, fields: Fields<'_>) -> RequestHead {
    let mut request = Request::builder()
        .header("host", "a")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in fields {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    UpgradeRequest::parse(target.into(), head).unwrap().into_head()
}

fn request(target: &str, fields: &[(&str, &str)]) -> RequestHead {
    let fields: Vec<(&str, &[u8])> =
        fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    request_of(target, &fields)
}

/// The credential that was found, and the request without it.
fn judged(mut request: RequestHead) -> Result<(Option<Credential>, RequestHead), (Reason, String)> {
    let found = find(&everywhere(), &request);
    let found = found.map_err(|refusal| (refusal.reason, refusal.detail))?;
    if let Some(credential) = &found {
        credential.token().map_err(|refusal| (refusal.reason, refusal.detail))?;
    }
    empty(&everywhere(), false, &mut request);
    Ok((found, request))
}

/// The token that was found, and the request without it.
#[track_caller]
fn found(target: &str, fields: &[(&str, &str)]) -> (String, RequestHead) {
    let (credential, rest) = judged(request(target, fields)).unwrap();
    (credential.expect("there is one").token().unwrap().to_owned(), rest)
}

#[track_caller]
fn refused(target: &str, fields: Fields<'_>, reason: Reason) {
    let shown = format!("{target} {fields:?}");
    let outcome = judged(request_of(target, fields)).map(|(found, _)| found);
    assert_eq!(outcome.expect_err(&shown).0, reason, "{shown}");
}

#[track_caller]
fn none(target: &str, fields: &[(&str, &str)]) -> RequestHead {
    let (found, rest) = judged(request(target, fields)).unwrap();
    assert_eq!(found, None, "{target} {fields:?}");
    rest
}

fn lines(request: &RequestHead, name: &str) -> Vec<Vec<u8>> {
    let all = request.headers().get_all(name).iter();
    all.map(|value| value.as_bytes().to_vec()).collect()
}

#[test]
fn the_authorization_header() {
    for value in ["bEaReR  a.b.c ", "Bearer a.b.c", "\tBearer a.b.c\t"] {
        let (token, rest) = found("/ws", &[("authorization", value), ("x-kept", "1")]);
        assert_eq!(token, "a.b.c");
        assert!(!rest.headers().contains_key("authorization"));
        assert!(rest.headers().contains_key("x-kept"));
    }
}

#[test]
fn authorization_is_read_strictly() {
    for value in [
        &b"Bearer\tx"[..],
        b"Bearer x\xa0",
        b"Bearer\xa0x",
        b"Bearer\xc2\xa0x",
        b"\xa0Bearer x",
        b"Bearer x,Bearer y",
        b"Bearer x, Basic y",
        b"Bearer x y",
        b"Bearer \"x\"",
        b"Bearer=x",
        b"Bearer:x",
        b"Bearer,x",
        b"\"Bearer x\"",
        b"J\xfcrgen",
    ] {
        refused("/ws", &[("authorization", value)], Reason::TokenInvalid);
        let beside: [(&str, &[u8]); 2] = [("cookie", b"session=a.b.c"), ("authorization", value)];
        refused("/ws", &beside, Reason::TokenMultiple);
    }
    for value in ["", "Bearer", "Bearer ", "Basic YTpi", "Bearers x", "token x"] {
        assert!(!none("/ws", &[("authorization", value)]).headers().contains_key("authorization"));
    }
}

#[test]
fn authorization_is_always_removed() {
    let both = [("authorization", "Basic YTpi"), ("authorization", "Bearer a.b.c")];
    assert!(lines(&found("/ws", &both).1, "authorization").is_empty());
    for place in everywhere() {
        let mut basic = request("/ws", &[("authorization", "Basic YTpi")]);
        empty(&[place], false, &mut basic);
        assert!(lines(&basic, "authorization").is_empty());
    }
    let mut elsewhere = request("/ws", &[("authorization", "Bearer a.b.c")]);
    empty(&[TokenPlace::Message], true, &mut elsewhere);
    assert!(lines(&elsewhere, "authorization").is_empty(), "it was not judged");
    let mut forwarded = request("/ws", &both);
    empty(&[TokenPlace::Header], true, &mut forwarded);
    assert_eq!(lines(&forwarded, "authorization"), [b"Bearer a.b.c"]);
}

#[test]
fn a_field_of_another_name() {
    for value in ["a.b.c", "Bearer a.b.c", "bearer a.b.c "] {
        let (token, rest) = found("/ws", &[("X-Auth-Token", value), ("x-auth", "1")]);
        assert_eq!(token, "a.b.c");
        assert!(lines(&rest, "x-auth-token").is_empty());
        assert_eq!(lines(&rest, "x-auth").len(), 1);
    }
    for value in [&b"a b"[..], b"Bearer\ta", b"a\xa0", b"a,b", b"Basic a"] {
        refused("/ws", &[("x-auth-token", value)], Reason::TokenInvalid);
    }
    for name in ["x_auth_token", "x.auth.token", "x-auth_token"] {
        let spelt: [(&str, &[u8]); 2] = [("x-auth-token", b"a.b.c"), (name, b"b")];
        refused("/ws", &spelt[1..], Reason::TokenInvalid);
        refused("/ws", &spelt, Reason::TokenMultiple);
        assert!(lines(&none("/ws", &[(name, "")]), name).is_empty());
    }
}

#[test]
fn a_parameter_in_every_spelling() {
    for name in ["access_token", "access%5Ftoken", "%61ccess_token"] {
        let (token, rest) = found(&format!("/ws?x=1&{name}=a%2Eb.c&y=2"), &[]);
        assert_eq!(token, "a.b.c");
        assert_eq!(rest.target(), "/ws?x=1&y=2");
    }
    assert_eq!(found("/ws?access_token=a.b.c", &[]).1.target(), "/ws");
    let (_, rest) = found("/ws?a;b=1;&&x=%00;y&access_token=a&=", &[]);
    assert_eq!(rest.target(), "/ws?a;b=1;&&x=%00;y&=", "the rest stays as it came");
}

#[test]
fn parameters_that_lenient_parsers_accept_are_refused() {
    for query in [
        "a=1;access_token=x",
        "access.token=x",
        "access%20token=x",
        "access+token=x",
        "access_token%00=x",
        "access_token%00a=x",
        "%20access_token=x",
        "access_token[]=x",
        "access_token%5b0%5d=x",
        "access[token=x",
        "Access_Token=x",
        "%u0061ccess_token=x",
        "access_token=x;y",
        "access_token=x%00",
        "access_token=x%20",
        "access_token=%ff",
    ] {
        let authorization: (&str, &[u8]) = ("authorization", b"Bearer a.b.c");
        refused(&format!("/ws?{query}"), &[], Reason::TokenInvalid);
        refused(&format!("/ws?{query}"), &[authorization], Reason::TokenMultiple);
    }
    for query in ["xaccess_token=x", "access_token_x=x", "user[access_token]=x", "q=a;b", "q=%3B"] {
        assert_eq!(none(&format!("/ws?{query}"), &[]).target(), format!("/ws?{query}"));
    }
}

#[test]
fn a_cookie_among_others_on_every_line() {
    let cookies = [("cookie", "a=1; session=a.b.c; b=2"), ("cookie", "c=3")];
    let (token, rest) = found("/ws", &cookies);
    assert_eq!(token, "a.b.c");
    assert_eq!(lines(&rest, "cookie"), [&b"a=1; b=2; c=3"[..]]);
    let (_, rest) = found("/ws", &[("cookie", "session=a.b.c")]);
    assert!(!rest.headers().contains_key("cookie"));
}

#[test]
fn other_cookies_are_forwarded_byte_for_byte() {
    for (line, left) in [
        (&b"name=J\xfcrgen; session=a.b.c"[..], &b"name=J\xfcrgen"[..]),
        (b"name=J\xc3\xbcrgen; session=a.b.c; b=2", b"name=J\xc3\xbcrgen; b=2"),
        (b"session=a.b.c; flag", b"flag"),
        (b"flag; session=a.b.c;  b = 2 ;;c", b"flag;  b = 2 ;;c"),
        (b"session=\"a.b.c\"; b=\"2\"", b"b=\"2\""),
        (b" session = a.b.c ;b", b"b"),
        (b"=x; session=a.b.c; y=", b"=x; y="),
        (b"a=\xff\xfe;session=a.b.c", b"a=\xff\xfe"),
    ] {
        let (found, rest) = judged(request_of("/ws", &[("cookie", line)])).unwrap();
        assert_eq!(found.unwrap().token().unwrap(), "a.b.c");
        assert_eq!(lines(&rest, "cookie"), [left]);
    }
    let apart: [(&str, &[u8]); 3] =
        [("cookie", b"\xe9"), ("cookie", b"session=a.b.c"), ("cookie", b"x; y")];
    let (_, rest) = judged(request_of("/ws", &apart)).unwrap();
    assert_eq!(lines(&rest, "cookie"), [&b"\xe9; x; y"[..]]);
}

#[test]
fn cookies_that_lenient_parsers_accept_are_refused() {
    for line in [
        &b"a=1, session=x"[..],
        b"a=1,session=x",
        b"a=1 session=x",
        b"a=1\tsession=x",
        b"a=1 session = x",
        b"a=\"1\" session=x",
        b"a=\"1;session=x\"",
        b"\xa0session=x",
        b"session\xa0=x",
        b"\xc2\xa0session=x",
        b"\x85session\x85=x",
        b"sess%69on=x",
        b"session%00=x",
        b"session[]=x",
        b"session[a]=x",
        b"Session=x",
        b"SESSION=x",
        b"sess%49on=x",
        b"a=1, SESSION=x",
        b"session=x y",
        b"session=x,y",
        b"session=\"x",
        b"session=x%2e",
        b"session=\xff",
        b"session=\xa0x",
    ] {
        let authorization: (&str, &[u8]) = ("authorization", b"Bearer a.b.c");
        refused("/ws", &[("cookie", line)], Reason::TokenInvalid);
        refused("/ws", &[("cookie", line), authorization], Reason::TokenMultiple);
    }
    for line in ["my_session=x", "Sessions=x", "a=/session=x", "session", "a=session"] {
        assert_eq!(lines(&none("/ws", &[("cookie", line)]), "cookie"), [line.as_bytes()]);
    }
}

#[test]
fn subprotocols_in_each_form() {
    for item in [
        "bearer.a.b.c",
        "Bearer.a.b.c",
        "base64url.bearer.authorization.k8s.io.YS5iLmM",
        "v1.token.websocket.jupyter.org.a%2Eb.c",
    ] {
        let (token, rest) =
            found("/ws", &[("sec-websocket-protocol", &format!("{item}, chat.v1"))]);
        assert_eq!(token, "a.b.c", "{item}");
        assert_eq!(rest.subprotocols(), ["chat.v1"]);
    }
}

#[test]
fn subprotocols_in_pairs() {
    for (offer, left) in [
        ("Bearer, a.b.c", &["Bearer"][..]),
        ("access_token, a.b.c", &["access_token"]),
        ("bearer, a.b.c, chat.v1", &["chat.v1", "bearer"]),
        ("access_token, bearer.a.b.c", &["access_token"]),
        ("access_token, a.b.c, chat.v1, bearer", &["chat.v1", "access_token"]),
        ("access_token, bearer.a.b.c, a.b.c, chat.v1", &["chat.v1", "access_token"]),
        ("chat.v1, access_token, a.b.c", &["chat.v1", "access_token"]),
    ] {
        let (token, rest) = found("/ws", &[("sec-websocket-protocol", offer)]);
        assert_eq!(token, "a.b.c", "{offer}");
        assert_eq!(rest.subprotocols(), left);
    }
    let last = none("/ws", &[("sec-websocket-protocol", "chat.v1, access_token")]);
    assert_eq!(last.subprotocols(), ["chat.v1", "access_token"]);
    let odd: (&str, &[u8]) = ("sec-websocket-protocol", b"Bearer, a!b");
    refused("/ws", &[odd], Reason::TokenInvalid);
}

#[test]
fn a_token_without_a_subprotocol_beside_it_is_malformed() {
    let request = request("/ws", &[("sec-websocket-protocol", "bearer.a.b.c")]);
    let refusal = find(&everywhere(), &request).unwrap_err();
    assert_eq!(refusal.reason, Reason::HandshakeMalformed);
    assert!(!refusal.detail.contains("a.b.c"));
}

#[test]
fn several_credentials_are_refused_in_every_combination() {
    let shown: [(&str, Fields<'_>); 10] = [
        ("/ws?access_token=a", &[("authorization", b"Bearer b")]),
        ("/ws?access_token=a&access%5ftoken=b", &[]),
        ("/ws", &[("authorization", b"Bearer a"), ("authorization", b"Bearer b")]),
        ("/ws", &[("cookie", b"session=a"), ("cookie", b"session=b")]),
        ("/ws", &[("sec-websocket-protocol", b"x, bearer.a, bearer.b")]),
        ("/ws", &[("sec-websocket-protocol", b"access_token, a, bearer.b")]),
        ("/ws", &[("sec-websocket-protocol", b"access_token, bearer.a, b")]),
        ("/ws", &[("sec-websocket-protocol", b"access_token, bearer.a, bearer., b")]),
        (
            "/ws",
            &[("authorization", b"Bearer a"), ("sec-websocket-protocol", b"Bearer, bearer., b")],
        ),
        ("/ws", &[("cookie", b"session=a; SESSION=b")]),
    ];
    for (target, fields) in shown {
        refused(target, fields, Reason::TokenMultiple);
    }
}

#[test]
fn a_repeated_token_counts_once_and_an_empty_value_never() {
    let everywhere_the_same = [
        ("authorization", "Bearer a"),
        ("authorization", "Bearer a"),
        ("cookie", "session=a; session=\"a\""),
        ("sec-websocket-protocol", "x, bearer.a"),
        ("x-auth-token", "a"),
    ];
    let (token, rest) = found("/ws?access_token=a&access_token=%61", &everywhere_the_same);
    assert_eq!(
        (token.as_str(), rest.target(), rest.subprotocols()),
        ("a", "/ws", &["x".into()][..])
    );
    for name in ["authorization", "cookie", "x-auth-token"] {
        assert!(!rest.headers().contains_key(name), "{name}");
    }
    let empty = [
        ("authorization", "Bearer"),
        ("cookie", "session=; session=\"\"; a"),
        ("sec-websocket-protocol", "x, bearer."),
        ("x-auth-token", " "),
    ];
    let target = "/ws?access_token=&access_token&access.token=&a;access_token=";
    let rest = none(target, &empty);
    assert_eq!((rest.target(), rest.subprotocols()), ("/ws?a", &["x".into()][..]));
    assert_eq!(lines(&rest, "cookie"), [b"a"]);
    let one = [&empty[1..], &[("authorization", "Bearer b")]].concat();
    assert_eq!(found(target, &one).0, "b");
}

#[test]
fn only_the_configured_places_are_read() {
    let elsewhere = request("/ws?access_token=a", &[("cookie", "session=a")]);
    assert_eq!(find(&[TokenPlace::Header], &elsewhere).unwrap(), None);
}

#[test]
fn a_credential_does_not_show_its_token() {
    let shown = request("/ws", &[("authorization", "Bearer a.b.c")]);
    let credential = find(&everywhere(), &shown).unwrap();
    assert!(!format!("{credential:?}").contains("a.b.c"));
}
