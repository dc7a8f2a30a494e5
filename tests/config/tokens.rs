//! `[jwt.*]`, `[admin]` and the routes that name them.

use std::fs;
use std::time::Duration;

use framewall::config::{Algorithm, Auth, Issuer, KeySource, OnExpiry, Secret};
use framewall::values::Requirement;
use framewall::values::TokenPlace;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::folder::{SECRET, folder, load_in, set_mode, without_folder, write_private};

/// A table of every key that names no file. Its secret is a variable that cargo sets for tests.
pub(crate) const ISSUER: &str = r#"
[jwt.main]
algorithms = ["HS256"]
secret = "env:CARGO_PKG_DESCRIPTION"
issuer = "https://issuer.example"
audience = ["chat", "admin"]
leeway = "0s"
user_claim = "uid"
token_from = ["subprotocol", "header", "query:access_token", "cookie:session"]
require = { scope = "chat", level = [1, 0x10], staff = true, "a.b" = ["x", -1, false] }
forward = { "X-User-Id" = "sub", X_Scope = "scope" }
forward_token = true
on_expiry = "ignore"
"#;

const LEAST: &str = r#"
[server]
listen = ["127.0.0.1:0"]
[tls]
mode = "off"
[routes.app]
path = "/ws"
upstream = ["ws://127.0.0.1:1"]
auth = "main"
"#;

const GIVEN: &str = "issuer = \"i\"\naudience = [\"a\"]\n";

/// The issuer of [`LEAST`] with `keys` in `[jwt.main]`.
fn issuer(folder: &TempDir, keys: &str) -> Issuer {
    let text = format!("{LEAST}[jwt.main]\n{keys}\n");
    let loaded = load_in(folder, &text).unwrap_or_else(|error| panic!("{error}"));
    let Auth::Jwt(issuer) = &loaded.config.routes[0].auth else { panic!("a token is needed") };
    assert_eq!(loaded.config.issuers.len(), 1);
    Issuer::clone(issuer.first())
}

/// The lints of `text` with their lines.
fn lints(folder: &TempDir, text: &str) -> Vec<(usize, String)> {
    let loaded = load_in(folder, text).unwrap_or_else(|error| panic!("{error}"));
    let told = |lint: &framewall::config::Lint| {
        (lint.line().unwrap(), without_folder(lint.message(), folder))
    };
    loaded.lints.iter().map(told).collect()
}

#[test]
fn issuer_keys_have_defaults() {
    let issuer = issuer(&folder(), "algorithms = [\"HS256\"]\nsecret = \"file:keys/secret\"");
    assert_eq!(issuer.name, "main");
    assert_eq!(issuer.algorithms, [Algorithm::HS256]);
    let KeySource::Secret(secret) = &issuer.key else { panic!("a secret") };
    assert!(*secret == Secret(SECRET.into()), "the line break is not part of it");
    assert_eq!((issuer.issuer, issuer.audience.len()), (None, 0));
    assert_eq!(issuer.leeway, Duration::from_secs(30));
    assert_eq!(issuer.user_claim, "sub");
    assert_eq!(issuer.token_from, [TokenPlace::Header]);
    assert_eq!(issuer.message_deadline, Duration::from_secs(5));
    assert!(issuer.require.is_empty() && issuer.forward.is_empty() && !issuer.forward_token);
    assert_eq!(issuer.on_expiry, OnExpiry::Close);
}

#[test]
fn issuer_keys_are_read() {
    let issuer = issuer(&folder(), ISSUER.trim_start().strip_prefix("[jwt.main]").unwrap());
    let KeySource::Secret(secret) = &issuer.key else { panic!("a secret") };
    assert_eq!(secret.0, env!("CARGO_PKG_DESCRIPTION").as_bytes());
    assert_eq!(issuer.issuer.as_deref(), Some("https://issuer.example"));
    assert_eq!(issuer.audience, ["chat", "admin"]);
    assert_eq!(issuer.leeway, Duration::ZERO);
    assert_eq!(issuer.user_claim, "uid");
    let (query, cookie) = ("access_token".into(), "session".into());
    let places = [
        TokenPlace::Subprotocol,
        TokenPlace::Header,
        TokenPlace::Query(query),
        TokenPlace::Cookie(cookie),
    ];
    assert_eq!(issuer.token_from, places);
    let require = |claim: &str, allowed| Requirement { claim: claim.into(), allowed };
    let required = [
        require("scope", vec![json!("chat")]),
        require("level", vec![json!(1), json!(16)]),
        require("staff", vec![json!(true)]),
        require("a.b", vec![json!("x"), json!(-1), json!(false)]),
    ];
    assert_eq!(issuer.require, required);
    let forward: Vec<_> =
        issuer.forward.iter().map(|(name, claim)| (name.as_str(), claim.as_str())).collect();
    assert_eq!(forward, [("x-user-id", "sub"), ("x_scope", "scope")]);
    assert!(issuer.forward_token);
    assert_eq!(issuer.on_expiry, OnExpiry::Ignore);
}

#[test]
fn the_first_message_has_a_deadline() {
    let keys = "algorithms = [\"HS256\"]\nsecret = \"file:keys/secret\"\n\
        token_from = [\"message\"]\nmessage_deadline = \"1m\"";
    let issuer = issuer(&folder(), keys);
    assert_eq!(issuer.token_from, [TokenPlace::Message]);
    assert_eq!(issuer.message_deadline, Duration::from_secs(60));
}

