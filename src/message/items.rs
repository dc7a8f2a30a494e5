//! The rules applied to the items of a protocol's message.

use serde_json::Value;

use super::protocols::{Item, Message, Reader};
use super::rules::{
    Judged, MessageFault, MessageRules, Verdict, check_claims, check_schema, denied, fault,
    unlisted,
};
use super::types::TypeRules;
use crate::values::Reason;

impl MessageRules {
    /// Judges a message that `reader` reads. All its items must pass.
    pub(super) fn check_items<'r>(
        &'r self,
        message: &Judged<'_>,
        reader: &mut dyn Reader,
        verdict: &mut Verdict<'r>,
    ) -> Result<(), MessageFault> {
        let Judged { kind, payload, .. } = *message;
        // The reader comes first: its state must follow every message, also one that another rule refuses.
        let bounds = self.bounds.as_ref().expect("a protocol has bounds");
        let read = reader.read(&Message { kind, payload, bounds }, &mut verdict.items);
        if read.as_ref().is_err_and(|fault| fault.closes) {
            return read;
        }
        self.check_kind(kind)?;
        self.check_bytes(payload)?;
        for item in &verdict.items {
            self.check_body(&item.body)?;
        }
        read?;
        for item in &verdict.items {
            verdict.at_fault = None;
            self.check_item(item, message, reader, &mut verdict.listed, &mut verdict.at_fault)?;
        }
        Ok(())
    }

    fn check_item<'r>(
        &'r self,
        item: &Item,
        message: &Judged<'_>,
        reader: &dyn Reader,
        listed: &mut Vec<(usize, &'r TypeRules)>,
        at_fault: &mut Option<&'r TypeRules>,
    ) -> Result<(), MessageFault> {
        let Some(name) = &item.name else {
            return Ok(());
        };
        let is_listed = || self.types.as_ref().is_some_and(|types| types.lists(name));
        if reader.is_optional(name) && !is_listed() {
            return Ok(());
        }
        if let Some(schema) = &self.schema {
            check_schema(schema, "schema", Some(&item.body))?;
        }
        let Some(types) = &self.types else {
            return Ok(());
        };
        let found = reader.find_type(types, name);
        for index in found.into_iter().chain(reader.other_types(types, name)) {
            let Some(rules) = types.rules().get(index) else {
                continue;
            };
            listed.push((index, rules));
            *at_fault = Some(rules);
            check_type(rules, item, message).map_err(|fault| fault.of(rules))?;
        }
        if found.is_none() {
            *at_fault = None;
            if reader.must_be_listed(name) {
                let detail = "it has no listed type, and a name of a meaning of its own";
                return Err(fault(Reason::MessageType, "unlisted", detail));
            }
            return unlisted(types, "it has no listed type");
        }
        Ok(())
    }

    /// Refuses a body of which a string or name matches a denied pattern.
    fn check_body(&self, body: &Value) -> Result<(), MessageFault> {
        let Some(deny) = &self.deny else {
            return Ok(());
        };
        let check = |text: &str| match deny.first_in(text) {
            Some(index) => Err(denied(index, "in one of its strings")),
            // It may be JSON itself, or something like it.
            None => self.check_patterns(text),
        };
        match body {
            Value::String(text) => check(text),
            Value::Array(items) => items.iter().try_for_each(|item| self.check_body(item)),
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                check(name)?;
                self.check_body(value)
            }),
            _ => Ok(()),
        }
    }
}

fn check_type(rules: &TypeRules, item: &Item, message: &Judged<'_>) -> Result<(), MessageFault> {
    if let Some(schema) = &rules.schema {
        check_schema(schema, "types.schema", Some(&item.body))?;
    }
    for (_, pointer) in &rules.require_in {
        if pointer.find(&item.body).is_err() {
            let detail = "a name differs from that of a pointer in case alone";
            return Err(fault(Reason::MessageStructure, "types.require_in", detail));
        }
    }
    let scalar = |value: &&Value| !value.is_object() && !value.is_array();
    check_claims(rules, message.claims, |pointer| {
        pointer.find(&item.body).ok().flatten().filter(scalar)
    })
}
