//! Tokens in the offered subprotocols.

use percent_encoding::percent_decode_str;

use super::{CredentialReading, token};
use crate::values::{Reason, Refusal};

/// The prefix of a subprotocol that carries a token unencoded: all characters of a compact JWS are
/// token characters (RFC 9110 section 5.6.2).
const BEARER: &str = "bearer.";
/// The prefix that Kubernetes uses: the token in base64url, without padding.
const KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";
/// The prefix that Jupyter Server uses: the token percent-encoded.
const JUPYTER: &str = "v1.token.websocket.jupyter.org.";
/// Subprotocols that announce a token as the next item. They are real subprotocols: the application or
/// the gateway may select them.
const BEFORE: [&str; 2] = ["bearer", "access_token"];

/// Reads the tokens in the offer. A browser fails the socket if the server selects no offered
/// subprotocol, and the server must not select the token: the offer must have another item.
pub(super) fn read(offered: &[String]) -> Result<Vec<CredentialReading>, Refusal> {
    let carriers = carried(offered);
    if !carriers.is_empty() && carriers.len() == offered.len() {
        let detail = "Sec-WebSocket-Protocol offers a token and no subprotocol beside it";
        return Err(Refusal::new(Reason::HandshakeMalformed, detail).by("token_from"));
    }
    let reading = |(_, carried): (_, Carried)| match carried {
        Ok(bytes) if bytes.is_empty() => None,
        Ok(bytes) => Some(token(&bytes)),
        Err(why) => Some(Err(why)),
    };
    Ok(carriers.into_iter().filter_map(reading).collect())
}

/// The offer without the items that carry a token or match the form of one. The first item of a pair
/// moves to the end: at its old place, the item after the token would now follow it, and an application
/// could take that item for the token. Only one such item can be last, so the others are removed.
pub(super) fn without_tokens(offered: &[String]) -> Vec<String> {
    let carriers = carried(offered);
    let kept = offered.iter().filter(|item| !carriers.iter().any(|(carrier, _)| carrier == item));
    let (names, mut left): (Vec<String>, Vec<String>) =
        kept.cloned().partition(|item| is_before(item));
    left.extend(names.into_iter().next());
    left
}

/// The content of a carrier item, which may be empty; or the reason why it cannot be decoded.
type Carried = Result<Vec<u8>, &'static str>;

/// The carrier items, in order. The first item of a pair keeps waiting for its token across items of
/// the other forms, since it gets a new neighbour when those are removed.
fn carried(offered: &[String]) -> Vec<(&str, Carried)> {
    let mut carriers: Vec<(&str, Carried)> = Vec::new();
    let mut awaited = false;
    for item in offered {
        if let Some(carried) = in_form(item) {
            carriers.push((item, carried));
        } else if awaited {
            carriers.push((item, Ok(item.as_bytes().to_vec())));
            awaited = false;
        } else {
            awaited = is_before(item);
        }
    }
    carriers
}

/// The first item that announces a token and is followed by one.
pub(super) fn paired(offered: &[String]) -> Option<String> {
    let pair = |pair: &&[String]| is_before(&pair[0]) && in_form(&pair[1]).is_none();
    offered.windows(2).find(pair).map(|pair| pair[0].clone())
}

fn is_before(item: &str) -> bool {
    BEFORE.iter().any(|name| item.eq_ignore_ascii_case(name))
}

/// Decodes the content of an item with one of the known prefixes.
fn in_form(item: &str) -> Option<Carried> {
    let rest = |form: &str| {
        let (begin, rest) = item.split_at_checked(form.len())?;
        begin.eq_ignore_ascii_case(form).then_some(rest)
    };
    if let Some(encoded) = rest(KUBERNETES) {
        return Some(from_base64url(encoded).ok_or("it is not base64url"));
    }
    if let Some(encoded) = rest(JUPYTER) {
        return Some(Ok(percent_decode_str(encoded).collect()));
    }
    Some(Ok(rest(BEARER)?.as_bytes().to_vec()))
}

fn from_base64url(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}
