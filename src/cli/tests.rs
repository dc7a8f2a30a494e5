use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use tempfile::TempDir;

use super::{CertError, Cli, main, make};
use crate::tls::tests::verifies;
use crate::tls::{Certificate, PrivateKey, Roots, ServerCertificate};

fn framewall(args: &[&str]) -> ExitCode {
    main(["framewall"].iter().chain(args).map(OsString::from))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn bad_usage_is_64_and_help_is_0() {
    let bad: [&[&str]; 5] =
        [&[], &["fly"], &["check", "--config"], &["cert"], &["cert", "new", "--days", "826"]];
    for args in bad {
        assert_eq!(framewall(args), ExitCode::from(64), "{args:?}");
    }
    for args in [["--help"], ["--version"]] {
        assert_eq!(framewall(&args), ExitCode::SUCCESS, "{args:?}");
    }
}

#[test]
fn a_certificate_is_written_once() {
    let folder = TempDir::new().unwrap();
    let certs = folder.path().join("certs");
    let (cert, key) = (certs.join("dev.pem"), certs.join("dev.key"));
    let args = ["cert", "new", "--out", certs.to_str().unwrap()];

    assert_eq!(framewall(&args), ExitCode::SUCCESS);
    assert_eq!(mode(&key), 0o600);
    assert_eq!(mode(&cert) & !0o644, 0);
    let first = fs::read(&cert).unwrap();

    assert_eq!(framewall(&args), ExitCode::FAILURE);
    assert_eq!(fs::read(&cert).unwrap(), first);

    fs::remove_file(&cert).unwrap();
    assert_eq!(framewall(&args), ExitCode::FAILURE, "the key is there");
    assert!(!cert.exists(), "neither is written alone");
}

#[test]
fn force_replaces_links_and_modes() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = (folder.path().join("dev.pem"), folder.path().join("dev.key"));
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    symlink(&precious, &cert).unwrap();
    fs::write(&key, "open to all").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();

    let out = folder.path().to_str().unwrap();
    let args = ["cert", "new", "--force", "--out", out];
    assert_eq!(framewall(&args), ExitCode::SUCCESS);
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(mode(&key), 0o600);
    assert!(fs::read_to_string(&cert).unwrap().contains("CERTIFICATE"));
}

#[test]
fn the_certificate_is_valid_for_its_names_alone() {
    let names = ["Chat.test", "[2001:db8::1]", "*.apps.test", "localhost"];
    let made = make(&names.map(str::to_owned), 1).unwrap();
    let chain = Certificate::from_pem(made.cert_pem.as_bytes()).unwrap();
    let key = PrivateKey::from_pem(made.key_pem.as_bytes()).unwrap();
    assert!(ServerCertificate::new(PathBuf::new(), chain.clone(), key).is_ok(), "they match");
    let roots = Roots::new(&chain).unwrap();
    let valid = |name: &str| verifies(&roots, &chain[0], name);
    let good = ["localhost", "127.0.0.1", "::1", "chat.test", "2001:db8::1", "a.apps.test"];
    for name in good {
        assert!(valid(name), "{name}");
    }
    for name in ["example.com", "127.0.0.2", "apps.test", "a.b.apps.test"] {
        assert!(!valid(name), "{name}");
    }
}

#[test]
fn invalid_certificate_names_are_refused() {
    for name in [
        "",
        "a b",
        "https://x.test",
        "x.test:8443",
        "x..test",
        ".test",
        "*",
        "a.*.test",
        "bücher.test",
    ] {
        let Err(CertError::Name(refused)) = make(&[name.to_owned()], 1) else {
            panic!("{name:?}");
        };
        assert_eq!(refused, name);
    }
}
