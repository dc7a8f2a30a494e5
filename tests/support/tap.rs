//! A wire between the gateway and an application, with an ear on it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Frame;

/// Listens on a free loopback port and passes everything on to an application and back. Its
/// threads end with the connections.
pub struct Tap {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Line>>>,
}

/// What one connection said, towards the application and back.
#[derive(Default)]
struct Line {
    there: Arc<Mutex<Vec<u8>>>,
    back: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    pub fn on(application: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let lines = Arc::clone(&heard);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(application) else {
                    continue;
                };
                let line = Line::default();
                pass(&near, &far, &line.there);
                pass(&far, &near, &line.back);
                lines.lock().unwrap().push(line);
            }
        });
        Self { address, heard }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The frames that went to the application so far, and those that came back, over all
    /// connections.
    pub fn frames(&self) -> (Vec<Frame>, Vec<Frame>) {
        let heard = self.heard.lock().unwrap();
        let all = |side: fn(&Line) -> &Arc<Mutex<Vec<u8>>>| {
            heard.iter().flat_map(|line| frames(&side(line).lock().unwrap())).collect()
        };
        (all(|line| &line.there), all(|line| &line.back))
    }
}

fn pass(from: &TcpStream, to: &TcpStream, heard: &Arc<Mutex<Vec<u8>>>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let heard = Arc::clone(heard);
    thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            heard.lock().unwrap().extend_from_slice(&chunk[..count]);
            if to.write_all(&chunk[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// The whole frames behind a head.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
    let mut rest = end.map_or(&[][..], |end| &bytes[end + 4..]);
    let mut frames = Vec::new();
    while let Some((frame, later)) = Frame::decode(rest) {
        frames.push(frame);
        rest = later;
    }
    frames
}
