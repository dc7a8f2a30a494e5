//! IP addresses in the form that every rule compares.

use std::net::{IpAddr, SocketAddr};

/// The address that every rule works with: an IPv4 address that came as an IPv6 one
/// (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2) is the IPv4 address.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical_ip(address.ip()), address.port())
}

/// As [`canonical`], for an address alone.
#[must_use]
pub fn canonical_ip(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether a client can have a canonical address: not one of "this network" (0.0.0.0/8, `::`), no
/// multicast and no broadcast address.
#[must_use]
pub fn is_of_a_client(address: IpAddr) -> bool {
    let of_no_host = match address {
        IpAddr::V4(address) => address.octets()[0] == 0 || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unspecified(),
    };
    !of_no_host && !address.is_multicast()
}
