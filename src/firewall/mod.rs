//! Which addresses may connect. Takes an address, gives a verdict with the rule that decided; never
//! reads a configuration, never touches a connection.

mod rules;

pub use rules::Rules;
