//! Passes open sockets and files to another process over a unix socket (`SCM_RIGHTS`, `unix(7)`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors in one message; Linux allows 253.
const TOGETHER: usize = 64;
/// The longest line behind the descriptors, in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// Sends descriptors, each group of them with an empty line.
pub(super) fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    for group in descriptors.chunks(TOGETHER) {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(TOGETHER))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(group));
        sendmsg(stream, &[IoSlice::new(b"\n")], &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives the first line that is not empty, and all descriptors before it. They are closed on exec.
pub(super) fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut descriptors) = (Vec::new(), Vec::new());
    while line.last() != Some(&b'\n') {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(TOGETHER))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(stream, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                descriptors.extend(passed);
            }
        }
        if received == 0 || line.len() > MAX_LINE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(&bytes[..received]);
        let empty = line.iter().take_while(|byte| **byte == b'\n').count();
        line.drain(..empty);
    }
    Ok((line, descriptors))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::{TOGETHER, receive, send};

    #[test]
    fn descriptors_arrive_in_their_order_before_the_line() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let count = 2 * TOGETHER + 1;
        let files: Vec<_> = (0..count)
            .map(|number| {
                let path = folder.path().join(number.to_string());
                std::fs::write(&path, number.to_string()).unwrap();
                File::open(path).unwrap()
            })
            .collect();
        send(&one, &files.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
        one.write_all(b"{\"a\":1}\n").unwrap();
        let (line, passed) = receive(&other).unwrap();
        assert_eq!(line, b"{\"a\":1}\n");
        assert_eq!(passed.len(), count);
        for (number, descriptor) in passed.into_iter().enumerate() {
            let mut text = String::new();
            File::from(descriptor).read_to_string(&mut text).unwrap();
            assert_eq!(text, number.to_string());
        }
        drop(one);
        receive(&other).unwrap_err();
    }
}
