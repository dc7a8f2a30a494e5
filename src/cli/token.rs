//! `framewall token`: makes a token for development, or shows the problems of one.

mod inspect;
mod mint;
mod time;

use std::process::ExitCode;

use clap::Subcommand;

use super::{CommandFailure, print};

/// The subcommands of `framewall token`.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print only the token
    Mint(mint::MintArgs),
    /// Show a token's claims and problems, and whether a [jwt.NAME] of the configuration accepts it
    Inspect(inspect::InspectArgs),
}

pub(super) fn run(command: &TokenCommand) -> Result<ExitCode, CommandFailure> {
    match command {
        TokenCommand::Mint(args) => {
            print(&format!("{}\n", mint::mint(args)?)).map(|()| ExitCode::SUCCESS)
        }
        TokenCommand::Inspect(args) => inspect::inspect(args),
    }
}

#[cfg(test)]
mod tests;
