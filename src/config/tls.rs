//! `[tls]`

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::certificates;
use super::exposure::exposed;
use super::files;
use super::keys::{self, Demand, Section};
use super::kinds::Fault;
use super::lints::LintName;
use super::reader::Reader;
use super::report::Problem;
use crate::tls::{ClientAuth, Roots, ServerCertificate, ServerSettings};

const NO_CERTIFICATES: &str = "make a development certificate with `framewall cert new` and write \
    certificates = [{ cert = \"certs/dev.pem\", key = \"certs/dev.key\" }] under [tls], or say \
    mode = \"off\" to speak plain HTTP";

/// Reads `[tls]`; `None` is `mode = "off"`. What is wrong was reported if the result is not whole.
pub(super) fn read(reader: &Reader<'_>, listen: &[SocketAddr]) -> Option<ServerSettings> {
    let mode = reader.get(&keys::TLS_MODE);
    // A mode that is neither on nor off was reported; whether certificates are missing is then
    // not known.
    if mode.is_some() || reader.span_of(keys::TLS_MODE.name).is_none() {
        let off = mode.filter(|mode| !mode.get_ref());
        if let Some(mode) = off {
            refuse_with_mode_off(reader, &mode.span());
            lint_plain(reader, mode.span(), listen);
            return None;
        }
        reader.demand(keys::CERTIFICATES.name, NO_CERTIFICATES);
    }
    Some(ServerSettings {
        certificates: certificates(reader),
        min_version: reader.value(&keys::MIN_VERSION),
        client_auth: client_auth(reader),
    })
}

fn refuse_with_mode_off(reader: &Reader<'_>, mode: &Range<usize>) {
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

fn lint_plain(reader: &Reader<'_>, span: Range<usize>, listen: &[SocketAddr]) {
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

fn certificates(reader: &Reader<'_>) -> Vec<ServerCertificate> {
    let entries = reader.tables(&keys::CERTIFICATES);
    entries.iter().filter_map(certificate).collect()
}

fn certificate(reader: &Reader<'_>) -> Option<ServerCertificate> {
    let cert = reader.required(&keys::CERT);
    let key = reader.required(&keys::CERT_KEY);
    let chain = cert.as_ref().and_then(|path| load(reader, "cert", path, files::read_chain));
    let secret = key.as_ref().and_then(|path| load(reader, "key", path, files::read_key));
    let (cert, chain, key, secret) = (cert?, chain?, key?, secret?);
    lint_readable(reader, key.span(), "private key", key.get_ref());
    let span = cert.span();
    let certify = |path: &Path| files::certify(cert.into_inner(), chain, secret, path);
    let certificate = load(reader, "key", &key, certify)?;
    certificates::lint_validity(reader, span, &certificate);
    Some(certificate)
}

/// What `read` makes of the file at a place of the configuration; a fault is reported there. The file
/// is one of those that the configuration was read from.
pub(super) fn load<T>(
    reader: &Reader<'_>,
    name: &str,
    path: &Spanned<PathBuf>,
    read: impl FnOnce(&Path) -> Result<T, Fault>,
) -> Option<T> {
    reader.cx.reads(path.get_ref());
    check(reader, name, path, read)
}

/// What `read` makes of a path at a place of the configuration; a fault is reported there.
pub(super) fn check<T>(
    reader: &Reader<'_>,
    name: &str,
    path: &Spanned<PathBuf>,
    read: impl FnOnce(&Path) -> Result<T, Fault>,
) -> Option<T> {
    let refuse = |fault: Fault| reader.refuse(name, path.span(), fault);
    read(path.get_ref()).map_err(refuse).ok()
}

/// Warns of a file with a secret in it that others than its owner may read.
pub(super) fn lint_readable(reader: &Reader<'_>, span: Range<usize>, what: &str, path: &Path) {
    if files::others_may_read(path) {
        let path = path.display();
        reader.lint(
            LintName::SecretReadable,
            Problem::at(span, format!("the {what} {path} can be read by other users"))
                .help(format!("chmod 600 {path}")),
        );
    }
}

/// The system's roots; that there are none is reported at `span`, where `whom` would be verified.
pub(super) fn system_roots(
    reader: &Reader<'_>,
    span: Range<usize>,
    whom: &str,
    instead: &str,
) -> Option<Roots> {
    match reader.cx.system_roots.get_or_init(Roots::system) {
        Ok(roots) => Some(roots.clone()),
        Err(reason) => {
            let what = format!("the system has no roots to verify {whom} with{reason}");
            let help = format!("install the system's CA certificates, or give {instead}");
            reader.cx.refuse(Problem::at(span, what).help(help));
            None
        }
    }
}

fn client_auth(reader: &Reader<'_>) -> ClientAuth {
    let demand = reader.get(&keys::CLIENT_AUTH);
    let ca = reader.get(&keys::CLIENT_CA);
    check_client_ca(reader, demand.as_ref());
    let roots = ca.and_then(|path| load(reader, keys::CLIENT_CA.name, &path, files::read_roots));
    let demand = demand.map_or(keys::CLIENT_AUTH.absent.0, Spanned::into_inner);
    let roots = roots.unwrap_or_else(Roots::empty);
    match demand {
        Demand::Off => ClientAuth::Off,
        Demand::Optional => ClientAuth::Optional(roots),
        Demand::Required => ClientAuth::Required(roots),
    }
}

fn check_client_ca(reader: &Reader<'_>, demand: Option<&Spanned<Demand>>) {
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
