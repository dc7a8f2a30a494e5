//! Arbitrary bytes as a client's opening handshake, read by hyper behind the raw head's copy, as
//! the gateway reads it. What passes every check makes a request to the upstream that says no more
//! than it should; paths and origins have one canonical form.

#![no_main]

use std::cell::RefCell;

use bytes::Bytes;
use framewall::config::UnknownClients;
use framewall::handshake::{
    ClientAddress, DeflateOffer, HeadTap, Letters, MAX_HEAD, Peer, Persistence, Provenance,
    RawHead, UpgradeRequest, problem, request_id, upstream_request,
};
use framewall::tls::transport::Transport;
use framewall::values::FieldRules;
use framewall::values::Refusal;
use framewall::values::{Host, Origin, canonical_path};
use http::header::{CONNECTION, HeaderMap};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

thread_local! {
    static RUNTIME: Runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
}

/// Answers with nothing but a status: the client's key, and the gateway's.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

fuzz_target!(|data: &[u8]| {
    let Some((choice, head)) = data.split_first() else {
        return;
    };
    check_texts(head);
    RUNTIME.with(|runtime| runtime.block_on(serve(head, choice & 1 == 0)));
});

/// Drives one connection to its end, as the gateway does.
async fn serve(sent: &[u8], trusted: bool) {
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    let sent = &sent[..sent.len().min(2 * MAX_HEAD)];
    client.write_all(sent).await.expect("fits into the socket's buffer");
    client.shutdown().await.expect("an open socket");
    let tap = HeadTap::new(Transport::Unix(server), Vec::new());
    let head = tap.head().clone();
    let seen = RefCell::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        *seen.borrow_mut() += 1;
        let (parts, _body) = request.into_parts();
        let outcome = judge(&head, parts, trusted);
        async move { Ok::<_, std::convert::Infallible>(answer(outcome)) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .title_case_headers(true)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(tap), service);
    // A head that hyper refuses is answered by hyper.
    let _ = connection.await;
    assert!(*seen.borrow() <= 1, "one request on a connection");
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
}

fn judge(head: &RawHead, parts: http::request::Parts, trusted: bool) -> Result<(), Refusal> {
    let address = "192.0.2.9:5".parse().expect("an address");
    let peer = Peer { address, trusted, tls: true, own: false };
    let proxies = ["192.0.2.0/24".parse().expect("a network")];
    let client = ClientAddress::resolve(&peer, &proxies, UnknownClients::Proxy, &parts.headers)?;
    assert!(trusted || client.address == address, "only a trusted proxy is believed");
    let id = request_id(&peer, &parts.headers).unwrap_or_else(|| "id-of-the-gateway".to_owned());
    let mut request = UpgradeRequest::parse(head.judge()?, parts)?.asked_by(&client);
    request.read_offers()?;
    check_request(&request);
    let provenance = Provenance {
        peer: &peer,
        client: &client,
        request_id: &id,
        claims: &[],
        owned: &[],
        certificates: &[],
        fields: &FieldRules::default(),
        letters: &Letters::default(),
    };
    let offered = request.head().subprotocols();
    let forwarded = upstream_request(&request, provenance, offered, KEY)
        .expect("what was checked makes a request");
    check_forwarded(&request, &forwarded, trusted);
    Ok(())
}

fn answer(
    outcome: Result<(), Refusal>,
) -> Response<http_body_util::Either<Empty<Bytes>, framewall::handshake::Body>> {
    match outcome {
        Ok(()) => Response::new(http_body_util::Either::Left(Empty::new())),
        Err(refusal) => {
            assert!(refusal.reason.status().is_client_error());
            problem(&refusal, "id", Persistence::Close).map(http_body_util::Either::Right)
        }
    }
}

fn check_request(request: &UpgradeRequest) {
    let path = request.head().target().split('?').next().expect("a path");
    assert_eq!(canonical_path(path).as_deref(), Ok(request.head().path()));
    assert!(request.head().target().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    let host = request.head().host();
    assert_eq!(Host::parse(host.as_str()).as_ref(), Ok(host), "the host is in canonical form");
    assert_eq!(request.key().len(), 24);
}

fn check_forwarded(request: &UpgradeRequest, forwarded: &Request<Empty<Bytes>>, trusted: bool) {
    assert_eq!(
        forwarded.uri().to_string(),
        request.head().target(),
        "the target goes on as it came"
    );
    let headers = forwarded.headers();
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ] {
        assert_eq!(all(headers, name), [value], "{name}");
    }
    let host = request.head().authority().to_string();
    assert_eq!(all(headers, "host"), [host.as_str()], "the upstream gets the host that was judged");
    let used = request.head().used_authority().to_string();
    assert_eq!(all(headers, "x-forwarded-host"), [used.as_str()]);
    for name in ["te", "trailer", "transfer-encoding", "content-length", "proxy", "keep-alive"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    // Each says client_no_context_takeover, too.
    let offers = DeflateOffer::read(headers).expect("the gateway's own");
    assert_eq!(offers.len(), request.offers().len(), "what goes on is read as what was offered");
    for option in request.head().headers().get_all(CONNECTION) {
        let options = option.to_str().expect("the request was checked").split(',').map(str::trim);
        for option in options.filter(|option| option.starts_with("x-test-")) {
            assert!(!headers.contains_key(option), "{option} is of one connection");
        }
    }
    for name in headers.keys() {
        let folded = name.as_str().replace(['_', '.'], "-");
        let claims = folded.starts_with("x-forwarded-") || folded.starts_with("sec-websocket-");
        assert!(!claims || folded == name.as_str(), "{name} is read as another name");
    }
    if !trusted {
        assert_eq!(all(headers, "x-forwarded-for"), ["192.0.2.9"]);
        assert_eq!(all(headers, "x-real-ip"), ["192.0.2.9"]);
        assert_eq!(all(headers, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(headers, "x-request-id"), ["id-of-the-gateway"]);
        assert!(!headers.contains_key("true-client-ip"));
    }
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().expect("the gateway's own")).collect()
}

/// The canonical forms, each line of the input taken for a path and for an origin.
fn check_texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for line in text.split(['\n', '\r', ' ']) {
        if let Ok(path) = canonical_path(line) {
            assert_eq!(canonical_path(&path).as_ref(), Ok(&path), "not canonical: {line:?}");
            assert!(path.starts_with('/') && !path.contains("//"), "{line:?}");
            let dots = |segment| segment == "." || segment == "..";
            assert!(!path.split('/').any(dots), "{line:?}");
            assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{line:?}");
            assert!(!path.contains([';', '\\', '?', '#']), "{line:?}");
        }
        if let Ok(origin) = Origin::parse(line) {
            let shown = origin.to_string();
            assert_eq!(Origin::parse(&shown).as_ref(), Ok(&origin), "{line:?}");
            assert!(shown.is_ascii() && !shown.contains(['/', ' ', '@']) || shown.contains("://"));
        }
    }
}
