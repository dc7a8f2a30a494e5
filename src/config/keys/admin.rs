//! `[admin]`

use super::{Key, Omittable, Row, Section};
use crate::config::kinds::File;

keys! {
    ADMIN_ROWS;

    ADMIN_SOCKET: File, Omittable = Admin "socket" File, Omittable("none"),
        "The unix socket of the admin client; only the user of the gateway may open it. Its folder must \
         exist; the path has at most 107 bytes.";
    REVOCATIONS: File, Omittable = Admin "revocations" File,
        Omittable("in memory only: a restart forgets them"),
        "Where revocations of tokens and users are kept across restarts. Its folder must exist.";
}
