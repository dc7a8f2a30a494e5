//! The table of lints: valid but unsafe choices, by the names that `allow` acknowledges.

use std::fmt;

use super::kinds::Fault;
use super::report::Problem;
use super::units::nearest;

macro_rules! lints {
    ($($variant:ident $name:literal $meaning:literal;)*) => {
        /// The subject of a lint. Each row of the table declares one variant.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum LintName {
            $(#[doc = $meaning] $variant,)*
        }

        impl LintName {
            /// All lints, in the order of the reference.
            pub const ALL: &'static [LintName] = &[$(LintName::$variant,)*];

            /// The name that `allow` takes and that messages show.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The description of the choice that the lint warns of.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }
        }
    };
}

lints! {
    ServerUnprotected "server.unprotected" "Other machines can reach an address for which limits or bans are not set.";
    ServerTrustsAll "server.trusts_all" "`trusted_proxies` has every address in it.";
    TlsOff "tls.off" "TLS is off on an address that other machines can reach.";
    SecretReadable "secret.readable" "Other users of the machine can read a private key or a secret.";
    CertificateExpired "certificate.expired" "A certificate is not valid at present: clients refuse the connection.";
    CertificateExpiring "certificate.expiring" "A certificate expires within 14 days.";
    CertificateHost "certificate.host" "No certificate is valid for a host of a route.";
    FirewallAll "firewall.all" "A list of the firewall has every address in it.";
    FirewallProxy "firewall.proxy" "The firewall denies a trusted proxy.";
    FirewallReport "firewall.report" "The firewall reports and lets through.";
    BanExemptsAll "ban.exempts_all" "`firewall.ban.exempt` has every address in it.";
    LimitsReport "limits.report" "Limits report and let through.";
    LimitsNoUser "limits.no_user" "A limit counts users, and no token says who the user is.";
    TokenQuery "token.query" "A token is taken from the query of the request.";
    JwtUnused "jwt.unused" "No route uses an issuer.";
    JwtInsecure "jwt.insecure" "The keys of an issuer come over http:// from another machine.";
    JwtAnyIssuer "jwt.any_issuer" "`issuer` is not given.";
    JwtAnyAudience "jwt.any_audience" "`audience` is not given.";
    JwtOutlived "jwt.outlived" "Sessions stay open when their token expires.";
    AuthNone "auth.none" "A route admits clients without a token.";
    MessagesNever "messages.never" "A pattern of `deny_patterns` matches no message.";
    MessagesRepeated "messages.repeated" "Two patterns of `deny_patterns` match the same texts.";
    MessagesUnlisted "messages.unlisted" "Messages of any type pass, on a route that admits clients without a token or on an address that other machines can reach.";
    MessagesNoBans "messages.no_bans" "`strike` is set, and no `[firewall.ban]` counts strikes.";
    MessagesSchemaUnused "messages.schema_unused" "No route uses a JSON Schema in a folder of schemas. Only `framewall check` reads the folders.";
    PathBare "path.bare" "`/ws/*` leaves `/ws` itself without a route.";
    OriginsShared "origins.shared" "A listed origin is shared by pages of others: `null`, an empty one or `file://`.";
    OriginsAny "origins.any" "Every web page may connect.";
    UpstreamUnreached "upstream.unreached" "`max_connections` of a server is larger than that of `[server]`.";
    UpstreamUnused "upstream.unused" "No route uses a table of upstreams.";
    UpstreamSelf "upstream.self" "An upstream is an address that the gateway itself listens on.";
    UpstreamName "upstream.name" "The name of an upstream does not resolve. Only `framewall check` looks it up.";
}

impl LintName {
    /// The names of all lints.
    pub(super) fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|lint| lint.name()).collect()
    }

    /// Reads the name of a lint in `allow`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let known = || Self::ALL.iter().copied();
        if let Some(lint) = known().find(|lint| lint.name() == text) {
            return Ok(lint);
        }
        let fault = Fault::new(format!("\"{text}\" is the name of no lint"));
        Err(match nearest(text, known().map(Self::name)) {
            Some(near) => fault.help(format!("did you mean \"{near}\"?")),
            None => fault.help("docs/configuration.md lists them under \"Lints\""),
        })
    }
}

impl fmt::Display for LintName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A reported lint, and the table that caused it.
#[derive(Debug)]
pub(super) struct FoundLint {
    pub(super) name: LintName,
    /// The path of the table, as in `routes.chat.limits`; empty for the file itself.
    pub(super) table: String,
    pub(super) problem: Problem,
}

/// The lints that `allow` acknowledges, each for one table and its subtables.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Vec<(LintName, String)>);

impl Acknowledged {
    /// Adds the names in the `allow` of the table at this path.
    pub(super) fn add(&mut self, names: Vec<LintName>, table: &str) {
        self.0.extend(names.into_iter().map(|name| (name, table.to_owned())));
    }

    /// The lints that no `allow` acknowledges.
    pub(super) fn rest(&self, found: Vec<FoundLint>) -> Vec<(LintName, Problem)> {
        let rest = found.into_iter().filter(|found| !self.covers(found));
        rest.map(|found| (found.name, found.problem)).collect()
    }

    fn covers(&self, found: &FoundLint) -> bool {
        self.0.iter().any(|(name, table)| {
            let below = found.table.strip_prefix(table.as_str());
            *name == found.name
                && below.is_some_and(|rest| {
                    table.is_empty() || rest.is_empty() || rest.starts_with('.')
                })
        })
    }
}
