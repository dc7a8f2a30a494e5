//! `[admin]`

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::address::MAX_UNIX_PATH;
use super::files::check_place;
use super::keys;
use super::kinds::Fault;
use super::model::Admin;
use super::reader::SectionReader;
use super::report::Problem;

/// Checks `[admin]`. This step creates and opens no file, but the folders must exist.
pub(super) fn check(reader: &SectionReader<'_>) -> Admin {
    let socket = reader.get(&keys::ADMIN_SOCKET);
    let revocations = reader.get(&keys::REVOCATIONS);
    if let (Some(socket), Some(revocations)) = (&socket, &revocations)
        && socket.get_ref() == revocations.get_ref()
    {
        let what = "admin.revocations and admin.socket are the same file";
        reader.cx.refuse(
            Problem::at(revocations.span(), what)
                .related(socket.span(), "admin.socket")
                .help("give the revocations a file of their own"),
        );
    }
    Admin {
        socket: checked(reader, keys::ADMIN_SOCKET.name, socket, check_socket),
        revocations: checked(reader, keys::REVOCATIONS.name, revocations, check_place),
    }
}

fn checked(
    reader: &SectionReader<'_>,
    name: &'static str,
    path: Option<Spanned<PathBuf>>,
    checked: fn(&Path) -> Result<(), Fault>,
) -> Option<PathBuf> {
    let path = path?;
    reader.will_create(name, &path, checked);
    Some(path.into_inner())
}

/// Checks that a socket can be created at `path`; a socket that an earlier run left there is accepted.
fn check_socket(path: &Path) -> Result<(), Fault> {
    let length = path.as_os_str().len();
    if length > MAX_UNIX_PATH {
        let what =
            format!("a socket's path has at most {MAX_UNIX_PATH} bytes, this one has {length}");
        return Err(Fault::new(what).help("move the socket to a shorter path"));
    }
    check_place(path)?;
    if path.is_file() {
        let fault = Fault::new(format!("{} is there and is not a socket", path.display()));
        return Err(fault.help("name a file that does not exist yet, such as run/framewall.sock"));
    }
    Ok(())
}
