//! Fields towards the application: the ones that are the client's alone, and the ones that an
//! application believes because only the gateway may set them.

use super::support::{Frame, Gateway, KEY, RawUpstream, Request, Session};

const FORGED: &str = "203.0.113.66";

fn open(gateway: &Gateway, upstream: &RawUpstream, request: &Request) -> Session {
    Session::open_with(gateway, upstream, request, "")
}

#[test]
fn fields_of_the_application_pass() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .and("Cookie", "session=1; theme=dark")
        .and("Authorization", "Bearer of-the-application")
        .and("User-Agent", "test")
        .and("X-App", "one")
        .and("x-app", "two");
    let session = open(&gateway, &upstream, &request);
    let head = &session.request;
    assert_eq!(head.only("host"), Some("localhost"));
    assert_eq!(head.only("cookie"), Some("session=1; theme=dark"));
    assert_eq!(head.only("authorization"), Some("Bearer of-the-application"));
    assert_eq!(head.all("x-app"), ["one", "two"]);
}

#[test]
fn the_head_towards_the_application_is_written_anew() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .set("Connection", "keep-alive, Upgrade")
        .and("Keep-Alive", "timeout=5")
        .and("TE", "trailers")
        .and("Expect", "100-continue")
        .and("Trailer", "X-Later")
        .and("Proxy-Authorization", "Basic c2VjcmV0")
        .and("Proxy-Connection", "keep-alive")
        .and("Content-Length", "0");
    let session = open(&gateway, &upstream, &request);
    let head = &session.request;
    assert_eq!(head.line, "GET /ws HTTP/1.1");
    assert_eq!(head.only("upgrade"), Some("websocket"));
    assert_eq!(head.only("connection"), Some("Upgrade"));
    assert_eq!(head.only("sec-websocket-version"), Some("13"));
    let key = head.only("sec-websocket-key").unwrap();
    assert_eq!(key.len(), KEY.len());
    for hop in [
        "keep-alive",
        "te",
        "expect",
        "trailer",
        "proxy-authorization",
        "proxy-connection",
        "content-length",
        "transfer-encoding",
    ] {
        assert_eq!(head.all(hop), Vec::<&str>::new(), "{hop}");
    }
}

