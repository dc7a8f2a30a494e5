//! Negotiates permessage-deflate (RFC 7692 section 7.1) with the client and with the upstream.

mod clients;

use std::fmt;

use http::{HeaderMap, HeaderValue};

use super::extensions::{Extension, Parameter, extensions};

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// An acceptable offer of permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateOffer(Parameters);

/// The parameters that client and upstream agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate(Parameters);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<WindowBits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WindowBits {
    /// The parameter without a value, which is valid only in an offer.
    Any,
    AtMost(u8),
}

impl DeflateOffer {
    /// Reads the acceptable offers of a request, in the client's order. Other extensions, and
    /// offers with an unknown, invalid or duplicate parameter, are left out, since section 7
    /// declines them; so are all offers of a client whose implementation is known to be broken.
    ///
    /// # Errors
    /// The field is not a list of extensions (RFC 6455 section 9.1).
    pub fn read(headers: &HeaderMap) -> Result<Vec<Self>, &'static str> {
        let offered = extensions(headers)
            .map_err(|()| "Sec-WebSocket-Extensions is not a list of extensions")?;
        if clients::is_broken(headers) {
            return Ok(Vec::new());
        }
        let offers = offered.iter().filter(|extension| extension.name == NAME);
        Ok(offers.filter_map(|offer| Parameters::read(offer).map(Self)).collect())
    }

    /// The header field for these offers; `None` if there are none.
    ///
    /// Each offer has `client_no_context_takeover`, since [`Deflate::field`] requires it of the
    /// client: the application may use a new inflater for each message (section 7.1.1.2).
    pub(super) fn field(offers: &[Self]) -> Option<HeaderValue> {
        let written: Vec<_> = offers
            .iter()
            .map(|offer| Parameters { client_no_context_takeover: true, ..offer.0 }.to_string())
            .collect();
        if written.is_empty() { None } else { written.join(", ").parse().ok() }
    }

    /// Whether `answer` accepts this offer (sections 7.1.1 and 7.1.2).
    fn is_accepted_by(self, answer: Parameters) -> bool {
        let server_bits = match (self.0.server_max_window_bits, answer.server_max_window_bits) {
            (Some(offered), Some(agreed)) => agreed <= offered,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let client_bits = match (self.0.client_max_window_bits, answer.client_max_window_bits) {
            (_, None) | (Some(WindowBits::Any), Some(WindowBits::AtMost(_))) => true,
            (Some(WindowBits::AtMost(offered)), Some(WindowBits::AtMost(agreed))) => {
                agreed <= offered
            }
            (None, Some(_)) | (_, Some(WindowBits::Any)) => false,
        };
        let takeover = answer.server_no_context_takeover || !self.0.server_no_context_takeover;
        server_bits && client_bits && takeover
    }
}

impl Deflate {
    /// Reads the offer that a 101 accepts; `None` if it accepts no extension.
    ///
    /// # Errors
    /// The 101 names anything but a single permessage-deflate with parameters that one of the
    /// offers allows.
    pub fn read(
        headers: &HeaderMap,
        offers: &[DeflateOffer],
    ) -> Result<Option<Self>, &'static str> {
        let accepted = extensions(headers)
            .map_err(|()| "Sec-WebSocket-Extensions is not a list of extensions")?;
        let answer = match accepted.as_slice() {
            [] => return Ok(None),
            [one] if one.name == NAME && !offers.is_empty() => Parameters::read(one),
            [_] => return Err("an extension is named that was not offered"),
            _ => return Err("more than one extension is named"),
        };
        let answer = answer.ok_or("a parameter of permessage-deflate is not valid")?;
        if !offers.iter().any(|offer| offer.is_accepted_by(answer)) {
            return Err("permessage-deflate is accepted with parameters that were not offered");
        }
        Ok(Some(Self(answer)))
    }

    /// Whether the upstream compresses each message without the context of earlier ones.
    #[must_use]
    pub fn upstream_starts_anew(&self) -> bool {
        self.0.server_no_context_takeover
    }

    /// The base-2 logarithm of the upstream's LZ77 window, 8 to 15.
    #[must_use]
    pub fn upstream_window_bits(&self) -> u8 {
        self.0.server_max_window_bits.unwrap_or(15)
    }

    /// The header field of the 101 to the client. It has `client_no_context_takeover`, which a
    /// server may add to any offer (section 7.1.1.2): a message of such a client can be removed
    /// from the stream, and the next one needs no context of it.
    pub(super) fn field(self) -> Option<HeaderValue> {
        Parameters { client_no_context_takeover: true, ..self.0 }.to_string().parse().ok()
    }
}

impl Parameters {
    /// Returns `None` if a parameter is unknown, invalid or duplicate.
    fn read(extension: &Extension) -> Option<Self> {
        let mut read = Self::default();
        for Parameter { name, value } in &extension.parameters {
            let value = value.as_deref();
            let first = match name.as_str() {
                SERVER_NO_CONTEXT_TAKEOVER if value.is_none() => {
                    !std::mem::replace(&mut read.server_no_context_takeover, true)
                }
                CLIENT_NO_CONTEXT_TAKEOVER if value.is_none() => {
                    !std::mem::replace(&mut read.client_no_context_takeover, true)
                }
                SERVER_MAX_WINDOW_BITS => {
                    read.server_max_window_bits.replace(window_bits(value?)?).is_none()
                }
                CLIENT_MAX_WINDOW_BITS => {
                    let bits = match value {
                        None => WindowBits::Any,
                        Some(value) => WindowBits::AtMost(window_bits(value)?),
                    };
                    read.client_max_window_bits.replace(bits).is_none()
                }
                _ => return None,
            };
            if !first {
                return None;
            }
        }
        Some(read)
    }
}

/// A window size of section 7.1.2: 8 to 15, without leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    let bits = text.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (u8::to_string(&bits) == text).then_some(bits)
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            write!(f, "; {SERVER_NO_CONTEXT_TAKEOVER}")?;
        }
        if self.client_no_context_takeover {
            write!(f, "; {CLIENT_NO_CONTEXT_TAKEOVER}")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; {SERVER_MAX_WINDOW_BITS}={bits}")?;
        }
        match self.client_max_window_bits {
            None => Ok(()),
            Some(WindowBits::Any) => write!(f, "; {CLIENT_MAX_WINDOW_BITS}"),
            Some(WindowBits::AtMost(bits)) => write!(f, "; {CLIENT_MAX_WINDOW_BITS}={bits}"),
        }
    }
}

#[cfg(test)]
mod tests;
