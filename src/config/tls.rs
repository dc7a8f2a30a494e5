//! `[tls]`

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::certificates;
use super::exposure::exposed;
use super::files;
use super::keys::{self, Demand, Section};
use super::lints::LintName;
use super::load::Loader;
use super::reader::{Scope, SectionReader};
use super::report::Problem;
use crate::tls::{ClientAuth, Roots, ServerCertificate, ServerSettings, TlsVersion};

const NO_CERTIFICATES: &str = "make a development certificate with `framewall cert new` and write \
    certificates = [{ cert = \"certs/dev.pem\", key = \"certs/dev.key\" }] under [tls], or say \
    mode = \"off\" to speak plain HTTP";

/// `[tls]`; its files are not read yet.
pub(super) struct CheckedTls<'a> {
    scope: Scope<'a>,
    certificates: Vec<CheckedCertificate<'a>>,
    min_version: TlsVersion,
    client_auth: Demand,
    client_ca: Option<Spanned<PathBuf>>,
}

struct CheckedCertificate<'a> {
    scope: Scope<'a>,
    cert: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
}

/// Checks `[tls]`; `None`: `mode = "off"`. A field is missing if its value had a fault; the fault was
/// reported.
pub(super) fn check<'a>(
    reader: &SectionReader<'a>,
    listen: &[SocketAddr],
) -> Option<CheckedTls<'a>> {
    let mode = reader.get(&keys::TLS_MODE);
    // A `mode` with a fault was reported; whether certificates are needed is then unknown.
    if mode.is_some() || reader.span_of(keys::TLS_MODE.name).is_none() {
        let off = mode.filter(|mode| !mode.get_ref());
        if let Some(mode) = off {
            refuse_with_mode_off(reader, &mode.span());
            lint_plain(reader, mode.span(), listen);
            return None;
        }
        reader.demand(keys::CERTIFICATES.name, NO_CERTIFICATES);
    }
    let certificate = |entry: SectionReader<'a>| CheckedCertificate {
        cert: entry.required(&keys::CERT),
        key: entry.required(&keys::CERT_KEY),
        scope: Scope::clone(&entry),
    };
    let certificates = reader.tables(&keys::CERTIFICATES).into_iter().map(certificate).collect();
    let client_auth = reader.get(&keys::CLIENT_AUTH);
    check_client_ca(reader, client_auth.as_ref());
    Some(CheckedTls {
        certificates,
        min_version: reader.value(&keys::MIN_VERSION),
        client_auth: client_auth
            .map_or_else(|| keys::CLIENT_AUTH.absent.value(), Spanned::into_inner),
        client_ca: reader.get(&keys::CLIENT_CA),
        scope: Scope::clone(reader),
    })
}

impl CheckedTls<'_> {
    /// Reads the files. A field is missing if its value had a fault; the fault was reported.
    pub(super) fn load(self, loader: &Loader) -> ServerSettings {
        let ca = self.client_ca.as_ref();
        let roots = ca.and_then(|path| {
            loader.read(&self.scope, keys::CLIENT_CA.name, path, files::read_roots)
        });
        let roots = roots.unwrap_or_else(Roots::empty);
        ServerSettings {
            certificates: self
                .certificates
                .into_iter()
                .filter_map(|one| one.load(loader))
                .collect(),
            min_version: self.min_version,
            client_auth: match self.client_auth {
                Demand::Off => ClientAuth::Off,
                Demand::Optional => ClientAuth::Optional(roots),
                Demand::Required => ClientAuth::Required(roots),
            },
        }
    }
}

impl CheckedCertificate<'_> {
    fn load(self, loader: &Loader) -> Option<ServerCertificate> {
        let Self { scope, cert, key } = &self;
        let chain = cert
            .as_ref()
            .and_then(|path| loader.read(scope, keys::CERT.name, path, files::read_chain));
        let secret = key
            .as_ref()
            .and_then(|path| loader.read(scope, keys::CERT_KEY.name, path, files::read_key));
        let (cert, chain, key, secret) = (cert.as_ref()?, chain?, key.as_ref()?, secret?);
        lint_readable(scope, key, "private key");
        let certify = |path: &Path| files::certify(cert.get_ref().clone(), chain, secret, path);
        let certificate = scope.judge(keys::CERT_KEY.name, key, certify)?;
        certificates::lint_validity(scope, cert.span(), &certificate);
        Some(certificate)
    }
}

fn refuse_with_mode_off(reader: &SectionReader<'_>, mode: &Range<usize>) {
    for name in keys::names(Section::Tls) {
        let Some(span) = reader.span_of(name).filter(|_| name != keys::TLS_MODE.name) else {
            continue;
        };
        reader.cx.refuse(
            Problem::at(span, format!("tls.{name} contradicts tls.mode = \"off\""))
                .related(mode.clone(), "TLS is off here")
                .help(format!("remove `{name}`, or `mode`")),
        );
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

/// Warns of a file with a secret that users other than its owner may read.
pub(super) fn lint_readable(scope: &Scope<'_>, path: &Spanned<PathBuf>, what: &str) {
    if files::others_may_read(path.get_ref()) {
        let span = path.span();
        let path = path.get_ref().display();
        scope.lint(
            LintName::SecretReadable,
            Problem::at(span, format!("the {what} {path} can be read by other users"))
                .help(format!("chmod 600 {path}")),
        );
    }
}

fn check_client_ca(reader: &SectionReader<'_>, demand: Option<&Spanned<Demand>>) {
    let ca = reader.span_of(keys::CLIENT_CA.name);
    let asked = reader.span_of(keys::CLIENT_AUTH.name);
    match (demand, asked, ca) {
        (Some(demand), _, None) if *demand.get_ref() != Demand::Off => reader.cx.refuse(
            Problem::at(demand.span(), "tls.client_auth needs tls.client_ca")
                .label("there are no roots to verify a client's certificate with")
                .help("write client_ca = \"certs/clients.pem\", the PEM file of those roots"),
        ),
        (Some(demand), _, Some(ca)) if *demand.get_ref() == Demand::Off => reader.cx.refuse(
            Problem::at(ca, "tls.client_ca is given, but tls.client_auth is \"off\"")
                .related(demand.span(), "no certificate is asked for")
                .help("say client_auth = \"required\" or \"optional\", or remove client_ca"),
        ),
        (None, None, Some(ca)) => reader.cx.refuse(
            Problem::at(ca, "tls.client_ca is given, but tls.client_auth is not")
                .help("say client_auth = \"required\" or \"optional\", or remove client_ca"),
        ),
        _ => {}
    }
}
