//! GraphQL over WebSocket, in both subprotocols: `graphql-transport-ws` of the library graphql-ws
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>), and the older `graphql-ws` of
//! subscriptions-transport-ws. A message itself shows which one it is of, so the reader accepts those of both. The type
//! of an operation is its kind and name, the body the payload; or each field of the operation itself is an item, with
//! its arguments as body.

mod allowed;
mod document;
mod lexer;
mod literals;
mod totals;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value, json};

pub use self::allowed::{AllowedDocuments, AllowedDocumentsError};
use self::document::Document;
use self::literals::Variables;
use super::{Item, Message, Protocol, Reader, Refused, broken, member};
use crate::message::rules::{MessageFault, fault};
use crate::values::{Endpoint, Reason};
use crate::wire::Answer;

/// Members of a payload by which applications find a stored document, as `extensions.persistedQuery` does.
const OTHER_NAMES: [&str; 6] = ["documentId", "doc_id", "docId", "id", "queryId", "persistedQuery"];

/// What an operation may be. Numbers are those of a document with its fragments where they are spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphqlRules {
    /// Fields within each other, at most.
    pub max_selection_depth: usize,
    /// Fields with an alias, at most.
    pub max_aliases: usize,
    /// Fields, at most.
    pub max_complexity: usize,
    /// Fields that no other field is around, at most.
    pub max_root_fields: usize,
    /// Directives of the text, at most.
    pub max_directives: usize,
    /// Tokens of the text, at most.
    pub max_tokens: usize,
    /// Whether each field of the operation itself is a type, with its arguments as body.
    pub root_fields: bool,
    /// Whether fields of the introspection are accepted.
    pub introspection: bool,
    /// The documents that are accepted; `None`: all.
    pub allowed: Option<Arc<AllowedDocuments>>,
}

/// Reads GraphQL messages of one direction. It remembers nothing from one message to the next but what the answer needs.
#[derive(Debug)]
pub(super) struct GraphqlWs {
    sender: Endpoint,
    rules: GraphqlRules,
    /// The last message named a document by a hash that is not listed.
    unknown_hash: bool,
}

/// What a payload executes.
#[derive(Default)]
struct Content {
    /// The kind and name of the operation, if that is its type.
    name: Option<String>,
    /// The fields of the operation, with their arguments, if each is a type.
    fields: Vec<(String, Map<String, Value>)>,
    /// Texts that stand in the document in another form.
    texts: Vec<String>,
}

impl GraphqlWs {
    pub(super) fn new(sender: Endpoint, rules: GraphqlRules) -> Self {
        Self { sender, rules, unknown_hash: false }
    }

    /// Reads an operation of the client.
    fn operation(
        &mut self,
        kind: &str,
        id: &Value,
        payload: Option<Value>,
        items: &mut Vec<Item>,
    ) -> Result<(), MessageFault> {
        let reply_to = Some(json!([kind, id]));
        // The sender is told of whatever is wrong with the payload.
        items.push(Item { name: None, body: payload.unwrap_or_default(), reply_to });
        let Some(item) = items.last_mut() else {
            return Ok(());
        };
        let Value::Object(payload) = &item.body else {
            return Err(broken("its \"payload\" is no object"));
        };
        let Content { name, fields, texts } = self.content_of(payload)?;
        if fields.is_empty() {
            item.name = name;
        } else {
            let reply_to = item.reply_to.take();
            items.pop();
            items.extend(fields.into_iter().map(|(name, arguments)| Item {
                name: Some(name),
                body: Value::Object(arguments),
                reply_to: reply_to.clone(),
            }));
        }
        if !texts.is_empty() {
            items.push(Item { body: texts.into(), ..Item::own() });
        }
        Ok(())
    }

    /// The operation that a payload executes.
    fn content_of(&mut self, payload: &Map<String, Value>) -> Result<Content, MessageFault> {
        let variables = optional_object(payload, "variables")?;
        let query = optional_text(payload, "query")?.filter(|text| !text.is_empty());
        let operation_name = optional_text(payload, "operationName")?;
        let hash = stored_hash(payload)?;
        for name in OTHER_NAMES {
            if member(payload, name)?.is_some() {
                return Err(broken(format_args!("\"{name}\" names a stored document")));
            }
        }
        let allowed = self.rules.allowed.as_deref();
        let text = match (query, hash) {
            (None, None) => return Err(broken("it has no \"query\"")),
            (Some(text), hash) => {
                let own = allowed::hash_of(text);
                if hash.is_some_and(|hash| allowed::parse_lower(hash) != Some(own)) {
                    return Err(broken("the hash of its persisted query is not that of its query"));
                }
                if allowed.is_some_and(|allowed| !allowed.has(&own)) {
                    return Err(unlisted());
                }
                text
            }
            (None, Some(hash)) => match allowed.and_then(|allowed| allowed.find(hash)) {
                None => {
                    self.unknown_hash = true;
                    return Err(unlisted());
                }
                // The list does not say what the document does.
                Some(None) => {
                    let name = Some(format!("persisted:{hash}"));
                    return Ok(Content { name, ..Content::default() });
                }
                Some(Some(text)) => text,
            },
        };
        let document = Document::read(text, self.rules.max_tokens)?;
        document.check(&self.rules)?;
        let operation = document.operation(operation_name)?;
        let kind = operation.kind;
        let mut content = Content::default();
        if self.rules.root_fields {
            let mut variables = Variables::new(text, operation, variables)?;
            for root in document.roots(operation)? {
                let arguments = root.arguments.map(|at| variables.arguments(at)).transpose()?;
                if root.name != "__typename" {
                    let name = format!("{kind}:{}", root.name);
                    content.fields.push((name, arguments.unwrap_or_default()));
                }
            }
        } else {
            content.name = Some(format!("{kind}:{}", operation.name.unwrap_or_default()));
        }
        content.texts = document.texts;
        Ok(content)
    }
}

