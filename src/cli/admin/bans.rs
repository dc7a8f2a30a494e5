//! `framewall ban`, `unban` and `bans`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;

use super::show::{self, span, table};
use super::{CommandFailure, Reach, command, lasting};
use crate::control::admin::{BanRequest, Request};
use crate::state::bans::{ipset, nft};
use crate::state::store::{Author, Ban};
use crate::values::Network;
use crate::values::UnixTime;

/// The arguments of `framewall ban`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BanArgs {
    #[command(flatten)]
    reach: Reach,
    /// The address or network; for an IPv6 address, its /64
    #[arg(value_name = "ADDRESS[/PREFIX]")]
    network: Network,
    /// Duration, such as 30m, 24h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = lasting, default_value = "24h")]
    lasting: String,
    /// End time (RFC 3339), instead of a duration
    #[arg(long, value_name = "TIME", conflicts_with = "lasting")]
    until: Option<UnixTime>,
    /// A remark, stored with the ban
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// The arguments of `framewall unban`.
#[derive(Debug, Args)]
pub(in crate::cli) struct UnbanArgs {
    #[command(flatten)]
    reach: Reach,
    /// The network, as `framewall bans` shows it
    #[arg(value_name = "ADDRESS[/PREFIX]")]
    network: Network,
}

/// The arguments of `framewall bans`.
#[derive(Debug, Args)]
pub(in crate::cli) struct BansArgs {
    #[command(flatten)]
    reach: Reach,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with = "json")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A table
    Table,
    /// A script for `nft -f -` that replaces the content of two sets
    Nft,
    /// Lines for `ipset restore` that replace the content of two sets
    Ipset,
}

pub(in crate::cli) fn ban(args: BanArgs) -> Result<ExitCode, CommandFailure> {
    let BanArgs { reach, network, lasting, until, why } = args;
    let lasting = until.is_none().then_some(lasting);
    let sentence = BanRequest { network, until, lasting, why };
    command(&reach, &Request::Ban { sentence }, |answer| Ok(show::ban(answer)))
}

pub(in crate::cli) fn unban(args: &UnbanArgs) -> Result<ExitCode, CommandFailure> {
    let request = Request::Unban { network: args.network };
    command(&args.reach, &request, |answer| Ok(show::unban(answer)))
}

pub(in crate::cli) fn bans(args: &BansArgs) -> Result<ExitCode, CommandFailure> {
    command(&args.reach, &Request::Bans {}, |answer| {
        let now = UnixTime::now();
        // A set must not be emptied because the answer could not be parsed.
        let ListedBan { bans, exempt } = ListedBan::deserialize(answer).map_err(|error| {
            CommandFailure::Other(format!("the gateway's answer is not valid: {error}"))
        })?;
        Ok(match args.format {
            Format::Table => rows(&bans, now),
            Format::Nft => nft(&bans, &exempt, now),
            Format::Ipset => ipset(&bans, &exempt, now),
        })
    })
}

#[derive(Deserialize)]
struct ListedBan {
    bans: Vec<Ban>,
    exempt: Vec<Network>,
}

fn rows(bans: &[Ban], now: UnixTime) -> String {
    let mut rows = vec![["NETWORK", "LEFT", "UNTIL", "BY", "BANS", "WHY"].map(str::to_owned)];
    rows.extend(bans.iter().map(|ban| {
        let by = match ban.by {
            Author::Gateway => "gateway",
            Author::Operator => "operator",
        };
        [
            ban.network.to_string(),
            span(now.age(ban.until)),
            ban.until.to_string(),
            by.to_owned(),
            ban.offences.to_string(),
            show::text(&ban.why.as_deref().map_or(Value::Null, Value::from)),
        ]
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::rows;
    use crate::state::store::{Author, Ban};

    #[test]
    fn a_table_shows_author_network_end_and_reason_of_bans() {
        let ban = |network: &str, by, why: Option<&str>, offences| Ban {
            network: network.parse().unwrap(),
            until: "2026-03-09T09:15:42Z".parse().unwrap(),
            at: "2026-03-09T08:15:42Z".parse().unwrap(),
            by,
            why: why.map(str::to_owned),
            offences,
            remembered: None,
        };
        let bans = [
            ban("2001:db8:7::/64", Author::Gateway, Some("frame.protocol"), 2),
            ban("203.0.113.0/24", Author::Operator, Some("scans\u{1b}[2J"), 0),
            ban("192.0.2.7", Author::Operator, None, 0),
        ];
        let wanted = "\
NETWORK          LEFT    UNTIL                 BY        BANS  WHY
2001:db8:7::/64  30m42s  2026-03-09T09:15:42Z  gateway   2     frame.protocol
203.0.113.0/24   30m42s  2026-03-09T09:15:42Z  operator  0     scans\\u{1b}[2J
192.0.2.7        30m42s  2026-03-09T09:15:42Z  operator  0     -
";
        assert_eq!(rows(&bans, "2026-03-09T08:45:00Z".parse().unwrap()), wanted);
    }
}
