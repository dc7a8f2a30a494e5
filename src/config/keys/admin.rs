//! `[admin]`

use super::{Key, Omittable, Row, Section};
use crate::config::kinds::File;

keys! {
    ADMIN_ROWS;

    ADMIN_SOCKET: File, Omittable = Admin "socket" File, Omittable("there is none"),
        "The unix socket of the admin client, for the gateway's user alone. Its folder must exist; \
         the path has at most 107 bytes.";
    REVOCATIONS: File, Omittable = Admin "revocations" File,
        Omittable("in memory alone: a restart forgets them"),
        "Where revocations of tokens and users are kept over a restart. Its folder must exist.";
}
