//! The servers of applications: `[upstreams.NAME]`, and the keys of `[routes.NAME]` that list servers or name such a
//! table.

use std::cell::Cell;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::address::check_socket_path;
use super::auth::CheckedAuth;
use super::balance::{Balance, HashKey};
use super::health::{self, HealthCheck, Unhealthy};
use super::keys::{self, Section, UpstreamKeys};
use super::kinds::{Bool, Fault, Integer, Item, Text, ValueKind, Words};
use super::lints::LintName;
use super::lists::ListOf;
use super::load::Loader;
use super::model::{Cluster, ServerBounds, UpstreamAddress, UpstreamServer};
use super::reader::{NAME, NamedTable, Place, SectionReader, check_name, is_name};
use super::report::Problem;
use super::route::Shared;
use super::units::nearest;
use super::{files, reachability};
use crate::tls::{ServerTrust, is_server_name};
use crate::values::{is_host, split_port};

/// The address of a server.
pub(super) const ADDRESS: Text<UpstreamAddress> = Text::new(
    "\"ws://HOST:PORT\", \"wss://HOST:PORT\", \"http://HOST:PORT\", \"https://HOST:PORT\" or \"unix:PATH\"",
    r"^((ws|http)s?://[^/?#@]+|unix:.+)$",
    UpstreamAddress::parse,
);
const WEIGHT: Integer<u16> = Integer::new(1, 1000);
/// The members of a server that is a table.
const MEMBERS: [&str; 3] = ["url", "weight", "backup"];

/// One server: an address, or a table.
pub(super) struct ServerEntry;

/// A list of addresses, or the name of an `[upstreams.NAME]` table.
pub(super) struct ListOrName(pub(super) ListOf<Text<UpstreamAddress>>);

/// The value of `upstream`.
pub(super) enum ListedOrNamed {
    Listed(Vec<UpstreamAddress>),
    Named(String),
}

/// The servers of a route before their files are read.
pub(super) enum CheckedUpstream {
    /// The route's own list.
    Listed(Box<CheckedCluster>),
    /// A table, by its index in the file.
    Named(usize),
}

/// A cluster; its files are not read yet.
pub(super) struct CheckedCluster {
    name: Option<String>,
    servers: Vec<UpstreamServer>,
    balance: Balance,
    dial_timeout: Duration,
    bounds: ServerBounds,
    ca: Option<PathBuf>,
    server_name: Option<String>,
    health: Option<HealthCheck>,
    unhealthy: Unhealthy,
    slow_start: Option<Duration>,
}

/// `[upstreams]`
pub(super) struct Clusters<'a>(Vec<ClusterTable<'a>>);

/// `[upstreams.NAME]`
struct ClusterTable<'a> {
    reader: SectionReader<'a>,
    name: String,
    span: Range<usize>,
    /// `None`: its servers have a fault, which was reported.
    cluster: Option<CheckedCluster>,
    /// Whether a route names it.
    used: Cell<bool>,
}

/// The keys of a cluster in its table.
struct ClusterKeys {
    servers: &'static str,
    ca: &'static str,
    server_name: &'static str,
}

const OF_ROUTE: ClusterKeys = ClusterKeys {
    servers: keys::UPSTREAM.name,
    ca: keys::UPSTREAM_CA.name,
    server_name: keys::UPSTREAM_SERVER_NAME.name,
};
const OF_TABLE: ClusterKeys = ClusterKeys {
    servers: keys::SERVERS.name,
    ca: keys::CLUSTER_CA.name,
    server_name: keys::CLUSTER_SERVER_NAME.name,
};

impl Words for ServerEntry {
    fn words(&self) -> String {
        format!("{}, or a table with `url`, `weight` and `backup`", ADDRESS.words())
    }

