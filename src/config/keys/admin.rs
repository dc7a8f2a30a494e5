//! `[admin]`

use std::path::PathBuf;

use crate::config::kinds::File;

section! {
    /// `[admin]`
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Admin {} Admin admin_rows;

    ADMIN_SOCKET socket: Option<PathBuf> = File, File, Omittable("none"),
        "The unix socket of the admin client; only the user of the gateway may open it. Its folder must \
         exist; the path has at most 107 bytes.";
    REVOCATIONS revocations: Option<PathBuf> = File, File,
        Omittable("in memory only: a restart forgets them"),
        "Where revocations of tokens and users are kept across restarts. Its folder must exist.";
}
