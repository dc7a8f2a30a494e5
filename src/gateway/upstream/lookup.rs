//! Asks for the addresses of a name: DNS, which tells how long they may be used, or the resolver of the system.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, ResolverBuilder, TokioResolver};
use tokio::net::lookup_host;
use tokio::task::spawn_blocking;

/// The bounds of the time to live of a name.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// How long addresses from the resolver of the system are used, which tells no time to live.
const FIXED: Duration = Duration::from_secs(30);

/// The addresses of a name, and how long they may be used.
pub(super) type Resolution = io::Result<(Vec<IpAddr>, Duration)>;

/// Resolves a name by DNS, with the search domains of `/etc/resolv.conf`. A name of `/etc/hosts` is for the resolver of
/// the system, and so is one that DNS does not answer.
pub(super) async fn look_up(host: &str) -> Resolution {
    let name = host.to_owned();
    // Read each time, so that changes of the two files take effect.
    let resolver = spawn_blocking(move || system_resolver(&name)).await.ok().flatten();
    if let Some(resolver) = resolver
        && let Ok(found) = query(&resolver, host).await
    {
        return Ok(found);
    }
    let found = lookup_host((host, 0)).await?;
    Ok((found.map(|address| address.ip()).collect(), FIXED))
}

/// DNS as the system is configured; `None` if it is not to be asked for `host`.
fn system_resolver(host: &str) -> Option<TokioResolver> {
    let hosts = Hosts::from_system().unwrap_or_default();
    if host == "localhost" || is_listed(&hosts, host) {
        return None;
    }
    resolver(TokioResolver::builder_tokio().ok()?).ok()
}

fn is_listed(hosts: &Hosts, host: &str) -> bool {
    let Ok(name) = Name::from_ascii(host) else {
        return true;
    };
    let queries = [RecordType::A, RecordType::AAAA].map(|kind| Query::query(name.clone(), kind));
    queries.iter().any(|query| hosts.lookup_static_host(query).is_some())
}

fn resolver(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build()
}

/// Asks DNS for both kinds of addresses.
async fn query(resolver: &TokioResolver, host: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
    let found = resolver.lookup_ip(host).await?;
    let left = found.valid_until().saturating_duration_since(Instant::now());
    Ok((found.iter().collect(), left.clamp(SHORTEST, LONGEST)))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr, UdpSocket};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::rr::Name;
    use hickory_resolver::{Hosts, TokioResolver};

    use super::{LONGEST, SHORTEST, is_listed, look_up, query, resolver};

    /// The answers of a name server: addresses with their time to live in seconds. Without addresses the name does not
    /// exist.
    type Answers = Arc<Mutex<(Vec<IpAddr>, u32)>>;

    /// A name server with the same addresses for every name in `app.test`.
    fn serve(answers: &Answers) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let answers = Arc::clone(answers);
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                let (addresses, lifetime) = answers.lock().unwrap().clone();
                let reply = reply(&packet[..length], &addresses, lifetime);
                socket.send_to(&reply, client).unwrap();
            }
        });
        address
    }

    /// RFC 1035 section 4.1.
    fn reply(request: &[u8], addresses: &[IpAddr], lifetime: u32) -> Vec<u8> {
        let name = 12 + request[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let kind = request[name + 1];
        let is_known = request[12..name].ends_with(b"\x03app\x04test\0") && !addresses.is_empty();
        let octets = |address: &IpAddr| match address {
            IpAddr::V4(address) if kind == 1 => Some(address.octets().to_vec()),
            IpAddr::V6(address) if kind == 28 => Some(address.octets().to_vec()),
            _ => None,
        };
        let answers: Vec<_> = addresses.iter().filter_map(octets).filter(|_| is_known).collect();
        let code = if is_known { 0 } else { 3 };
        let mut reply = request[..2].to_vec();
        let count = u8::try_from(answers.len()).unwrap();
        reply.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        reply.extend(&request[12..name + 4]);
        for octets in answers {
            reply.extend([0xc0, 12, 0, kind, 0, 1]);
            reply.extend(lifetime.to_be_bytes());
            reply.extend([0, u8::try_from(octets.len()).unwrap()]);
            reply.extend(octets);
        }
        reply
    }

    fn asking(server: SocketAddr) -> TokioResolver {
        let mut udp = ConnectionConfig::udp();
        udp.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![udp]);
        let search = vec![Name::from_ascii("app.test.").unwrap()];
        let config = ResolverConfig::from_parts(None, search, vec![server]);
        let provider = TokioRuntimeProvider::default();
        resolver(TokioResolver::builder_with_config(config, provider)).unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn all_addresses_are_found_with_their_time_to_live() {
        let all = addresses(&["10.0.0.5", "10.0.0.6", "2001:db8::5"]);
        let answers: Answers = Arc::new(Mutex::new((all.clone(), 60)));
        let server = serve(&answers);
        let (found, left) = query(&asking(server), "app.test").await.unwrap();
        assert_eq!(found, all, "IPv4 and IPv6");
        assert!((50..=60).contains(&left.as_secs()), "{left:?}");
        // By the search domain.
        assert_eq!(query(&asking(server), "one").await.unwrap().0, all);

        for (lifetime, used) in [(0, SHORTEST), (86_400, LONGEST)] {
            *answers.lock().unwrap() = (addresses(&["10.0.0.7"]), lifetime);
            let (found, left) = query(&asking(server), "app.test").await.unwrap();
            assert_eq!((found, left), (addresses(&["10.0.0.7"]), used));
        }
        *answers.lock().unwrap() = (Vec::new(), 1);
        assert!(query(&asking(server), "app.test").await.is_err());
    }

    #[tokio::test]
    async fn localhost_and_names_of_the_hosts_file_are_for_the_system() {
        let (found, left) = look_up("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert_eq!(left, Duration::from_secs(30));
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"10.0.0.5 App other\n2001:db8::5 six\n"[..]).unwrap();
        for (host, listed) in [("app", true), ("six", true), ("app.test", false), ("ap", false)] {
            assert_eq!(is_listed(&hosts, host), listed, "{host}");
        }
    }
}
