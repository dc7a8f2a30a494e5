//! The demo's WebSocket application: sends a greeting, then echoes each message.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

/// The greeting of `user`, or of an unnamed client.
pub(super) fn greeting(user: Option<&str>) -> String {
    let user = user.map(|user| format!(" {user},")).unwrap_or_default();
    format!("Hello{user} from behind Framewall. Whatever you send comes back.")
}

/// Larger than the gateway's default limit, so that the gateway refuses first.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// A client that does not read its echo is disconnected after this time.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// How long the peer may take to answer our Close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Echoes messages until the peer closes or fails, or until `stop` is cancelled, after which it
/// closes with 1001. The WebSocket handshake must be complete.
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
