//! `[firewall]`

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use toml::Spanned;

use super::address::network_help;
use super::ban;
use super::files::{Help, read_up_to};
use super::geoip;
use super::keys::{self, BanRules, FirewallKeys};
use super::kinds::Fault;
use super::lints::LintName;
use super::load::Loader;
use super::protection::{Firewall, Mode};
use super::reader::SectionReader;
use super::report::Problem;
use crate::firewall::{Action, BadLine, BadList, Builder, Error, List, MAX_LINES, Rules};
use crate::firewall::{Country, Source};

/// The largest list file that is read, in bytes.
const MAX_LIST: u64 = 256 << 20;

const LIST: Help = Help {
    missing: "correct the path, which is relative to this file's folder; an empty file denies nobody",
    wrong: "divide it, or list networks instead of addresses",
};

const ONE_A_LINE: &str = "expected one address or network a line; # starts a comment";

/// `[firewall]`; its files are not read yet.
pub(super) struct CheckedFirewall<'a> {
    reader: SectionReader<'a>,
    keys: FirewallKeys,
    pub(super) ban: Option<BanRules>,
}

/// Checks `[firewall]`. A field is missing if its value had a fault; the fault was reported.
pub(super) fn check(reader: SectionReader<'_>) -> CheckedFirewall<'_> {
    let keys = FirewallKeys::read(&reader);
    lint_everybody(&reader, Action::Allow, keys::ALLOW.name, &keys.allow);
    lint_everybody(&reader, Action::Deny, keys::DENY.name, &keys.deny);
    geoip::check(&reader);
    lint_report(&reader, keys.mode);
    let ban = ban::check(&reader);
    CheckedFirewall { reader, keys, ban }
}

/// Warns of a list entry that matches every address of its family.
fn lint_everybody(reader: &SectionReader<'_>, action: Action, name: &str, networks: &[IpNet]) {
    for network in reader.entries(name, networks) {
        if network.get_ref().prefix_len() == 0 {
            let what = format!("{}: {}", reader.key(name), every(**network.get_ref()));
            reader.lint(LintName::FirewallAll, everybody(network.span(), action, &what));
        }
    }
}

fn lint_report(reader: &SectionReader<'_>, mode: Mode) {
    if mode == Mode::Report {
        let what = "is \"report\": what it denies is let through";
        let help = "say \"enforce\" once the log shows that nobody is denied by mistake";
        let problem = reader.problem(keys::FIREWALL_MODE.name, what);
        reader.lint(LintName::FirewallReport, problem.map(|problem| problem.help(help)));
    }
}

impl CheckedFirewall<'_> {
    /// Loads the list files and databases. A rule is missing if its value had a fault; the fault was
    /// reported.
    pub(super) fn load(self, loader: &Loader, proxies: &[IpNet]) -> Firewall {
        let Self { reader, keys, ban } = self;
        let mut lists = Lists { reader: &reader, loader, builder: Rules::builder() };
        lists.add(Action::Allow, "firewall.allow", keys::ALLOW.name, &keys.allow);
        lists.add(Action::Deny, "firewall.deny", keys::DENY.name, &keys.deny);
        for path in reader.entries(keys::DENY_FILES.name, &keys.deny_files) {
            lists.add_file(&path);
        }
        if let Some(geo) = geoip::load(&keys, &reader, loader) {
            lists.builder.geo(geo);
        }
        let rules = lists.builder.build();
        for proxy in proxies {
            lint_proxy(&reader, &keys, &rules, *proxy);
        }
        Firewall { rules: Arc::new(rules), mode: keys.mode, ban }
    }
}

/// Collects the lists while they are read.
struct Lists<'r, 'a> {
    reader: &'r SectionReader<'a>,
    loader: &'r Loader,
    builder: Builder,
}

impl Lists<'_, '_> {
    fn add(&mut self, action: Action, source: &'static str, name: &str, networks: &[IpNet]) {
        let (Some(span), false) = (self.reader.span_of(name), networks.is_empty()) else {
            return;
        };
        if let Err(error) = self.builder.list(action, source, networks) {
            self.reader.refuse(name, span, too_long("this list", &error));
        }
    }

