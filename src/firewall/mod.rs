//! Which addresses may connect. Takes an address, gives a verdict with the rule that decided; never
//! touches a connection. Addresses that offend again and again are banned for a time: [`Bans`] takes
//! their strikes and an operator's word.

mod bans;
mod rules;

pub use bans::{BanRefused, Bans, NewBan, Now, Struck, ipset, nft};
pub use rules::Rules;
