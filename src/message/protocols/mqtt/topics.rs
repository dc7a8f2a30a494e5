//! Topics and filters (section 4.7 of both specifications), and the listed types that apply to them.

use crate::message::protocols::broken;
use crate::message::rules::MessageFault;
use crate::message::types::{TypePattern, Types};

/// Levels of a topic or filter, at most; brokers have bounds of their own, mosquitto 200.
const MOST_LEVELS: usize = 200;
/// Before the name of the group of a shared subscription, and after it (section 4.8.2).
const SHARED: &str = "$share/";

/// A filter, and the group if the subscription is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shared<'f> {
    pub(super) group: Option<&'f str>,
    pub(super) filter: &'f str,
}

/// The name of a type, as far as it applies to topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed<'t> {
    /// A filter, or a topic.
    Filter(&'t str),
    /// The beginning of a topic.
    Beginning(&'t str),
}

/// Checks a topic, which has no wildcards.
pub(super) fn check_topic(topic: &str) -> Result<(), MessageFault> {
    if topic.contains(['+', '#']) {
        return Err(broken("a topic contains a wildcard"));
    }
    check_levels(topic)
}

/// Checks a filter: a wildcard is a whole level, and `#` the last one.
pub(super) fn check_filter(filter: &str) -> Result<(), MessageFault> {
    let mut levels = filter.split('/').rev();
    let last = levels.next().unwrap_or_default();
    let is_whole = |level: &str| level == "+" || !level.contains(['+', '#']);
    if !(last == "#" || is_whole(last)) || !levels.all(is_whole) {
        return Err(broken("a wildcard in a filter is not a whole level, or # not the last one"));
    }
    check_levels(filter)?;
    check_single(filter)
}

/// Refuses a topic or filter of a client that some brokers take for several: they read a comma between two topics, or a
/// star as any level. In a topic from a broker both are literal.
pub(super) fn check_single(topic: &str) -> Result<(), MessageFault> {
    if topic.contains([',', '*']) {
        return Err(broken(
            "a topic contains a comma or a star, by which some brokers name several",
        ));
    }
    Ok(())
}

fn check_levels(topic: &str) -> Result<(), MessageFault> {
    if topic.is_empty() {
        return Err(broken("a topic is empty"));
    }
    // Brokers refuse some of them and accept others.
    if topic.contains(char::is_control) {
        return Err(broken("a topic contains a control character"));
    }
    if topic.split('/').count() > MOST_LEVELS {
        return Err(broken(format_args!("a topic has more than {MOST_LEVELS} levels")));
    }
    Ok(())
}

/// Reads the filter of a subscription, `$share/GROUP/FILTER` if it is shared.
pub(super) fn shared(text: &str) -> Result<Shared<'_>, MessageFault> {
    let shared = match text.strip_prefix(SHARED) {
        None => Shared { group: None, filter: text },
        Some(rest) => {
            let (group, filter) = rest
                .split_once('/')
                .ok_or_else(|| broken("a shared subscription without filter"))?;
            if group.is_empty() || group.contains(['+', '#']) {
                return Err(broken("the group of a shared subscription has no valid name"));
            }
            Shared { group: Some(group), filter }
        }
    };
    check_filter(shared.filter)?;
    Ok(shared)
}

/// Checks the name of a type in the configuration.
pub(super) fn check_type(pattern: &TypePattern) -> Result<(), &'static str> {
    const KINDS: [&str; 2] = ["publish ", "subscribe "];
    const FORM: &str = "a type of MQTT is \"publish TOPIC\", \"subscribe FILTER\" or \"connect\"";
    const MIXED: &str = "a star at the end and a wildcard of MQTT cannot stand in one name";
    match pattern {
        TypePattern::Exact(name) if name == super::CONNECT => Ok(()),
        TypePattern::Exact(name) => {
            let filter = KINDS.iter().find_map(|kind| name.strip_prefix(kind)).ok_or(FORM)?;
            if filter.starts_with(SHARED) {
                return Err("a shared subscription is judged by the filter after its group alone");
            }
            check_filter(filter).map_err(|_| "this is no topic or filter of MQTT")
        }
        TypePattern::Prefix(prefix) => {
            let beginning = KINDS.iter().find_map(|kind| prefix.strip_prefix(kind));
            match beginning {
                Some(beginning) if beginning.contains(['+', '#']) => Err(MIXED),
                Some(_) => Ok(()),
                None if KINDS.iter().any(|kind| kind.starts_with(prefix)) => Ok(()),
                None => Err(FORM),
            }
        }
    }
}

