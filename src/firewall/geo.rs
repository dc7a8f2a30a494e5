//! Countries and autonomous systems of addresses, from databases in the MaxMind DB format.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, PathElement, Reader};

use super::verdict::{Action, AddressVerdict, Why};
use super::{Country, Error};

const COUNTRY: [PathElement<'static>; 2] =
    [PathElement::Key("country"), PathElement::Key("iso_code")];
const ASN: [PathElement<'static>; 1] = [PathElement::Key("autonomous_system_number")];

/// The number of networks of a database that are sampled to find its kinds of data.
const LOOKED_AT: usize = 1 << 16;

/// A GeoIP database, read into memory.
pub struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
    says: Says,
}

/// The kinds of data that a database has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Says {
    /// `country.iso_code`
    pub countries: bool,
    /// `autonomous_system_number`
    pub asns: bool,
}

/// Rules by country and by autonomous system. Empty lists decide nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeoRules {
    /// If not empty, addresses of other or unknown countries are denied.
    pub allow_countries: Vec<Country>,
    /// Addresses of these countries are denied.
    pub deny_countries: Vec<Country>,
    /// Addresses of these autonomous systems are denied, even if their country is allowed.
    pub deny_asns: Vec<u32>,
}

/// The rules, with the databases that they need.
pub struct Geo {
    rules: GeoRules,
    databases: Vec<Database>,
}

impl Database {
    /// Reads the database file at `path`.
    pub fn read(path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        let reader = Reader::from_source(bytes)?;
        let mut says = Says::default();
        for network in reader.networks(maxminddb::WithinOptions::default())?.take(LOOKED_AT) {
            let record = network?;
            says.countries |= matches!(record.decode_path::<&str>(&COUNTRY), Ok(Some(_)));
            says.asns |= matches!(record.decode_path::<u32>(&ASN), Ok(Some(_)));
            if says.countries && says.asns {
                break;
            }
        }
        Ok(Self { path: path.to_owned(), reader, says })
    }

    /// The kinds of data in the database, found by sampling its first networks.
    #[must_use]
    pub fn says(&self) -> Says {
        self.says
    }

    fn country(&self, ip: IpAddr) -> Result<Option<Country>, MaxMindDbError> {
        if !self.says.countries || !self.has_family(ip) {
            return Ok(None);
        }
        let code: Option<&str> = self.reader.lookup(ip)?.decode_path(&COUNTRY)?;
        Ok(code.and_then(Country::from_database))
    }

    fn asn(&self, ip: IpAddr) -> Result<Option<u32>, MaxMindDbError> {
        if !self.says.asns || !self.has_family(ip) {
            return Ok(None);
        }
        self.reader.lookup(ip)?.decode_path(&ASN)
    }

    fn has_family(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() || self.reader.metadata().ip_version == 6
    }
}

impl Geo {
    /// Joins rules and databases. The first database that knows an address decides.
    #[must_use]
    pub fn new(mut rules: GeoRules, databases: Vec<Database>) -> Self {
        rules.deny_asns.sort_unstable();
        Self { rules, databases }
    }

