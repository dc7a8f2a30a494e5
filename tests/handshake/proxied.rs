//! What a trusted proxy says of the URL by which its client asked, and what nobody else can say.

use super::support::{Gateway, GatewayBuilder, RawUpstream, Request, Session};

/// A gateway with an open route for any host and one for `admin.example` beside it, behind a proxy on
/// this machine.
fn behind_a_proxy(any: &RawUpstream, admin: &RawUpstream) -> GatewayBuilder {
    Gateway::to(&[any.address()]).server("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]").more(
        &format!(
            "[routes.admin]\nhost = [\"admin.example\"]\npath = \"/ws\"\n\
             upstream = [\"ws://{}\"]\nauth = \"none\"",
            admin.address()
        ),
    )
}

/// A request that the proxy sends to the host `inner`.
fn proxied(fields: &[(&str, &str)]) -> Request {
    let request = Request::upgrade("/ws").set("Host", "inner:9000");
    let request = if fields.iter().any(|(name, _)| *name == FOR) {
        request
    } else {
        request.and(FOR, "198.51.100.7")
    };
    fields.iter().fold(request, |request, (name, value)| request.and(name, value))
}

const FOR: &str = "X-Forwarded-For";
const HOST: &str = "X-Forwarded-Host";
const PORT: &str = "X-Forwarded-Port";
const PROTO: &str = "X-Forwarded-Proto";
const ORIGIN: &str = "Origin";

/// A proxy may pass on an X-Forwarded-Host that its client wrote: the route and the upstream's Host are
/// those of the Host header, which the proxy itself sends.
#[test]
fn x_forwarded_host_is_forwarded_and_selects_no_route() {
    let (any, admin) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = behind_a_proxy(&any, &admin).start();
    for (fields, used) in [
        (&[][..], "inner:9000"),
        (&[(HOST, "admin.example")], "admin.example"),
        (&[(HOST, "ADMIN.example.:8443")], "admin.example:8443"),
        (&[(HOST, "evil.example, admin.example")], "admin.example"),
        (&[(HOST, "evil.example"), (HOST, "admin.example")], "admin.example"),
        (&[(HOST, "admin.example, evil.example")], "evil.example"),
        (&[(FOR, "198.51.100.7, 10.0.0.1"), (HOST, "admin.example, inner")], "admin.example"),
        (&[(HOST, "admin.example"), (PORT, "8443")], "admin.example:8443"),
        (&[(HOST, "admin.example"), (PORT, "443")], "admin.example"),
        (&[(HOST, "")], "inner:9000"),
    ] {
        let session = Session::open_with(&gateway, &any, &proxied(fields), "");
        assert_eq!(session.request.only("host"), Some("inner:9000"), "{fields:?}");
        assert_eq!(session.request.only("x-forwarded-host"), Some(used), "{fields:?}");
        let forwarded = session.request.only("forwarded").unwrap();
        assert!(forwarded.ends_with(&format!(";host=\"{used}\";proto=https")), "{forwarded}");
        any.received_nothing();
        admin.received_nothing();
    }
    let asked = proxied(&[(HOST, "open.example")]).set("Host", "admin.example");
    let session = Session::open_with(&gateway, &admin, &asked, "");
    assert_eq!(session.request.only("host"), Some("admin.example"));
}

