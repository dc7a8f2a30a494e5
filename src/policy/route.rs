//! Which route a request is for.

use std::sync::Arc;

use crate::config::{HostPattern, PathPattern, Route};

/// The routes in the order of how specific they are: exact host, wildcard, any host; within those,
/// exact path, then the longest prefix.
#[derive(Debug)]
pub struct Routes(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    host: Option<HostPattern>,
    route: Arc<Route>,
}

impl Routes {
    /// Sorts the routes once, so that the first that matches is the most specific.
    #[must_use]
    pub fn new(routes: &[Arc<Route>]) -> Self {
        let mut entries: Vec<Entry> = routes.iter().flat_map(entries_of).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.specificity()));
        Self(entries)
    }

    /// The route for a host, in lower case and without a port, and a canonical path.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        let matches = |entry: &&Entry| {
            entry.host.as_ref().is_none_or(|pattern| pattern.matches(host))
                && entry.route.path.matches(path)
        };
        self.0.iter().find(matches).map(|entry| &entry.route)
    }
}

impl Entry {
    fn specificity(&self) -> (u8, usize) {
        let host = match self.host {
            Some(HostPattern::Exact(_)) => 2,
            Some(HostPattern::Wildcard(_)) => 1,
            None => 0,
        };
        (host, PathPattern::specificity(&self.route.path))
    }
}

fn entries_of(route: &Arc<Route>) -> Vec<Entry> {
    let entry = |host| Entry { host, route: Arc::clone(route) };
    if route.hosts.is_empty() {
        return vec![entry(None)];
    }
    route.hosts.iter().map(|host| entry(Some(host.clone()))).collect()
}
