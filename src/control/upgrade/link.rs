//! The link between the two processes while the older one ends its sessions. The newer one sends requests of the
//! admin client and gets the answers; each sends the other its bans for strikes. If the link ends, both go on.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::protocol::{FromNewer, FromOlder, read, write};
use crate::control::Control;
use crate::control::admin::{Request, act};
use crate::gateway::runtime::Runtime;
use crate::state::store::Ban;
use crate::values::UnixTime;

/// The most requests that wait to be sent.
const REQUESTS: usize = 64;
/// The timeout for the answer of the older process.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The older process, which ends its sessions.
#[derive(Debug, Clone)]
pub(in crate::control) struct Older {
    /// The process.
    pub(in crate::control) pid: u32,
    requests: mpsc::Sender<Asked>,
}

#[derive(Debug)]
struct Asked {
    request: Request,
    answer: oneshot::Sender<Value>,
}

impl Older {
    /// The answer to `request`.
    ///
    /// # Errors
    /// There is none in time.
    pub(in crate::control) async fn ask(&self, request: &Request) -> Result<Value, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { request: request.clone(), answer };
        let asking = async {
            self.requests.send(asked).await.ok()?;
            answered.await.ok()
        };
        timeout(ANSWER_WITHIN, asking).await.ok().flatten().ok_or(NoAnswer)
    }
}

/// The older process has ended, or does not answer.
#[derive(Debug)]
pub(in crate::control) struct NoAnswer;

impl Control {
    /// The process that this one replaced, until it ends.
    pub(in crate::control) fn older(&self) -> Option<Older> {
        self.upgrade.older().clone()
    }

    /// Applies a ban of the other process.
    fn learn(&self, ban: &Ban) {
        if self.state.bans().learn(ban, UnixTime::now()) {
            self.reporter.end_banned(ban.network);
        }
    }
}

/// Starts the newer process's end of the link.
pub(super) fn ask_older(
    control: &Arc<Control>,
    pid: u32,
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
) {
    let (requests, asked) = mpsc::channel(REQUESTS);
    *control.upgrade.older() = Some(Older { pid, requests });
    let (over, ended) = oneshot::channel::<()>();
    let tracked = Arc::clone(control);
    control.runtime.spawn_until_stop(async move {
        exchange(&tracked, asked, from, to).await;
        *tracked.upgrade.older() = None;
        drop(over);
    });
    // A process that is itself replaced passes requests on until the one before it ends.
    let runtime = control.runtime.clone();
    control.runtime.spawn(async move {
        let stops = async {
            runtime.stopping().cancelled().await;
            if runtime.is_retiring() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = ended => {}
            () = stops => {}
        }
    });
}

async fn exchange(
    control: &Control,
    mut asked: mpsc::Receiver<Asked>,
    from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
) {
    let mut messages = pin!(messages(from));
    let mut bans = control.state.bans().subscribe();
    let mut unanswered = VecDeque::<oneshot::Sender<Value>>::new();
    loop {
        let sent = tokio::select! {
            message = messages.next() => match message {
                None => return,
                Some(FromOlder::Answer(answer)) => {
                    if let Some(asked) = unanswered.pop_front() {
                        // The client may have gone.
                        let _ = asked.send(answer);
                    }
                    Ok(())
                }
                Some(FromOlder::Ban(ban)) => {
                    control.learn(&ban);
                    Ok(())
                }
                Some(FromOlder::State(_) | FromOlder::Main) => Ok(()),
            },
            Some(Asked { request, answer }) = asked.recv() => {
                unanswered.push_back(answer);
                write(&mut to, &FromNewer::Request(request)).await
            }
            ban = bans.recv() => match ban {
                Ok(ban) => write(&mut to, &FromNewer::Ban(ban)).await,
                // A flood of bans: the other process misses some, which hold in this one.
                Err(_) => Ok(()),
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Starts the older process's end of the link, which lasts as long as the process.
pub(super) fn answer_newer(
    control: &Arc<Control>,
    mut bans: broadcast::Receiver<Ban>,
    from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
) {
    let control = Arc::clone(control);
    Runtime::spawn_unawaited(async move {
        let mut messages = pin!(messages(from));
        loop {
            let sent = tokio::select! {
                message = messages.next() => match message {
                    None => return,
                    Some(FromNewer::Request(request)) => {
                        let answer = act(&control, request).await.value();
                        write(&mut to, &FromOlder::Answer(answer)).await
                    }
                    Some(FromNewer::Ban(ban)) => {
                        control.learn(&ban);
                        Ok(())
                    }
                    Some(FromNewer::Prepared | FromNewer::Ready | FromNewer::Failed(_)) => Ok(()),
                },
                ban = bans.recv() => match ban {
                Ok(ban) => write(&mut to, &FromOlder::Ban(ban)).await,
                // A flood of bans: the other process misses some, which hold in this one.
                Err(_) => Ok(()),
            },
            };
            if sent.is_err() {
                return;
            }
        }
    });
}

/// The messages until the link ends. Unlike [`read`], the stream keeps the part of a message that has arrived.
fn messages<T: DeserializeOwned>(from: BufReader<OwnedReadHalf>) -> impl Stream<Item = T> {
    futures_util::stream::unfold(from, |mut from| async {
        let message = read(&mut from).await.ok()?;
        Some((message, from))
    })
}
