//! `[firewall]`: countries and autonomous systems.

use std::ops::Range;
use std::path::{Path, PathBuf};

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
    let users = GeoUsers::of(reader);
    users.refuse_contradictions(reader);
    users.refuse_missing(reader);
}

/// Reads the databases. Returns `None` if no key needs one, or after it reported a fault.
pub(super) fn load(keys: FirewallKeys, reader: &SectionReader<'_>, loader: &Loader) -> Option<Geo> {
    let paths = keys.geoip?;
    let users = GeoUsers::of(reader);
    let databases: Vec<_> = reader
        .entries(keys::GEOIP.name, &paths)
        .iter()
        .filter_map(|path| users.database(reader, loader, path))
        .collect();
    if users.needs() == Says::default() || databases.len() < paths.len() {
        return None;
    }
    let rules = GeoRules {
        allow_countries: keys.allow_countries,
        deny_countries: keys.deny_countries,
        deny_asns: keys.deny_asns,
    };
    users.check_known(reader, &databases).then(|| Geo::new(rules, databases))
}

/// The places of the keys that need a database, including keys with faulty values.
struct GeoUsers {
    allow_countries: Option<Range<usize>>,
    deny_countries: Option<Range<usize>>,
    deny_asns: Option<Range<usize>>,
}

impl GeoUsers {
    fn of(reader: &SectionReader<'_>) -> Self {
        Self {
            allow_countries: reader.span_of(keys::ALLOW_COUNTRIES.name),
            deny_countries: reader.span_of(keys::DENY_COUNTRIES.name),
            deny_asns: reader.span_of(keys::DENY_ASNS.name),
        }
    }

    fn needs(&self) -> Says {
        Says {
            countries: self.allow_countries.is_some() || self.deny_countries.is_some(),
            asns: self.deny_asns.is_some(),
        }
    }

    fn given(&self) -> impl Iterator<Item = (&'static str, &Range<usize>)> {
        let keys = [
            (keys::ALLOW_COUNTRIES.name, &self.allow_countries),
            (keys::DENY_COUNTRIES.name, &self.deny_countries),
            (keys::DENY_ASNS.name, &self.deny_asns),
        ];
        keys.into_iter().filter_map(|(name, span)| Some((name, span.as_ref()?)))
    }

    /// Refuses keys that another key makes ineffective.
    fn refuse_contradictions(&self, reader: &SectionReader<'_>) {
        let allow = reader.span_of(keys::ALLOW.name).map(|span| (keys::ALLOW.name, span));
        let countries = self.allow_countries.clone();
        let countries = countries.map(|span| (keys::ALLOW_COUNTRIES.name, span));
        if let (Some(span), Some(closed)) =
            (&self.deny_countries, countries.clone().or(allow.clone()))
        {
            refuse_useless(reader, keys::DENY_COUNTRIES.name, span.clone(), closed);
        }
        if let (Some(span), Some(closed), None) = (&self.deny_asns, allow, countries) {
            refuse_useless(reader, keys::DENY_ASNS.name, span.clone(), closed);
        }
    }

    /// Refuses keys without a database, and a database without keys.
    fn refuse_missing(&self, reader: &SectionReader<'_>) {
        let Some(geoip) = reader.span_of(keys::GEOIP.name) else {
            for (name, span) in self.given() {
                let kind = if name == keys::DENY_ASNS.name { "ASN" } else { "Country" };
                let help = format!("write geoip = \"GeoLite2-{kind}.mmdb\", with its path");
                let what = "this needs a database, and firewall.geoip is missing";
                reader.refuse(name, span.clone(), Fault::new(what).help(help));
            }
            return;
        };
        if self.given().next().is_none() {
            let fault = Fault::new("no key uses it");
            let help = "add `allow_countries`, `deny_countries` or `deny_asns`, or remove `geoip`";
            reader.refuse(keys::GEOIP.name, geoip, fault.help(help));
        }
    }

    /// Loads a database and checks that it contains the countries or autonomous systems that the keys need.
    fn database(
        &self,
        reader: &SectionReader<'_>,
        loader: &Loader,
        path: &Spanned<&PathBuf>,
    ) -> Option<Database> {
        let database = loader.read_entry(reader, keys::GEOIP.name, path, read_database)?;
        let (needs, says) = (self.needs(), database.says());
        let wanted = match (needs.countries && !says.countries, needs.asns && !says.asns) {
            (true, true) => format!("neither {COUNTRIES} nor {SYSTEMS}"),
            (true, false) if !needs.asns => format!("no {COUNTRIES}"),
            (false, true) if !needs.countries => format!("no {SYSTEMS}"),
            _ => return Some(database),
        };
        let fault = Fault::new(format!("{} has {wanted}", path.get_ref().display()));
        let help = "give a database that has them, or leave this one out";
        reader.refuse(keys::GEOIP.name, path.span(), fault.help(help));
        None
    }

    /// Whether the databases together contain all data that the keys need; reports missing data.
    fn check_known(&self, reader: &SectionReader<'_>, databases: &[Database]) -> bool {
        let needs = self.needs();
        let countries = databases.iter().any(|database| database.says().countries);
        let asns = databases.iter().any(|database| database.says().asns);
        let missing = |name| match name {
            name if name == keys::DENY_ASNS.name => (needs.asns && !asns).then_some(SYSTEMS),
            _ => (needs.countries && !countries).then_some(COUNTRIES),
        };
        let mut known = true;
        for (name, span) in self.given() {
            if let Some(missing) = missing(name) {
                known = false;
                let fault = Fault::new(format!("no database of firewall.geoip has {missing}"));
                let help = "add one that has them to `geoip`, which takes a list, too";
                reader.refuse(name, span.clone(), fault.help(help));
            }
        }
        known
    }
}

fn refuse_useless(
    reader: &SectionReader<'_>,
    name: &str,
    span: Range<usize>,
    (closed, place): (&str, Range<usize>),
) {
    let what = format!("{} decides nothing beside `{closed}`", reader.key(name));
    reader.cx.refuse(
        Problem::at(span, what)
            .related(place, "what this does not list is denied already")
            .help(format!("remove `{name}`, or `{closed}`")),
    );
}

fn read_database(path: &Path) -> Result<Database, Fault> {
    let bytes = read_up_to(path, MAX_DATABASE, &DATABASE)?;
    Database::read(path, bytes)
        .map_err(|error| Fault::new(format!("{} {error}", path.display())).help(DATABASE.wrong))
}
