//! Countries by their two-letter codes.

use std::fmt;

/// The officially assigned codes of ISO 3166-1 alpha-2, and XK, which databases use for Kosovo.
const CODES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE \
    EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM \
    HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC \
    LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA \
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// A country: two capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// A code of ISO 3166-1 alpha-2, or XK.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_database(text).filter(|_| CODES.split(' ').any(|code| code == text))
    }

    /// Reads a database's country code: any two capital letters.
    pub(super) fn from_database(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES, Country};

    #[test]
    fn a_country_is_one_that_is_assigned() {
        assert_eq!(CODES.split(' ').count(), 250);
        for code in CODES.split(' ') {
            assert_eq!(Country::parse(code).unwrap().to_string(), code);
        }
        for text in ["", "D", "de", "DEU", "UK", "EU", "ZZ", "A ", " D", "\u{e4}", "D\u{e4}"] {
            assert_eq!(Country::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_database_may_know_more() {
        assert_eq!(Country::from_database("EU").unwrap().to_string(), "EU");
        for text in ["", "eu", "E", "EUR", "\u{e4}"] {
            assert_eq!(Country::from_database(text), None, "{text}");
        }
    }
}
