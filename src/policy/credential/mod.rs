//! The credential of a request: finds it, counts it, and removes it from the request. Each place is
//! read as bytes and strictly. A value that a more lenient parser takes for a credential, and this
//! module does not, is refused, so that the gateway and the application never check different
//! credentials.

mod cookie;
mod field;
mod names;
mod query;
mod subprotocol;
#[cfg(test)]
mod tests;

use super::checks::{CheckOutcome, StepText};
use super::context::CheckContext;
use crate::handshake::RequestHead;
use crate::values::TokenPlace;
use crate::values::{Reason, Refusal};

/// A token as its place carries it, or the reason why it cannot be read strictly.
type CredentialReading = Result<String, &'static str>;

/// The credential of a request, and the first place that carries it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) place: TokenPlace,
    reading: CredentialReading,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Credential {
    /// The token; the refusal has the reason why it cannot be read.
    pub(super) fn token(&self) -> Result<&str, Refusal> {
        self.reading.as_deref().map_err(|why| {
            let detail = format!("the token in {} cannot be read: {why}", self.place);
            Refusal::new(Reason::TokenInvalid, detail).by("token_from")
        })
    }
}

/// Finds the credential of the request, and refuses a request with two different ones.
pub(super) fn check(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    let Some(issuers) = cx.issuers()? else {
        return Ok(CheckOutcome::NotApplicable);
    };
    let (request, _) = cx.live()?;
    cx.found.credential = find(&issuers.first().token_from, request)?;
    Ok(CheckOutcome::Passed)
}

pub(super) fn passed(cx: &CheckContext<'_>) -> StepText {
    match &cx.found.credential {
        Some(credential) => format!("one, from {}", credential.place),
        None => "none".to_owned(),
    }
    .into()
}

/// Finds the one credential in `places`; other places do not count. The same token in two places counts
/// once, and an empty value does not count. Two different tokens are refused with `token.multiple`: the
/// gateway cannot know which of them the application would read.
fn find(places: &[TokenPlace], request: &RequestHead) -> Result<Option<Credential>, Refusal> {
    let mut found: Vec<Credential> = Vec::new();
    for place in places {
        for reading in read(place, request)? {
            let is_new = reading.is_err() || found.iter().all(|known| known.reading != reading);
            if is_new {
                found.push(Credential { place: place.clone(), reading });
            }
        }
    }
    if found.len() > 1 {
        let detail = format!("the request shows {} credentials", found.len());
        return Err(Refusal::new(Reason::TokenMultiple, detail).by("token_from"));
    }
    Ok(found.pop())
}

fn read(place: &TokenPlace, request: &RequestHead) -> Result<Vec<CredentialReading>, Refusal> {
    Ok(match place {
        TokenPlace::Header => field::authorization(request.headers()),
        TokenPlace::Field(name) => field::named(request.headers(), name),
        TokenPlace::Query(name) => query::read(request.target(), name),
        TokenPlace::Cookie(name) => cookie::read(request.headers(), name),
        TokenPlace::Subprotocol => subprotocol::read(request.subprotocols())?,
        TokenPlace::Message | TokenPlace::Opening(_) => Vec::new(),
    })
}

/// The subprotocol before a token that [`empty`] removes from the offer.
pub(super) fn paired(
    places: &[TokenPlace],
    forward: bool,
    request: &RequestHead,
) -> Option<String> {
    let taken = !forward && places.contains(&TokenPlace::Subprotocol);
    taken.then(|| subprotocol::paired(request.subprotocols())).flatten()
}

/// Empties every place in `places`, and Authorization in any case: the application gets no credential
/// that the gateway did not check. With `forward` the checked token stays in its place, and an
/// Authorization of another scheme is removed.
pub(super) fn empty(places: &[TokenPlace], forward: bool, request: &mut RequestHead) {
    let judged = forward && places.contains(&TokenPlace::Header);
    field::empty_authorization(request.headers_mut(), judged);
    if forward {
        return;
    }
    for place in places {
        match place {
            TokenPlace::Header | TokenPlace::Message | TokenPlace::Opening(_) => {}
            TokenPlace::Field(name) => field::remove(request.headers_mut(), name),
            TokenPlace::Query(name) => {
                if let Some(target) = query::without(request.target(), name) {
                    request.set_target(target);
                }
            }
            TokenPlace::Cookie(name) => cookie::remove(request.headers_mut(), name),
            TokenPlace::Subprotocol => {
                let left = subprotocol::without_tokens(request.subprotocols());
                request.set_subprotocols(left);
            }
        }
    }
}

/// Reads `bytes` as a token. In addition to the characters of a compact JWS (RFC 7515 section 7.1),
/// those of padded and standard base64 pass, so that the verifier can report the exact error.
fn token(bytes: &[u8]) -> CredentialReading {
    let plain = bytes.iter().fold(true, |plain, byte| plain & is_plain(*byte));
    match std::str::from_utf8(bytes) {
        Ok(text) if plain => Ok(text.to_owned()),
        _ => Err("it has characters that no token has"),
    }
}

#[expect(clippy::needless_bitwise_bool, reason = "a loop without branches is vectorized")]
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        | (byte == b'-')
        | (byte == b'_')
        | (byte == b'.')
        | (byte == b'~')
        | (byte == b'+')
        | (byte == b'/')
        | (byte == b'=')
}

/// `bytes` without leading and trailing spaces and tabs (OWS, RFC 9110 section 5.6.3).
fn trimmed(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}
