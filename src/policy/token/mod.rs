//! JSON Web Tokens (RFC 7519), signed (RFC 7515), read as RFC 8725 advises.
//!
//! Takes the text of a token and a `[jwt.NAME]`; returns a [`VerifiedToken`], or a refusal that names
//! the problem. Nothing in a token is trusted before its signature is verified with a key and an
//! algorithm that the configuration allows; the header only selects among those. This module never
//! looks for a token in a request, and never logs one.
//!
//! The order: `compact` parses the text; `key` or `jwks` verifies the signature (`remote` keeps a
//! set fresh with `fetch`); `claims` checks the signed claims; `forward` builds the header fields
//! for the upstream.

mod claims;
mod compact;
mod fetch;
mod forward;
mod inspect;
mod jwks;
mod key;
mod mint;
mod remote;
mod spki;
mod status;
mod verified;
mod verifier;
mod verifiers;

pub use inspect::{Inspection, inspect};
pub use jwks::SetError;
pub use key::{KeyError, Weakness};
pub use mint::{MintError, Signer};
pub use status::Status;
pub use verified::VerifiedToken;
pub use verifier::{Authenticated, TokenError, Verifier};
pub use verifiers::{Verifiers, choose};

#[cfg(test)]
mod tests;
