//! Lints of upstreams: addresses of the gateway itself, and names that do not resolve.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use super::lints::LintName;
use super::model::{UpstreamAddress, UpstreamServer};
use super::reader::SectionReader;
use super::report::Problem;

/// The timeout for resolving one name.
const LOOK_UP: Duration = Duration::from_secs(5);

/// Warns of the servers in the list `key` that are an address of `listen` and, if `looks_up` is set, of names that do not
/// resolve.
pub(super) fn lint(
    reader: &SectionReader<'_>,
    key: &str,
    servers: &[UpstreamServer],
    listen: &[SocketAddr],
    looks_up: bool,
) {
    for server in reader.entries(key, servers) {
        let upstream = &server.get_ref().address;
        let (UpstreamAddress::Ws { host, port } | UpstreamAddress::Wss { host, port }) = upstream
        else {
            continue;
        };
        let addresses = match literal(host) {
            Some(address) => vec![address],
            None if !looks_up => continue,
            None => match resolve(host, *port) {
                Ok(addresses) => addresses,
                Err(reason) => {
                    let what = format!("the upstream {upstream} does not resolve: {reason}");
                    let help = "correct the name, or the name service of this machine; its sessions get \
                                upstream.unavailable";
                    reader
                        .lint(LintName::UpstreamName, Problem::at(server.span(), what).help(help));
                    continue;
                }
            },
        };
        if let Some(own) = listen.iter().find(|own| is_own(own, &addresses, *port)) {
            let what =
                format!("the upstream {upstream} is the gateway itself, which listens on {own}");
            let problem = Problem::at(server.span(), what)
                .label("each request would come back until max_connections is reached")
                .help("write the address of the application");
            reader.lint(LintName::UpstreamSelf, problem);
        }
    }
}

/// The address of a host that needs no lookup: an IP address, or `localhost`.
fn literal(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::from([127, 0, 0, 1]));
    }
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Whether a connection to one of `addresses` at `port` reaches the listener `own`.
fn is_own(own: &SocketAddr, addresses: &[IpAddr], port: u16) -> bool {
    // Port 0 binds a free port, which no configuration can name.
    port != 0
        && own.port() == port
        && addresses.iter().any(|address| {
            own.ip().to_canonical() == *address || (own.ip().is_unspecified() && is_local(*address))
        })
}

/// Whether `address` belongs to this machine: only local addresses can be bound.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

/// Resolves a name within [`LOOK_UP`]. The resolver of the system cannot be interrupted, so each lookup
/// runs in a thread of its own, which ends with the lookup or with the process.
fn resolve(host: &str, port: u16) -> Result<Vec<IpAddr>, String> {
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    std::thread::spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs();
        // The receiver is gone after a timeout.
        let _ = sender.send(found.map(|all| all.map(|one| one.ip().to_canonical()).collect()));
    });
    match receiver.recv_timeout(LOOK_UP) {
        Ok(found) => found.map_err(|error: std::io::Error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", LOOK_UP.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::{is_own, literal};

    #[test]
    fn the_gateways_own_addresses_are_recognized() {
        for (own, host, port, expected) in [
            ("127.0.0.1:8443", "127.0.0.1", 8443, true),
            ("127.0.0.1:8443", "localhost", 8443, true),
            ("0.0.0.0:8443", "127.0.0.1", 8443, true),
            ("0.0.0.0:8443", "127.0.0.7", 8443, true),
            ("[::]:8443", "::1", 8443, true),
            ("[::]:8443", "::ffff:127.0.0.1", 8443, true),
            ("192.0.2.1:8443", "192.0.2.1", 8443, true),
            ("127.0.0.1:8443", "127.0.0.1", 8765, false),
            ("192.0.2.1:8443", "127.0.0.1", 8443, false),
            // Not an address of this machine (RFC 5737).
            ("0.0.0.0:8443", "192.0.2.1", 8443, false),
            ("127.0.0.1:0", "127.0.0.1", 0, false),
        ] {
            let own: SocketAddr = own.parse().unwrap();
            let address: IpAddr = literal(host).unwrap();
            assert_eq!(is_own(&own, &[address], port), expected, "{host}:{port} at {own}");
        }
        assert_eq!(literal("app.internal"), None);
    }
}
