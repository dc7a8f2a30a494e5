//! Client certificates over the life of a session: each handshake shows one, and no session outlives
//! its own.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use time::OffsetDateTime;

use super::support::{
    Authority, Frame, Gateway, RawUpstream, Request, Wire, authority, eventually,
};
use super::tls::{client, shake};

/// Issues the certificates of clients, before and while the gateway runs.
static CLIENTS: LazyLock<Authority> = LazyLock::new(authority);

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

fn prepare(folder: &Path, _: &Authority) {
    fs::write(folder.join("clients.pem"), CLIENTS.pem()).unwrap();
    fs::write(folder.join("others.pem"), authority().pem()).unwrap();
}

fn start(mode: &str, upstream: &RawUpstream) -> Gateway {
    Gateway::to(&[upstream.address()])
        .tls(&format!("client_auth = \"{mode}\"\nclient_ca = \"clients.pem\""))
        .prepare(prepare)
        .start()
}

/// Writes a client's certificate that is valid for `time` from now on.
fn issue_for(time: Duration, folder: &Path) {
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    params.not_after = OffsetDateTime::now_utc() + time;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &*CLIENTS).unwrap();
    fs::write(folder.join("client.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("client.key"), key.serialize_pem()).unwrap();
}

const HOUR: Duration = Duration::from_secs(3600);

/// The two ends of a session.
fn open(gateway: &Gateway, config: ClientConfig, upstream: &RawUpstream) -> [Wire; 2] {
    let mut client = Wire::tls_client(gateway.tcp(), Arc::new(config), "localhost");
    client.send_request(&Request::upgrade("/ws"));
    let (application, _) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    [client, application]
}

fn prove_alive([client, application]: &mut [Wire; 2]) {
    client.say(Frame::text("there"));
    application.expect_frame(Frame::text("there"));
}

fn expect_ended([mut client, mut application]: [Wire; 2], reason: &str) {
    assert_eq!(client.expect_close(), (4401, reason.to_owned()));
    assert_eq!(application.expect_close(), (1001, reason.to_owned()));
}

#[test]
fn every_handshake_shows_its_certificate_in_both_versions() {
    for mode in ["required", "optional"] {
        let gateway = start(mode, &RawUpstream::bind());
        issue_for(HOUR, gateway.folder());
        for version in VERSIONS {
            let mut config = client(&gateway, &[version], Some("client"));
            config.resumption = Resumption::in_memory_sessions(8);
            let config = Arc::new(config);
            for _ in 0..3 {
                let kind = shake(&gateway, &config, "localhost").unwrap().handshake_kind();
                assert_eq!(kind, Some(HandshakeKind::Full), "{mode}, {version:?}");
            }
        }
    }
}

#[test]
fn a_session_ends_with_its_certificate_and_no_new_one_begins() {
    let upstream = RawUpstream::bind();
    let gateway = start("required", &upstream);
    for version in VERSIONS {
        // Where the machine is so busy that it expires before it is shown, with another.
        let (mut session, config) = eventually(|| {
            issue_for(Duration::from_secs(3), gateway.folder());
            let mut config = client(&gateway, &[version], Some("client"));
            config.resumption = Resumption::in_memory_sessions(8);
            shake(&gateway, &Arc::new(config.clone()), "localhost").ok()?;
            Some((open(&gateway, config.clone(), &upstream), config))
        })
        .expect("a session");
        prove_alive(&mut session);
        expect_ended(session, "certificate.expired");
        assert!(shake(&gateway, &Arc::new(config), "localhost").is_err(), "it has expired");
    }
    gateway.wait_for_record(|record| {
        record["event"] == "session.ended" && record["reason"] == "certificate.expired"
    });
}

#[test]
fn a_reload_judges_open_sessions_by_its_authorities() {
    let upstream = RawUpstream::bind();
    let gateway = start("optional", &upstream);
    issue_for(HOUR, gateway.folder());
    let mut shown = open(&gateway, client(&gateway, &VERSIONS, Some("client")), &upstream);
    let mut none = open(&gateway, client(&gateway, &VERSIONS, None), &upstream);
    gateway.hang_up("reloaded");
    prove_alive(&mut shown);
    gateway
        .rewrite(|text| text.replace("client_ca = \"clients.pem\"", "client_ca = \"others.pem\""));
    gateway.hang_up("reloaded");
    expect_ended(shown, "certificate.invalid");
    prove_alive(&mut none);
    gateway.rewrite(|text| text.replace("\"optional\"", "\"required\""));
    gateway.hang_up("reloaded");
    expect_ended(none, "certificate.invalid");
}

/// A kept connection carries no further request once a handshake with its certificate would fail.
#[test]
fn a_kept_connection_ends_with_its_certificate() {
    let upstream = RawUpstream::bind();
    let gateway = start("optional", &upstream);
    let probe = Request::with_line("GET /ws HTTP/1.1").without("Upgrade").without("Connection");
    let ask = |config: ClientConfig| {
        let mut client = Wire::tls_client(gateway.tcp(), Arc::new(config), "localhost");
        client.send_request(&probe);
        let response = client.read_response();
        assert!(!response.says_close(), "{response:?}");
        client
    };
    let mut expiring = eventually(|| {
        issue_for(Duration::from_secs(3), gateway.folder());
        let config = client(&gateway, &VERSIONS, Some("client"));
        shake(&gateway, &Arc::new(config.clone()), "localhost").ok()?;
        Some(ask(config))
    })
    .expect("a connection");
    std::thread::sleep(Duration::from_secs(4));
    let mut none = ask(client(&gateway, &VERSIONS, None));
    gateway.rewrite(|text| text.replace("\"optional\"", "\"required\""));
    gateway.hang_up("reloaded");
    for (client, reason) in
        [(&mut expiring, "certificate.expired"), (&mut none, "certificate.invalid")]
    {
        client.send_request(&probe);
        assert_eq!(client.expect_gone(), b"");
        gateway.wait_for_record(|record| record["reason"] == reason);
    }
}
