//! A proxy as most are: behind the 101, and here before it too, it copies bytes and looks at none.

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
    // It has no opinion about how a connection ends.
    let _ = timeout(WITHIN, copied).await;
}
