//! The command line, with one file for each command. A command parses its arguments, calls the library, prints
//! the result and turns it into an exit code. `run` also raises the limit of open files, opens the listening
//! sockets and turns signals into shutdowns and reloads.

mod admin;
mod cert;
pub mod check;
mod config_file;
mod demo;
mod explain;
mod listeners;
mod run;
mod signals;
mod token;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config;
use crate::control::StartError;
use crate::gateway::runtime::InForceError;

pub use cert::{CertError, DevCertificate, make};
pub use config_file::ConfigFile;

/// The command line cannot be parsed (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// No gateway answers (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

/// The configuration is not valid (`EX_CONFIG`).
const CONFIG: u8 = 78;

/// The explained request, or the inspected token, would be refused.
const REFUSED: u8 = 2;

/// A security gateway for WebSocket applications.
#[derive(Debug, Parser)]
#[command(name = "framewall", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT
    Run(RunArgs),
    /// Check a configuration without starting the gateway
    Check(CheckArgs),
    /// Print the JSON Schema of the configuration, for editors and other checkers
    Schema,
    /// Show which check admits or refuses a client, step by step, without connecting
    Explain(explain::ExplainArgs),
    /// Run a demonstration: the gateway in front of a small application, on loopback only
    Demo,
    /// Make certificates for development
    #[command(subcommand)]
    Cert(CertCommand),
    /// Make a token for development, or inspect one
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Show the status of a running gateway
    Status(admin::StatusArgs),
    /// List the sessions of a running gateway
    Sessions(admin::SessionsArgs),
    /// Close sessions of a running gateway
    Kick(admin::KickArgs),
    /// Reload the configuration of a running gateway
    Reload(admin::ReloadArgs),
    /// Revoke the tokens of a user, or one token, and close their sessions
    Revoke(admin::RevokeArgs),
    /// Ban an address or network for a time, and close its sessions
    Ban(admin::BanArgs),
    /// Remove a ban
    Unban(admin::UnbanArgs),
    /// List the bans in force, as a table or for a packet filter
    Bans(admin::BansArgs),
    /// Replace the process of a running gateway by one of the installed version; sessions end gradually
    Upgrade(admin::UpgradeArgs),
    /// Take a server or a route out of service, and close its sessions one after the other
    Drain(admin::DrainArgs),
    /// Put a drained server or route back in service
    Undrain(admin::UndrainArgs),
    /// Observe the messages of a route for a time, and draft rules for them
    Observe(admin::ObserveArgs),
}

/// The arguments of `framewall run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration
    #[command(flatten)]
    pub config: ConfigFile,
    /// The unix socket of the admin client, instead of `[admin] socket`
    #[arg(long, value_name = "PATH")]
    pub admin_socket: Option<PathBuf>,
    /// Reload the configuration when it, or a file that it names, changes
    #[arg(long)]
    pub watch: bool,
}

/// The arguments of `framewall check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration
    #[command(flatten)]
    pub config: ConfigFile,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

#[derive(Debug, Subcommand)]
enum CertCommand {
    /// Make a self-signed certificate for localhost and further names
    New(cert::NewArgs),
}

/// The reason why a command failed. Each kind has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum CommandFailure {
    /// The configuration was refused; the text is complete, with file positions. Exit code 78.
    #[error("{0}")]
    Config(String),
    /// An argument cannot be used; the text says why. Exit code 64.
    #[error("framewall: {0}")]
    Usage(String),
    /// The gateway does not answer. Exit code 69.
    #[error("framewall: {0}")]
    Unavailable(String),
    /// Any other failure; the text describes the problem, its place and the remedy. Exit code 1.
    #[error("framewall: {0}")]
    Other(String),
}

impl CommandFailure {
    /// The gateway could not be built. Keys with which tokens cannot be verified are an error of
    /// the configuration.
    pub(crate) fn start(error: StartError) -> Self {
        match error {
            StartError::InForce(InForceError::Token(error)) => {
                Self::Config(format!("error: {error}\n"))
            }
            error => Self::other(error),
        }
    }

    /// A failure that is not caused by the configuration.
    pub fn other(error: impl Display) -> Self {
        Self::Other(error.to_string())
    }

    fn code(&self) -> ExitCode {
        match self {
            Self::Config(_) => CONFIG.into(),
            Self::Usage(_) => USAGE.into(),
            Self::Unavailable(_) => UNAVAILABLE.into(),
            Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs the command in `args`, which begin with the program's name, and returns its exit code: 0
/// success, 64 bad usage, 78 bad configuration, 1 any other failure. Errors go to standard error.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(answer) => return print_answer(&answer),
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            // Standard error may be closed; the exit code still reports the failure.
            let _ = writeln!(io::stderr(), "{failure}");
            failure.code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, CommandFailure> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Run(args) => run::run(&args).map(done),
        Command::Check(args) => Ok(check::check(&args.config.path()?, args.strict)),
        Command::Schema => print(&config::schema()).map(done),
        Command::Explain(args) => explain::explain(&args),
        Command::Demo => demo::demo().map(done),
        Command::Cert(CertCommand::New(args)) => cert::new(&args).map(done),
        Command::Token(command) => token::run(&command),
        Command::Status(args) => admin::status(&args),
        Command::Sessions(args) => admin::sessions(&args),
        Command::Kick(args) => admin::kick(&args),
        Command::Reload(args) => admin::reload(&args),
        Command::Revoke(args) => admin::revoke(args),
        Command::Ban(args) => admin::ban(args),
        Command::Unban(args) => admin::unban(&args),
        Command::Bans(args) => admin::bans(&args),
        Command::Upgrade(args) => admin::upgrade(&args),
        Command::Drain(args) => admin::drain(args),
        Command::Undrain(args) => admin::undrain(args),
        Command::Observe(args) => admin::observe(args),
    }
}

/// Prints clap's answer, which is an error value for `--help` and `--version`, too.
fn print_answer(answer: &clap::Error) -> ExitCode {
    // The output may be closed; the exit code still reports the result.
    let _ = answer.print();
    if answer.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
}

/// Prints the result of a command to standard output.
fn print(text: &str) -> Result<(), CommandFailure> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| CommandFailure::Other(format!("cannot write to standard output: {error}")))
}

#[cfg(test)]
mod tests;