/// The number of the type that lists the item `name`: one of this very name, else the longest beginning that contains
/// it, else the first filter that does.
pub(super) fn find(types: &Types, name: &str) -> Option<usize> {
    let (kind, topic) = split(name);
    let mut filters = None;
    let mut beginnings: Option<(usize, usize)> = None;
    for (index, listed) in of_kind(types, kind) {
        match listed {
            Listed::Filter(filter) if filter == topic => return Some(index),
            Listed::Filter(filter) if contains(filter, topic) => filters = filters.or(Some(index)),
            Listed::Beginning(beginning) if begins(topic, beginning) => {
                let longer = beginnings.is_none_or(|(length, _)| beginning.len() > length);
                if longer {
                    beginnings = Some((beginning.len(), index));
                }
            }
            _ => {}
        }
    }
    beginnings.map(|(_, index)| index).or(filters)
}

/// The numbers of the other types that apply to the item `name`: for a filter those of every topic that it may match,
/// for a topic those of every filter that matches it. A name that is listed itself has no others.
pub(super) fn others(types: &Types, name: &str) -> Vec<usize> {
    let (kind, topic) = split(name);
    let found = find(types, name);
    let mut others = Vec::new();
    let mut longest = 0;
    for (index, listed) in of_kind(types, kind) {
        match listed {
            Listed::Filter(filter) if filter == topic => return Vec::new(),
            Listed::Beginning(beginning) if Some(index) == found => longest = beginning.len(),
            _ => {}
        }
    }
    for (index, listed) in of_kind(types, kind) {
        let applies = match listed {
            _ if Some(index) == found => false,
            Listed::Filter(filter) => overlap(filter, topic),
            // A shorter one than that which lists all topics of the filter is never used.
            Listed::Beginning(beginning) if begins(topic, beginning) => beginning.len() > longest,
            Listed::Beginning(beginning) => may_begin(topic, beginning),
        };
        if applies {
            others.push(index);
        }
    }
    // "a/b/#" matches the topic "a/b", too.
    let parent =
        topic.strip_suffix("/#").and_then(|parent| find(types, &format!("{kind}{parent}")));
    others.extend(parent.filter(|index| Some(*index) != found && !others.contains(index)));
    others
}

/// `publish ` or `subscribe `, and the topic.
fn split(name: &str) -> (&str, &str) {
    name.split_at(name.find(' ').map_or(name.len(), |space| space + 1))
}

/// The types that list topics of this kind.
fn of_kind<'t>(types: &'t Types, kind: &'t str) -> impl Iterator<Item = (usize, Listed<'t>)> {
    types.rules().iter().enumerate().filter_map(move |(index, rules)| {
        let listed = match &rules.pattern {
            TypePattern::Exact(name) => Listed::Filter(name.strip_prefix(kind)?),
            TypePattern::Prefix(prefix) if kind.starts_with(prefix) => Listed::Beginning(""),
            TypePattern::Prefix(prefix) => Listed::Beginning(prefix.strip_prefix(kind)?),
        };
        Some((index, listed))
    })
}

/// Whether a wildcard, or an empty beginning, at the front reaches this topic: not if the topic begins with `$`
/// (section 4.7.2).
fn reaches(front: &str, topic: &str) -> bool {
    !topic.starts_with('$') || !(front.is_empty() || front.starts_with(['+', '#']))
}

/// Whether a topic or filter begins so.
fn begins(topic: &str, beginning: &str) -> bool {
    topic.starts_with(beginning) && reaches(beginning, topic)
}

/// Whether `outer` matches every topic that `inner` matches.
fn contains(outer: &str, inner: &str) -> bool {
    let (mut outside, mut inside) = (outer.split('/'), inner.split('/'));
    reaches(outer, inner)
        && loop {
            match (outside.next(), inside.next()) {
                (Some("#"), _) | (None, None) => break true,
                (Some("+"), Some(level)) if level != "#" => {}
                (Some(one), Some(other)) if one == other => {}
                _ => break false,
            }
        }
}

/// Whether a topic may match both filters.
fn overlap(one: &str, other: &str) -> bool {
    let (mut first, mut second) = (one.split('/'), other.split('/'));
    reaches(one, other)
        && reaches(other, one)
        && loop {
            match (first.next(), second.next()) {
                (Some("#"), _) | (_, Some("#")) | (None, None) => break true,
                (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
                (Some(level), Some(same)) if level == same => {}
                _ => break false,
            }
        }
}

/// Whether a topic that the filter matches may begin so.
fn may_begin(filter: &str, beginning: &str) -> bool {
    let mut levels = filter.split('/');
    let mut wanted = beginning.split('/').peekable();
    reaches(filter, beginning)
        && reaches(beginning, filter)
        && loop {
            let Some(begin) = wanted.next() else { break true };
            match levels.next() {
                Some("#") => break true,
                Some("+") => {}
                Some(level) if wanted.peek().is_none() => break level.starts_with(begin),
                Some(level) if level == begin => {}
                _ => break false,
            }
        }
}
