//! `[upstreams.NAME]`

use std::time::Duration;

use super::{HOUR, SHORTEST, Section, secs};
use crate::config::balance::Balance;
use crate::config::cluster::{ServerEntry, parse_server_name};
use crate::config::health::Unhealthy;
use crate::config::kinds::{Choice, File, Integer, OrOff, Text, Time};
use crate::config::lists::{ListOf, Subtable};
use crate::config::model::UpstreamServer;

section! {
    /// The keys of `[upstreams.NAME]`, before its files are read.
    pub(in crate::config) struct UpstreamKeys {} Upstream upstream_rows;

    SERVERS servers: Option<Vec<UpstreamServer>> = ListOf<ServerEntry>,
        ListOf::never_empty(ServerEntry, "name at least one server, such as \"ws://10.0.0.5:8765\""),
        Needed("write servers = [\"ws://10.0.0.5:8765\"], with the addresses of your application"),
        "The servers of the application: addresses as in `routes.NAME.upstream`, or tables. A server with \
         `weight = 2` (1 to 1000, default 1) gets twice the load of one with 1; one with `backup = true` is tried \
         only after all others. Each address of a name counts as a server.";
    BALANCE balance: Balance = Text<Balance>,
        Text::new("\"least\", \"random\", \"first\", \"hash:ip\", \"hash:user\", \"hash:cookie:NAME\", \
            \"hash:query:NAME\" or \"hash:header:NAME\"",
            r"^(least|random|first|hash:(ip|user|(cookie|query|header):.+))$", Balance::parse),
        Value(Balance::Least),
        "Which server a session or a plain request goes to: the one with the fewest sessions and requests for its \
         weight, the better of two random ones, the first in the list, or one that depends on a hash alone: of the \
         client's address, the verified user, a cookie, a query parameter or a header field. See \
         [upstreams.md](upstreams.md).";
    CLUSTER_DIAL_TIMEOUT dial_timeout: Duration = Time, Time { min: SHORTEST, max: secs(60) }, Value(secs(1)),
        "How long name resolution, TCP and TLS of a server may take together before the next one is tried. The \
         last one that is left has at least 5 s.";
    CLUSTER_MAX_CONNECTIONS max_connections: Option<usize> = OrOff<Integer<usize>>,
        OrOff(Integer::new(1, 10_000_000)), Value(None),
        "The most sessions and plain requests of each server at once. Further ones go to another server or wait for a \
         place. See [upstreams.md](upstreams.md#a-reconnect-storm).";
    MAX_HANDSHAKES max_handshakes: Option<usize> = OrOff<Integer<usize>>,
        OrOff(Integer::new(1, 1_000_000)), Value(None),
        "The most WebSocket handshakes in flight to each server, from the connection attempt to the answer. Further \
         ones go to another server or wait. Plain requests do not count.";
    CLUSTER_CA ca = File, File, Omittable("the root certificates of the system"),
        "PEM file of the root certificates for wss:// servers, as `routes.NAME.upstream_ca`.";
    CLUSTER_SERVER_NAME server_name: Option<String> = Text<String>,
        Text::new("a host name or address such as \"app.example.com\"", r"^[^*/\s]+$", parse_server_name),
        Omittable("the host of the server"),
        "The server name sent to wss:// servers, as `routes.NAME.upstream_server_name`.";
    HEALTH health = Subtable, Subtable(Section::Health),
        Omittable("failed connections and handshakes of clients alone mark a server as down"),
        "Checks each server at an interval. See [upstreams.md](upstreams.md#health-checks).";
    UNHEALTHY unhealthy: Unhealthy = Choice<Unhealthy>,
        Choice::of(&[("stop", Unhealthy::Stop), ("drain", Unhealthy::Drain)]), Value(Unhealthy::Stop),
        "What happens to the open sessions of a server that its check marks as down. `stop`: they stay open, and \
         new ones go to other servers. `drain`: they are ended too, spread over time.";
    SLOW_START slow_start: Option<Duration> = OrOff<Time>, OrOff(Time { min: secs(1), max: HOUR }), Value(None),
        "How long the weight of a server that came up, or was added, grows from a tenth to the whole. Only with \
         the balances `least` and `random`.";
}
