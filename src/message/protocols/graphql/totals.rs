//! The cost of the operations of a document, with the fragments that they spread, as often as they spread them. Each
//! fragment is counted once, so the time is linear in the document.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::GraphqlRules;
use super::document::{Document, Operation, Part, RootField};
use crate::message::protocols::broken;
use crate::message::rules::{MessageFault, fault};
use crate::values::Reason;

/// The cost of a part with all that it spreads. Numbers do not overflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) fields: u64,
    pub(super) aliases: u64,
    pub(super) root_fields: u64,
    pub(super) depth: u64,
}

impl Totals {
    fn own(part: &Part<'_>) -> Self {
        let Part { fields, aliases, depth, .. } = *part;
        Self { fields, aliases, root_fields: part.roots.len() as u64, depth }
    }

    /// Adds those of a fragment that is spread within `level` fields.
    fn add(&mut self, other: Self, level: u64) {
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        if level == 0 {
            self.root_fields = self.root_fields.saturating_add(other.root_fields);
        }
        self.depth = self.depth.max(level.saturating_add(other.depth));
    }
}

impl<'t> Document<'t> {
    /// Refuses a document that breaks one of `rules`, or whose names are not clear: every operation counts, also
    /// those that are not executed.
    pub(super) fn check(&self, rules: &GraphqlRules) -> Result<(), MessageFault> {
        if self.introspects && !rules.introspection {
            let detail = "the query asks for the schema";
            return Err(fault(Reason::MessageStructure, "introspection", detail));
        }
        check("max_directives", "directives", self.directives as u64, rules.max_directives)?;
        self.check_names()?;
        for totals in self.totals()? {
            let Totals { fields, aliases, root_fields, depth } = totals;
            check("max_selection_depth", "levels of fields", depth, rules.max_selection_depth)?;
            check("max_aliases", "aliases", aliases, rules.max_aliases)?;
            check("max_root_fields", "root fields", root_fields, rules.max_root_fields)?;
            check("max_complexity", "fields", fields, rules.max_complexity)?;
        }
        Ok(())
    }

    /// Refuses operations of one name, and an operation without a name beside others (section 5.2).
    pub(super) fn check_names(&self) -> Result<(), MessageFault> {
        let mut names: Vec<_> = self.operations.iter().map(|one| one.name).collect();
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        if twice || (names.len() > 1 && names.contains(&None)) {
            return Err(broken("two operations of the query have no name, or one name"));
        }
        Ok(())
    }

    /// The operation that `name` selects; without a name the only one.
    pub(super) fn operation(&self, name: Option<&str>) -> Result<&Operation<'t>, MessageFault> {
        let named = |name: &str| self.operations.iter().find(|one| one.name == Some(name));
        let found = match (name, self.operations.as_slice()) {
            // Some applications take an empty name for none.
            (None | Some(""), [only]) => Some(only),
            (Some(name), _) => named(name),
            (None, _) => None,
        };
        found.ok_or_else(|| broken("\"operationName\" selects no operation of the query"))
    }

    /// The fields of an operation itself, also by way of fragments. There are as many as its [`Totals`] say.
    pub(super) fn roots<'d>(
        &'d self,
        operation: &'d Operation<'t>,
    ) -> Result<Vec<&'d RootField<'t>>, MessageFault> {
        let numbers = self.fragment_numbers()?;
        let mut roots = Vec::new();
        let mut ahead = vec![&operation.part];
        while let Some(part) = ahead.pop() {
            roots.extend(&part.roots);
            for spread in part.spreads.iter().filter(|spread| spread.level == 0) {
                ahead.push(&self.fragments[number(&numbers, spread.name)?].part);
            }
        }
        Ok(roots)
    }

    /// The cost of each operation.
    pub(super) fn totals(&self) -> Result<Vec<Totals>, MessageFault> {
        let numbers = self.fragment_numbers()?;
        let fragments = self.fragment_totals(&numbers)?;
        let of = |part: &Part<'_>| {
            let mut totals = Totals::own(part);
            for spread in &part.spreads {
                totals.add(fragments[number(&numbers, spread.name)?], spread.level);
            }
            Ok(totals)
        };
        self.operations.iter().map(|operation| of(&operation.part)).collect()
    }

    fn fragment_numbers(&self) -> Result<HashMap<&'t str, usize>, MessageFault> {
        let mut numbers = HashMap::new();
        for (index, fragment) in self.fragments.iter().enumerate() {
            match numbers.entry(fragment.name) {
                Entry::Occupied(_) => {
                    return Err(broken("two fragments of the query have one name"));
                }
                Entry::Vacant(place) => drop(place.insert(index)),
            }
        }
        Ok(numbers)
    }

    /// The cost of each fragment. A fragment is counted after all that it spreads.
    fn fragment_totals(
        &self,
        numbers: &HashMap<&'t str, usize>,
    ) -> Result<Vec<Totals>, MessageFault> {
        let parts: Vec<_> = self.fragments.iter().map(|fragment| &fragment.part).collect();
        let mut totals: Vec<_> = parts.iter().map(|part| Totals::own(part)).collect();
        let mut visits = vec![Visit::Ahead; parts.len()];
        for first in 0..parts.len() {
            if visits[first] == Visit::Ahead {
                visits[first] = Visit::Open;
                // The open fragments, each with the number of its spreads that were added.
                let mut open = vec![(first, 0)];
                while let Some((index, added)) = open.last_mut() {
                    let Some(spread) = parts[*index].spreads.get(*added) else {
                        visits[*index] = Visit::Done;
                        open.pop();
                        continue;
                    };
                    let inner = number(numbers, spread.name)?;
                    match visits[inner] {
                        Visit::Done => {
                            *added += 1;
                            let of_inner = totals[inner];
                            totals[*index].add(of_inner, spread.level);
                        }
                        Visit::Open => {
                            return Err(broken("a fragment of the query spreads itself"));
                        }
                        Visit::Ahead => {
                            visits[inner] = Visit::Open;
                            open.push((inner, 0));
                        }
                    }
                }
            }
        }
        Ok(totals)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    Ahead,
    Open,
    Done,
}

fn number(numbers: &HashMap<&str, usize>, name: &str) -> Result<usize, MessageFault> {
    let number = numbers.get(name).copied();
    number.ok_or_else(|| broken("the query spreads a fragment that it does not define"))
}

fn check(rule: &'static str, what: &str, count: u64, most: usize) -> Result<(), MessageFault> {
    if count > most as u64 {
        let detail = format_args!("the query has {count} {what}, and {most} are allowed");
        return Err(fault(Reason::MessageStructure, rule, detail));
    }
    Ok(())
}
