//! Lints of certificates: validity periods, and coverage of the hosts of routes.

use std::ops::Range;

use x509_parser::parse_x509_certificate;

use super::host::HostPattern;
use super::keys;
use super::lints::LintName;
use super::reader::SectionReader;
use super::report::Problem;
use crate::tls::{ServerCertificate, ServerSettings};
use crate::values::UnixTime;

/// The time before expiry at which a certificate is reported, in seconds: 14 days leave room to repeat
/// a renewal that failed once.
const SOON: i64 = 14 * 24 * 3600;

/// Warns if a certificate of a chain has expired, expires soon, or is not valid yet.
pub(super) fn lint_validity(
    reader: &SectionReader<'_>,
    span: Range<usize>,
    certificate: &ServerCertificate,
) {
    let now = now();
    let validity = certificate.chain().filter_map(validity);
    let (from, until) = validity.fold((i64::MIN, i64::MAX), |(from, until), (start, end)| {
        (from.max(start), until.min(end))
    });
    let path = certificate.file.display();
    let (name, what) = if now < from {
        (LintName::CertificateExpired, format!("is valid from {} on", moment(from)))
    } else if now > until {
        (LintName::CertificateExpired, format!("expired on {}", moment(until)))
    } else if until.saturating_sub(now) < SOON {
        (LintName::CertificateExpiring, format!("expires on {}", moment(until)))
    } else {
        return;
    };
    let problem = Problem::at(span, format!("the certificate {path} {what}"));
    let problem = if name == LintName::CertificateExpiring {
        problem.help("renew it, then reload the gateway")
    } else {
        problem
            .label("clients refuse the connection")
            .help("renew it, then reload the gateway; or check this machine's clock with `date`")
    };
    reader.lint(name, problem);
}

/// Warns of each host of a route that no certificate covers.
pub(super) fn lint_hosts(
    reader: &SectionReader<'_>,
    hosts: &[HostPattern],
    tls: Option<&ServerSettings>,
) {
    // A TLS section without certificates has already been refused.
    let Some(tls) = tls.filter(|tls| !tls.certificates.is_empty()) else {
        return;
    };
    for host in reader.entries(keys::HOST.name, hosts) {
        let name = host.get_ref().to_string();
        if !tls.certificates.iter().any(|certificate| certificate.is_valid_for(&name)) {
            reader.lint(
                LintName::CertificateHost,
                Problem::at(host.span(), format!("no certificate is valid for {name}"))
                    .label("clients get the first certificate, and refuse it")
                    .help("add the certificate of this host to `certificates` under [tls]"),
            );
        }
    }
}

/// `notBefore` and `notAfter` of a certificate, in seconds since 1970.
fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn now() -> i64 {
    i64::try_from(UnixTime::now().seconds()).unwrap_or(i64::MAX)
}

fn moment(seconds: i64) -> UnixTime {
    UnixTime::at(u64::try_from(seconds).unwrap_or(0))
}
