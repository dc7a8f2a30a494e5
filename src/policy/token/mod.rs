//! Tokens: JSON Web Tokens (RFC 7519), signed (RFC 7515), read as RFC 8725 advises.
//!
//! Takes a token's text and a `[jwt.NAME]`, gives an [`Identity`] or a refusal that says what is
//! wrong. Nothing about a token is believed before its signature was verified, with a key and an
//! algorithm that the configuration chose; what the token says of keys and algorithms only picks
//! among those. It never looks for a token in a request, and never logs one.
//!
//! The way through: `compact` takes the text apart, `key` or `jwks` (kept fresh by `remote`, which
//! asks through `fetch`) verifies the signature, `claims` judges what was signed, `forward` tells the
//! upstream.

mod claims;
mod compact;
mod fetch;
mod forward;
mod identity;
mod inspect;
mod jwks;
mod key;
mod mint;
mod pointer;
mod remote;
mod spki;
mod status;
mod verifier;
mod verifiers;

pub use identity::Identity;
pub use inspect::{Inspection, inspect};
pub use jwks::SetError;
pub use key::{KeyError, Weakness};
pub use mint::{MintError, Signer};
pub use status::Status;
pub use verifier::{Authenticated, TokenError, Verifier};
pub use verifiers::{Verifiers, choose};

#[cfg(test)]
mod tests;