    fn schema(&self) -> Json {
        let members = json!({
            "url": ADDRESS.schema(),
            "weight": WEIGHT.schema(),
            "backup": Bool.schema(),
        });
        let table = json!({
            "type": "object",
            "properties": members,
            "required": ["url"],
            "additionalProperties": false,
        });
        json!({ "anyOf": [ADDRESS.schema(), table] })
    }
}

impl ValueKind for ServerEntry {
    type Value = UpstreamServer;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<UpstreamServer> {
        let Some(table) = item.get_ref().as_table() else {
            let address = place.text(item, self, UpstreamAddress::parse)?;
            return Some(UpstreamServer::new(address));
        };
        let mut unknown = false;
        for name in table.keys().filter(|name| !MEMBERS.contains(&name.get_ref().as_ref())) {
            unknown = true;
            let what = format!("{}.{}: there is no such key", place.key, name.get_ref());
            let problem = Problem::at(name.span(), what);
            place.cx.refuse(match nearest(name.get_ref(), MEMBERS.into_iter()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.label(format!("expected one of {}", MEMBERS.join(", "))),
            });
        }
        if !table.contains_key("url") && !unknown {
            return place.refuse(item, self, Fault::new("this table has no `url`"));
        }
        let weight = table.get("weight").map(|item| WEIGHT.read(item, &place.within("weight")));
        let backup = table.get("backup").map(|item| Bool.read(item, &place.within("backup")));
        let address = ADDRESS.read(table.get("url")?, &place.within("url"))?;
        let (weight, backup) = (weight.unwrap_or(Some(1))?, backup.unwrap_or(Some(false))?);
        (!unknown).then_some(UpstreamServer { address, weight, backup })
    }

    fn show(&self, server: &UpstreamServer) -> String {
        format!("\"{}\"", server.address)
    }
}

impl Words for ListOrName {
    fn words(&self) -> String {
        format!("{}; or the name of an [upstreams.NAME] table", self.0.words())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.schema(), { "type": "string", "pattern": NAME }] })
    }
}

impl ValueKind for ListOrName {
    type Value = ListedOrNamed;

    fn read(&self, item: &Item<'_>, place: &Place<'_>) -> Option<ListedOrNamed> {
        match item.get_ref().as_str() {
            Some(text) if is_name(text) => Some(ListedOrNamed::Named(text.to_owned())),
            _ => self.0.read(item, place).map(ListedOrNamed::Listed),
        }
    }
}

impl UpstreamServer {
    fn new(address: UpstreamAddress) -> Self {
        Self { address, weight: 1, backup: false }
    }
}

impl<'a> Clusters<'a> {
    /// The index of the table `name`, if it exists, and the table. Marks it as used.
    fn find(&self, name: &str) -> Option<(usize, &ClusterTable<'a>)> {
        let position = self.0.iter().position(|table| table.name == name)?;
        self.0[position].used.set(true);
        Some((position, &self.0[position]))
    }

    /// Warns of each table that no route names; called after the routes are checked.
    pub(super) fn lint_unused(&self, root: &SectionReader<'_>) {
        for ClusterTable { name, span, .. } in self.0.iter().filter(|table| !table.used.get()) {
            let what = format!("upstreams.{name} is used by no route");
            let help = format!("say upstream = \"{name}\" in a route, or remove the table");
            root.lint(LintName::UpstreamUnused, Problem::at(span.clone(), what).help(help));
        }
    }

    /// Warns of each `max_connections` that [server] never lets a server reach: its own is `most`.
    pub(super) fn lint_bounds(&self, most: usize) {
        let key = keys::CLUSTER_MAX_CONNECTIONS.name;
        for ClusterTable { reader, cluster, .. } in &self.0 {
            let bound = cluster.as_ref().and_then(|cluster| cluster.bounds.max_connections);
            if let Some(bound) = bound.filter(|bound| *bound > most) {
                let what = format!("is {bound}, more than `max_connections` of [server], {most}");
                if let Some(problem) = reader.problem(key, &what) {
                    let help =
                        "no server ever has that many: lower it, or raise the one of [server]";
                    reader.lint(LintName::UpstreamUnreached, problem.help(help));
                }
            }
        }
    }