#[test]
fn public_keys_and_certificates_of_each_family_are_read() {
    for (algorithm, names) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "\"ES256\", \"ES384\""),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "\"ES384\""),
        (&rcgen::PKCS_ED25519, "\"EdDSA\""),
        (&rcgen::PKCS_RSA_SHA256, "\"RS256\", \"PS512\""),
    ] {
        let folder = folder();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(["issuer.example".to_owned()]).unwrap();
        for pem in [key.public_key_pem(), params.self_signed(&key).unwrap().pem()] {
            write_private(&folder.path().join("keys/issuer.pem"), &pem);
            let keys = format!("algorithms = [{names}]\npublic_key = \"keys/issuer.pem\"");
            let KeySource::PublicKey { path, pem: read } = issuer(&folder, &keys).key else {
                panic!("a public key")
            };
            assert_eq!(path, folder.path().join("keys/issuer.pem"));
            assert_eq!(read, pem.as_bytes());
        }
    }
}

#[test]
fn a_set_of_keys_is_a_file_or_an_address() {
    let folder = folder();
    let keys = "algorithms = [\"ES256\"]\njwks = \"keys/jwks.json\"";
    let KeySource::JwksFile { path, json } = issuer(&folder, keys).key else { panic!("a file") };
    assert_eq!(json, fs::read_to_string(path).unwrap());
    let keys = "algorithms = [\"ES256\"]\njwks = \"https://issuer.example:8443/keys?v=1\"\n\
        jwks_ca = \"certs/ca.pem\"";
    let KeySource::JwksUrl { url, roots } = issuer(&folder, keys).key else { panic!("an address") };
    assert_eq!(url, "https://issuer.example:8443/keys?v=1");
    assert_eq!(roots.len(), 1);
}

#[test]
fn a_route_with_a_token_may_be_renewed_and_the_admin_socket_has_its_place() {
    let folder = folder();
    let text = format!(
        "{LEAST}refresh = \"framewall\"\n{ISSUER}\
        [admin]\nsocket = \"keys/a.sock\"\nrevocations = \"keys/revocations.json\"\n"
    );
    let config = load_in(&folder, &text).unwrap_or_else(|error| panic!("{error}")).config;
    assert_eq!(config.routes[0].refresh.as_deref(), Some("framewall"));
    assert_eq!(config.admin.socket, Some(folder.path().join("keys/a.sock")));
    assert_eq!(config.admin.revocations, Some(folder.path().join("keys/revocations.json")));
    let plain = load_in(&folder, &format!("{LEAST}{ISSUER}")).unwrap().config;
    assert_eq!(plain.routes[0].refresh, None);
    assert_eq!((plain.admin.socket, plain.admin.revocations), (None, None));
}

#[cfg(unix)]
#[test]
fn a_socket_left_behind_is_no_obstacle() {
    let folder = folder();
    let _left = std::os::unix::net::UnixListener::bind(folder.path().join("keys/a.sock")).unwrap();
    let text = format!("{LEAST}{ISSUER}[admin]\nsocket = \"keys/a.sock\"\n");
    assert!(load_in(&folder, &text).is_ok());
}

#[test]
fn unwise_tokens_are_warned_of_at_their_place() {
    let folder = folder();
    set_mode(&folder.path().join("keys/secret"), 0o640);
    let text = format!(
        "{LEAST}[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:keys/secret\"\n\
        token_from = [\"query:token\", \"cookie:session\"]\non_expiry = \"ignore\"\n\
        [jwt.spare]\nalgorithms = [\"HS256\"]\nsecret = \"env:CARGO_PKG_DESCRIPTION\"\n{GIVEN}"
    );
    let told = |line, text: &str| (line, text.to_owned());
    assert_eq!(
        lints(&folder, &text),
        [
            told(
                10,
                "jwt.main takes a token of any issuer that the key verifies: `issuer` is not given"
            ),
            told(
                10,
                "jwt.main takes a token that was made for another service: `audience` is not given"
            ),
            told(12, "the secret keys/secret can be read by other users"),
            told(13, "a token in the query is in the address of the request"),
            told(14, "jwt.main leaves sessions open when their token expires"),
            told(15, "jwt.spare is used by no route: nobody's token is checked with it"),
        ]
    );
}

#[test]
fn a_careful_route_with_a_token_has_nothing_to_warn_of() {
    let keys = "algorithms = [\"HS256\"]\nsecret = \"file:keys/secret\"\nleeway = \"1m\"\n";
    let text = format!("{LEAST}[jwt.main]\n{keys}{GIVEN}");
    assert_eq!(lints(&folder(), &text), []);
    let cookie = "token_from = [\"cookie:session\"]\n";
    let text = text.replace("auth = ", "origins = [\"https://a.example\"]\nauth = ") + cookie;
    assert_eq!(lints(&folder(), &text), []);
}

#[test]
fn debug_of_a_config_shows_no_secret() {
    let folder = folder();
    let text =
        format!("{LEAST}[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:keys/secret\"\n");
    let loaded = load_in(&folder, &text).unwrap();
    assert!(!format!("{loaded:?}").contains(SECRET));
    // A literal on the line of another error, and on the line of a warning.
    let line =
        format!("jwt.main = {{ algorithms = [\"HS256\"], secret = \"{SECRET}\", zzz = 1 }}\n");
    let error = load_in(&folder, &(line + LEAST)).unwrap_err();
    for shown in [error.to_string(), error.render(true), format!("{error:?}")] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
    assert!(error.to_string().contains("secret = \"***\", zzz = 1"), "{error}");
}
