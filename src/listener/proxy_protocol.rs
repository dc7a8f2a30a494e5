//! The PROXY protocol, v1 and v2 (`haproxy.org`, `proxy-protocol.txt`), read without taking a byte of
//! what follows it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::canonical;

/// The twelve bytes that a v2 header starts with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest v1 header, its line end included.
const LONGEST_V1: usize = 107;
/// The longest v2 header that is read: addresses and a few hundred bytes of TLVs.
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
    /// More bytes than any header has.
    #[error("the PROXY protocol header is longer than {0} bytes")]
    TooLong(usize),
}

/// Reads one header. `None` is a header that names no client (v1 `UNKNOWN`, v2 `LOCAL` or an address
/// family other than IPv4 and IPv6): the connection is the proxy's own, such as a health check.
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
        return Err(ProxyError::Malformed("it starts with other bytes".to_owned()));
    }
    Ok(source(&header)?.map(canonical))
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
            (v2(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 0x10, 0, 0, 80]), Some("192.0.2.1:4096")),
            (v2(0x21, 0x21, &mapped), Some("192.0.2.1:4096")),
            (v2(0x20, 0x00, &[]), None),
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
    async fn what_is_no_header_is_refused() {
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