#[test]
fn the_same_origin_is_that_of_the_url_that_the_client_used() {
    let (any, admin) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = behind_a_proxy(&any, &admin).plain().start();
    let chain = (FOR, "198.51.100.7, 10.0.0.1");
    for (fields, origin, other) in [
        (&[][..], "http://inner:9000", "https://inner:9000"),
        (&[(PROTO, "https")], "https://inner:9000", "http://inner:9000"),
        (&[(PROTO, "https"), (HOST, "chat.example")], "https://chat.example", "https://inner:9000"),
        (&[(HOST, "chat.example:8080")], "http://chat.example:8080", "http://chat.example"),
        (
            &[(PROTO, "https"), (HOST, "chat.example"), (PORT, "8443")],
            "https://chat.example:8443",
            "https://chat.example",
        ),
        (&[(PROTO, "https"), (PORT, "443")], "https://inner", "https://inner:9000"),
        (&[(PROTO, "https,http")], "http://inner:9000", "https://inner:9000"),
        (&[(PROTO, "https,http"), chain], "https://inner:9000", "http://inner:9000"),
        (&[(PROTO, "https"), (PROTO, "http"), chain], "https://inner:9000", "http://inner:9000"),
        (&[(PROTO, "https"), chain], "https://inner:9000", "http://inner:9000"),
        (&[(PROTO, "http,https,http"), chain], "https://inner:9000", "http://inner:9000"),
    ] {
        let request = proxied(fields);
        let mut session =
            Session::open_with(&gateway, &any, &request.clone().and(ORIGIN, origin), "");
        session.prove_alive();
        let (scheme, _) = origin.split_once("://").unwrap();
        assert_eq!(session.request.only("x-forwarded-proto"), Some(scheme), "{fields:?}");
        if fields.iter().any(|(name, _)| *name == PORT) {
            let port = if origin.ends_with("8443") { "8443" } else { "443" };
            assert_eq!(session.request.only("x-forwarded-port"), Some(port), "{fields:?}");
        }
        gateway.expect_refusal(&request.and(ORIGIN, other), 403, "origin.denied");
        any.received_nothing();
    }
}

#[test]
fn forwarded_fields_of_a_trusted_proxy_are_read_or_refused() {
    let (any, admin) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = behind_a_proxy(&any, &admin).start();
    for (name, value) in [
        (PROTO, "gopher"),
        (PROTO, "https, \"http\""),
        (HOST, "127.1"),
        (HOST, "a..b"),
        (HOST, "m\u{fc}nchen.example"),
        (HOST, "admin.example, user@inner"),
        (PORT, "65536"),
        (PORT, "443, http"),
    ] {
        gateway.expect_refusal(&proxied(&[(name, value)]), 400, "forwarded.malformed");
        gateway.wait_for_record(|record| {
            record["detail"].as_str().is_some_and(|detail| {
                detail.starts_with(&format!("{name} of a trusted proxy cannot be read"))
            })
        });
        any.received_nothing();
        admin.received_nothing();
    }
}

#[test]
fn forwarded_fields_of_an_untrusted_client_are_ignored() {
    let (any, admin) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[any.address()])
        .more(&format!(
            "[routes.admin]\nhost = [\"admin.example\"]\npath = \"/ws\"\n\
             upstream = [\"ws://{}\"]\nauth = \"none\"",
            admin.address()
        ))
        .start();
    let fields = [(HOST, "admin.example"), (PORT, "8443"), (PROTO, "http")];
    let session = Session::open_with(&gateway, &any, &proxied(&fields), "");
    assert_eq!(session.request.only("host"), Some("inner:9000"));
    assert_eq!(session.request.only("x-forwarded-host"), Some("inner:9000"));
    assert_eq!(session.request.only("x-forwarded-proto"), Some("https"));
    assert_eq!(session.request.only("x-forwarded-port"), None);
    let forged = proxied(&fields).and(ORIGIN, "http://admin.example:8443");
    gateway.expect_refusal(&forged, 403, "origin.denied");
    admin.received_nothing();
}

#[test]
fn a_trusted_proxy_may_use_another_server_name() {
    let upstream = RawUpstream::bind();
    let builder = || {
        Gateway::to(&[upstream.address()])
            .certificate(&["gateway.internal"])
            .certificate(&["chat.example"])
    };
    let request = Request::upgrade("/ws").set("Host", "chat.example").and(FOR, "198.51.100.7");
    let gateway = builder().server("trusted_proxies = [\"127.0.0.1\"]").start();
    let mut client = gateway.connect_as("gateway.internal");
    client.send_request(&request);
    upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    let arguments =
        ["--path", "/ws", "--host", "chat.example", "--server-name", "gateway.internal"];
    gateway.expect_explained(
        &arguments,
        &["server name any, as a trusted proxy asks for its own (server.trusted_proxies)"],
    );

    let gateway = builder().start();
    let mut client = gateway.connect_as("gateway.internal");
    client.send_request(&request);
    gateway.check_refusal(&client.read_response(), 421, "sni.mismatch");
    upstream.received_nothing();
}