impl Reader for GraphqlWs {
    fn read(&mut self, message: &Message<'_>, items: &mut Vec<Item>) -> Result<(), MessageFault> {
        self.unknown_hash = false;
        let Value::Object(mut object) = message.json(message.text()?)? else {
            return Err(broken("it is no object"));
        };
        let Some(Value::String(kind)) = member(&object, "type")?.cloned() else {
            return Err(broken("its \"type\" is no string"));
        };
        let id = member(&object, "id")?.cloned();
        member(&object, "payload")?;
        let payload = object.remove("payload");
        let has_id = matches!(&id, Some(Value::String(id)) if !id.is_empty());
        let no_id = || broken("its \"id\" is no string, or an empty one");
        let item = match (self.sender, kind.as_str()) {
            (Endpoint::Client, "subscribe" | "start") => {
                let id = id.filter(|_| has_id).ok_or_else(no_id)?;
                return self.operation(&kind, &id, payload, items);
            }
            (Endpoint::Client, "complete" | "stop") | (Endpoint::Upstream, "complete")
                if has_id =>
            {
                Item::own()
            }
            (Endpoint::Client, "complete" | "stop") | (Endpoint::Upstream, "complete") => {
                return Err(no_id());
            }
            (Endpoint::Client, "connection_init")
            | (Endpoint::Upstream, "connection_ack")
            | (_, "ping" | "pong") => {
                if !matches!(payload, None | Some(Value::Null | Value::Object(_))) {
                    return Err(broken("its \"payload\" is no object"));
                }
                Item::own()
            }
            (Endpoint::Client, "connection_terminate")
            | (Endpoint::Upstream, "connection_error" | "ka") => Item::own(),
            (Endpoint::Upstream, "next" | "data" | "error") => {
                if !has_id {
                    return Err(no_id());
                }
                Item { name: Some(kind), body: payload.unwrap_or_default(), reply_to: None }
            }
            _ => return Err(broken("its \"type\" is unknown")),
        };
        items.push(item);
        Ok(())
    }

    fn set_bounds(&mut self, protocol: &Protocol) {
        if let Protocol::GraphqlWs(rules) = protocol {
            self.rules = rules.clone();
        }
    }

    fn answer(&self, refused: &Refused<'_>) -> Option<Answer> {
        let reply_to = refused.items.first()?.reply_to.as_ref()?;
        // After this error clients of automatic persisted queries send the text.
        let (message, code) = if self.unknown_hash {
            ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
        } else {
            (refused.reason.name(), refused.reason.name())
        };
        let extensions = json!({ "code": code, "request_id": refused.request_id });
        let error = json!({ "message": message, "extensions": extensions });
        // The older protocol has one error, the newer one a list.
        let payload = if reply_to[0] == "start" { error } else { json!([error]) };
        let answer = json!({ "id": reply_to[1], "type": "error", "payload": payload });
        Some(Answer::text(answer.to_string()))
    }
}

fn unlisted() -> MessageFault {
    fault(Reason::MessageType, "allowed_documents", "its document is not listed")
}

fn optional_object<'v>(
    object: &'v Map<String, Value>,
    name: &str,
) -> Result<Option<&'v Map<String, Value>>, MessageFault> {
    match member(object, name)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(value)) => Ok(Some(value)),
        Some(_) => Err(broken(format_args!("\"{name}\" is no object"))),
    }
}

fn optional_text<'v>(
    object: &'v Map<String, Value>,
    name: &str,
) -> Result<Option<&'v str>, MessageFault> {
    match member(object, name)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(broken(format_args!("\"{name}\" is no string"))),
    }
}

/// The hash by which a payload names a persisted query: `extensions.persistedQuery.sha256Hash`, or
/// `extensions.persistedQuery` itself.
fn stored_hash(payload: &Map<String, Value>) -> Result<Option<&str>, MessageFault> {
    let Some(extensions) = optional_object(payload, "extensions")? else {
        return Ok(None);
    };
    match member(extensions, "persistedQuery")? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(hash)) => Ok(Some(hash)),
        Some(Value::Object(query)) => match optional_text(query, "sha256Hash")? {
            Some(hash) => Ok(Some(hash)),
            None => Err(broken("\"persistedQuery\" has no \"sha256Hash\"")),
        },
        Some(_) => Err(broken("\"persistedQuery\" is no object")),
    }
}
