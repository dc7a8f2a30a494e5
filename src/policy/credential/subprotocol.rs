//! A token among the offered subprotocols.

use percent_encoding::percent_decode_str;

use super::{CredentialReading, token};
use crate::values::{Reason, Refusal};

/// A subprotocol that carries a token as it is: all characters of a compact JWS are token characters
/// (RFC 9110 section 5.6.2).
const BEARER: &str = "bearer.";
/// The form of Kubernetes: the token in base64url, without padding.
const KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";
/// The form of Jupyter Server: the token percent-encoded.
const JUPYTER: &str = "v1.token.websocket.jupyter.org.";
/// Subprotocols behind which the next item is the token. They are real ones: the application or the
/// gateway may choose them.
const BEFORE: [&str; 2] = ["bearer", "access_token"];

/// The tokens of the offer. A browser fails the socket when none of what it offered is answered, and the
/// token must not be: something else must be offered, too.
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

/// The offer without the items that carry a token, or nothing in the form of one. The first item of a pair
/// goes to the end: where it stood, the item behind the token would be behind it, and an application could
/// take that for the token. Of several only one can be last; the others go.
pub(super) fn without_tokens(offered: &[String]) -> Vec<String> {
    let carriers = carried(offered);
    let kept = offered.iter().filter(|item| !carriers.iter().any(|(carrier, _)| carrier == item));
    let (names, mut left): (Vec<String>, Vec<String>) =
        kept.cloned().partition(|item| is_before(item));
    left.extend(names.into_iter().next());
    left
}

/// What an item carries, which may be empty; or why it cannot be decoded.
type Carried = Result<Vec<u8>, &'static str>;

/// The items that carry, in their order. The first item of a pair still waits for its token behind items of
/// the other forms, since it gets a new neighbour when those are taken out.
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

/// The first item that says that a token follows, and is followed by one.
pub(super) fn paired(offered: &[String]) -> Option<String> {
    let pair = |pair: &&[String]| is_before(&pair[0]) && in_form(&pair[1]).is_none();
    offered.windows(2).find(pair).map(|pair| pair[0].clone())
}

fn is_before(item: &str) -> bool {
    BEFORE.iter().any(|name| item.eq_ignore_ascii_case(name))
}

/// What an item with one of the known beginnings carries.
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
