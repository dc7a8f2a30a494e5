//! The PROXY protocol, v1 and v2 (`haproxy.org`, `proxy-protocol.txt`), read without consuming a byte after
//! the header.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::values::spoken::{FirstBytes, Spoken};
use crate::values::{canonical, is_of_a_client};

/// The twelve bytes that a v2 header starts with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest v1 header, its line end included.
const LONGEST_V1: usize = 107;
/// The longest v2 header that is accepted: addresses and a few hundred bytes of TLVs.
const LONGEST_V2: usize = 4096;

/// Why a connection's PROXY protocol header was not accepted. The sender is at fault.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The stream ended or failed within the header.
    #[error("the connection ended within the PROXY protocol header: {0}")]
    Io(#[from] io::Error),
    /// Neither a v1 nor a v2 header.
    #[error("the connection does not start with a PROXY protocol header: {0}")]
    Malformed(String),
    /// A header for datagrams.
    #[error("the PROXY protocol header is of UDP; only TCP is forwarded")]
    Udp,
    /// A source address that no client can have.
    #[error("the PROXY protocol header names {0}, which is no client's address")]
    Address(IpAddr),
    /// More bytes than any header has.
    #[error("the PROXY protocol header is longer than {0} bytes")]
    TooLong(usize),
}

/// Reads one header. `None` is a header that names no client (v1 `UNKNOWN`; v2 `LOCAL`, or a family or
/// transport `UNSPEC`, or a unix socket): the connection is the proxy's own, such as a health check. TLVs
/// are read and ignored.
///
/// # Errors
/// A header that is malformed, for UDP, or with an address that no client can have.
pub async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyError> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        read_rest_of_v2(stream, &mut header).await?;
    } else if header.starts_with(b"PROXY ") {
        read_rest_of_v1(stream, &mut header).await?;
    } else {
        let mut first = FirstBytes::default();
        first.note(&header);
        return Err(ProxyError::Malformed(instead(first.spoken()).to_owned()));
    }
    match source(&header)?.map(canonical) {
        Some(client) if !is_of_a_client(client.ip()) => Err(ProxyError::Address(client.ip())),
        client => Ok(client),
    }
}

/// The error text for first bytes that are no header.
fn instead(spoken: Option<Spoken>) -> &'static str {
    match spoken {
        Some(Spoken::Tls) => {
            "it starts with TLS; let the proxy send the header before it, or say proxy_protocol = \"off\""
        }
        Some(Spoken::HttpRequest | Spoken::Http2) => {
            "it starts with a request; let the proxy send the header before it, or say proxy_protocol = \
             \"off\""
        }
        _ => "it starts with other bytes",
    }
}

