use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use super::{Deflate, DeflateOffer};

fn headers(line: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !line.is_empty() {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, line.parse().unwrap());
    }
    headers
}

/// The field sent to the upstream for a client's field; empty if none is sent.
fn forwarded(line: &str) -> String {
    let offers = DeflateOffer::read(&headers(line)).unwrap();
    let field = DeflateOffer::field(&offers);
    field.map_or(String::new(), |field| field.to_str().unwrap().to_owned())
}

/// The field sent to the client for an upstream's answer to the client's offers.
fn answered(offered: &str, answer: &str) -> Result<String, &'static str> {
    let offers = DeflateOffer::read(&headers(offered)).unwrap();
    let agreed = Deflate::read(&headers(answer), &offers)?;
    let field = agreed.and_then(Deflate::field);
    Ok(field.map_or(String::new(), |field| field.to_str().unwrap().to_owned()))
}

#[test]
fn acceptable_offers_are_rewritten_and_others_dropped() {
    let plain = "permessage-deflate; client_no_context_takeover";
    for (offered, expected) in [
        ("", ""),
        ("permessage-deflate", plain),
        (plain, plain),
        ("x-webkit-deflate-frame, permessage-deflate ; x, permessage-deflate", plain),
        ("PerMessage-Deflate", ""),
        (
            "permessage-deflate;client_max_window_bits",
            "permessage-deflate; client_no_context_takeover; client_max_window_bits",
        ),
        (
            "permessage-deflate;client_max_window_bits=\"9\";server_max_window_bits=15",
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=15; \
             client_max_window_bits=9",
        ),
        (
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=8, \
             permessage-deflate; client_no_context_takeover",
        ),
    ] {
        assert_eq!(forwarded(offered), expected, "{offered}");
    }
    for declined in [
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+9",
        "server_max_window_bits=9x",
        "server_max_window_bits=264",
        "server_max_window_bits=9; server_max_window_bits=9",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits; client_max_window_bits=9",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "unknown",
        "Server_No_Context_Takeover",
    ] {
        assert_eq!(forwarded(&format!("permessage-deflate; {declined}")), "", "{declined}");
        let first = format!("permessage-deflate; {declined}, permessage-deflate");
        assert_eq!(forwarded(&first), plain, "{declined}");
    }
    assert!(DeflateOffer::read(&headers("permessage-deflate;")).is_err());
}

#[test]
fn the_answer_adds_client_no_context_takeover() {
    let plain = "permessage-deflate; client_no_context_takeover";
    for (offered, answer, expected) in [
        ("permessage-deflate", "", ""),
        ("permessage-deflate", "permessage-deflate", plain),
        ("permessage-deflate", "permessage-deflate; client_no_context_takeover", plain),
        (
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=9",
        ),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=15",
            "permessage-deflate; client_no_context_takeover; client_max_window_bits=15",
        ),
        (
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; \
             client_max_window_bits=9",
        ),
        ("permessage-deflate; client_max_window_bits=9", "permessage-deflate", plain),
        // The answer accepts the second offer.
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            "permessage-deflate",
            plain,
        ),
    ] {
        let expected = Ok(expected.to_owned());
        assert_eq!(answered(offered, answer), expected, "{answer} to {offered}");
    }
}

#[test]
fn answers_without_an_offer_are_refused() {
    for (offered, answer) in [
        ("", "permessage-deflate"),
        ("permessage-deflate; unknown", "permessage-deflate"),
        ("permessage-deflate", "x-webkit-deflate-frame"),
        ("permessage-deflate", "permessage-deflate, permessage-deflate"),
        ("permessage-deflate", "permessage-deflate, x"),
        ("permessage-deflate", "permessage-deflate;"),
        ("permessage-deflate", "permessage-deflate; unknown"),
        ("permessage-deflate", "permessage-deflate; server_max_window_bits"),
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=16"),
        ("permessage-deflate", "permessage-deflate; client_max_window_bits=15"),
        (
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        ),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits",
        ),
        (
            "permessage-deflate; client_max_window_bits=9",
            "permessage-deflate; client_max_window_bits=10",
        ),
        ("permessage-deflate; server_max_window_bits=9", "permessage-deflate"),
        (
            "permessage-deflate; server_max_window_bits=9",
            "permessage-deflate; server_max_window_bits=10",
        ),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate"),
        // Each offer allows only a part of the answer.
        (
            "permessage-deflate, permessage-deflate; server_no_context_takeover; \
             client_max_window_bits",
            "permessage-deflate; client_max_window_bits=9",
        ),
    ] {
        assert!(answered(offered, answer).is_err(), "{answer} to {offered}");
    }
    let unasked = answered("", "permessage-deflate");
    assert_eq!(unasked, Err("an extension is named that was not offered"));
}

#[test]
fn the_answer_sets_takeover_and_window_of_the_upstream() {
    let agreed = |answer: &str| {
        let offers = DeflateOffer::read(&headers("permessage-deflate")).unwrap();
        let agreed = Deflate::read(&headers(answer), &offers).unwrap().unwrap();
        (agreed.upstream_starts_anew(), agreed.upstream_window_bits())
    };
    assert_eq!(agreed("permessage-deflate"), (false, 15));
    assert_eq!(agreed("permessage-deflate; server_max_window_bits=9"), (false, 9));
    assert_eq!(agreed("permessage-deflate; server_no_context_takeover"), (true, 15));
}
