//! What is known of a pattern without a text: whether any text matches it, and how long its shortest match is.
//!
//! An assertion such as `^` or `\b` depends on the kinds of the two characters beside its place alone (or on the edge
//! of the text). So a part of a pattern is a relation between the places at which it can begin and those at which it
//! can end; parts in a row compose their relations, alternatives unite them. The result is exact.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition};

/// A pattern of `deny_patterns`, parsed. Two that are equal match the same texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternForm(Hir);

impl PatternForm {
    /// Parses a pattern; `None`: it is no regular expression.
    #[must_use]
    pub fn parse(pattern: &str) -> Option<Self> {
        regex_syntax::parse(pattern).ok().map(Self)
    }

    /// Whether there is a text that it matches.
    #[must_use]
    pub fn can_match(&self) -> bool {
        let relation = Kinds::new().relation(&self.0);
        relation.0.iter().any(|ends| *ends != 0)
    }

    /// The bytes of its shortest match, if assertions are left out of account.
    #[must_use]
    pub fn shortest(&self) -> usize {
        self.0.properties().minimum_len().unwrap_or(0)
    }
}

/// What is beside a place in a text. Every two characters of a kind are alike to every assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The text begins or ends.
    Edge,
    LineFeed,
    CarriageReturn,
    /// A word character of ASCII.
    AsciiWord,
    /// Another word character.
    OtherWord,
    Other,
}

const SIDES: [Side; 6] = [
    Side::Edge,
    Side::LineFeed,
    Side::CarriageReturn,
    Side::AsciiWord,
    Side::OtherWord,
    Side::Other,
];
/// The number of places that differ for an assertion: by what is to the left and to the right.
const PLACES: usize = SIDES.len() * SIDES.len();

/// Every place, with its number.
fn places() -> impl Iterator<Item = (usize, Side, Side)> {
    let sides = SIDES.into_iter().flat_map(|left| SIDES.map(|right| (left, right)));
    sides.enumerate().map(|(place, (left, right))| (place, left, right))
}

/// For each place at which a part of a pattern can begin, a bit for each place at which it can end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Relation([u64; PLACES]);

impl Relation {
    /// The relation of a part without characters, at the places that `holds` accepts.
    fn at(holds: impl Fn(Side, Side) -> bool) -> Self {
        let mut relation = Self([0; PLACES]);
        for (place, ..) in places().filter(|(_, left, right)| holds(*left, *right)) {
            relation.0[place] = 1 << place;
        }
        relation
    }

    /// The relation of one character of the kinds that `takes` accepts.
    fn of_character(takes: impl Fn(Side) -> bool) -> Self {
        let mut relation = Self([0; PLACES]);
        for (place, _, taken) in places().filter(|(.., right)| takes(*right)) {
            let ends = places().filter(|(_, left, _)| *left == taken);
            relation.0[place] = ends.fold(0, |ends, (end, ..)| ends | 1 << end);
        }
        relation
    }

    fn then(&self, next: &Self) -> Self {
        let through = |ends: u64| {
            let all = next.0.iter().enumerate().filter(|(place, _)| ends & (1 << place) != 0);
            all.fold(0, |ends, (_, further)| ends | further)
        };
        Self(self.0.map(through))
    }

    fn or(mut self, other: &Self) -> Self {
        for (ends, more) in self.0.iter_mut().zip(&other.0) {
            *ends |= more;
        }
        self
    }

    /// This part so many times in a row.
    fn times(&self, mut count: u32) -> Self {
        let (mut power, mut product) = (self.clone(), Self::at(|_, _| true));
        while count > 0 {
            if count & 1 == 1 {
                product = product.then(&power);
            }
            count >>= 1;
            power = power.then(&power);
        }
        product
    }

    /// This part between `min` and `max` times in a row.
    fn repeated(&self, min: u32, max: Option<u32>) -> Self {
        let optional = Self::at(|_, _| true).or(self);
        // After as many rounds as there are places, a further one leads to no other place.
        let most = max.map_or(u32::MAX, |max| max.saturating_sub(min)).min(64);
        self.times(min).then(&optional.times(most))
    }
}

