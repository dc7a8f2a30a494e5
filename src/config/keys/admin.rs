//! `[admin]`

use super::{Key, Optional, Row, Section};
use crate::config::kinds::File;

keys! {
    ADMIN_ROWS;

    ADMIN_SOCKET: File, Optional = Admin "socket" File, Optional("there is none"),
        "The unix socket of the admin client, for the gateway's user alone. Its folder must exist; \
         the path has at most 107 bytes.";
    REVOCATIONS: File, Optional = Admin "revocations" File,
        Optional("in memory alone: a restart forgets them"),
        "Where revocations of tokens and users are kept over a restart. Its folder must exist.";
}
