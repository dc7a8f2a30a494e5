//! `[firewall]`

use super::{Key, Optional, Row, Section};
use crate::config::lists::Table;

keys! {
    FIREWALL_ROWS;

    BAN: Table, Optional = Firewall "ban" Table, Optional("nobody is banned but by an operator"),
        "Bans of addresses that offend again and again; see [bans](bans.md).";
}
