//! `framewall observe`.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::{CommandFailure, Reach, client, lasting, show, socket_of};
use crate::cli::{config_file, print};
use crate::config::duration;
use crate::control::admin::{ObserveRequest, Request};
use crate::message::{Messages, ObservedProtocol, Report};

/// The arguments of `framewall observe`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ObserveArgs {
    #[command(flatten)]
    reach: Reach,
    /// The route whose messages are observed, of open sessions and of those that begin
    #[arg(long, value_name = "NAME")]
    route: String,
    /// The duration, such as 10m or 2h; Ctrl-C ends the observation earlier
    #[arg(long = "for", value_name = "TIME", value_parser = lasting, default_value = "10m")]
    lasting: String,
    /// JSON pointer to the type of a message, such as /action; it is guessed if it is not given
    #[arg(long, value_name = "POINTER")]
    type_at: Option<String>,
    /// The protocol of the messages, as the key `protocol` has it; its parts are the types
    #[arg(long, value_name = "NAME", conflicts_with = "type_at", value_parser = ObservedProtocol::NAMES)]
    protocol: Option<String>,
    /// Observe the messages of the application, in place of those of its clients
    #[arg(long)]
    replies: bool,
    /// Write the drafted schemas into this folder, and refer to them there
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

pub(in crate::cli) fn observe(args: ObserveArgs) -> Result<ExitCode, CommandFailure> {
    let ObserveArgs { reach, route, lasting, type_at, protocol, replies, write } = args;
    let socket = socket_of(&reach)?;
    let most = duration(&lasting).map_err(CommandFailure::Usage)?;
    // Standard output has the result alone.
    let _ =
        writeln!(io::stderr(), "observing the route {route} for {lasting}; Ctrl-C ends it earlier");
    let target = ObserveRequest { route, lasting, type_at, protocol, replies };
    let answer = ask(&socket, &Request::Observe { target }, most)?;
    if answer["result"] != "done" {
        if reach.json {
            print(&format!("{answer}\n"))?;
            return Ok(ExitCode::FAILURE);
        }
        let error = answer["error"].as_str().unwrap_or("the gateway did not say why");
        return Err(CommandFailure::Other(show::lines(error)));
    }
    let report: Report = serde_json::from_value(answer.clone()).map_err(|error| {
        let text =
            format!("the answer of the gateway cannot be read: {error}; is it another version?");
        CommandFailure::Other(text)
    })?;
    let written = write.map(|folder| write_schemas(&report, &folder, &reach)).transpose();
    if reach.json {
        print(&format!("{answer}\n"))?;
    } else {
        // The result of a long observation must not be lost with a folder.
        print(&shown(&report, written.as_ref().ok().and_then(Option::as_deref)))?;
    }
    written.map(|_| ExitCode::SUCCESS)
}

/// Sends the request and waits for the answer, at most for the time `most` of the observation; Ctrl-C ends that time.
fn ask(socket: &Path, request: &Request, most: Duration) -> Result<Value, CommandFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CommandFailure::other)?;
    let text = runtime
        .block_on(exchange(socket, request, most))
        .map_err(|error| client::unreachable(socket, &error))?;
    serde_json::from_str(&text).map_err(|error| client::unreachable(socket, &error.into()))
}

async fn exchange(socket: &Path, request: &Request, most: Duration) -> io::Result<String> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let (reader, mut requests) = UnixStream::connect(socket).await?.into_split();
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    requests.write_all(&line).await?;
    let mut text = String::new();
    {
        let mut reader = reader.take(client::MAX_ANSWER);
        let mut reading = pin!(reader.read_to_string(&mut text));
        let ended = tokio::select! {
            read = &mut reading => Some(read),
            _ = interrupts.recv() => None,
            _ = terminations.recv() => None,
            () = sleep(most.saturating_add(client::TIMEOUT)) => None,
        };
        // The end of the requests ends the observation.
        drop(requests);
        if let Some(read) = ended {
            read?;
        } else {
            tokio::select! {
                read = timeout(client::TIMEOUT, reading) => drop(read??),
                _ = interrupts.recv() => return Err(io::ErrorKind::Interrupted.into()),
            }
        }
    }
    Ok(text)
}

/// Writes a file for each schema; none replaces a file that is there. Returns the folder as the configuration names it.
fn write_schemas(report: &Report, folder: &Path, reach: &Reach) -> Result<String, CommandFailure> {
    let failed = |path: &Path, error: io::Error| {
        CommandFailure::Other(format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for file in report.schemas() {
        let path = folder.join(&file.name);
        let text = format!("{:#}\n", file.schema);
        let opened = OpenOptions::new().write(true).create_new(true).open(&path);
        opened
            .and_then(|mut opened| opened.write_all(text.as_bytes()))
            .map_err(|error| failed(&path, error))?;
    }
    let absolute = folder.canonicalize().map_err(|error| failed(folder, error))?;
    let config = match &reach.place.config {
        Some(config) => Some(config.clone()),
        None => config_file::default().ok(),
    };
    let base = config.and_then(|config| config.canonicalize().ok()?.parent().map(Path::to_owned));
    let named = base.as_ref().and_then(|base| absolute.strip_prefix(base).ok());
    Ok(named.unwrap_or(&absolute).to_string_lossy().into_owned())
}

/// The report as TOML: a table of what was seen as comments, the draft, and the schemas as comments, unless they are in
/// `folder`.
fn shown(report: &Report, folder: Option<&str>) -> String {
    let mut rows = vec![
        ["TYPE", "MESSAGES", "LEAST", "MEAN", "MOST", "A SECOND", "A MINUTE"].map(str::to_owned),
    ];
    for one in &report.types {
        rows.push(row(&show::plain(&one.name), &one.messages));
    }
    let others = [
        (
            if report.protocol.is_some() { "(of the protocol)" } else { "(JSON without a type)" },
            &report.untyped,
        ),
        ("(other types)", &report.unnamed),
        (
            if report.protocol.is_some() { "(not of it)" } else { "(almost JSON)" },
            &report.ambiguous,
        ),
        ("(not JSON)", &report.other),
        ("(not read)", &report.unread),
        ("all", &report.all),
    ];
    rows.extend(
        others.iter().filter(|(_, one)| one.messages > 0).map(|(name, one)| row(name, one)),
    );
    let title = format!(
        "{} of the route {}: {} messages of {} sessions in {}",
        report.direction.name(),
        report.route,
        report.all.messages,
        report.sessions,
        show::span(Duration::from_secs(report.seconds)),
    );
    let mut text = comment(&show::plain(&title));
    text.push_str("# sizes in bytes; the most in any second and minute, of all sessions\n");
    text.push_str(&comment(&show::table(&rows)));
    text.push('\n');
    text.push_str(&report.toml(folder));
    if folder.is_none() {
        for file in report.schemas() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n# schemas/{}:", file.name);
            text.push_str(&comment(&format!("{:#}", file.schema)));
        }
    }
    text
}

fn row(name: &str, messages: &Messages) -> [String; 7] {
    let Messages { messages, size, rate, .. } = messages;
    let numbers =
        [*messages, size.least, size.mean, size.most, rate.second.into(), rate.minute.into()];
    let [count, least, mean, most, second, minute] = numbers.map(|number| number.to_string());
    [name.to_owned(), count, least, mean, most, second, minute]
}

fn comment(text: &str) -> String {
    text.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}
