//! Writes `Client-Cert` and `Client-Cert-Chain` (RFC 9440): the certificate that the client
//! presented to the gateway, for the application.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, InvalidHeaderValue};

use crate::tls::Certificate;

pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub(super) const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// The longest `Client-Cert-Chain` in bytes: many servers accept a head of 16 KiB.
const LONGEST_CHAIN: usize = 8 * 1024;

/// Sets the fields for a chain, with the client's own certificate first; an empty chain sets none.
/// A chain above the limit is left out, since RFC 9440 section 2.3 makes it optional.
pub(super) fn set(
    headers: &mut HeaderMap,
    chain: &[Certificate],
) -> Result<(), InvalidHeaderValue> {
    let Some((own, rest)) = chain.split_first() else {
        return Ok(());
    };
    headers.insert(CLIENT_CERT, HeaderValue::from_str(&item(own))?);
    let rest = rest.iter().map(item).collect::<Vec<_>>().join(", ");
    if !rest.is_empty() && rest.len() <= LONGEST_CHAIN {
        headers.insert(CLIENT_CERT_CHAIN, HeaderValue::from_str(&rest)?);
    }
    Ok(())
}

/// Encodes a byte sequence of a structured field (RFC 8941 section 3.3.5).
fn item(certificate: &Certificate) -> String {
    format!(":{}:", STANDARD.encode(certificate.der()))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Certificate, set};

    fn fields(chain: &[&[u8]]) -> (Option<String>, Option<String>) {
        let chain: Vec<_> = chain.iter().map(|bytes| Certificate::from(bytes.to_vec())).collect();
        let mut headers = HeaderMap::new();
        set(&mut headers, &chain).unwrap();
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text("client-cert"), text("client-cert-chain"))
    }

    #[test]
    fn certificates_are_byte_sequences() {
        assert_eq!(fields(&[]), (None, None));
        assert_eq!(fields(&[b"abcd"]), (Some(":YWJjZA==:".into()), None));
        let chain = Some(":YmI=:, :Y2Nj:".into());
        assert_eq!(fields(&[b"a", b"bb", b"ccc"]), (Some(":YQ==:".into()), chain));
        let long = [b'x'; 7000];
        assert_eq!(fields(&[b"a", &long]), (Some(":YQ==:".into()), None));
    }
}
