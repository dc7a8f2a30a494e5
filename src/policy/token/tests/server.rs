//! Fetches from a real `https` server on loopback.

use std::io;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{P256, jwk};
use crate::policy::token::fetch::{FetchError, Fetched, Fetcher};
use crate::tls::tests::localhost;
use crate::tls::{Roots, Terminator};

/// A server that answers one connection.
struct KeyServer {
    listener: TcpListener,
    terminator: Terminator,
    roots: Roots,
}

impl KeyServer {
    async fn new() -> Self {
        let (terminator, roots) = localhost();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, terminator, roots }
    }

    fn url(&self, host: &str) -> http::Uri {
        let port = self.listener.local_addr().unwrap().port();
        format!("https://{host}:{port}/keys?v=1").parse().unwrap()
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(&self.url("localhost"), &self.roots).unwrap()
    }

    /// Reads one head, writes `answer`, and returns the head.
    async fn answer(&self, answer: &[u8]) -> io::Result<String> {
        let (stream, _) = self.listener.accept().await?;
        let mut stream = self.terminator.accept(stream).await?.stream;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        Ok(String::from_utf8_lossy(&head).to_lowercase())
    }

    async fn fetch(&self, answer: &[u8]) -> (Result<Fetched, FetchError>, io::Result<String>) {
        let fetcher = self.fetcher();
        tokio::join!(fetcher.fetch(), self.answer(answer))
    }
}

fn ok(more: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{more}\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn a_set_is_fetched_with_its_max_age() {
    let body = json!({"keys": [jwk(&P256, "a")]}).to_string();
    let cases = [
        ("", None),
        ("Cache-Control: max-age=90\r\n", Some(90)),
        ("Cache-Control: public, Max-Age=\"90\"\r\n", Some(90)),
        ("Cache-Control: public\r\nCache-Control: s-maxage=1,max-age=90\r\n", Some(90)),
        ("Cache-Control: max-age=x\r\n", None),
        ("Cache-Control: max-age=-1\r\n", None),
    ];
    let server = KeyServer::new().await;
    for (header, age) in cases {
        let (fetched, head) = server.fetch(&ok(header, &body)).await;
        let fetched = fetched.unwrap();
        assert_eq!(fetched.body, body);
        assert_eq!(fetched.max_age, age.map(Duration::from_secs), "{header}");
        let head = head.unwrap();
        assert!(head.starts_with("get /keys?v=1 http/1.1\r\n"), "{head}");
        let host = server.url("localhost").authority().unwrap().to_string();
        assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
    }
    assert!(!server.fetcher().shown().contains('?'));
}

#[tokio::test]
async fn other_answers_are_errors() {
    let server = KeyServer::new().await;
    let redirect =
        b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n";
    let (fetched, _) = server.fetch(redirect).await;
    assert!(matches!(fetched, Err(FetchError::Redirect(_))));
    let (fetched, _) = server.fetch(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").await;
    assert!(matches!(fetched, Err(FetchError::Status(_))));
    let (fetched, _) = server.fetch(b"HTTP/1.1 204 None\r\n\r\n").await;
    assert!(matches!(fetched, Err(FetchError::Status(_))));
    let (fetched, _) = server.fetch(b"SSH-2.0-x\r\n\r\n").await;
    assert!(matches!(fetched, Err(FetchError::Http(_))));
    let (fetched, _) = server.fetch(b"").await;
    assert!(matches!(fetched, Err(FetchError::Http(_))));
    let (fetched, _) = server.fetch(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort").await;
    assert!(matches!(fetched, Err(FetchError::Body(_) | FetchError::Http(_))));
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let server = KeyServer::new().await;
    let (fetched, _) = server.fetch(&ok("", &" ".repeat(1 << 20))).await;
    assert_eq!(fetched.unwrap().body.len(), 1 << 20);
    let (fetched, _) = server.fetch(&ok("", &" ".repeat((1 << 20) + 1))).await;
    assert!(matches!(fetched, Err(FetchError::TooLarge)));
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b' '; 3 << 20]].concat();
    let (fetched, _) = server.fetch(&endless).await;
    assert!(matches!(fetched, Err(FetchError::TooLarge)));
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let (fetched, _) = server.fetch(head.as_bytes()).await;
    assert!(matches!(fetched, Err(FetchError::Http(_))));
}

#[tokio::test]
async fn informational_answers_have_a_bound() {
    let server = KeyServer::new().await;
    let after = |statuses: &[&str]| {
        let informational = statuses.iter().map(|status| format!("HTTP/1.1 {status}\r\n\r\n"));
        [informational.collect::<String>().into_bytes(), ok("", "{}")].concat()
    };
    let eight = ["100 Continue", "102 Processing", "103 Early Hints", "103 Early Hints"].repeat(2);
    let (fetched, _) = server.fetch(&after(&eight)).await;
    assert_eq!(fetched.unwrap().body, "{}");
    for (statuses, last) in
        [(&["103 Early Hints"; 9][..], 103), (&["104 Upload"], 104), (&["199 Other"], 199)]
    {
        let (fetched, _) = server.fetch(&after(statuses)).await;
        let refused = matches!(&fetched, Err(FetchError::Informational(status)) if *status == last);
        assert!(refused, "{statuses:?}");
    }
}

#[tokio::test]
async fn a_silent_server_times_out_after_ten_seconds() {
    let server = KeyServer::new().await;
    let fetcher = server.fetcher();
    let (asked, was_asked) = oneshot::channel();
    let silent = async {
        let (stream, _) = server.listener.accept().await.unwrap();
        let mut stream = server.terminator.accept(stream).await.unwrap().stream;
        stream.read_u8().await.unwrap();
        asked.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    let clock = async {
        was_asked.await.unwrap();
        // From here on only the clock advances.
        tokio::time::pause();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = fetcher.fetch() => assert!(matches!(outcome, Err(FetchError::Timeout))),
        () = async { tokio::join!(silent, clock); } => unreachable!(),
    }
}

#[tokio::test]
async fn the_certificate_is_the_issuers() {
    let server = KeyServer::new().await;
    let stranger = Fetcher::new(&server.url("localhost"), &KeyServer::new().await.roots).unwrap();
    let (fetched, _) = tokio::join!(stranger.fetch(), server.answer(b""));
    assert!(matches!(fetched, Err(FetchError::Connect(_))));
    let other_name = Fetcher::new(&server.url("127.0.0.1"), &server.roots).unwrap();
    let (fetched, _) = tokio::join!(other_name.fetch(), server.answer(b""));
    assert!(matches!(fetched, Err(FetchError::Connect(_))));
}

#[test]
fn only_http_and_https_are_fetched() {
    let roots = Roots::empty();
    for bad in [
        "http://u@a.example/k",
        "/k",
        "a.example:443",
        "https://u:p@a.example/",
        "ftp://a.example/",
    ] {
        assert!(Fetcher::new(&bad.parse().unwrap(), &roots).is_err(), "{bad}");
    }
    for good in
        ["https://a.example", "http://[::1]:8443/k?x", "https://[::1]/k", "https://1.2.3.4/"]
    {
        assert!(Fetcher::new(&good.parse().unwrap(), &roots).is_ok(), "{good}");
    }
}
