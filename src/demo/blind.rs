//! A proxy that copies bytes without parsing them, as most proxies do after the 101. This one does
//! so from the first byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one connection may last, longer than any attack.
const WITHIN: Duration = Duration::from_secs(10);

/// Copies both directions between `client` and `upstream` until both are done.
pub(super) async fn copy(mut client: TcpStream, upstream: SocketAddr) {
    let copied = async {
        let mut upstream = TcpStream::connect(upstream).await?;
        copy_bidirectional(&mut client, &mut upstream).await
    };
    // A blind proxy ignores how a connection ends.
    let _ = timeout(WITHIN, copied).await;
}
