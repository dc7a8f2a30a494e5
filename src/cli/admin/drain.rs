//! `framewall drain` and `undrain`.

use std::process::ExitCode;

use clap::Args;

use super::{CommandFailure, Reach, command, lasting, show};
use crate::control::admin::{DrainSelector, Request};

/// The arguments of `framewall drain`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DrainArgs {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    selected: Selected,
    /// The time over which open sessions are told to end, such as 10m; default: `shutdown_spread`
    #[arg(long, value_name = "TIME", value_parser = lasting)]
    over: Option<String>,
}

/// The arguments of `framewall undrain`.
#[derive(Debug, Args)]
pub(in crate::cli) struct UndrainArgs {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    selected: Selected,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Selected {
    /// A server of the application: its address as `status` names it, also as NAME/ADDRESS with the name of its
    /// [upstreams.NAME] table or of a route
    #[arg(long, value_name = "[NAME/]ADDRESS")]
    upstream: Option<String>,
    /// A route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
}

impl Selected {
    fn selector(self) -> DrainSelector {
        DrainSelector { upstream: self.upstream, route: self.route }
    }
}

pub(in crate::cli) fn drain(args: DrainArgs) -> Result<ExitCode, CommandFailure> {
    let DrainArgs { reach, selected, over } = args;
    let request = Request::Drain { selector: selected.selector(), over };
    command(&reach, &request, |answer| Ok(show::drain(answer)))
}

pub(in crate::cli) fn undrain(args: UndrainArgs) -> Result<ExitCode, CommandFailure> {
    let UndrainArgs { reach, selected } = args;
    let request = Request::Undrain { selector: selected.selector() };
    command(&reach, &request, |answer| Ok(show::undrain(answer)))
}
