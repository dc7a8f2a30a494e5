//! `framewall token`: a token for development, and what is wrong with one that does not pass.

mod inspect;
mod mint;
mod time;

use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, print};

/// What `framewall token` does.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it, alone
    Mint(mint::MintArgs),
    /// Show a token's claims and problems, and whether a [jwt.NAME] of the configuration accepts it
    Inspect(inspect::InspectArgs),
}

pub(super) fn run(command: &TokenCommand) -> Result<ExitCode, Failure> {
    match command {
        TokenCommand::Mint(args) => {
            print(&format!("{}\n", mint::mint(args)?)).map(|()| ExitCode::SUCCESS)
        }
        TokenCommand::Inspect(args) => inspect::inspect(args),
    }
}

#[cfg(test)]
mod tests;
