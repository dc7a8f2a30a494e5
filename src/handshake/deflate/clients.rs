//! Recognises clients with a broken permessage-deflate by their User-Agent.

use http::HeaderMap;
use http::header::USER_AGENT;

/// Whether the request comes from Apple's WebSocket stack (NSURLSession): Safari from version 15,
/// every browser on iOS, and native applications that use `URLSessionWebSocketTask`.
///
/// Despite `client_no_context_takeover` it keeps its compression context, against RFC 7692 section
/// 7.1.1.2, so that its second compressed message cannot be inflated; and it fails to inflate valid
/// messages in several frames. Applications cannot make it decline the extension.
pub(super) fn is_broken(headers: &HeaderMap) -> bool {
    headers.get_all(USER_AGENT).iter().any(|agent| {
        let names =
            |product: &[u8]| agent.as_bytes().windows(product.len()).any(|at| at == product);
        // Chromium's User-Agent still names WebKit, but Chromium has a WebSocket stack of its own.
        names(b"CFNetwork/") || (names(b"AppleWebKit/") && !names(b"Chrome/"))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::USER_AGENT;

    use super::is_broken;

    #[test]
    fn apples_stack_is_distinguished_from_others_that_name_webkit() {
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        for (agent, expected) in [
            (format!("{mac} Version/15.0 Safari/605.1.15"), true),
            (format!("{mac} Version/26.1 Safari/605.1.15"), true),
            (format!("{phone} Version/18.6 Mobile/15E148 Safari/604.1"), true),
            (format!("{phone} CriOS/141.0.7390.41 Mobile/15E148 Safari/604.1"), true),
            (format!("{phone} FxiOS/143.2 Mobile/15E148 Safari/605.1.15"), true),
            (format!("{phone} Mobile/15E148"), true),
            ("Chat/1.0 CFNetwork/1410.0.3 Darwin/22.6.0".to_owned(), true),
            ("Chat/1.0 caf\u{e9} CFNetwork/1410.0.3 Darwin/22.6.0".to_owned(), true),
            (format!("{mac} Chrome/156.0.0.0 Safari/537.36"), false),
            (format!("{mac} HeadlessChrome/156.0.0.0 Safari/537.36"), false),
            (format!("{mac} Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0"), false),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0".into(),
                false,
            ),
            ("Python/3.11 websockets/17.4".to_owned(), false),
            (String::new(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, agent.parse().unwrap());
            assert_eq!(is_broken(&headers), expected, "{agent}");
        }
        assert!(!is_broken(&HeaderMap::new()));
    }
}
