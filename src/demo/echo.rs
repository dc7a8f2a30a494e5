//! The demo's socket: it greets, and whatever comes in goes out again.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

/// What the socket says first to `user`, or to somebody whom nobody named.
pub(super) fn greeting(user: Option<&str>) -> String {
    let user = user.map(|user| format!(" {user},")).unwrap_or_default();
    format!("Hello{user} from behind Framewall. Whatever you send comes back.")
}

/// Above what the gateway lets through by default, so that it is the gateway that refuses.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// A visitor who does not read what is echoed is left after this long.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// How long the other side may take to answer our Close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Talks until the other side closes or fails, or `stop` is cancelled: then it closes with 1001.
/// The WebSocket handshake is over when this begins.
pub(super) async fn echo<S>(
    stream: S,
    user: Option<&str>,
    stop: &CancellationToken,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    send(&mut socket, Message::text(greeting(user))).await?;
    while let Some(message) = stop.run_until_cancelled(socket.next()).await {
        match message.transpose()? {
            Some(message) if message.is_text() || message.is_binary() => {
                send(&mut socket, message).await?;
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
    say_goodbye(&mut socket).await
}

async fn send<S>(socket: &mut WebSocketStream<S>, message: Message) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    timeout(SEND_WITHIN, socket.send(message)).await.unwrap_or(Err(Error::ConnectionClosed))
}

async fn say_goodbye<S>(socket: &mut WebSocketStream<S>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let close = CloseFrame { code: CloseCode::Away, reason: "the demo is over".into() };
    let goodbye = async {
        socket.close(Some(close)).await?;
        while socket.next().await.transpose()?.is_some() {}
        Ok(())
    };
    timeout(CLOSE_WITHIN, goodbye).await.unwrap_or(Ok(()))
}
