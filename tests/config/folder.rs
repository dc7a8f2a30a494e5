//! A scratch folder with every file that a configuration may name.

use std::fs;
use std::path::Path;

use framewall::config::{LoadError, Loaded, load};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tempfile::TempDir;

use crate::schema::faults;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A public key that is too short to be one.
const RSA_1024: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCdIp4FHwrk7NvJoFTCSHZW0mIU
H0nuFA6nHaSevRMpxBOC9IrpYiSm6GnS0lTDnqy29y4Mw+GPx4+5xLqWPn3+J04F
/2WobI2vM9BVfHxrlbzL+svcWmWEYxpyQkHRJJJWBKI0PubVeifWKszGdabQYYBy
2EhJY3xeIa1p3UIOlQIDAQAB
-----END PUBLIC KEY-----
";

/// The hosts of the examples and of the tests' routes.
const NAMES: [&str; 4] = ["localhost", "chat.example.com", "*.chat.example.com", "*.example.com"];

/// A shared secret of 40 bytes.
pub(crate) const SECRET: &str = "0123456789012345678901234567890123456789";

/// A folder with `certs/` and `keys/` in it: good ones, and files that are wrong in each way.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    fs::create_dir(&certs).unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(NAMES.map(str::to_owned)).unwrap();
    let (cert, key) = (cert.pem(), signing_key.serialize_pem());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("site.pem", cert.as_str()),
        ("ca.pem", &cert),
        ("dev.pem", &cert),
        ("site.key", &key),
        ("dev.key", &key),
        ("other.key", &other),
        ("empty.pem", ""),
        ("encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        ("broken.pem", garbage),
        ("broken.key", "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n"),
        ("cut.pem", &cert[..cert.len() - 40]),
        ("huge.pem", &"x".repeat((1 << 20) + 1)),
    ] {
        write_private(&certs.join(name), text);
    }
    add_keys(&folder, &cert);
    add_lists(&folder);
    folder
}

fn add_keys(folder: &TempDir, cert: &str) {
    let keys = folder.path().join("keys");
    fs::create_dir(&keys).unwrap();
    let public = KeyPair::generate().unwrap().public_key_pem();
    let broken = public.replacen('M', "!", 1);
    for (name, text) in [
        ("secret", format!("{SECRET}\n").as_str()),
        ("short", "hunter2\r\n"),
        ("p256.pem", &public),
        ("two.pem", &format!("{public}{cert}")),
        ("broken.pem", &broken),
        ("rsa1024.pem", RSA_1024),
        ("pkcs1.pem", "-----BEGIN RSA PUBLIC KEY-----\n"),
        ("jwks.json", r#"{"keys": [{"kty": "EC", "crv": "P-256"}]}"#),
        ("no_keys.json", r#"{"kty": "EC"}"#),
        ("empty.json", r#"{"keys": []}"#),
        ("private.json", r#"{"keys": [{"kty": "EC", "crv": "P-256", "d": "hunter2"}]}"#),
        ("oct.json", r#"{"keys": [{"kty": "oct", "k": "hunter2"}]}"#),
    ] {
        write_private(&keys.join(name), text);
    }
}

fn add_lists(folder: &TempDir) {
    let (lists, geoip) = (folder.path().join("lists"), folder.path().join("geoip"));
    fs::create_dir(&lists).unwrap();
    fs::create_dir(&geoip).unwrap();
    for (name, bytes) in [
        ("block.txt", b"# worst\r\n203.0.113.0/24\r\n10.2.3.4\r\n".as_slice()),
        ("empty.txt", b"# nobody\n"),
        ("everybody.txt", b"192.0.2.1\n::/0\n"),
        ("bad.txt", b"192.0.2.1\n10.0.0.1/8 # odd\n203.0.113.300\n"),
        ("many.txt", b"x\nx\nx\nx\nx\nx\nx\n"),
        ("binary.txt", b"192.0.2.1\n\xff\xfe1\0.\0\x1b[31m\n"),
    ] {
        fs::write(lists.join(name), bytes).unwrap();
    }
    for name in ["country", "asn", "both", "neither"] {
        let name = format!("{name}.mmdb");
        fs::copy(root().join("tests/data").join(&name), geoip.join(&name)).unwrap();
    }
}

pub(crate) fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    set_mode(path, 0o600);
}

#[cfg(unix)]
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
pub(crate) fn set_mode(_: &Path, _: u32) {}

/// Loads `text` as `f.toml` of `folder`. What is accepted fits the schema.
pub(crate) fn load_in(folder: &TempDir, text: &str) -> Result<Loaded, LoadError> {
    let path = folder.path().join("f.toml");
    fs::write(&path, text).unwrap();
    let loaded = load(&path);
    if loaded.is_ok() {
        faults(text).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    }
    loaded
}

pub(crate) fn without_folder(text: &str, folder: &TempDir) -> String {
    text.replace(&format!("{}/", folder.path().display()), "")
}
