//! IP addresses in canonical form, in which all rules compare them.

use std::net::{IpAddr, SocketAddr};

/// Returns the address in canonical form: an IPv4-mapped IPv6 address (`::ffff:192.0.2.1`, RFC 4291
/// section 2.5.5.2) becomes the IPv4 address.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical_ip(address.ip()), address.port())
}

/// Like [`canonical`], for an address without a port.
#[must_use]
pub fn canonical_ip(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether a canonical address can belong to a client: it is not in "this network" (0.0.0.0/8,
/// `::`), not a multicast address and not the broadcast address.
#[must_use]
pub fn is_of_a_client(address: IpAddr) -> bool {
    let of_no_host = match address {
        IpAddr::V4(address) => address.octets()[0] == 0 || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unspecified(),
    };
    !of_no_host && !address.is_multicast()
}