    fn add_file(&mut self, path: &Spanned<&PathBuf>) {
        let name = keys::DENY_FILES.name;
        let Some(list) = self.read(path) else {
            return;
        };
        let file = path.get_ref().display();
        if let Some((network, line)) = list.iter().find(|(network, _)| network.prefix_len() == 0) {
            let what = format!("{}: {file} line {line}: {}", self.reader.key(name), every(network));
            let problem = everybody(path.span(), Action::Deny, &what);
            self.reader.lint(LintName::FirewallAll, problem);
        }
        if let Err(error) = self.builder.file(path.get_ref(), &list) {
            self.reader.refuse(name, path.span(), too_long(&file.to_string(), &error));
        }
    }

    fn read(&self, path: &Spanned<&PathBuf>) -> Option<List> {
        let name = keys::DENY_FILES.name;
        let read = |path: &Path| read_up_to(path, MAX_LIST, &LIST);
        let bytes = self.loader.read_entry(self.reader, name, path, read)?;
        match List::parse(&bytes) {
            Ok(list) => return Some(list),
            Err(BadList::Lines { first, more }) => self.refuse_lines(path, &first, more),
            Err(BadList::TooLong) => {
                let what = format!("{} has more than {MAX_LINES} lines", path.get_ref().display());
                self.reader.refuse(name, path.span(), Fault::new(what).help(LIST.wrong));
            }
        }
        None
    }

    fn refuse_lines(&self, path: &Spanned<&PathBuf>, first: &[BadLine], more: usize) {
        let file = path.get_ref().display();
        let start = format!("{}: {file}", self.reader.key(keys::DENY_FILES.name));
        for line in first {
            let problem = Problem::at(path.span(), format!("{start} {line}")).label(ONE_A_LINE);
            self.reader.cx.refuse(problem.help(network_help(line.error)));
        }
        if more > 0 {
            let lines = if more == 1 { "line" } else { "lines" };
            let what = format!("{start} has {more} more {lines} that cannot be read");
            self.reader.cx.refuse(Problem::at(path.span(), what).help("is it the right file?"));
        }
    }
}

fn too_long(what: &str, error: &Error) -> Fault {
    Fault::new(format!("{what} {error}")).help("list networks instead of addresses")
}

fn every(network: IpNet) -> String {
    let family = if network.addr().is_ipv4() { "IPv4" } else { "IPv6" };
    format!("{network} is every {family} address")
}

fn everybody(span: Range<usize>, action: Action, what: &str) -> Problem {
    match action {
        Action::Allow => Problem::at(span, format!("{what}: `allow` keeps nobody out of these"))
            .help("leave it out, or list only the networks that may connect"),
        Action::Deny => Problem::at(span, what)
            .help("to admit only some addresses, list them in `allow` and leave this out"),
    }
}

/// Warns of a list that denies a trusted proxy.
fn lint_proxy(reader: &SectionReader<'_>, keys: &FirewallKeys, rules: &Rules, proxy: IpNet) {
    let Some((Action::Deny, entry)) = rules.listed(proxy) else {
        return;
    };
    let span = match entry.source {
        Source::Key(_) => {
            let networks = reader.entries(keys::DENY.name, &keys.deny);
            networks.get(entry.position as usize).map(Spanned::span)
        }
        Source::File(file) => {
            let files = reader.entries(keys::DENY_FILES.name, &keys.deny_files);
            files.iter().find(|path| *path.get_ref() == file).map(Spanned::span)
        }
    };
    let Some(span) = span else {
        return;
    };
    let proxy = if proxy.prefix_len() == proxy.max_prefix_len() {
        proxy.addr().to_string()
    } else {
        proxy.to_string()
    };
    reader.lint(
        LintName::FirewallProxy,
        Problem::at(span, format!("{entry} covers the trusted proxy {proxy}"))
            .label("a connection for which it names no client is denied")
            .help(format!("deny less, or add \"{proxy}\" to `allow`, if that is given")),
    );
}

/// Reads a country code.
pub(super) fn parse_country(text: &str) -> Result<Country, Fault> {
    Country::parse(text).ok_or_else(|| {
        let fault = Fault::new(format!("\"{text}\" is not the code of a country"));
        let capitals = text.to_ascii_uppercase();
        match capitals.as_str() {
            "UK" => fault.help("the United Kingdom is \"GB\""),
            _ if Country::parse(&capitals).is_some() => fault.help(format!("write \"{capitals}\"")),
            _ => fault,
        }
    })
}
