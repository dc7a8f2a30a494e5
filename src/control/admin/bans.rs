//! Executes the requests about bans.

use std::sync::Arc;

use serde_json::json;

use super::act::{end, object};
use super::protocol::{AdminAnswer, BanRequest, Outcome};
use crate::control::Control;
use crate::state::bans::BanRefused;
use crate::values::Network;
use crate::values::UnixTime;

/// Bans a network: the ban takes effect and the sessions end before the ban is saved.
pub(super) async fn ban(control: &Arc<Control>, sentence: BanRequest) -> AdminAnswer {
    let now = UnixTime::now();
    let BanRequest { network, until, lasting, why } = sentence;
    let until = match end(until, lasting.as_deref(), now) {
        Ok(until) => until,
        Err(error) => return AdminAnswer::failed(Outcome::Refused, error),
    };
    let ban = match control.state.bans().ban(network, until, why, now) {
        Ok(ban) => ban,
        Err(error) => return AdminAnswer::failed(Outcome::Refused, error.to_string()),
    };
    let closed = control.reporter.end_banned(ban.network);
    let more = json!({ "network": ban.network, "until": ban.until, "closed": closed });
    let unsaved = "it is in force, but will be forgotten when the gateway stops";
    saved(control, AdminAnswer::done(object(more)).about(closed), unsaved).await
}

pub(super) async fn unban(control: &Arc<Control>, network: Network) -> AdminAnswer {
    match control.state.bans().unban(network, UnixTime::now()) {
        Ok(ban) => {
            let more = json!({ "network": ban.network });
            let unsaved =
                "it is taken back, but will be in force again when the gateway starts anew";
            saved(control, AdminAnswer::done(object(more)), unsaved).await
        }
        Err(error @ BanRefused::NotBanned { .. }) => {
            AdminAnswer::failed(Outcome::NotFound, error.to_string())
        }
        Err(error) => AdminAnswer::failed(Outcome::Refused, error.to_string()),
    }
}

pub(super) fn list(control: &Control) -> AdminAnswer {
    let (bans, exempt) =
        (control.state.bans().list(UnixTime::now()), control.state.bans().exempt());
    AdminAnswer::done(object(json!({ "bans": bans, "exempt": exempt })))
}

/// Saves the bans, and returns `answer`, or an error with the text `unsaved` if the file could not be
/// written.
async fn saved(control: &Control, answer: AdminAnswer, unsaved: &str) -> AdminAnswer {
    let bans = Arc::clone(control.state.bans());
    let error = match tokio::task::spawn_blocking(move || bans.save(UnixTime::now())).await {
        Ok(Ok(())) => return answer,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "a fault of the gateway stopped it".to_owned(),
    };
    AdminAnswer { outcome: Outcome::Refused, error: Some(format!("{unsaved}: {error}")), ..answer }
}
