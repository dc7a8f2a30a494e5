//! Whether an address may connect: the firewall's rules, bans, and what one address may have at once.
//! Cheap, and before anything was read of the client where its address is known.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::{Policy, Step, Table, Trace};
use crate::config::Mode;
use crate::firewall::Why;
use crate::state::bans::Bans;
use crate::state::limits::{AddressPermit, Full, Limiters, TooOften};
use crate::values::UnixTime;
use crate::values::{AddressKey, Wait};
use crate::values::{Reason, Refusal};

/// What Retry-After says where only somebody else's leaving makes room.
const SOMEBODY_LEAVES: Wait = Wait(Duration::from_secs(10));

/// An address that may connect.
#[derive(Debug)]
pub struct Entrance {
    /// One of the connections that it may have.
    pub permit: AddressPermit,
    /// What sections in report mode would have refused.
    pub let_through: Vec<Refusal>,
}

impl Policy {
    /// The checks of an address, in their order: rules, ban, handshakes, connections.
    pub fn admit_address(
        &self,
        address: IpAddr,
        bans: &Bans,
        limiters: &Limiters,
        trace: &mut Trace,
    ) -> Result<Entrance, Refusal> {
        let mut let_through = Vec::new();
        let_through.extend(self.enforce_rules(address, trace)?);
        check_ban(address, bans, trace)?;
        let key = AddressKey::from(address);
        if let Err(refusal) = self.check_handshakes(key, limiters, trace) {
            spare(self.limits.mode, refusal, &mut let_through)?;
        }
        let (permit, spared) = self.take_connection(key, limiters, trace)?;
        let_through.extend(spared);
        Ok(Entrance { permit, let_through })
    }

    fn check_handshakes(
        &self,
        key: AddressKey,
        limiters: &Limiters,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let outcome = limiters.handshake(key).map_err(|TooOften { wait, shared }| {
            let detail = if shared {
                format!("too many addresses make handshakes to count those of {key} apart")
            } else {
                format!("{key} makes too many handshakes")
            };
            let refusal = Refusal::new(Reason::LimitHandshakes, detail).by("handshakes_per_ip");
            refusal.retry_after(wait)
        });
        trace.check("handshakes", LIMITS, outcome, |()| {
            let rate = self.limits.handshakes_per_ip.map(|rate| rate.of_events());
            let said = rate.map_or("as many handshakes as come".to_owned(), |rate| {
                format!("at most {rate} handshakes of {key}")
            });
            (said, LIMITS.key("handshakes_per_ip"))
        })
    }

    fn take_connection(
        &self,
        key: AddressKey,
        limiters: &Limiters,
        trace: &mut Trace,
    ) -> Result<(AddressPermit, Option<Refusal>), Refusal> {
        let refusal = |full| {
            let detail = format!("connections of {key}: {full}");
            let refusal = Refusal::new(Reason::LimitConnections, detail).by("connections_per_ip");
            refusal.retry_after(SOMEBODY_LEAVES)
        };
        let enforce = self.limits.mode == Mode::Enforce;
        let taken = limiters.connection(key, &self.limits, enforce).map_err(refusal);
        let (permit, full) = trace.check("connections", LIMITS, taken, |(_, full)| {
            let most = self.limits.connections_per_ip;
            let said = room(most, full.as_ref(), &format!("connections of {key}"));
            (said, LIMITS.key("connections_per_ip"))
        })?;
        Ok((permit, full.map(refusal)))
    }

    /// The files that the rules were read from.
    #[must_use]
    pub fn lists(&self) -> &[PathBuf] {
        self.firewall.rules.files()
    }

    /// The rules alone, for an address that nothing is counted of; and what report mode let through.
    pub fn enforce_rules(
        &self,
        address: IpAddr,
        trace: &mut Trace,
    ) -> Result<Option<Refusal>, Refusal> {
        match (self.check_rules(address, trace), self.firewall.mode) {
            (Ok(()), _) => Ok(None),
            (Err(refusal), Mode::Report) => Ok(Some(refusal)),
            (Err(refusal), Mode::Enforce) => Err(refusal),
        }
    }

    /// What the rules alone say of an address, whatever their mode.
    fn check_rules(&self, address: IpAddr, trace: &mut Trace) -> Result<(), Refusal> {
        let verdict = self.firewall.rules.judge(address);
        let outcome = if verdict.is_denied() {
            let detail = format!("{address} is denied: {verdict}");
            Err(Refusal::new(Reason::FirewallDenied, detail).by(verdict.key()))
        } else {
            Ok(verdict)
        };
        let report = self.firewall.mode == Mode::Report && outcome.is_err();
        let checked = trace.check("firewall", FIREWALL, outcome, |verdict| match verdict.why {
            Why::Unlisted => (verdict.to_string(), FIREWALL.to_string()),
            _ => (format!("{address} is allowed: {verdict}"), FIREWALL.key(verdict.key())),
        });
        if report {
            trace.note(|| reported("firewall"));
        }
        checked.map(|_| ())
    }
}

const FIREWALL: Table<'_> = Table::Only("firewall");
const LIMITS: Table<'_> = Table::Only("limits");

/// What a step of report mode is followed by.
fn reported(name: &'static str) -> Step {
    let said = "let through and told in the log: report mode".to_owned();
    Step { name, said, key: Some(Table::Only(name).key("mode")) }
}

/// How many there may be.
pub(super) fn room(most: Option<NonZeroU32>, full: Option<&Full>, of: &str) -> String {
    match (most, full) {
        (_, Some(full)) => format!("{of}: {full}, and report mode lets one more through"),
        (Some(most), None) => format!("at most {most} {of}"),
        (None, None) => format!("as many {of} as come"),
    }
}

/// Whether an address is banned. Asked again of one that was let in a while ago.
pub fn check_ban(address: IpAddr, bans: &Bans, trace: &mut Trace) -> Result<(), Refusal> {
    let outcome = match bans.is_banned(address, UnixTime::now()) {
        None => Ok(()),
        Some(ban) => {
            let why = ban.why.as_deref().map_or(String::new(), |why| format!(" for {why}"));
            let detail = format!("{} is banned until {}{why}", ban.network, ban.until);
            Err(Refusal::new(Reason::BanActive, detail).by("ban"))
        }
    };
    trace.check("ban", FIREWALL, outcome, |()| match bans.exempting(address) {
        Some(exempt) => (format!("never banned: {exempt} is exempt"), FIREWALL.key("ban.exempt")),
        None => ("not banned".to_owned(), FIREWALL.key("ban")),
    })
}

/// In report mode a refusal is noted, and nothing else.
fn spare(mode: Mode, refusal: Refusal, let_through: &mut Vec<Refusal>) -> Result<(), Refusal> {
    match mode {
        Mode::Enforce => Err(refusal),
        Mode::Report => {
            let_through.push(refusal);
            Ok(())
        }
    }
}
