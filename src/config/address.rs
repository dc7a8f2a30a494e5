//! Addresses: listen addresses, networks, and upstream addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::kinds::Fault;
use super::model::{UpstreamAddress, UpstreamServer};
use super::units::nearest;
use crate::values::{Network, NetworkError};
use crate::values::{is_host, split_port};

/// The longest path of a unix socket, in bytes: `sun_path` without its terminating NUL.
const MAX_UNIX_PATH: usize = 107;

/// Refuses a path that is too long for a unix socket.
pub(super) fn check_socket_path(path: &Path) -> Result<(), Fault> {
    let length = path.as_os_str().len();
    if length <= MAX_UNIX_PATH {
        return Ok(());
    }
    let what = format!("a socket's path has at most {MAX_UNIX_PATH} bytes, this one has {length}");
    Err(Fault::new(what).help("move the socket to a shorter path"))
}

/// Reads `ADDRESS:PORT`, with an IPv6 address in brackets.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(port) = high_port(text) {
        let fault = Fault::new(format!("the port {port} is above 65535"));
        return Err(fault.help("write a port from 1 to 65535, or 0 for a free one"));
    }
    let fault = Fault::new(format!("\"{text}\" is not an address and a port"));
    Err(match text.parse::<IpAddr>() {
        Ok(address) => fault.help(format!("add a port: \"{}\"", SocketAddr::new(address, 8443))),
        Err(_) => match text.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()) {
            Some(port) => fault.help(format!("for every address, write \"0.0.0.0:{port}\"")),
            None => fault.help("names are not looked up: write the address itself"),
        },
    })
}

/// The port of `ADDRESS:PORT` if it is a number above 65535.
fn high_port(text: &str) -> Option<&str> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let names_address = bare.is_empty()
        || (bare.parse::<IpAddr>().is_ok() && (bare != host || !host.contains(':')));
    (is_number && port.parse::<u16>().is_err() && names_address).then_some(port)
}

/// Reads an address or a network, as [`Network::parse`] does.
pub(super) fn parse_network(text: &str) -> Result<IpNet, Fault> {
    Network::parse(text).map(Network::prefix).map_err(|error| {
        let fault = Fault::new(format!("\"{text}\" {error}"));
        fault.help(network_help(error))
    })
}

/// The help text for a network that does not parse.
pub(super) fn network_help(error: NetworkError) -> String {
    match error {
        NetworkError::HostBits(network) => format!(
            "for the whole network write \"{}\", for the one address \"{}\"",
            network.trunc(),
            network.addr()
        ),
        NetworkError::NotANetwork => {
            "write an address, or a network as ADDRESS/PREFIX, such as \"10.0.0.0/8\"".to_owned()
        }
    }
}

impl UpstreamAddress {
    /// Reads `ws://HOST[:PORT]`, `wss://HOST[:PORT]` or `unix:PATH`, the path as it is written. `http` means the same
    /// as `ws`, and `https` the same as `wss`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if let Some(path) = text.strip_prefix("unix:") {
            return parse_unix(path);
        }
        let Some((scheme, authority)) = text.split_once("://") else {
            let fault = Fault::new(format!("\"{text}\" has no scheme"));
            return Err(match split_port(text) {
                Some((host, _)) if is_host(host) => fault.help(format!("write \"ws://{text}\"")),
                _ => fault,
            });
        };
        let secure = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            other => return Err(scheme_fault(other, authority)),
        };
        let (host, port) = parse_authority(scheme, authority)?;
        Ok(if secure {
            Self::Wss { host, port: port.unwrap_or(443) }
        } else {
            Self::Ws { host, port: port.unwrap_or(80) }
        })
    }
}

fn parse_unix(path: &str) -> Result<UpstreamAddress, Fault> {
    if path.is_empty() || path.starts_with("//") || path.contains('\0') {
        let fault = Fault::new("unix: needs the path of a socket");
        return Err(fault.help("write \"unix:PATH\", such as \"unix:/run/app.sock\""));
    }
    Ok(UpstreamAddress::Unix(PathBuf::from(path)))
}

fn scheme_fault(scheme: &str, rest: &str) -> Fault {
    let fault = Fault::new(format!("{scheme}:// is not a scheme of an upstream"));
    match nearest(scheme, ["ws", "wss", "http", "https", "unix"].into_iter()) {
        Some("unix") => fault.help(format!("write \"unix:{rest}\"")),
        Some(near) => fault.help(format!("write \"{near}://{rest}\"")),
        None => fault,
    }
}

