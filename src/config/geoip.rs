//! `[firewall]`: countries and autonomous systems.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;

use super::files::{Help, read_up_to};
use super::keys::{self, FirewallKeys};
use super::kinds::Fault;
use super::load::Loader;
use super::reader::SectionReader;
use super::report::Problem;
use crate::firewall::{Database, Geo, GeoRules, Says};

/// The largest database that is read, in bytes.
const MAX_DATABASE: u64 = 1 << 30;

const DATABASE: Help = Help {
    missing: "correct the path, which is relative to this file's folder",
    wrong: "give a database in the MaxMind DB format, such as GeoLite2-Country.mmdb",
};

const COUNTRIES: &str = "countries (`country.iso_code`)";
const SYSTEMS: &str = "numbers of autonomous systems (`autonomous_system_number`)";

/// Checks the keys that need a database.
pub(super) fn check(reader: &SectionReader<'_>) {
    refuse_contradictions(reader);
    refuse_missing(reader);
}

/// Reads the databases. Returns `None` if no key needs one, or after it reported a fault.
pub(super) fn load(
    keys: &FirewallKeys,
    reader: &SectionReader<'_>,
    loader: &Loader,
) -> Option<Geo> {
    let paths = reader.entries(keys::GEOIP.name, &keys.geoip);
    let databases: Vec<_> =
        paths.iter().filter_map(|path| read_database(reader, loader, path)).collect();
    if given(reader).next().is_none() || databases.is_empty() || databases.len() < paths.len() {
        return None;
    }
    let rules = GeoRules {
        allow_countries: keys.allow_countries.clone(),
        deny_countries: keys.deny_countries.clone(),
        deny_asns: keys.deny_asns.clone(),
    };
    check_known(reader, &databases).then(|| Geo::new(rules, databases))
}

/// The keys that need a database, with their places, including keys with faulty values.
fn given(reader: &SectionReader<'_>) -> impl Iterator<Item = (&'static str, Range<usize>)> {
    let names = [keys::ALLOW_COUNTRIES.name, keys::DENY_COUNTRIES.name, keys::DENY_ASNS.name];
    names.into_iter().filter_map(|name| Some((name, reader.span_of(name)?)))
}

/// The data that the key `name` needs.
fn needs(name: &str) -> Says {
    let asns = name == keys::DENY_ASNS.name;
    Says { countries: !asns, asns }
}

/// Refuses keys that another key makes ineffective.
fn refuse_contradictions(reader: &SectionReader<'_>) {
    let given = |name| Some((name, reader.span_of(name)?));
    let allow = given(keys::ALLOW.name);
    let countries = given(keys::ALLOW_COUNTRIES.name);
    if let (Some(denied), Some(closed)) =
        (given(keys::DENY_COUNTRIES.name), countries.clone().or(allow.clone()))
    {
        refuse_useless(reader, denied, closed);
    }
    if let (Some(denied), Some(closed), None) = (given(keys::DENY_ASNS.name), allow, countries) {
        refuse_useless(reader, denied, closed);
    }
}

/// Refuses keys without a database, and a database without keys.
fn refuse_missing(reader: &SectionReader<'_>) {
    match reader.span_of(keys::GEOIP.name) {
        None => {
            for (name, span) in given(reader) {
                let kind = if needs(name).asns { "ASN" } else { "Country" };
                let help = format!("write geoip = \"GeoLite2-{kind}.mmdb\", with its path");
                let what = "this needs a database, and firewall.geoip is missing";
                reader.refuse(name, span, Fault::new(what).help(help));
            }
        }
        Some(span) if given(reader).next().is_none() => {
            let help = "add `allow_countries`, `deny_countries` or `deny_asns`, or remove `geoip`";
            reader.refuse(keys::GEOIP.name, span, Fault::new("no key uses it").help(help));
        }
        Some(_) => {}
    }
}

/// Reads a database, which must have countries or autonomous systems that a key needs.
fn read_database(
    reader: &SectionReader<'_>,
    loader: &Loader,
    path: &Spanned<&PathBuf>,
) -> Option<Database> {
    let name = keys::GEOIP.name;
    let database = loader.read_entry(reader, name, path, |path| {
        let bytes = read_up_to(path, MAX_DATABASE, &DATABASE)?;
        Database::read(path, bytes)
            .map_err(|error| Fault::new(format!("{} {error}", path.display())).help(DATABASE.wrong))
    })?;
    let says = database.says();
    let countries = given(reader).any(|(name, _)| needs(name).countries);
    let asns = given(reader).any(|(name, _)| needs(name).asns);
    let wanted = match (countries && !says.countries, asns && !says.asns) {
        (true, true) => format!("neither {COUNTRIES} nor {SYSTEMS}"),
        (true, false) if !asns => format!("no {COUNTRIES}"),
        (false, true) if !countries => format!("no {SYSTEMS}"),
        _ => return Some(database),
    };
    let fault = Fault::new(format!("{} has {wanted}", path.get_ref().display()));
    let help = "give a database that has them, or leave this one out";
    reader.refuse(name, path.span(), fault.help(help));
    None
}

/// Whether the databases together have all data that the keys need; reports missing data.
fn check_known(reader: &SectionReader<'_>, databases: &[Database]) -> bool {
    let mut known = true;
    for (name, span) in given(reader) {
        let needs = needs(name);
        let serves = |says: Says| says.countries && needs.countries || says.asns && needs.asns;
        if !databases.iter().any(|database| serves(database.says())) {
            known = false;
            let missing = if needs.asns { SYSTEMS } else { COUNTRIES };
            let fault = Fault::new(format!("no database of firewall.geoip has {missing}"));
            let help = "add one that has them to `geoip`, which takes a list, too";
            reader.refuse(name, span, fault.help(help));
        }
    }
    known
}

fn refuse_useless(
    reader: &SectionReader<'_>,
    (name, span): (&str, Range<usize>),
    (closed, place): (&str, Range<usize>),
) {
    let what = format!("{} decides nothing beside `{closed}`", reader.key(name));
    reader.cx.refuse(
        Problem::at(span, what)
            .related(place, "what this does not list is denied already")
            .help(format!("remove `{name}`, or `{closed}`")),
    );
}
