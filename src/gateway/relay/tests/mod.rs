//! Tests of the pumps over sockets.

mod slow;
mod turns;

use crate::values::Endpoint;
pub(super) use crate::wire::tests::settings;
use crate::wire::tests::*;
