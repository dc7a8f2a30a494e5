//! The second step: checks the syntax tree and produces typed values. This step reads no file, resolves
//! no name and reads no clock, so that its result for a file is the same on every machine.

use super::cluster::{self, Clusters};
use super::firewall::CheckedFirewall;
use super::jwt::Issuers;
use super::keys::{self, Admin, Limits, Log, Server, WebSocket};
use super::profile::{self, Base};
use super::reader::SectionReader;
use super::route::CheckedRoute;
use super::tls::CheckedTls;
use super::{admin, ban, exposure, firewall, jwt, limits, log, route, server, tls};

/// The checked sections of a file; the files that they name are not read yet. A field is missing if its
/// value had a fault; the fault was reported.
pub(super) struct Checked<'a> {
    pub(super) server: Server,
    pub(super) tls: Option<CheckedTls<'a>>,
    pub(super) routes: Vec<CheckedRoute<'a>>,
    pub(super) log: Log,
    pub(super) issuers: Issuers<'a>,
    pub(super) clusters: Clusters<'a>,
    pub(super) admin: Admin,
    pub(super) firewall: CheckedFirewall<'a>,
    pub(super) limits: Limits,
}

/// Checks the whole file.
pub(super) fn check<'a>(root: &SectionReader<'a>) -> Checked<'a> {
    root.demand(keys::ROUTES.name, keys::ROUTES.absent.0);
    root.acknowledge(&keys::FILE_ALLOW);
    let defaults = profile::check(root);
    let listener = root.table(&keys::SERVER);
    let server = server::check(&listener);
    let tls = tls::check(root.table(&keys::TLS), &server.listen);
    if tls.is_none() {
        server::refuse_redirect(&listener);
    }
    let websocket = WebSocket::over(&defaults.websocket, &root.table(&keys::WEBSOCKET));
    let limits_table = root.table(&keys::LIMITS);
    let limits = limits::check(&limits_table, &defaults.limits);
    let base = Base { websocket, limits, ..defaults };
    let issuers = jwt::check(&root.table(&keys::JWT));
    let clusters = cluster::check(&root.table(&keys::UPSTREAMS));
    let routes = route::check(&root.table(&keys::ROUTES), &base, &issuers, &clusters);
    limits::check_used(&limits_table, &base.limits, &routes);
    let log = log::check(&root.table(&keys::LOG));
    let admin = admin::check(&root.table(&keys::ADMIN));
    issuers.lint_unused(root);
    clusters.lint_unused(root);
    clusters.lint_bounds(server.max_connections);
    let firewall = firewall::check(root.table(&keys::FIREWALL));
    ban::check_file(root, firewall.ban.as_ref(), &admin);
    let limits = base.limits.values;
    let mut checked =
        Checked { server, tls, routes, log, issuers, clusters, admin, firewall, limits };
    exposure::lint(&listener, &checked, base.profile.is_some());
    let open = exposure::exposed(&checked.server.listen);
    for route in &checked.routes {
        route.lint_messages(open, checked.firewall.ban.is_some());
    }
    // Last: the checks above see only the values that the file or its profile gives, not derived ones.
    let most = checked.server.max_connections;
    checked.limits = limits::bound_addresses(&limits_table, checked.limits, most);
    checked
}