    /// Reads the files of the tables, in the order of the file; `None` stands for a table with a fault, which was
    /// reported.
    pub(super) fn load(self, listen: &[SocketAddr], loader: &Loader) -> Vec<Option<Arc<Cluster>>> {
        let load = |ClusterTable { reader, cluster, .. }: ClusterTable<'_>| {
            Some(cluster?.load(&reader, &OF_TABLE, listen, loader))
        };
        self.0.into_iter().map(load).collect()
    }
}

/// Checks every `[upstreams.NAME]`.
pub(super) fn check<'a>(reader: &SectionReader<'a>) -> Clusters<'a> {
    Clusters(reader.named_tables(Section::Upstream).into_iter().map(check_one).collect())
}

fn check_one(NamedTable { name, span, reader }: NamedTable<'_>) -> ClusterTable<'_> {
    check_name(&reader, &name, span.clone(), "a table of upstreams");
    let UpstreamKeys {
        servers,
        balance,
        dial_timeout,
        server_name,
        unhealthy,
        slow_start,
        max_connections,
        max_handshakes,
    } = UpstreamKeys::read(&reader);
    let bounds = ServerBounds { max_connections, max_handshakes };
    let ca = reader.get(&keys::CLUSTER_CA);
    let health = health::check(&reader, unhealthy, slow_start, &balance);
    let cluster = servers.map(|servers| {
        let name = Some(name.clone());
        let mut cluster = CheckedCluster {
            name,
            servers,
            balance,
            dial_timeout,
            bounds,
            ca,
            server_name,
            health,
            unhealthy,
            slow_start,
        };
        cluster.check(&reader, &OF_TABLE);
        cluster
    });
    ClusterTable { reader, name, span, cluster, used: Cell::new(false) }
}

/// Checks `upstream` of a route and the keys that belong to its list. Returns `None` after it reported a fault.
pub(super) fn of_route(
    reader: &SectionReader<'_>,
    upstream: Option<ListedOrNamed>,
    auth: Option<&CheckedAuth>,
    clusters: &Clusters<'_>,
) -> Option<CheckedUpstream> {
    let servers = match upstream {
        Some(ListedOrNamed::Named(name)) => return named(reader, &name, auth, clusters),
        Some(ListedOrNamed::Listed(servers)) => Some(servers),
        None => None,
    };
    let dial_timeout = reader.value(&keys::DIAL_TIMEOUT);
    let ca = reader.get(&keys::UPSTREAM_CA);
    let server_name = reader.get(&keys::UPSTREAM_SERVER_NAME);
    let servers = servers?.into_iter().map(UpstreamServer::new).collect();
    let mut cluster = CheckedCluster {
        name: None,
        servers,
        balance: Balance::First,
        dial_timeout,
        bounds: ServerBounds::default(),
        ca,
        server_name,
        health: None,
        unhealthy: Unhealthy::Stop,
        slow_start: None,
    };
    cluster.check(reader, &OF_ROUTE);
    Some(CheckedUpstream::Listed(Box::new(cluster)))
}

/// Checks a route whose `upstream` is the name of a table.
fn named(
    reader: &SectionReader<'_>,
    name: &str,
    auth: Option<&CheckedAuth>,
    clusters: &Clusters<'_>,
) -> Option<CheckedUpstream> {
    for (key, instead) in [
        (OF_ROUTE.ca, OF_TABLE.ca),
        (OF_ROUTE.server_name, OF_TABLE.server_name),
        (keys::DIAL_TIMEOUT.name, keys::CLUSTER_DIAL_TIMEOUT.name),
    ] {
        let problem = reader.problem(key, "is given, but upstream is the name of a table");
        let help = format!("write `{instead}` in [upstreams.{name}]");
        reader.cx.refuse(problem.map(|problem| problem.help(help)));
    }
    let span = reader.span_of(OF_ROUTE.servers)?;
    let Some((position, table)) = clusters.find(name) else {
        refuse_unknown(reader, name, span, clusters);
        return None;
    };
    let balance = table.cluster.as_ref().map(|cluster| &cluster.balance);
    if let (Some(Balance::Hash(HashKey::User)), Some(CheckedAuth::None)) = (balance, auth) {
        let what = format!(
            "{}: upstreams.{name} balances by user, but auth is \"none\"",
            reader.key(OF_ROUTE.servers)
        );
        let problem = Problem::at(span, what)
            .label("no client of this route has a user")
            .help("give the name of a [jwt.NAME] table in `auth`, or say balance = \"hash:ip\"");
        reader.cx.refuse(problem.related(reader.span_of(keys::AUTH.name), "anybody may connect"));
    }
    Some(CheckedUpstream::Named(position))
}

fn refuse_unknown(
    reader: &SectionReader<'_>,
    name: &str,
    span: Range<usize>,
    clusters: &Clusters<'_>,
) {
    let what = format!("{}: there is no [upstreams.{name}]", reader.key(OF_ROUTE.servers));
    let known = clusters.0.iter().map(|table| table.name.as_str());
    let help = match nearest(name, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => {
            format!("write an [upstreams.{name}] table, or a list such as [\"ws://{name}:80\"]")
        }
    };
    reader.cx.refuse(Problem::at(span, what).help(help));
}

impl CheckedUpstream {
    /// Reads the files of a route's own list. Returns `None` for a table with a fault, which was reported.
    pub(super) fn load(
        self,
        reader: &SectionReader<'_>,
        shared: &Shared<'_>,
        loader: &Loader,
    ) -> Option<Arc<Cluster>> {
        match self {
            Self::Named(position) => shared.clusters.get(position)?.clone(),
            Self::Listed(cluster) => Some(cluster.load(reader, &OF_ROUTE, shared.listen, loader)),
        }
    }
}

impl CheckedCluster {
    /// Checks the servers, and resolves the paths of unix sockets against the configuration's folder.
    fn check(&mut self, reader: &SectionReader<'_>, keys: &ClusterKeys) {
        for server in &mut self.servers {
            if let UpstreamAddress::Unix(path) = &mut server.address {
                *path = reader.cx.base.join(&*path);
            }
        }
        let servers = reader.entries(keys.servers, &self.servers);
        for (index, server) in servers.iter().enumerate() {
            let UpstreamServer { address, .. } = server.get_ref();
            if let UpstreamAddress::Unix(path) = address {
                let fits = check_socket_path(path);
                reader.accept(keys.servers, server.span(), fits);
            }
            let same = servers[..index].iter().find(|other| other.get_ref().address == *address);
            if let Some(same) = same {
                let what = format!("{}: \"{address}\" is said twice", reader.key(keys.servers));
                let problem = Problem::at(server.span(), what);
                let problem = problem.related(same.span(), "first said here");
                reader.cx.refuse(problem.help("remove one of the two"));
            }
        }
        if self.servers.iter().all(|server| server.backup) {
            let what = "has backup servers alone";
            reader.cx.refuse(reader.problem(keys.servers, what).map(|problem| {
                problem.help("backup servers stand in for others: remove `backup` from one")
            }));
        }
        if !self.servers.iter().any(is_secure) {
            for name in [keys.ca, keys.server_name] {
                refuse_idle(reader, name);
            }
        }
    }

    /// Reads the files.
    fn load(
        self,
        reader: &SectionReader<'_>,
        keys: &ClusterKeys,
        listen: &[SocketAddr],
        loader: &Loader,
    ) -> Arc<Cluster> {
        reachability::lint(reader, keys.servers, &self.servers, listen, loader.looks_up);
        let Self {
            name,
            servers,
            balance,
            dial_timeout,
            bounds,
            ca,
            server_name,
            health,
            unhealthy,
            slow_start,
        } = self;
        let trust = load_trust(reader, keys, ca, &servers, loader);
        Arc::new(Cluster {
            name,
            servers,
            balance,
            dial_timeout,
            bounds,
            trust,
            server_name,
            health,
            unhealthy,
            slow_start,
        })
    }
}

fn is_secure(server: &UpstreamServer) -> bool {
    matches!(server.address, UpstreamAddress::Wss { .. })
}

/// Loads the certificates of `ca`, or the roots of the system, if a server is `wss://`. Returns `None` otherwise,
/// or after it reported a fault.
fn load_trust(
    reader: &SectionReader<'_>,
    keys: &ClusterKeys,
    ca: Option<PathBuf>,
    servers: &[UpstreamServer],
    loader: &Loader,
) -> Option<ServerTrust> {
    let entries = reader.entries(keys.servers, servers);
    let secure = entries.iter().find(|one| is_secure(one.get_ref()))?;
    match ca {
        Some(path) => loader.read(reader, keys.ca, &path, files::read_trusted),
        None if reader.span_of(keys.ca).is_some() => None,
        None => {
            let roots = loader.system_roots(reader, secure.span(), "this upstream", keys.ca);
            roots.map(ServerTrust::from)
        }
    }
}

fn refuse_idle(reader: &SectionReader<'_>, name: &str) {
    let problem = reader.problem(name, "is given, but no upstream is wss://");
    reader.cx.refuse(problem.map(|problem| {
        problem
            .label("nothing would be verified with it")
            .help("remove it, or write the upstream with wss://")
    }));
}

/// Reads the name of a TLS server: a DNS name or an address, without a port.
pub(super) fn parse_server_name(text: &str) -> Result<String, Fault> {
    if let Some((host, Some(_))) = split_port(text) {
        let fault = Fault::new(format!("\"{text}\" has a port"));
        return Err(fault.help(format!("certificates name hosts without a port: \"{host}\"")));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if text.contains('*') || !is_server_name(bare) {
        let fault = Fault::new(format!("\"{text}\" is not the name of a TLS server"));
        return Err(fault.help("write one of the names in the upstream's certificate"));
    }
    Ok(bare.to_ascii_lowercase())
}

/// Reads a Host header: `HOST` or `HOST:PORT`.
pub(super) fn parse_upstream_host(text: &str) -> Result<String, Fault> {
    let host = split_port(text).filter(|(host, port)| is_host(host) && *port != Some(0));
    host.map(|_| text.to_ascii_lowercase()).ok_or_else(|| {
        let fault = Fault::new(format!("\"{text}\" is not a host, or a host and a port"));
        fault.help("write it without a scheme and a path, as in \"app.example.com:8080\"")
    })
}

#[cfg(test)]
mod tests {
    use super::{parse_server_name, parse_upstream_host};

    #[test]
    fn a_server_name_is_a_name_or_an_address() {
        for (text, name) in [
            ("App.Example.com", "app.example.com"),
            ("app_1.internal", "app_1.internal"),
            ("127.0.0.1", "127.0.0.1"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(parse_server_name(text).as_deref(), Ok(name));
        }
        for text in
            ["", "a b", "*.example.com", "app:8443", "[::1]:443", "https://app", "a..b", "ä"]
        {
            assert!(parse_server_name(text).is_err(), "{text}");
        }
        let help = parse_server_name("app:8443").unwrap_err().help.unwrap();
        assert!(help.ends_with("\"app\""), "{help}");
    }

    #[test]
    fn a_host_may_have_a_port() {
        for text in ["app.example.com", "app:8080", "127.0.0.1:1", "[::1]:65535"] {
            assert_eq!(parse_upstream_host(text).unwrap(), text);
        }
        for text in
            ["", "app:", "app:0", "app:65536", "::1", "http://app", "app/ws", "a b", "a\r\nb"]
        {
            assert!(parse_upstream_host(text).is_err(), "{text}");
        }
    }
}
