//! `[firewall]`

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use toml::Spanned;

use super::address::network_help;
use super::ban;
use super::files::{Help, read_up_to};
use super::geoip;
use super::keys::{self, Key};
use super::kinds::{Fault, Kind};
use super::lints::LintName;
use super::protection::{Firewall, Mode};
use super::reader::Reader;
use super::report::Problem;
use crate::firewall::{Action, BadLine, BadList, Builder, Entry, Error, List, MAX_LINES, Rules};
use crate::firewall::{Country, Source};

/// The largest list file that is read, in bytes.
const MAX_LIST: u64 = 256 << 20;

const LIST: Help = Help {
    missing: "correct the path, which is relative to this file's folder; an empty file denies nobody",
    wrong: "divide it, or list networks instead of addresses",
};

const ONE_A_LINE: &str = "expected one address or network a line; # starts a comment";

/// Reads `[firewall]` and the files that it names. What is wrong was reported if the result is not
/// whole.
pub(super) fn read(reader: &Reader<'_>, proxies: &[IpNet]) -> Firewall {
    let mut lists = Lists { reader, builder: Rules::builder(), places: Vec::new() };
    if let Some(allow) = reader.get(&keys::ALLOW) {
        lists.add(Action::Allow, "firewall.allow", &keys::ALLOW, allow.into_inner());
    }
    lists.add(Action::Deny, "firewall.deny", &keys::DENY, reader.value(&keys::DENY));
    let files = reader.get(&keys::DENY_FILES).map_or(Vec::new(), Spanned::into_inner);
    for path in &files {
        lists.add_file(path);
    }
    if let Some(geo) = geoip::read(reader) {
        lists.builder.geo(geo);
    }
    let Lists { builder, places, .. } = lists;
    let rules = builder.build();
    for proxy in proxies {
        lint_proxy(reader, &rules, &places, *proxy);
    }
    Firewall { rules: Arc::new(rules), mode: mode(reader), ban: ban::read(reader) }
}

fn mode(reader: &Reader<'_>) -> Mode {
    let Some(mode) = reader.get(&keys::FIREWALL_MODE) else {
        return keys::FIREWALL_MODE.absent.0;
    };
    if *mode.get_ref() == Mode::Report {
        let what = "firewall.mode is \"report\": what it denies is let through";
        reader.lint(
            LintName::FirewallReport,
            Problem::at(mode.span(), what)
                .help("say \"enforce\" once the log shows that nobody is denied by mistake"),
        );
    }
    mode.into_inner()
}

/// Where the entries of a list are in the configuration: each at its own place, or all of them where
/// their file is named.
type Places = Vec<(Source, Vec<Range<usize>>)>;

/// The lists as they are read.
struct Lists<'r, 'a> {
    reader: &'r Reader<'a>,
    builder: Builder,
    places: Places,
}

impl Lists<'_, '_> {
    fn add<K: Kind, A>(
        &mut self,
        action: Action,
        name: &'static str,
        key: &Key<K, A>,
        networks: Vec<Spanned<IpNet>>,
    ) {
        let spans: Vec<_> = networks.iter().map(Spanned::span).collect();
        for network in networks.iter().filter(|network| network.get_ref().prefix_len() == 0) {
            let what = format!("{name}: {}", every(*network.get_ref()));
            self.reader.lint(LintName::FirewallAll, everybody(network.span(), action, &what));
        }
        let networks: Vec<_> = networks.into_iter().map(Spanned::into_inner).collect();
        if let Err(error) = self.builder.list(action, name, &networks) {
            let span = self.reader.span_of(key.name).unwrap_or_default();
            self.reader.refuse(key.name, span, too_long("this list", &error));
        }
        self.places.push((Source::Key(name), spans));
    }

    fn add_file(&mut self, path: &Spanned<PathBuf>) {
        let name = keys::DENY_FILES.name;
        let Some(list) = self.read(path) else {
            return;
        };
        if let Some((network, line)) = list.iter().find(|(network, _)| network.prefix_len() == 0) {
            let key = self.reader.key(name);
            let what =
                format!("{key}: {} line {line}: {}", path.get_ref().display(), every(network));
            self.reader.lint(LintName::FirewallAll, everybody(path.span(), Action::Deny, &what));
        }
        if let Err(error) = self.builder.file(path.get_ref(), &list) {
            let file = path.get_ref().display().to_string();
            self.reader.refuse(name, path.span(), too_long(&file, &error));
        }
        self.places.push((Source::File(path.get_ref().clone()), vec![path.span()]));
    }

    fn read(&self, path: &Spanned<PathBuf>) -> Option<List> {
        let name = keys::DENY_FILES.name;
        self.reader.cx.reads(path.get_ref());
        let bytes = read_up_to(path.get_ref(), MAX_LIST, &LIST);
        let bytes = bytes.map_err(|fault| self.reader.refuse(name, path.span(), fault)).ok()?;
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

    fn refuse_lines(&self, path: &Spanned<PathBuf>, first: &[BadLine], more: usize) {
        let file = path.get_ref().display();
        let start = format!("{}: {file}", self.reader.key(keys::DENY_FILES.name));
        for line in first {
            let problem = Problem::at(path.span(), format!("{start} {line}")).label(ONE_A_LINE);
            let help = network_help(&line.error).into_iter();
            self.reader.cx.refuse(help.fold(problem, Problem::help));
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
fn lint_proxy(reader: &Reader<'_>, rules: &Rules, places: &Places, proxy: IpNet) {
    let Some((Action::Deny, entry)) = rules.listed(proxy) else {
        return;
    };
    let Some(span) = place(places, &entry) else {
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

fn place(places: &Places, entry: &Entry<'_>) -> Option<Range<usize>> {
    let (_, spans) = places.iter().find(|(source, _)| source == entry.source)?;
    match entry.source {
        Source::Key(_) => spans.get(entry.position as usize).cloned(),
        Source::File(_) => spans.first().cloned(),
    }
}

/// Reads the code of a country.
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
