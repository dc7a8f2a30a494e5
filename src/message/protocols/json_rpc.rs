//! JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>). The type of a call is its method, the body its params.

use serde_json::{Map, Value, json};

use super::{Item, Message, Protocol, Reader, Refused, broken, member};
use crate::message::rules::{MessageFault, fault};
use crate::values::Reason;
use crate::wire::Answer;

/// The code of an error that the gateway answers with, of the range for servers (section 5.1).
const REFUSED: i32 = -32001;
/// "Invalid Request" (section 5.1).
const INVALID_REQUEST: i32 = -32600;

/// Reads JSON-RPC messages.
#[derive(Debug)]
pub(super) struct JsonRpc {
    /// Elements of one batch, at most.
    max_batch: usize,
    /// The last message was a batch.
    batch: bool,
}

impl JsonRpc {
    pub(super) fn new(max_batch: usize) -> Self {
        Self { max_batch, batch: false }
    }
}

impl Reader for JsonRpc {
    fn read(&mut self, message: &Message<'_>, items: &mut Vec<Item>) -> Result<(), MessageFault> {
        self.batch = false;
        let elements = match message.json(message.any_text()?)? {
            Value::Array(elements) => {
                self.batch = true;
                elements
            }
            one => vec![one],
        };
        if elements.is_empty() {
            return Err(broken("an empty batch"));
        }
        if elements.len() > self.max_batch {
            let detail = format_args!("a batch of {} elements", elements.len());
            return Err(fault(Reason::MessageStructure, "max_batch", detail));
        }
        for (index, element) in elements.into_iter().enumerate() {
            let Value::Object(object) = element else {
                return Err(broken(format_args!("element {index} is no object")));
            };
            items.push(item(object)?);
        }
        Ok(())
    }

    fn set_bounds(&mut self, protocol: &Protocol) {
        if let Protocol::JsonRpc { max_batch } = protocol {
            self.max_batch = *max_batch;
        }
    }

    fn answer(&self, refused: &Refused<'_>) -> Option<Answer> {
        let error = |code: i32, id: &Value| {
            json!({
                "jsonrpc": "2.0",
                "error": {
                    "code": code,
                    "message": refused.reason.name(),
                    "data": { "request_id": refused.request_id },
                },
                "id": id,
            })
        };
        let ids = refused.items.iter().filter_map(|item| item.reply_to.as_ref());
        let mut errors: Vec<Value> = ids.map(|id| error(REFUSED, id)).collect();
        let answer = match errors.len() {
            // Section 5: the id is null if it could not be read.
            0 if refused.reason == Reason::MessageStructure => error(INVALID_REQUEST, &Value::Null),
            0 => return None,
            1 if !self.batch => errors.remove(0),
            _ => Value::Array(errors),
        };
        Some(Answer::text(answer.to_string()))
    }
}

/// Reads a request, a notification or a response (sections 4 and 5).
fn item(mut object: Map<String, Value>) -> Result<Item, MessageFault> {
    if member(&object, "jsonrpc")? != Some(&json!("2.0")) {
        return Err(broken("\"jsonrpc\" is not \"2.0\""));
    }
    let id = match member(&object, "id")? {
        Some(Value::Object(_) | Value::Array(_) | Value::Bool(_)) => {
            return Err(broken("\"id\" is neither a string, a number nor null"));
        }
        id => id.cloned(),
    };
    let is_response = member(&object, "result")?.is_some() || member(&object, "error")?.is_some();
    let method = match member(&object, "method")? {
        Some(Value::String(method)) => method.clone(),
        Some(_) => return Err(broken("\"method\" is no string")),
        // A response to a request of the other end.
        None if is_response && id.is_some() => return Ok(Item::own()),
        None => return Err(broken("it has no \"method\"")),
    };
    if is_response {
        return Err(broken("it is both a request and a response"));
    }
    if member(&object, "params")?.is_some_and(|params| !params.is_object() && !params.is_array()) {
        return Err(broken("\"params\" is neither an object nor an array"));
    }
    let body = object.remove("params").unwrap_or_default();
    Ok(Item { name: Some(method), body, reply_to: id })
}
