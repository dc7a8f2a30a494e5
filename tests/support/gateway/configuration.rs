//! What a gateway is started with, and the configuration file that this comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::super::certificates::Authority;

/// What a gateway is started with. TLS is on, and the route `app` is `/ws` and below.
#[derive(Debug, Clone)]
pub struct Builder {
    upstreams: Vec<SocketAddr>,
    pub(super) tls: bool,
    path: String,
    pub(super) names: Vec<Vec<&'static str>>,
    server: String,
    websocket: String,
    route: String,
    tls_lines: String,
    more: String,
    auth: String,
    pairs: Option<String>,
    pub(super) prepare: Option<Prepare>,
    pub(super) admin: Option<String>,
    pub(super) watch: bool,
    pub(super) program: Option<String>,
    listen: String,
    whole: Option<String>,
    pub(super) environment: BTreeMap<String, String>,
}

/// Writes further files into the gateway's folder before it starts.
pub type Prepare = fn(&Path, &Authority);

impl Builder {
    pub(super) fn new(upstreams: &[SocketAddr]) -> Self {
        Self {
            upstreams: upstreams.to_vec(),
            tls: true,
            path: "/ws".to_owned(),
            names: vec![vec!["localhost", "127.0.0.1"]],
            server: String::new(),
            websocket: String::new(),
            route: String::new(),
            tls_lines: String::new(),
            more: String::new(),
            auth: "\"none\"".to_owned(),
            pairs: None,
            prepare: None,
            admin: None,
            watch: false,
            program: None,
            listen: "\"127.0.0.1:0\"".to_owned(),
            whole: None,
            environment: BTreeMap::new(),
        }
    }

    /// The applications, instead of those it was made for.
    pub fn upstreams(mut self, upstreams: &[SocketAddr]) -> Self {
        self.upstreams = upstreams.to_vec();
        self
    }

    /// The addresses to listen on, as a list has them; `"127.0.0.1:0"` if not said.
    pub fn listen(mut self, addresses: &str) -> Self {
        addresses.clone_into(&mut self.listen);
        self
    }

    /// The route's authentication, "none" if not said.
    pub fn auth(mut self, name: &str) -> Self {
        self.auth = format!("\"{name}\"");
        self
    }

    /// The route's authentication by several issuers.
    pub fn auth_list(mut self, names: &[&str]) -> Self {
        self.auth = format!("{names:?}");
        self
    }

    /// Lines of `[tls]`.
    pub fn tls(mut self, lines: &str) -> Self {
        writeln!(self.tls_lines, "{lines}").unwrap();
        self
    }

    /// The certificates, instead of those for names: pairs of `cert` and `key`.
    pub fn certificates(mut self, pairs: &str) -> Self {
        self.pairs = Some(pairs.to_owned());
        self
    }

    /// Writes files that the configuration names, such as further certificates.
    pub fn prepare(mut self, prepare: Prepare) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// `--admin-socket`, relative to the gateway's folder.
    pub fn admin(mut self, path: &str) -> Self {
        self.admin = Some(path.to_owned());
        self
    }

    /// A link in its folder by which the program is started.
    pub fn program(mut self, name: &str) -> Self {
        self.program = Some(name.to_owned());
        self
    }

    /// `--watch`.
    pub fn watched(mut self) -> Self {
        self.watch = true;
        self
    }

    /// The names of a further certificate; the first one has `localhost` and `127.0.0.1`.
    pub fn certificate(mut self, names: &[&'static str]) -> Self {
        self.names.push(names.to_vec());
        self
    }

    /// The gateway listens without TLS.
    pub fn plain(mut self) -> Self {
        self.tls = false;
        self
    }

    /// The route's path, `/ws` if not said.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Lines of `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        writeln!(self.server, "{lines}").unwrap();
        self
    }

    /// Lines of `[websocket]`.
    pub fn websocket(mut self, lines: &str) -> Self {
        writeln!(self.websocket, "{lines}").unwrap();
        self
    }

    /// Lines of `[routes.app]`.
    pub fn route(mut self, lines: &str) -> Self {
        writeln!(self.route, "{lines}").unwrap();
        self
    }

    /// Whole tables, such as further routes.
    pub fn more(mut self, tables: &str) -> Self {
        writeln!(self.more, "{tables}").unwrap();
        self
    }

    /// This configuration, and the log, instead of everything else. Its certificate is `site0`.
    pub fn whole(mut self, text: &str) -> Self {
        self.whole = Some(text.to_owned());
        self
    }

    /// A variable of the gateway's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn toml(&self) -> String {
        let log =
            "[log]\nformat = \"json\"\nfile = \"framewall.log\"\nerror_file = \"errors.log\"\n";
        if let Some(whole) = &self.whole {
            return format!("{whole}\n{log}");
        }
        let tls = if self.tls {
            let pair =
                |index| format!("{{ cert = \"site{index}.pem\", key = \"site{index}.key\" }}");
            let pairs: Vec<_> = (0..self.names.len()).map(pair).collect();
            let pairs = self.pairs.clone().unwrap_or_else(|| pairs.join(", "));
            format!("certificates = [{pairs}]")
        } else {
            "mode = \"off\"".to_owned()
        };
        let upstreams: Vec<_> = self.upstreams.iter().map(|at| format!("\"ws://{at}\"")).collect();
        let Self { listen, server, websocket, route, more, path, tls_lines, auth, .. } = self;
        format!(
            "[server]\nlisten = [{listen}]\n{server}\n\
             [tls]\n{tls}\n{tls_lines}\n\
             [websocket]\n{websocket}\n\
             [routes.app]\npath = \"{path}\"\nupstream = [{}]\nauth = {auth}\n{route}\n\
             {log}\n{more}\n",
            upstreams.join(", ")
        )
    }
}