fn parse_authority(scheme: &str, authority: &str) -> Result<(String, Option<u16>), Fault> {
    if authority.contains('@') {
        let fault = Fault::new("a user name or password cannot be part of an upstream");
        return Err(fault.help("write only the host and port"));
    }
    if let Some(end) = authority.find(['/', '?', '#']) {
        let part = match authority.as_bytes()[end] {
            b'/' => "path",
            b'?' => "query",
            _ => "fragment",
        };
        return Err(Fault::new(format!("an upstream has no {part} of its own")).help(format!(
            "the client's path and query are forwarded as they came: write \"{scheme}://{}\"",
            &authority[..end]
        )));
    }
    let not_a_host = || Fault::new(format!("\"{authority}\" is not a host and port"));
    let (host, port) = split_port(authority).ok_or_else(not_a_host)?;
    if !is_host(host) || port == Some(0) {
        return Err(not_a_host());
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    Ok((bare.unwrap_or(host).to_ascii_lowercase(), port))
}

impl fmt::Display for UpstreamServer {
    /// The address, and the weight and the role if they are not the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, weight, backup } = self;
        address.fmt(f)?;
        if *weight != 1 {
            write!(f, " (weight {weight})")?;
        }
        f.write_str(if *backup { " (backup)" } else { "" })
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Ws { host, port } => ("ws", host, port),
            Self::Wss { host, port } => ("wss", host, port),
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{UpstreamAddress, parse_listen, parse_network};

    fn network(text: &str) -> String {
        parse_network(text).unwrap().to_string()
    }

    #[test]
    fn an_address_to_listen_on_has_a_port() {
        assert!(parse_listen("0.0.0.0:8443").is_ok());
        assert!(parse_listen("[::1]:0").is_ok());
        for text in ["", "8443", ":8443", "0.0.0.0", "::1", "localhost:8443", "0.0.0.0:65536"] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
        let help = |text| parse_listen(text).unwrap_err().help.unwrap();
        assert_eq!(help("::1"), "add a port: \"[::1]:8443\"");
        assert_eq!(help(":80"), "for every address, write \"0.0.0.0:80\"");
    }

    #[test]
    fn a_port_above_65535_is_refused() {
        for text in ["0.0.0.0:99999", "[::1]:65536", ":70000"] {
            let fault = parse_listen(text).unwrap_err();
            assert!(fault.what.ends_with("is above 65535"), "{text}: {}", fault.what);
        }
        let named = parse_listen("localhost:99999").unwrap_err();
        assert_eq!(named.help.unwrap(), "names are not looked up: write the address itself");
    }

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        assert_eq!(network("192.0.2.1"), "192.0.2.1/32");
        assert_eq!(network("2001:db8::1"), "2001:db8::1/128");
    }

    #[test]
    fn networks_in_ipv6_form_are_ipv4_networks() {
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1/32");
        assert_eq!(network("::ffff:192.0.2.0/120"), "192.0.2.0/24");
        assert_eq!(network("::ffff:0:0/96"), "0.0.0.0/0");
        assert_eq!(network("::/0"), "::/0");
    }

    #[test]
    fn bits_beyond_the_prefix_are_refused_with_both_meanings() {
        let fault = parse_network("10.0.0.1/8").unwrap_err();
        assert_eq!(
            fault.help.unwrap(),
            "for the whole network write \"10.0.0.0/8\", for the one address \"10.0.0.1\""
        );
        for text in ["", "10.0.0.0/33", "10.0.0", "10.0.0.0/", "example.com", "10.0.0.0/-1"] {
            assert!(parse_network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn upstreams_have_default_ports() {
        for (text, shown) in [
            ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765"),
            ("ws://App", "ws://app:80"),
            ("wss://app.internal", "wss://app.internal:443"),
            ("ws://[::1]", "ws://[::1]:80"),
            ("http://App", "ws://app:80"),
            ("http://127.0.0.1:8000", "ws://127.0.0.1:8000"),
            ("https://app.internal", "wss://app.internal:443"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:app.sock", "unix:app.sock"),
        ] {
            assert_eq!(UpstreamAddress::parse(text).unwrap().to_string(), shown);
        }
        let host = UpstreamAddress::Ws { host: "::1".into(), port: 80 };
        assert_eq!(UpstreamAddress::parse("ws://[::1]:80"), Ok(host), "without brackets");
    }

    #[test]
    fn invalid_upstreams_are_refused() {
        for text in [
            "",
            "app",
            "app:80",
            "ws:app",
            "ws://",
            "ws://app/",
            "ws://app/ws",
            "ws://app?x",
            "ws://app#x",
            "ws://user@app",
            "ws://user:pw@app",
            "ws://app:0",
            "ws://app:65536",
            "ws://::1",
            "ws://a b",
            "http://app/",
            "https://app:0",
            "http://user@app",
            "htttp://app",
            "WS://app",
            "tcp://app",
            "unix:",
            "unix:///run/app.sock",
        ] {
            assert!(UpstreamAddress::parse(text).is_err(), "{text}");
        }
        let help = |text| UpstreamAddress::parse(text).unwrap_err().help.unwrap();
        assert_eq!(help("htttp://app:1"), "write \"http://app:1\"");
        assert_eq!(help("httpss://app"), "write \"https://app\"");
        assert!(help("https://app/ws").ends_with("write \"https://app\""));
        assert_eq!(help("app:80"), "write \"ws://app:80\"");
    }
}
