//! Decides which addresses may connect. Takes an address and returns a verdict with the rule that
//! decided; never reads a configuration or a file and never touches a connection.

mod country;
mod error;
mod geo;
mod list;
mod rules;
mod table;
mod verdict;

pub use country::Country;
pub use error::Error;
pub use geo::{Database, Geo, GeoRules, Says};
pub use list::{BadLine, BadList, List, MAX_LINES};
pub use rules::{Builder, MAX_PREFIXES, Rules};
pub use verdict::{Action, AddressVerdict, Entry, Source, Why};

#[cfg(test)]
mod tests;