/// The characters of the kinds that have more than one.
struct Kinds {
    ascii_word: ClassUnicode,
    other_word: ClassUnicode,
    other: ClassUnicode,
}

impl Kinds {
    fn new() -> Self {
        let ascii = ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]);
        let mut word = ClassUnicode::empty();
        if let Some(HirKind::Class(Class::Unicode(class))) =
            regex_syntax::parse(r"\w").ok().map(Hir::into_kind)
        {
            word = class;
        }
        let (mut ascii_word, mut other_word) = (word.clone(), word.clone());
        ascii_word.intersect(&ascii);
        other_word.difference(&ascii);
        let mut other = word;
        other.push(ClassUnicodeRange::new('\n', '\n'));
        other.push(ClassUnicodeRange::new('\r', '\r'));
        other.negate();
        Self { ascii_word, other_word, other }
    }

    fn relation(&self, part: &Hir) -> Relation {
        match part.kind() {
            HirKind::Empty => Relation::at(|_, _| true),
            HirKind::Literal(literal) => {
                let text = String::from_utf8_lossy(&literal.0);
                let characters = text
                    .chars()
                    .map(|character| Relation::of_character(|side| side == side_of(character)));
                characters
                    .fold(Relation::at(|_, _| true), |before, character| before.then(&character))
            }
            HirKind::Class(class) => self.class(class),
            HirKind::Look(look) => Relation::at(|left, right| holds(*look, left, right)),
            HirKind::Repetition(Repetition { min, max, sub, .. }) => {
                self.relation(sub).repeated(*min, *max)
            }
            HirKind::Capture(capture) => self.relation(&capture.sub),
            HirKind::Concat(parts) => {
                let all = Relation::at(|_, _| true);
                parts.iter().fold(all, |before, part| before.then(&self.relation(part)))
            }
            HirKind::Alternation(parts) => {
                let none = Relation::at(|_, _| false);
                parts.iter().fold(none, |others, part| others.or(&self.relation(part)))
            }
        }
    }

    fn class(&self, class: &Class) -> Relation {
        let class = match class {
            Class::Unicode(class) => class.clone(),
            // Without Unicode a class of a text has characters of ASCII alone.
            Class::Bytes(class) => ClassUnicode::new(class.ranges().iter().map(|range| {
                ClassUnicodeRange::new(char::from(range.start()), char::from(range.end()))
            })),
        };
        let has = |kind: &ClassUnicode| {
            let mut both = class.clone();
            both.intersect(kind);
            !both.ranges().is_empty()
        };
        let one = |character| ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
        Relation::of_character(|side| match side {
            Side::Edge => false,
            Side::LineFeed => has(&one('\n')),
            Side::CarriageReturn => has(&one('\r')),
            Side::AsciiWord => has(&self.ascii_word),
            Side::OtherWord => has(&self.other_word),
            Side::Other => has(&self.other),
        })
    }
}

fn side_of(character: char) -> Side {
    match character {
        '\n' => Side::LineFeed,
        '\r' => Side::CarriageReturn,
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => Side::AsciiWord,
        _ if regex_syntax::try_is_word_character(character).unwrap_or(false) => Side::OtherWord,
        _ => Side::Other,
    }
}

