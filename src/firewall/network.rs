//! Networks as people write them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Error;

/// Reads an address or a network in CIDR notation. Its host bits must be zero; an IPv4 network
/// mapped into IPv6 becomes the IPv4 network.
pub fn parse_network(text: &str) -> Result<IpNet, Error> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().map_err(|_| Error::NotANetwork)?;
    if network != network.trunc() {
        return Err(Error::HostBits(network));
    }
    Ok(unmap(network))
}

/// The network without host bits; one that is mapped into IPv6 becomes the IPv4 network.
pub(super) fn canonical(network: IpNet) -> IpNet {
    unmap(network.trunc())
}

fn unmap(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    mapped.and_then(|(address, prefix)| IpNet::new(address.into(), prefix).ok()).unwrap_or(network)
}
