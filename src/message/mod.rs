//! The rules of a route for whole messages: their kinds, sizes and structure, JSON Schemas, denied patterns, and
//! types with the claims and rates that each needs. Takes the bytes of one message and the claims of the sender's
//! token; gives a verdict with the rule that decided. No I/O and no clock, except that a [`Schema`] reads the files
//! that it refers to when it is compiled.

mod binary_types;
mod body;
mod email;
mod items;
mod judge;
mod matching;
mod observe;
mod opening;
mod packed;
mod path;
mod patterns;
mod pointer;
mod protocols;
mod rules;
mod scan;
mod schema;
mod text;
mod types;

#[cfg(test)]
mod tests;

pub use binary_types::BinaryType;
pub use body::BodyVerdict;
pub use judge::{Judge, RateOfType};
pub use matching::PatternForm;
pub use observe::{
    Direction, Messages, Observation, Observed, ObservedProtocol, Report, SchemaFile,
};
pub use opening::{Opening, is_whole, take_token};
pub use packed::Packed;
pub use patterns::Patterns;
pub use pointer::Pointer;
pub use protocols::{
    AllowedDocuments, AllowedDocumentsError, GraphqlRules, MqttBounds, Protocol, SharedState,
};
pub use rules::{MessageFault, MessageKind, MessageRules, OnViolation, Trial};
pub use scan::{Bounds, StructureFault, StructureRule};
pub use schema::{MAX_SCHEMA, Schema, SchemaError, SchemaFault, is_schema};
pub use types::{TypePattern, TypeRules, Types};
