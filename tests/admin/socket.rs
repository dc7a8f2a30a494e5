//! The socket itself: whose it is, and what it makes of bad manners.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::Value;

use super::client::{answer_to, framewall, gateway, socket};
use super::support::{Gateway, RawUpstream, TIMEOUT, eventually};

#[test]
fn the_socket_has_mode_0600() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let mode = fs::metadata(socket(&gateway)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_second_gateway_is_refused_and_the_first_goes_on() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let second = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["run", "--config", "framewall.toml", "--admin-socket", "admin.sock"])
        .current_dir(gateway.folder())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another gateway is running on admin.sock"), "{said}");
    assert_eq!(framewall(&gateway, "status", &[]).code, 0);
}

#[test]
fn a_stale_socket_is_replaced() {
    let upstream = RawUpstream::bind();
    let left = gateway(&upstream);
    let path = socket(&left);
    let folder = left.kill();
    assert!(path.exists());
    let builder = Gateway::to(&[upstream.address()]);
    let next = builder.admin(path.to_str().unwrap()).start();
    let status = answer_to(&path, b"{\"action\":\"status\"}\n");
    assert!(status.contains("\"result\":\"done\""), "{status}");
    drop(next);
    drop(folder);
}

#[test]
fn a_file_that_is_no_socket_is_kept() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let file = gateway.folder().join("precious");
    fs::write(&file, "precious").unwrap();
    let second = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["run", "--config", "framewall.toml", "--admin-socket", "precious"])
        .current_dir(gateway.folder())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
}

#[test]
fn malformed_requests_are_refused_and_logged() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let path = socket(&gateway);
    let huge = [b"{\"action\":\"" as &[u8], &vec![b'x'; 80 * 1024]].concat();
    let bad: [(&[u8], &str); 8] = [
        (b"hello\n", "not a request"),
        (b"\n", "not a request"),
        (b"\xff\xfe\n", "not a request"),
        (b"GET / HTTP/1.1\r\n\r\n", "not a request"),
        (b"{\"action\":\"fly\"}\n", "unknown variant"),
        (b"{\"action\":\"kick\"}\n", "say which sessions"),
        (b"{\"action\":\"kick\",\"all\":true,\"filter\":{\"id\":\"1\"}}\n", "one of the two"),
        (&huge, "at most 65536 bytes"),
    ];
    for (bytes, says) in bad {
        let answer = answer_to(&path, bytes);
        let document: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(document["result"], "refused", "{answer}");
        let error = document["error"].as_str().unwrap();
        assert!(error.contains(says), "{error}");
        gateway.wait_for_record(|record| record["event"] == "admin" && record["detail"] == error);
    }
    assert_eq!(framewall(&gateway, "status", &[]).code, 0);
}

#[test]
fn idle_clients_are_cut_and_do_not_block_operators() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let path = socket(&gateway);
    let cut = || {
        let mut records = gateway.log_records();
        records.retain(|record| record["message"] == "an admin request took too long");
        records.len()
    };
    let mut slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(2 * TIMEOUT)).unwrap();
            stream.write_all(b"{\"action\":").unwrap();
            stream
        })
        .collect();
    let status = answer_to(&path, b"{\"action\":\"status\"}\n");
    assert!(status.contains("\"result\":\"done\""), "{status}");
    eventually(|| (cut() == 200).then_some(())).expect("each was cut");
    let mut rest = Vec::new();
    // A connection that is closed before its bytes were read is reset.
    let end = slow[0].read_to_end(&mut rest);
    assert!(!matches!(&end, Err(error) if error.kind() != ErrorKind::ConnectionReset), "{end:?}");
    assert!(rest.is_empty(), "cut without an answer");
}
