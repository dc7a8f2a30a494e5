//! The whole gateway, as it is shipped: a message there and back, and a handshake.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::counts::Counted;
use crate::load::{Client, Dialer, Exchange, SOURCES, exchange, exchange_of};
use crate::messages::{self, Rules};
use crate::peers::{Ground, Kind};
use crate::{Outcome, callgrind, token};

/// How often each thing is done in the two runs.
const MESSAGES: (u32, u32) = (100, 500);
const HANDSHAKES: (u32, u32) = (8, 40);
/// In which the gateway has done what it was asked and sleeps again, slow as it is: that it finds more
/// to do before it sleeps would be a matter of luck.
const REST: Duration = Duration::from_millis(3);
/// Between a Close and the next handshake.
const REST_AFTER_CLOSE: Duration = Duration::from_millis(20);

/// What is done a number of times.
#[derive(Clone, Copy)]
enum Task {
    /// An echo of so many bytes, on one connection.
    Echo(usize),
    /// An echo of a chat's message of [`MESSAGE`] bytes, which meets the rules.
    Judged(Rules),
    /// From TCP to an answered Close.
    Handshake,
}

/// The size of a message that is judged, in bytes.
pub(crate) const MESSAGE: usize = 200;
/// The row that the cost of rules is compared with.
pub(crate) const WITHOUT_RULES: &str = "gateway, 200 B JSON echo, no rules";

/// Instructions of the gateway for each.
pub(crate) fn count() -> Outcome<Vec<Counted>> {
    let mut counted = Vec::new();
    for (what, task, (few, many)) in [
        ("gateway, 64 B echo", Task::Echo(64), MESSAGES),
        ("gateway, 4 KiB echo", Task::Echo(4096), MESSAGES),
        (WITHOUT_RULES, Task::Judged(Rules::None), MESSAGES),
        ("gateway, 200 B JSON echo, types", Task::Judged(Rules::Types), MESSAGES),
        ("gateway, 200 B JSON echo, a schema", Task::Judged(Rules::Schema), MESSAGES),
        ("gateway, full handshake to Close", Task::Handshake, HANDSHAKES),
    ] {
        let difference = run(task, many, many)? - run(task, few, many)?;
        let count = difference / f64::from(many - few);
        counted.push(Counted { what: what.to_owned(), count });
    }
    Ok(counted)
}

/// All instructions of a gateway that did it so often, in the time of so many rounds: its timers run for
/// about as long however often it did it, so that their instructions cancel out of the difference.
fn run(task: Task, times: u32, rounds: u32) -> Outcome<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("count");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let application = listener.local_addr()?;
        tokio::spawn(crate::app::serve(listener));
        let (ground, root) = Ground::new(application, None)?;
        let dialer = Dialer::new(root, token::mint(ground.folder(), SOURCES)?)?;
        let peer = Kind::Framewall.find().ok_or("there is no Framewall")?;
        let proxy = ground.start(&peer, 0, Some(&callgrind::words(&file)))?;
        match task {
            Task::Echo(size) => {
                let client = dialer.open(proxy.address, 0, "/slow").await?;
                echo(client, &exchange(size, 1), times, rounds).await?;
            }
            Task::Judged(rules) => {
                let client = dialer.open(proxy.address, 0, &rules.path("slow")).await?;
                let exchange = exchange_of(&messages::chat(MESSAGE), 1);
                echo(client, &exchange, times, rounds).await?;
            }
            Task::Handshake => {
                for round in 0..rounds {
                    if round < times {
                        dialer.open_and_close(proxy.address, 0).await?;
                    }
                    sleep(REST_AFTER_CLOSE).await;
                }
            }
        }
        drop(proxy);
        callgrind::total_without_entropy(&file)
    })
}

async fn echo(mut client: Client, exchange: &Exchange, times: u32, rounds: u32) -> Outcome<()> {
    for round in 0..rounds {
        sleep(REST).await;
        if round < times {
            client.check(exchange).await?;
        }
    }
    sleep(REST).await;
    Ok(client.close().await?)
}
