//! Observes the items of a protocol in place of whole messages.

use super::seen::{BOUNDS, Content};
use crate::message::protocols::{GraphqlRules, Message, Protocol, Reader};
use crate::message::rules::MessageKind;
use crate::values::Endpoint;
use crate::wire::ObservedMessage;

/// The most elements of a batch that rules can allow.
pub(super) const MOST_BATCH: usize = 1000;

/// A protocol whose messages are observed, without the bounds that rules set.
#[derive(Debug, Clone)]
pub struct ObservedProtocol {
    name: &'static str,
    protocol: Protocol,
}

/// Reads the items of the messages of one session.
#[derive(Debug)]
pub(super) struct ItemReader(Box<dyn Reader>);

impl ObservedProtocol {
    /// The names, as the key `protocol` has them.
    pub const NAMES: [&'static str; 5] = ["jsonrpc", "phoenix", "socketio", "graphql-ws", "stomp"];

    /// The protocol of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = Self::NAMES.into_iter().find(|known| *known == name)?;
        let protocol = match name {
            "jsonrpc" => Protocol::JsonRpc { max_batch: MOST_BATCH },
            "phoenix" => Protocol::Phoenix,
            "stomp" => Protocol::Stomp,
            "socketio" => Protocol::SocketIo { max_attachments: 1000, max_size: u64::MAX },
            _ => Protocol::GraphqlWs(GraphqlRules {
                max_selection_depth: 100,
                max_aliases: 10_000,
                max_complexity: 100_000,
                max_root_fields: 1000,
                root_fields: false,
                max_directives: 10_000,
                max_tokens: 1_000_000,
                introspection: true,
                allowed: None,
            }),
        };
        Some(Self { name, protocol })
    }

    pub(super) fn name(&self) -> String {
        self.name.to_owned()
    }

    pub(super) fn reader(&self, sender: Endpoint) -> ItemReader {
        ItemReader(self.protocol.reader(sender))
    }
}

impl ItemReader {
    /// The items of a message; a message that is not of the protocol is ambiguous.
    pub(super) fn read<'a>(
        &mut self,
        message: &ObservedMessage<'_>,
        payload: &[u8],
    ) -> Content<'a> {
        let kind = if message.binary { MessageKind::Binary } else { MessageKind::Text };
        let mut items = Vec::new();
        match self.0.read(&Message { kind, payload, bounds: &BOUNDS }, &mut items) {
            Ok(()) => Content::Items(items),
            Err(_) => Content::Ambiguous,
        }
    }
}
