//! `[tls]`

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use super::certificates;
use super::exposure::exposed;
use super::files;
use super::keys::{self, CertificateKeys, Demand, Section, TlsKeys};
use super::lints::LintName;
use super::load::Loader;
use super::reader::SectionReader;
use super::report::Problem;
use crate::tls::{ClientAuth, Roots, ServerCertificate, ServerSettings};

const NO_CERTIFICATES: &str = "make a development certificate with `framewall cert new` and write \
    certificates = [{ cert = \"certs/dev.pem\", key = \"certs/dev.key\" }] under [tls], or say \
    mode = \"off\" to speak plain HTTP";

/// `[tls]`; its files are not read yet.
pub(super) struct CheckedTls<'a> {
    reader: SectionReader<'a>,
    keys: TlsKeys,
    certificates: Vec<CheckedCertificate<'a>>,
}

struct CheckedCertificate<'a> {
    reader: SectionReader<'a>,
    keys: CertificateKeys,
}

/// Checks `[tls]`; `None`: `mode = "off"`. A field is missing if its value had a fault; the fault was
/// reported.
pub(super) fn check<'a>(
    reader: SectionReader<'a>,
    listen: &[SocketAddr],
) -> Option<CheckedTls<'a>> {
    let given = reader.span_of(keys::TLS_MODE.name);
    match (reader.get(&keys::TLS_MODE), given) {
        (Some(false), Some(span)) => {
            refuse_with_mode_off(&reader, &span);
            lint_plain(&reader, span, listen);
            return None;
        }
        // A `mode` with a fault was reported; whether certificates are needed is then unknown.
        (None, Some(_)) => {}
        _ => reader.demand(keys::CERTIFICATES.name, NO_CERTIFICATES),
    }
    let certificate = |reader: SectionReader<'a>| {
        let keys = CertificateKeys::read(&reader);
        CheckedCertificate { reader, keys }
    };
    let certificates = reader.tables(&keys::CERTIFICATES).into_iter().map(certificate).collect();
    let keys = TlsKeys::read(&reader);
    check_client_ca(&reader, keys.client_auth);
    Some(CheckedTls { reader, keys, certificates })
}

impl CheckedTls<'_> {
    /// Reads the files. A field is missing if its value had a fault; the fault was reported.
    pub(super) fn load(self, loader: &Loader) -> ServerSettings {
        let Self { reader, keys: TlsKeys { min_version, client_auth, client_ca }, certificates } =
            self;
        let roots = client_ca
            .and_then(|path| loader.read(&reader, keys::CLIENT_CA.name, &path, files::read_roots));
        let roots = roots.unwrap_or_else(Roots::empty);
        ServerSettings {
            certificates: certificates.into_iter().filter_map(|one| one.load(loader)).collect(),
            min_version,
            client_auth: match client_auth {
                Demand::Off => ClientAuth::Off,
                Demand::Optional => ClientAuth::Optional(roots),
                Demand::Required => ClientAuth::Required(roots),
            },
        }
    }
}

impl CheckedCertificate<'_> {
    fn load(self, loader: &Loader) -> Option<ServerCertificate> {
        let Self { reader, keys: CertificateKeys { cert, key } } = self;
        let chain = cert
            .as_ref()
            .and_then(|path| loader.read(&reader, keys::CERT.name, path, files::read_chain));
        let secret = key
            .as_ref()
            .and_then(|path| loader.read(&reader, keys::CERT_KEY.name, path, files::read_key));
        let (cert, chain, key, secret) = (cert?, chain?, key?, secret?);
        lint_readable(&reader, keys::CERT_KEY.name, &key, "private key");
        let certificate = files::certify(cert, chain, secret, &key);
        let place = reader.span_of(keys::CERT_KEY.name)?;
        let certificate = reader.accept(keys::CERT_KEY.name, place, certificate)?;
        certificates::lint_validity(&reader, reader.span_of(keys::CERT.name)?, &certificate);
        Some(certificate)
    }
}

fn refuse_with_mode_off(reader: &SectionReader<'_>, mode: &Range<usize>) {
    let others = keys::names(Section::Tls).into_iter().filter(|name| *name != keys::TLS_MODE.name);
    for name in others {
        let problem = reader.problem(name, "contradicts tls.mode = \"off\"");
        reader.cx.refuse(problem.map(|problem| {
            problem
                .related(mode.clone(), "TLS is off here")
                .help(format!("remove `{name}`, or `mode`"))
        }));
    }
}

fn lint_plain(reader: &SectionReader<'_>, span: Range<usize>, listen: &[SocketAddr]) {
    let Some(open) = exposed(listen) else {
        return;
    };
    reader.lint(
        LintName::TlsOff,
        Problem::at(span, format!("TLS is off on {open}, which other machines can reach"))
            .label("tokens and messages cross the network readable")
            .help("give certificates, or listen on 127.0.0.1 behind a proxy that ends TLS"),
    );
}

/// Warns of a file with a secret, the value of the key `name`, that users other than its owner may read.
pub(super) fn lint_readable(reader: &SectionReader<'_>, name: &str, path: &Path, what: &str) {
    if let (Some(span), true) = (reader.span_of(name), files::others_may_read(path)) {
        let path = path.display();
        reader.lint(
            LintName::SecretReadable,
            Problem::at(span, format!("the {what} {path} can be read by other users"))
                .help(format!("chmod 600 {path}")),
        );
    }
}

fn check_client_ca(reader: &SectionReader<'_>, demand: Demand) {
    let ca = reader.span_of(keys::CLIENT_CA.name);
    let asked = reader.span_of(keys::CLIENT_AUTH.name);
    let remove = "say client_auth = \"required\" or \"optional\", or remove client_ca";
    reader.cx.refuse(match (demand, asked, ca) {
        (Demand::Optional | Demand::Required, Some(asked), None) => {
            Problem::at(asked, "tls.client_auth needs tls.client_ca")
                .label("there are no roots to verify a client's certificate with")
                .help("write client_ca = \"certs/clients.pem\", the PEM file of those roots")
        }
        (Demand::Off, Some(off), Some(ca)) if !reader.is_on(keys::CLIENT_AUTH.name) => {
            Problem::at(ca, "tls.client_ca is given, but tls.client_auth is \"off\"")
                .related(off, "no certificate is asked for")
                .help(remove)
        }
        (Demand::Off, None, Some(ca)) => {
            Problem::at(ca, "tls.client_ca is given, but tls.client_auth is not").help(remove)
        }
        _ => return,
    });
}