/// Whether an assertion holds between `left` and `right`.
fn holds(look: Look, left: Side, right: Side) -> bool {
    use Side::{AsciiWord, CarriageReturn, Edge, LineFeed, OtherWord};
    let ascii = |side| side == AsciiWord;
    let word = |side| matches!(side, AsciiWord | OtherWord);
    match look {
        Look::Start => left == Edge,
        Look::End => right == Edge,
        Look::StartLF => matches!(left, Edge | LineFeed),
        Look::EndLF => matches!(right, Edge | LineFeed),
        // Not between the two characters of a line break.
        Look::StartCRLF => {
            matches!(left, Edge | LineFeed) || (left == CarriageReturn && right != LineFeed)
        }
        Look::EndCRLF => {
            matches!(right, Edge | CarriageReturn) || (right == LineFeed && left != CarriageReturn)
        }
        Look::WordAscii => ascii(left) != ascii(right),
        Look::WordAsciiNegate => ascii(left) == ascii(right),
        Look::WordUnicode => word(left) != word(right),
        Look::WordUnicodeNegate => word(left) == word(right),
        Look::WordStartAscii => !ascii(left) && ascii(right),
        Look::WordEndAscii => ascii(left) && !ascii(right),
        Look::WordStartUnicode => !word(left) && word(right),
        Look::WordEndUnicode => word(left) && !word(right),
        Look::WordStartHalfAscii => !ascii(left),
        Look::WordEndHalfAscii => !ascii(right),
        Look::WordStartHalfUnicode => !word(left),
        Look::WordEndHalfUnicode => !word(right),
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::PatternForm;

    fn can_match(pattern: &str) -> bool {
        PatternForm::parse(pattern).unwrap().can_match()
    }

    #[test]
    fn contradictions_are_found() {
        for pattern in [
            "[a&&b]",
            "$a",
            "a^",
            "(x|y)+^z",
            r"a\bb",
            r"\b\B",
            r"-\b-",
            r"\Za",
            "(?m)a^b",
            r"(?:(?m:^)x){2}",
            "a[^\\x00-\\x{10FFFF}]",
        ] {
            if let Some(form) = PatternForm::parse(pattern) {
                assert!(!form.can_match(), "{pattern}");
            }
        }
        for pattern in [
            "",
            "^$",
            "(?i)<script",
            r"\bselect\b",
            "(?m)a\n^b",
            "(?:$a)?b",
            "(?:a^)*b",
            "(?:$a|b)",
            r"(?s)^.*\.exe$",
            r"\p{Cyrillic}{3,}",
            r"(?-u)\x7f",
        ] {
            assert!(can_match(pattern), "{pattern}");
        }
    }

    /// Each pattern of up to three of these parts, against each text of up to three characters: no pattern needs more.
    #[test]
    fn the_verdict_is_that_of_the_engine() {
        const PARTS: [&str; 15] = [
            "",
            "a",
            "\u{e4}",
            "\\n",
            "[^a]",
            "\\W",
            "(?:a|$)",
            "^",
            "$",
            "(?m:^)",
            "(?mR:^)",
            "(?mR:$)",
            "\\b",
            "\\B",
            "(?-u:\\b)",
        ];
        const CHARACTERS: [&str; 6] = ["a", "b", "\u{e4}", "\n", "\r", "-"];
        let mut texts = vec![String::new()];
        for length in 0..3 {
            let longest = texts.iter().filter(|text| text.chars().count() == length);
            let longer = longest.flat_map(|text| CHARACTERS.map(|more| format!("{text}{more}")));
            texts.extend(longer.collect::<Vec<_>>());
        }
        assert_eq!(texts.len(), 1 + 6 + 36 + 216);
        let mut never = 0;
        for first in PARTS {
            for second in PARTS {
                for third in PARTS {
                    let pattern = format!("{first}{second}{third}");
                    let engine = Regex::new(&pattern).unwrap();
                    let matched = texts.iter().any(|text| engine.is_match(text));
                    assert_eq!(can_match(&pattern), matched, "{pattern}");
                    never += usize::from(!matched);
                }
            }
        }
        assert!(never > 500, "{never}");
    }

    #[test]
    fn repetitions_of_any_number_are_decided() {
        assert!(can_match("(?:a\\n(?m:^)){1000}"));
        assert!(!can_match("(?:a(?m:^)){2,1000}b"));
        assert!(can_match("(?:a(?m:^)){0,1000}b"));
        assert!(can_match("(?:\\ba\\b-){7}"));
        assert!(!can_match("(?:\\ba\\b){2}"));
        assert_eq!(PatternForm::parse("(?:ab){3,}\u{e4}").unwrap().shortest(), 8);
    }

    #[test]
    fn equal_forms_match_the_same() {
        let form = |pattern| PatternForm::parse(pattern).unwrap();
        assert_eq!(form("[ab]"), form("a|b"));
        assert_eq!(form("(?i)a"), form("[aA]"));
        assert_ne!(form("a"), form("b"));
    }
}
