//! The file of the admin socket: only its owner has access, and only one gateway uses it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// The mode of the file: only its owner has access.
const MODE: u32 = 0o600;
/// The backlog of connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// The reason why the admin socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process listens on the socket.
    #[error(
        "[admin] socket: another gateway is running on {}; stop it, or name another socket",
        .0.display()
    )]
    InUse(PathBuf),
    /// The path names a file that is not a socket.
    #[error(
        "[admin] socket: {} is there and is not a socket; name another path",
        .0.display()
    )]
    NotASocket(PathBuf),
    /// The operating system refused.
    #[error(
        "[admin] socket: cannot listen on {}: {source}; is its folder there, may this user write to it, and is the path shorter than 108 bytes?",
        path.display()
    )]
    Failed {
        /// The path of the socket.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// A listening socket; dropping it removes its file.
#[derive(Debug)]
pub struct AdminSocket {
    listener: StdListener,
    file: SocketFile,
}

/// The file of a socket, with the lock that identifies its owner.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// The lock, held as long as this value lives; the system releases it when the process dies. Processes that pass
    /// it on hold it together.
    lock: File,
    /// Whether this process removes the file. Another one may own it.
    is_owned: AtomicBool,
}

/// An [`AdminSocket`] that the runtime watches; dropping it removes its file.
#[derive(Debug)]
pub(in crate::control) struct Listening {
    pub(super) listener: UnixListener,
    file: SocketFile,
}

impl AdminSocket {
    /// Listens on `path`, and replaces a file that a dead gateway left. Only the owner can ever
    /// connect: the mode is set before the socket listens.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Failed { path: path.to_owned(), source };
        let lock = lock(path).map_err(|error| match error {
            TryLockError::WouldBlock => SocketError::InUse(path.to_owned()),
            TryLockError::Error(source) => failed(source),
        })?;
        clear(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        let address = SockAddr::unix(path).map_err(failed)?;
        socket.bind(&address).map_err(failed)?;
        let file = SocketFile { path: path.to_owned(), lock, is_owned: true.into() };
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener: socket.into(), file })
    }

    /// The socket of another process, which owns its file until [`AdminSocket::own`].
    pub(in crate::control) fn inherited(path: PathBuf, listener: OwnedFd, lock: OwnedFd) -> Self {
        let file = SocketFile { path, lock: lock.into(), is_owned: false.into() };
        Self { listener: listener.into(), file }
    }

    /// From now on this process removes the file.
    pub(in crate::control) fn own(&self) {
        self.file.is_owned.store(true, Ordering::Release);
    }

    /// Requires a runtime.
    pub(in crate::control) fn listen(self) -> io::Result<Listening> {
        Ok(Listening { listener: UnixListener::from_std(self.listener)?, file: self.file })
    }
}

impl Listening {
    pub(in crate::control) fn path(&self) -> &Path {
        &self.file.path
    }

    /// The descriptors of [`AdminSocket::inherited`], in its order.
    pub(in crate::control) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.listener.as_fd(), self.file.lock.as_fd()]
    }

    /// From now on another process removes the file.
    pub(in crate::control) fn leave(&self) {
        self.file.is_owned.store(false, Ordering::Release);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if *self.is_owned.get_mut() {
            // Another process may have removed the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Locks a file beside the socket: a socket that refuses connections may belong to a gateway that is
/// about to listen. The lock file stays, because removing it would let two processes hold a lock of
/// that name.
fn lock(path: &Path) -> Result<File, TryLockError> {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(MODE);
    let file = options.open(path.with_file_name(name)).map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

/// Removes the socket that a dead process left.
fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Failed { path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(SocketError::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use tempfile::TempDir;

    use super::{AdminSocket, SocketError};

    #[test]
    fn the_socket_has_mode_0600_and_is_removed_on_drop() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(AdminSocket::bind(&path), Err(SocketError::InUse(_))));
        drop(socket);
        assert!(!path.exists());
        AdminSocket::bind(&path).unwrap();
    }

    #[test]
    fn a_stale_socket_is_replaced_and_any_other_file_is_kept() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(AdminSocket::bind(&path), Err(SocketError::InUse(_))), "it listens");
        drop(listener);
        assert!(path.exists());
        drop(AdminSocket::bind(&path).unwrap());

        fs::write(&path, "precious").unwrap();
        assert!(matches!(AdminSocket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let nowhere = folder.path().join("missing/admin.sock");
        assert!(matches!(AdminSocket::bind(&nowhere), Err(SocketError::Failed { .. })));
    }
}