    /// The paths of the databases.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.databases.iter().map(|database| database.path.as_path())
    }

    /// The verdict of the rules about an address, if any rule applies. An address with an
    /// unreadable record is denied.
    pub(super) fn judge(&self, ip: IpAddr) -> Option<AddressVerdict<'_>> {
        match self.decide(ip) {
            Ok(decided) => decided.map(|(action, why)| AddressVerdict { action, why }),
            Err(path) => Some(AddressVerdict { action: Action::Deny, why: Why::Unreadable(path) }),
        }
    }

    fn decide(&self, ip: IpAddr) -> Result<Option<(Action, Why<'_>)>, &Path> {
        let GeoRules { allow_countries, deny_countries, deny_asns } = &self.rules;
        if !deny_asns.is_empty()
            && let Some(asn) = self.first(|database| database.asn(ip))?
            && deny_asns.binary_search(&asn).is_ok()
        {
            return Ok(Some((Action::Deny, Why::Asn(asn))));
        }
        if allow_countries.is_empty() && deny_countries.is_empty() {
            return Ok(None);
        }
        let country = self.first(|database| database.country(ip))?;
        let listed = |list: &[Country]| country.filter(|country| list.contains(country));
        Ok(match (listed(deny_countries), listed(allow_countries)) {
            (Some(country), _) => Some((Action::Deny, Why::Country(country))),
            (None, Some(country)) => Some((Action::Allow, Why::Country(country))),
            (None, None) if allow_countries.is_empty() => None,
            (None, None) => Some((Action::Deny, Why::OtherCountry(country))),
        })
    }

    /// The first answer of a database, or the path of a database that cannot be read.
    fn first<T>(
        &self,
        ask: impl Fn(&Database) -> Result<Option<T>, MaxMindDbError>,
    ) -> Result<Option<T>, &Path> {
        for database in &self.databases {
            if let Some(found) = ask(database).map_err(|_| database.path.as_path())? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Database, Geo, GeoRules, Says};
    use crate::firewall::tests::decision;
    use crate::firewall::{Action, Country, Error, Rules};

    const DE: &[&str] = &["DE"];
    const NONE: &[&str] = &[];

    fn read(name: &str) -> Result<Database, Error> {
        let path = Path::new("tests/data").join(name);
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
        Database::read(&path, bytes)
    }

    fn geo(files: &[&str], allow: &[&str], deny: &[&str], asns: &[u32]) -> Geo {
        let countries = |codes: &[&str]| -> Vec<_> {
            codes.iter().map(|code| Country::parse(code).unwrap()).collect()
        };
        let rules = GeoRules {
            allow_countries: countries(allow),
            deny_countries: countries(deny),
            deny_asns: asns.to_vec(),
        };
        Geo::new(rules, files.iter().map(|name| read(name).unwrap()).collect())
    }

    fn rules(files: &[&str], allow: &[&str], deny: &[&str], asns: &[u32]) -> Rules {
        let mut builder = Rules::builder();
        builder.geo(geo(files, allow, deny, asns));
        builder.build()
    }

    fn denied(text: &str) -> (bool, String) {
        (true, text.to_owned())
    }

    fn allowed(text: &str) -> (bool, String) {
        (false, text.to_owned())
    }

    #[test]
    fn a_database_gives_country_and_system() {
        let says = |name| read(name).unwrap().says();
        assert_eq!(says("country.mmdb"), Says { countries: true, asns: false });
        assert_eq!(says("asn.mmdb"), Says { countries: false, asns: true });
        assert_eq!(says("both.mmdb"), Says { countries: true, asns: true });
        assert_eq!(says("neither.mmdb"), Says::default());
    }

    #[test]
    fn invalid_databases_are_refused() {
        let good = std::fs::read("tests/data/country.mmdb").unwrap();
        let cut = good[..good.len() - 40].to_vec();
        for bytes in [Vec::new(), b"192.0.2.1\n".to_vec(), vec![0xff; 5000], cut] {
            let refused = Database::read(Path::new("x.mmdb"), bytes).err().unwrap();
            assert!(matches!(refused, Error::NotADatabase(_)), "{refused}");
        }
    }

    #[test]
    fn denied_countries_are_denied_and_no_others() {
        let rules = rules(&["country.mmdb"], NONE, DE, &[]);
        assert!(!rules.is_empty());
        let country = denied("firewall.deny_countries: DE");
        for ip in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8:1::1"] {
            assert_eq!(decision(&rules, ip), country, "{ip}");
        }
        for ip in ["198.51.100.1", "203.0.112.1", "10.0.0.1", "127.0.0.1", "::1", "2001:db8:9::"] {
            assert_eq!(decision(&rules, ip), allowed("no rule of [firewall] lists it"), "{ip}");
        }
        assert_eq!(rules.files(), [Path::new("tests/data/country.mmdb")]);
    }

    #[test]
    fn allowed_countries_deny_others_and_unknown_ones() {
        let rules = rules(&["country.mmdb"], DE, NONE, &[]);
        let country = allowed("firewall.allow_countries: DE");
        assert_eq!(decision(&rules, "192.0.2.1"), country);
        let other = denied("firewall.allow_countries does not list country FR");
        assert_eq!(decision(&rules, "198.51.100.1"), other);
        let unknown = denied("firewall.allow_countries is given, and no country is known of it");
        for ip in ["203.0.112.1", "10.0.0.1", "127.0.0.1", "::1"] {
            assert_eq!(decision(&rules, ip), unknown, "{ip}");
        }
    }

    #[test]
    fn a_prefix_wins_over_a_country() {
        let mut builder = Rules::builder();
        let allow = ["198.51.100.7/32", "127.0.0.0/8"].map(|net| net.parse().unwrap());
        builder.list(Action::Allow, "firewall.allow", &allow).unwrap();
        let deny = ["192.0.2.128/25".parse().unwrap()];
        builder.list(Action::Deny, "firewall.deny", &deny).unwrap();
        builder.geo(geo(&["country.mmdb"], DE, NONE, &[]));
        let rules = builder.build();
        for ip in ["198.51.100.7", "127.0.0.1", "192.0.2.127"] {
            assert!(!decision(&rules, ip).0, "{ip}");
        }
        for ip in ["198.51.100.8", "192.0.2.128", "10.0.0.1"] {
            assert!(decision(&rules, ip).0, "{ip}");
        }
    }

    #[test]
    fn denied_systems_are_denied_whatever_their_country() {
        let files = ["country.mmdb", "asn.mmdb"];
        let rules = rules(&files, &["FR", "US"], NONE, &[4_200_000_000, 64_496]);
        assert_eq!(decision(&rules, "198.51.100.1"), denied("firewall.deny_asns: AS64496"));
        assert_eq!(decision(&rules, "2001:db8:2::1"), denied("firewall.deny_asns: AS64496"));
        assert_eq!(decision(&rules, "203.0.113.127"), denied("firewall.deny_asns: AS4200000000"));
        let country = allowed("firewall.allow_countries: US");
        assert_eq!(
            decision(&rules, "203.0.113.128"),
            country,
            "its autonomous system is not known"
        );
    }

    #[test]
    fn the_first_database_that_knows_an_address_decides() {
        let rules = rules(&["country.mmdb", "country4.mmdb"], NONE, DE, &[]);
        assert!(decision(&rules, "192.0.2.1").0, "the second says US");
        assert!(decision(&rules, "10.0.0.1").0, "the first does not know");
        assert!(!decision(&rules, "2001:db8:9::1").0, "the second has no IPv6");
    }

    #[test]
    fn addresses_with_unreadable_entries_are_denied() {
        let unreadable = denied("tests/data/mistyped.mmdb cannot be read for it");
        for rules in [
            rules(&["mistyped.mmdb"], NONE, &["FR"], &[]),
            rules(&["mistyped.mmdb"], DE, NONE, &[]),
            rules(&["mistyped.mmdb"], NONE, NONE, &[1]),
        ] {
            assert_eq!(decision(&rules, "192.0.2.200"), unreadable);
            assert!(!decision(&rules, "192.0.2.1").0);
        }
    }
}
