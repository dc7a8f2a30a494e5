//! Offers of subprotocols with hidden tokens: the gateway's own parser, applied again to the offer
//! after admission, must find no carrier.

use proptest::prelude::*;

use super::super::subprotocol::read;
use super::{judged, request};

const ITEMS: [&str; 14] = [
    "bearer",
    "Bearer",
    "access_token",
    "ACCESS_TOKEN",
    "good",
    "bearer.good",
    "BEARER.good",
    "bearer.",
    "bearer.evil",
    "base64url.bearer.authorization.k8s.io.Z29vZA",
    "v1.token.websocket.jupyter.org.",
    "v1.token.websocket.jupyter.org.good",
    "evil",
    "chat.v1",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn no_offer_of_a_token_is_forwarded(
        offer in prop::sample::subsequence(&ITEMS[..], 1..6).prop_shuffle(),
        authorization in any::<bool>(),
    ) {
        let offer = offer.join(", ");
        let mut fields = vec![("sec-websocket-protocol", offer.as_str())];
        fields.extend(authorization.then_some(("authorization", "Bearer good")));
        if let Ok((_, rest)) = judged(request("/ws", &fields)) {
            let left = rest.subprotocols();
            let again = read(left).map_err(|refusal| refusal.detail);
            prop_assert!(again.is_ok_and(|tokens| tokens.is_empty()), "{} of {}", left.join(", "), offer);
        }
    }
}
