//! The lint for listeners that other machines can reach: it lists the protections that are off.

use std::net::SocketAddr;

use super::check::Checked;
use super::keys::{self, Limits};
use super::lints::LintName;
use super::reader::SectionReader;
use super::report::Problem;
use super::route::CheckedRoute;

/// The first listen address that is not a loopback address.
pub(super) fn exposed(listen: &[SocketAddr]) -> Option<&SocketAddr> {
    listen.iter().find(|address| !address.ip().is_loopback())
}

/// Warns once, at `listen`, of every protection that is off while other machines can connect. `reader`
/// reads `[server]`.
pub(super) fn lint(reader: &SectionReader<'_>, checked: &Checked<'_>, has_profile: bool) {
    let (Some(open), Some(span)) =
        (exposed(&checked.server.listen), reader.span_of(keys::LISTEN.name))
    else {
        return;
    };
    let limits = missing_limits(checked);
    let by_profile = !has_profile && !limits.is_empty();
    let ban = checked.firewall.ban.is_none().then(|| "firewall.ban".to_owned());
    let missing: Vec<_> = limits.into_iter().chain(ban).collect();
    if missing.is_empty() {
        return;
    }
    let what =
        format!("other machines can reach {open}, and these are not set: {}", missing.join(", "));
    let help = if by_profile {
        "set them, or say profile = \"owasp\" at the top of the file, which sets the limits that \
         the file does not"
    } else {
        "set them: docs/hardening.md has values"
    };
    reader.lint(LintName::ServerUnprotected, Problem::at(span, what).help(help));
}

/// The full names of the recommended limits that are off.
fn missing_limits(checked: &Checked<'_>) -> Vec<String> {
    let named = |is_off: bool, name| is_off.then(|| format!("limits.{name}"));
    let limits = &checked.limits;
    let of_addresses = [
        named(limits.connections_per_ip.is_none(), keys::CONNECTIONS_PER_IP.name),
        named(limits.handshakes_per_ip.is_none(), keys::HANDSHAKES_PER_IP.name),
    ];
    let of_sessions = [
        missing_in_routes(checked, keys::LIMIT_MESSAGES.name, |limits| limits.messages.is_none()),
        missing_in_routes(checked, keys::LIMIT_BYTES.name, |limits| limits.bytes.is_none()),
    ];
    of_addresses.into_iter().flatten().chain(of_sessions.into_iter().flatten()).collect()
}

/// The key in `[limits]` if every route lacks this limit, otherwise the key in each route that lacks it.
fn missing_in_routes(
    checked: &Checked<'_>,
    name: &str,
    is_off: fn(&Limits) -> bool,
) -> Vec<String> {
    let without = checked.routes.iter().filter(|route| is_off(&route.limits));
    let without: Vec<&CheckedRoute<'_>> = without.collect();
    if without.len() == checked.routes.len() {
        return vec![format!("limits.{name}")];
    }
    without.iter().map(|route| format!("routes.{}.limits.{name}", route.name)).collect()
}
