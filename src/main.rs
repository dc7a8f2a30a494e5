//! The `framewall` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    framewall::cli::main(std::env::args_os())
}
