//! The subprotocols that the gateway offers to the upstream.

use crate::config::Route;
use crate::handshake::RequestHead;

/// Maximum number of offered subprotocols that the log names.
const MOST_NAMED: usize = 8;
/// Maximum length of a subprotocol that the log names, in characters. A secret of 128 bits is longer.
const LONGEST_NAMED: usize = 20;

/// The offered subprotocols that the route lists, and the text of the others for the log.
pub(super) fn listed(route: &Route, request: &RequestHead) -> (Vec<String>, Option<String>) {
    let listed = |name: &String| route.subprotocols.is_empty() || route.subprotocols.contains(name);
    let (listed, unlisted): (Vec<_>, Vec<_>) =
        request.subprotocols().iter().cloned().partition(listed);
    let named: Vec<_> = unlisted.iter().take(MOST_NAMED).map(|name| name_or_length(name)).collect();
    let more = unlisted.len().saturating_sub(MOST_NAMED);
    let named = named.join(", ");
    let text = if more > 0 { format!("{named} and {more} more") } else { named };
    (listed, (!text.is_empty()).then_some(text))
}

/// The name, or only its length: a long name may be a credential of the application.
fn name_or_length(name: &str) -> String {
    match name.len() {
        ..=LONGEST_NAMED => name.to_owned(),
        length => format!("({length} characters)"),
    }
}
