//! Guesses which member of JSON objects is the type of a message: a string with few values, in nearly all objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::names;
use super::seen::Sample;

/// Names that types often have, without `_` and `-`, the usual ones first. Others need more evidence.
const USUAL: [&str; 13] = [
    "type",
    "action",
    "event",
    "op",
    "method",
    "kind",
    "cmd",
    "command",
    "messagetype",
    "msgtype",
    "eventtype",
    "eventname",
    "t",
];
/// The most values of a type.
const MOST_VALUES: usize = 64;
/// The fewest objects from which an unusual name is guessed.
const FEW: usize = 20;

/// A member that may be the type.
#[derive(Debug, Default)]
struct Candidate {
    /// The objects that have it, as a string.
    count: usize,
    /// Whether a value cannot be the name of a type.
    unfit: bool,
    /// The sessions with each value: the first one, and whether there are others.
    values: BTreeMap<String, (u32, bool)>,
}

/// The JSON pointer to the type.
pub(super) fn type_at(samples: &[Sample]) -> Option<String> {
    let mut objects = 0;
    let mut candidates: BTreeMap<String, Candidate> = BTreeMap::new();
    for sample in samples {
        let Ok(Value::Object(members)) = serde_json::from_str(&sample.text) else {
            continue;
        };
        objects += 1;
        for (name, value) in members {
            if let Value::String(value) = value
                && names::is_shown(&name)
            {
                candidates.entry(name).or_default().add(&value, sample.session);
            }
        }
    }
    candidates.retain(|_, one| !one.unfit && one.count * 10 >= objects * 9);
    let usual = |name: &str| {
        let plain: String = name.chars().filter(|character| !"_-".contains(*character)).collect();
        USUAL.iter().position(|usual| plain.eq_ignore_ascii_case(usual))
    };
    let best = candidates
        .iter()
        .filter_map(|(name, one)| Some((usual(name)?, name, one)))
        .min_by_key(|(rank, ..)| *rank);
    let name = if let Some((_, name, _)) = best {
        name
    } else {
        let convincing = candidates.iter().filter(|(_, one)| one.convinces(objects));
        convincing.max_by_key(|(_, one)| std::cmp::Reverse(one.values.len()))?.0
    };
    Some(format!("/{}", name.replace('~', "~0").replace('/', "~1")))
}

impl Candidate {
    fn add(&mut self, value: &str, session: u32) {
        self.count += 1;
        let Some(value) = names::of_type(value).filter(|value| !value.contains(' ')) else {
            self.unfit = true;
            return;
        };
        let (first, others) = self.values.entry(value).or_insert((session, false));
        *others |= *first != session;
        self.unfit |= self.values.len() > MOST_VALUES;
    }

    /// Whether it may be the type although its name is unusual: it has several values, each often, and the sessions have
    /// the same ones. The name of a user is the same in all messages of one session.
    fn convinces(&self, objects: usize) -> bool {
        let (values, shared) =
            (self.values.len(), self.values.values().filter(|(_, others)| *others).count());
        let mut sessions: Vec<u32> = self.values.values().map(|(first, _)| *first).collect();
        sessions.sort_unstable();
        sessions.dedup();
        let is_one_session = sessions.len() == 1 && shared == 0;
        objects >= FEW
            && values >= 2
            && values * 10 <= objects
            && (is_one_session || shared * 2 >= values)
    }
}