async fn read_rest_of_v1(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<(), ProxyError> {
    while !header.ends_with(b"\r\n") {
        if header.len() == LONGEST_V1 {
            return Err(ProxyError::TooLong(LONGEST_V1));
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

async fn read_rest_of_v2(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<(), ProxyError> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    header.extend_from_slice(&fixed);
    let rest = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let length = header.len() + rest;
    if length > LONGEST_V2 {
        return Err(ProxyError::TooLong(LONGEST_V2));
    }
    let start = header.len();
    header.resize(length, 0);
    stream.read_exact(&mut header[start..]).await?;
    Ok(())
}

fn source(header: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let address = |ip: IpAddr, port| Some(SocketAddr::new(ip, port));
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(parsed)) => Ok(match parsed.addresses {
            v1::Addresses::Tcp4(tcp) => address(tcp.source_address.into(), tcp.source_port),
            v1::Addresses::Tcp6(tcp) => address(tcp.source_address.into(), tcp.source_port),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(parsed)) if parsed.command == v2::Command::Local => Ok(None),
        HeaderResult::V2(Ok(parsed)) if parsed.protocol == v2::Protocol::Datagram => {
            Err(ProxyError::Udp)
        }
        HeaderResult::V2(Ok(parsed)) if parsed.protocol == v2::Protocol::Unspecified => Ok(None),
        HeaderResult::V2(Ok(parsed)) => Ok(match parsed.addresses {
            v2::Addresses::IPv4(ip) => address(ip.source_address.into(), ip.source_port),
            v2::Addresses::IPv6(ip) => address(ip.source_address.into(), ip.source_port),
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
        }),
        HeaderResult::V1(Err(error)) => Err(ProxyError::Malformed(error.to_string())),
        HeaderResult::V2(Err(error)) => Err(ProxyError::Malformed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::{LONGEST_V1, LONGEST_V2, ProxyError, SIGNATURE, read_header};

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend_from_slice(&[command, family]);
        header.extend_from_slice(&u16::try_from(addresses.len()).unwrap().to_be_bytes());
        header.extend_from_slice(addresses);
        header
    }

    const IPV4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x10, 0, 0, 80];

    /// Addresses, followed by TLVs.
    fn tlv(parts: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = IPV4.to_vec();
        for (kind, value) in parts {
            bytes.push(*kind);
            bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(value);
        }
        bytes
    }

    #[tokio::test]
    async fn headers_name_the_client_and_nothing_after_them_is_taken() {
        let mapped = {
            let mut bytes = vec![0; 10];
            bytes.extend_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
            bytes.extend_from_slice(&[0; 16]);
            bytes.extend_from_slice(&[0x10, 0, 0, 80]);
            bytes
        };
        for (header, client) in [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 4096 443\r\n".to_vec(), Some("192.0.2.1:4096")),
            (b"PROXY TCP6 2001:db8::1 ::1 4096 443\r\n".to_vec(), Some("[2001:db8::1]:4096")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(0x21, 0x11, &IPV4), Some("192.0.2.1:4096")),
            (v2(0x21, 0x21, &mapped), Some("192.0.2.1:4096")),
            (v2(0x20, 0x00, &[]), None),
            // LOCAL with addresses, which are to be discarded.
            (v2(0x20, 0x11, &IPV4), None),
            (v2(0x20, 0x12, &[0; 12]), None),
            // Family or transport UNSPEC.
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x00, &[1, 2, 3]), None),
            (v2(0x21, 0x10, &IPV4), None),
            (v2(0x21, 0x01, &IPV4), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), None),
            // TLVs: an AWS VPC endpoint, an Azure private link, a GCP service, ALPN with a CRC.
            (
                v2(0x21, 0x11, &tlv(&[(0xea, b"\x01vpce-0a1b2c3d4e5f67890")])),
                Some("192.0.2.1:4096"),
            ),
            (v2(0x21, 0x11, &tlv(&[(0xee, &[1, 4, 3, 2, 1])])), Some("192.0.2.1:4096")),
            (v2(0x21, 0x11, &tlv(&[(0xe0, &[0, 0, 0, 0, 0, 0, 0, 7])])), Some("192.0.2.1:4096")),
            (
                v2(0x21, 0x11, &tlv(&[(1, b"http/1.1"), (3, &[1, 2, 3, 4]), (4, &[0; 40])])),
                Some("192.0.2.1:4096"),
            ),
        ] {
            let stream = [header.as_slice(), b"next"].concat();
            let mut stream = stream.as_slice();
            let client = client.map(|text| text.parse().unwrap());
            assert_eq!(read_header(&mut stream).await.unwrap(), client);
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "next");
        }
    }

    #[tokio::test]
    async fn invalid_headers_are_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n".to_vec(),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 4]),
        ] {
            let error = read_header(&mut bytes.as_slice()).await.unwrap_err();
            assert!(matches!(error, ProxyError::Malformed(_)), "{error}");
        }
        let from = |address: [u8; 4]| [address.as_slice(), &IPV4[4..]].concat();
        for (header, error) in [
            (v2(0x21, 0x12, &IPV4), "is of UDP"),
            (v2(0x21, 0x22, &[1; 36]), "is of UDP"),
            (v2(0x21, 0x32, &[0; 216]), "is of UDP"),
            (v2(0x21, 0x11, &[0; 12]), "names 0.0.0.0"),
            (v2(0x21, 0x11, &from([0, 1, 2, 3])), "names 0.1.2.3"),
            (v2(0x21, 0x11, &from([255; 4])), "names 255.255.255.255"),
            (v2(0x21, 0x11, &from([224, 0, 0, 1])), "names 224.0.0.1"),
            (v2(0x21, 0x21, &[0; 36]), "names ::,"),
            (b"PROXY TCP4 0.0.0.0 192.0.2.2 1 2\r\n".to_vec(), "names 0.0.0.0"),
            (b"PROXY TCP6 ::ffff:0.0.0.0 ::1 1 2\r\n".to_vec(), "names 0.0.0.0"),
        ] {
            let told = read_header(&mut header.as_slice()).await.unwrap_err().to_string();
            assert!(told.contains(error), "{error}: {told}");
        }
        let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        let error = read_header(&mut endless.as_slice()).await.unwrap_err();
        assert!(matches!(error, ProxyError::TooLong(LONGEST_V1)), "{error}");
        let large = v2(0x21, 0x11, &[0; 5000]);
        let error = read_header(&mut large.as_slice()).await.unwrap_err();
        assert!(matches!(error, ProxyError::TooLong(LONGEST_V2)), "{error}");
        let error = read_header(&mut b"PROXY".as_slice()).await.unwrap_err();
        assert!(matches!(error, ProxyError::Io(_)), "{error}");
    }
}
