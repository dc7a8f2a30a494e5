//! `[admin]`

use std::path::Path;

use super::address::check_socket_path;
use super::files::check_place;
use super::keys::{self, Admin};
use super::kinds::Fault;
use super::reader::SectionReader;

/// Checks `[admin]`. This step creates and opens no file, but the folders must exist.
pub(super) fn check(reader: &SectionReader<'_>) -> Admin {
    let admin = Admin::read(reader);
    let (socket, revocations) = (keys::ADMIN_SOCKET.name, keys::REVOCATIONS.name);
    reader.will_create(socket, admin.socket.as_ref(), check_socket);
    reader.will_create(revocations, admin.revocations.as_ref(), check_place);
    let files = [(socket, admin.socket.as_ref()), (revocations, admin.revocations.as_ref())];
    reader.refuse_same_file(files, "give the revocations a file of their own");
    admin
}

/// Checks that a socket can be created at `path`; a socket that an earlier run left there is accepted.
fn check_socket(path: &Path) -> Result<(), Fault> {
    check_socket_path(path)?;
    check_place(path)?;
    if path.is_file() {
        let fault = Fault::new(format!("{} is there and is not a socket", path.display()));
        return Err(fault.help("name a file that does not exist yet, such as run/framewall.sock"));
    }
    Ok(())
}