/// Traefik, CVE-2024-45410 and CVE-2026-29054.
#[test]
fn fields_that_connection_lists_are_stripped_and_the_gateways_own_stay() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .set("Connection", "Upgrade, X-One, x-forwarded-for, X-Real-Ip")
        .and("connection", "X-TWO, host, X-Request-Id, Sec-WebSocket-Key")
        .and("X-One", "1")
        .and("x-two", "2")
        .and("X-Three", "3");
    let session = open(&gateway, &upstream, &request);
    let head = &session.request;
    assert_eq!(head.all("x-one"), Vec::<&str>::new());
    assert_eq!(head.all("x-two"), Vec::<&str>::new());
    assert_eq!(head.only("x-three"), Some("3"));
    assert_eq!(head.only("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.only("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(head.only("host"), Some("localhost"));
    assert_eq!(head.only("connection"), Some("Upgrade"));
    assert!(head.only("x-request-id").is_some_and(|id| !id.is_empty()));
    assert!(head.only("sec-websocket-key").is_some());
}

/// Traefik, CVE-2026-88011, and oauth2-proxy, CVE-2025-64484: applications that read `_` and `.`
/// as `-` believe the folded name.
#[test]
fn a_clients_claims_about_its_address_are_dropped_in_every_spelling() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut request = Request::upgrade("/ws");
    for name in [
        "X-Forwarded-For",
        "x_forwarded_for",
        "X.Forwarded.For",
        "X-Forwarded_For",
        "X-FORWARDED-HOST",
        "X_Forwarded_Proto",
        "X-Forwarded-Server",
        "X-Real-IP",
        "X_Real_IP",
        "x.real.ip",
        "X-Client-IP",
        "True-Client-IP",
        "true_client_ip",
        "CF-Connecting-IP",
        "CF_Connecting.IP",
        "X-Request-Id",
        "X_Request_Id",
    ] {
        request = request.and(name, FORGED);
    }
    request = request.and("Forwarded", &format!("for={FORGED}"));
    let session = open(&gateway, &upstream, &request);
    let head = format!("{:?}", session.request);
    assert!(!head.contains(FORGED), "{head}");
    assert_eq!(session.request.only("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(session.request.only("x-forwarded-proto"), Some("https"));
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!(opened["request_id"], session.request_id());
    assert!(opened["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{opened}");
}

/// The names by which frameworks and proxies are told the client, its certificate, its user or its
/// target, from docs/fields.md.
const CLAIMS: [&str; 42] = [
    "Client-IP",
    "X-Cluster-Client-IP",
    "Fastly-Client-IP",
    "X-Forwarded",
    "Forwarded-For",
    "X-Forwarded-User",
    "X-Forwarded-Client-Cert",
    "X-Original-Forwarded-For",
    "CF-Connecting-IPv6",
    "CF-Pseudo-IPv4",
    "CF-IPCountry",
    "CF-Access-Authenticated-User-Email",
    "X-Remote-IP",
    "X-Remote-Addr",
    "Remote-Addr",
    "X-Originating-IP",
    "X-Envoy-External-Address",
    "X-Azure-ClientIP",
    "X-Azure-SocketIP",
    "X-Appengine-User-IP",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-SSL-Client-Cert",
    "X-SSL-Client-CN",
    "SSL-Client-Verify",
    "SSL_CLIENT_S_DN",
    "X-Client-Verify",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-Host",
    "Remote-User",
    "REMOTE_USER",
    "Remote-Groups",
    "X-Remote-User",
    "X-Remote-Group",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "OIDC_CLAIM_sub",
    "X-Amzn-Oidc-Identity",
    "X-Authenticated-User",
    "HTTP_CLIENT_IP",
    "HTTP_X_FORWARDED_FOR",
];

#[test]
fn fields_that_identify_the_client_are_accepted_from_trusted_proxies_alone() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for names in CLAIMS.chunks(20) {
        let mut request = Request::upgrade("/ws");
        for name in names {
            for spelled in [(*name).to_owned(), name.replace('-', "_"), name.replace('-', ".")] {
                request = request.and(&spelled, FORGED);
            }
        }
        let session = open(&gateway, &upstream, &request);
        let head = format!("{:?}", session.request);
        assert!(!head.contains(FORGED), "{head}");
    }

    let trusting =
        Gateway::to(&[upstream.address()]).server("trusted_proxies = [\"127.0.0.1\"]").start();
    let mut request = Request::upgrade("/ws").and("X-Forwarded-For", "198.51.100.7");
    for name in CLAIMS {
        let (hyphens, underscores) = (name.replace('_', "-"), name.replace('-', "_"));
        request = request.and(&hyphens, "proxy").and(&underscores, FORGED);
    }
    let session = open(&trusting, &upstream, &request);
    let head = &session.request;
    assert!(!format!("{head:?}").contains(FORGED), "{head:?}");
    for name in ["x-original-url", "remote-user", "client-cert", "x-ssl-client-cert"] {
        assert_eq!(head.all(name)[0], "proxy", "{name}");
    }
}

/// Many proxies write X-Forwarded-For and pass the X-Real-IP of their clients.
#[test]
fn forwarded_addresses_are_those_the_gateway_resolved() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]")
        .start();
    let names = ["X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "Client-IP"];
    let mut request = Request::upgrade("/ws")
        .and("X-Forwarded-For", &format!("{FORGED}, 198.51.100.7, 10.0.0.2"));
    for name in names {
        request = request.and(name, FORGED).and(name, FORGED);
    }
    request = request.and("Forwarded", &format!("for={FORGED};proto=http"));
    let session = open(&gateway, &upstream, &request);
    let head = &session.request;
    for name in names {
        assert_eq!(head.only(&name.to_ascii_lowercase()), Some("198.51.100.7"), "{name}");
    }
    let forwarded = "for=198.51.100.7, for=10.0.0.2, for=127.0.0.1;host=\"localhost\";proto=https";
    assert_eq!(head.only("forwarded"), Some(forwarded));
}

#[test]
fn the_configuration_changes_the_list() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server(
            "drop_headers = [\"X-Tenant\", \"X-Internal-*\"]\n\
             keep_headers = [\"X-Original-URL\", \"CF-*\", \"X-Internal-Hint\"]",
        )
        .start();
    let mut request = Request::upgrade("/ws");
    for name in ["x_tenant", "X-Internal-User", "X.Internal.Role", "X-Rewrite-URL"] {
        request = request.and(name, FORGED);
    }
    request = request.and("CF-Connecting-IP", FORGED);
    for name in ["X-Tenants", "X-Original-URL", "CF-IPCountry", "X-Internal-Hint"] {
        request = request.and(name, "kept");
    }
    let session = open(&gateway, &upstream, &request);
    let head = &session.request;
    assert!(!format!("{head:?}").contains(FORGED), "{head:?}");
    for name in ["x-tenants", "x-original-url", "cf-ipcountry", "x-internal-hint"] {
        assert_eq!(head.only(name), Some("kept"), "{name}");
    }
}

/// A server that reads `_` as `-` would take the body of such a request for the next one's head.
#[test]
fn fields_of_the_connection_are_dropped_in_every_spelling() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .and("Transfer_Encoding", "chunked")
        .and("Transfer.Encoding", "chunked")
        .and("Content_Length", "5")
        .and("Keep_Alive", "timeout=5")
        .and("Proxy_Connection", "keep-alive")
        .and("Proxy_Authorization", "Basic c2VjcmV0");
    let session = open(&gateway, &upstream, &request);
    let head = format!("{:?}", session.request).to_ascii_lowercase();
    for part in ["transfer", "length", "alive", "proxy"] {
        assert!(!head.contains(part), "{part}: {head}");
    }
}

/// oauth2-proxy, CVE-2026-76835: what the client wrote itself is on the left.
#[test]
fn a_trusted_proxy_is_read_from_right_to_left() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server("trusted_proxies = [\"127.0.0.1/32\", \"10.0.0.0/8\"]")
        .start();
    for (chain, client) in [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7", "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("203.0.113.66, ::ffff:198.51.100.7", "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7, ::ffff:10.1.2.3", "198.51.100.7"),
    ] {
        let request = Request::upgrade("/ws").and("X-Forwarded-For", chain);
        let session = open(&gateway, &upstream, &request);
        let forwarded = session.request.all("x-forwarded-for").join(", ");
        assert!(forwarded.ends_with("127.0.0.1"), "{forwarded}");
        let id = session.request_id();
        let opened = gateway.wait_for_record(|record| {
            record["event"] == "session.opened" && record["request_id"] == id
        });
        let peer = opened["peer"].as_str().unwrap();
        assert!(peer.starts_with(client), "{chain}: {peer}");
    }
}

#[test]
fn the_request_id_ties_the_records_together() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.client.say(Frame::close(1000, ""));
    session.upstream.expect_closing(1000, "");
    gateway.wait_for_reason(&id, "closed");
    let events: Vec<_> = gateway
        .log_records()
        .into_iter()
        .filter(|record| record["request_id"] == id)
        .map(|record| record["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events, ["session.opened", "session.ended"]);
}
