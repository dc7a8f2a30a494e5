//! Verifies the upstream's 101 (RFC 6455 section 4.1, the client's requirements on the answer).

use http::HeaderMap;
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::handshake::fields::{list, single};
use crate::handshake::{Deflate, DeflateOffer};

/// The upstream's choice among the offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) subprotocol: Option<HeaderValue>,
    pub(super) deflate: Option<Deflate>,
}

/// Verifies the 101 for a request with `key` that offered `subprotocols` and no extension but `offers`.
/// Returns the upstream's choice, or the first fault.
pub(super) fn switching_protocols(
    headers: &HeaderMap,
    key: &str,
    subprotocols: &[String],
    offers: &[DeflateOffer],
) -> Result<Chosen, &'static str> {
    match list(headers, &UPGRADE).as_deref() {
        Ok([first, more @ ..])
            if [first]
                .into_iter()
                .chain(more)
                .all(|name| name.eq_ignore_ascii_case("websocket")) => {}
        _ => return Err("Upgrade is not websocket"),
    }
    match list(headers, &CONNECTION) {
        Ok(options) if options.iter().any(|option| option.eq_ignore_ascii_case("upgrade")) => {}
        _ => return Err("Connection does not name Upgrade"),
    }
    match single(headers, &SEC_WEBSOCKET_ACCEPT) {
        Ok(Some(accept)) if accept == derive_accept_key(key.as_bytes()) => {}
        Ok(None) => return Err("Sec-WebSocket-Accept is missing"),
        Ok(Some(_)) => return Err("Sec-WebSocket-Accept does not belong to the key"),
        Err(()) => return Err("Sec-WebSocket-Accept is given more than once"),
    }
    let deflate = Deflate::read(headers, offers)?;
    let subprotocol = match list(headers, &SEC_WEBSOCKET_PROTOCOL).as_deref() {
        Ok([]) => None,
        Ok([chosen]) if subprotocols.iter().any(|offered| chosen == offered) => {
            HeaderValue::from_str(chosen).ok()
        }
        Ok([_]) => return Err("a subprotocol is named that was not offered"),
        _ => return Err("more than one subprotocol is named"),
    };
    Ok(Chosen { subprotocol, deflate })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::switching_protocols;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: &[(&str, &str)] = &[
        ("upgrade", "WebSocket"),
        ("connection", "Upgrade"),
        // RFC 6455 section 1.3
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];

    fn verify(fields: &[(&'static str, &'static str)]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let chosen = switching_protocols(&headers, KEY, &["a".into(), "b".into()], &[])?;
        assert_eq!(chosen.deflate, None);
        Ok(chosen.subprotocol.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_valid_101_names_its_subprotocol() {
        assert_eq!(verify(GOOD), Ok(None));
        let with_protocol = [GOOD, &[("sec-websocket-protocol", "b")]].concat();
        assert_eq!(verify(&with_protocol), Ok(Some("b".into())));
    }

    #[test]
    fn any_other_response_is_refused() {
        for left_out in GOOD {
            let fields: Vec<_> = GOOD.iter().copied().filter(|field| field != left_out).collect();
            assert!(verify(&fields).is_err(), "without {left_out:?}");
        }
        for extra in [
            ("sec-websocket-protocol", "c"),
            ("sec-websocket-protocol", "a, b"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("upgrade", "h2c"),
        ] {
            assert!(verify(&[GOOD, &[extra]].concat()).is_err(), "with {extra:?}");
        }
        let mut wrong = GOOD.to_vec();
        wrong[2].1 = "AAAALMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(verify(&wrong).is_err());
    }
}
