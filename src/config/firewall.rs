//! `[firewall]`

use super::ban;
use super::protection::Firewall;
use super::reader::Reader;

/// Reads `[firewall]`.
pub(super) fn read(reader: &Reader<'_>) -> Firewall {
    Firewall { ban: ban::read(reader), ..Firewall::default() }
}
