//! `token_from`, `message_deadline` and `message_token`: the places of a token in a request or in the
//! first message.

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::super::keys;
use super::super::kinds::Fault;
use super::super::reader::SectionReader;
use super::super::report::Problem;
use super::super::route::{is_parameter, is_token};
use super::super::units::nearest;
use crate::config::lints::LintName;
use crate::values::{OpeningPlace, TokenPlace, is_reserved};

/// Checks `token_from`, at least one place. Returns `None` after it reported a fault.
pub(super) fn check(reader: &SectionReader<'_>) -> Option<Vec<TokenPlace>> {
    let name = keys::TOKEN_FROM.name;
    if reader.span_of(name).is_none() {
        return Some(keys::TOKEN_FROM.absent.value());
    }
    let places = reader.get(&keys::TOKEN_FROM)?;
    let list = reader.entries(name, &places);
    let message = list.iter().find(|place| place.get_ref().is_in_message());
    if let (Some(message), true) = (message, list.len() > 1) {
        let key = reader.key(name);
        reader.cx.refuse(
            Problem::at(
                message.span(),
                format!("{key}: \"{}\" stands beside other places", message.get_ref()),
            )
            .label("the handshake has passed before a message comes")
            .help(format!(
                "say [\"{}\"] alone, in a [jwt.NAME] table and a route of its own",
                message.get_ref()
            )),
        );
    }
    let query = list.iter().find(|place| matches!(place.get_ref(), TokenPlace::Query(_)));
    if let Some(query) = query {
        reader.lint(
            LintName::TokenQuery,
            Problem::at(query.span(), "a token in the query is in the address of the request")
                .label("proxies and browsers write addresses into logs and histories")
                .help("prefer \"header\", \"subprotocol\" or \"cookie:NAME\""),
        );
    }
    Some(places)
}

/// Refuses the keys about the first message if no token is expected there.
pub(super) fn check_message(reader: &SectionReader<'_>, places: Option<&[TokenPlace]>) {
    let Some(places) = places else {
        return;
    };
    let waits = places.iter().any(TokenPlace::is_in_message);
    let searches = places.contains(&TokenPlace::Message);
    for (name, label, used) in [
        (keys::MESSAGE_DEADLINE.name, "nothing would wait for it", waits),
        (keys::MESSAGE_TOKEN.name, "nothing would be looked for there", searches),
    ] {
        if used {
            continue;
        }
        let problem = reader.problem(name, "is given, but no token is in a message");
        let help = "remove it, or say token_from = [\"message\"]";
        reader.cx.refuse(problem.map(|problem| problem.label(label).help(help)));
    }
}

/// Reads one token place.
pub(in super::super) fn parse_place(text: &str) -> Result<TokenPlace, Fault> {
    match text {
        "header" => return Ok(TokenPlace::Header),
        "subprotocol" => return Ok(TokenPlace::Subprotocol),
        "message" => return Ok(TokenPlace::Message),
        _ => {}
    }
    if let Some(place) = OpeningPlace::parse(text) {
        return Ok(TokenPlace::Opening(place));
    }
    match text.split_once(':') {
        Some((kind @ ("connection_init" | "socketio" | "stomp"), name)) => {
            let what = if kind == "stomp" { "header" } else { "member" };
            Err(Fault::new(format!("\"{name}\" cannot be the name of a {what}"))
                .help("use visible ASCII characters without a colon"))
        }
        Some(("query", name)) if is_parameter(name) => Ok(TokenPlace::Query(name.to_owned())),
        Some(("cookie", name)) if is_token(name) => Ok(TokenPlace::Cookie(name.to_owned())),
        Some(("header", name)) => parse_field(name),
        Some((kind @ ("query" | "cookie"), name)) => {
            Err(Fault::new(format!("\"{name}\" cannot be the name of a {}", carrier(kind)))
                .help("use letters, digits, - and _ alone"))
        }
        _ => Err(unknown(text)),
    }
}

/// Reads the name of a header field that may carry a token.
fn parse_field(name: &str) -> Result<TokenPlace, Fault> {
    let field = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Fault::new(format!("\"{name}\" cannot be the name of a header field")))?;
    if field == AUTHORIZATION {
        let fault = Fault::new("Authorization is the place that \"header\" alone means");
        return Err(fault.help("write \"header\""));
    }
    if is_reserved(&field) {
        let fault = Fault::new(format!("\"{name}\" is not free to carry a token"));
        let help = "the handshake, the client's address or the gateway gives it its meaning: name the \
            field that your clients send, such as \"header:X-Auth-Token\"";
        return Err(fault.help(help));
    }
    Ok(TokenPlace::Field(field))
}

/// Reads a token place in the configuration's syntax, for the command line; the error is one line of text.
pub fn token_place(text: &str) -> Result<TokenPlace, String> {
    parse_place(text).map_err(Fault::in_a_line)
}

fn carrier(kind: &str) -> &'static str {
    if kind == "query" { "query parameter" } else { "cookie" }
}

fn unknown(text: &str) -> Fault {
    let fault = Fault::new(format!("\"{text}\" is no place for a token"));
    match text {
        "query" => fault.help("name the parameter: \"query:access_token\""),
        "cookie" => fault.help("name the cookie: \"cookie:session\""),
        "connection_init" => {
            fault.help("name the member of its payload: \"connection_init:token\"")
        }
        "socketio" => fault.help("name the member of auth: \"socketio:token\""),
        "stomp" => fault.help("name the header of CONNECT: \"stomp:passcode\""),
        other => match nearest(other, ["header", "subprotocol", "message", "mqtt"].into_iter()) {
            Some(near) => fault.help(format!("did you mean \"{near}\"?")),
            None => fault,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{TokenPlace, parse_place};

    #[test]
    fn token_places_are_shown_as_they_are_written() {
        for text in [
            "header",
            "subprotocol",
            "message",
            "query:access_token",
            "cookie:__Host-s",
            "header:x-auth-token",
            "connection_init:authToken",
            "socketio:token",
            "stomp:passcode",
            "mqtt",
        ] {
            assert_eq!(parse_place(text).unwrap().to_string(), text);
        }
        assert!(
            matches!(parse_place("header:X-Token"), Ok(TokenPlace::Field(name)) if name == "x-token")
        );
        assert_eq!(parse_place("query:a"), Ok(TokenPlace::Query("a".into())));
        for text in [
            "",
            "Header",
            "query:",
            "cookie:a b",
            "cookie:a=b",
            "query:a&b",
            "header:",
            "header:a b",
            "header:Authorization",
            "header:Cookie",
            "header:X_Real-IP",
            "connection_init",
            "connection_init:",
            "socketio:a b",
            "stomp:a:b",
            "mqtt:password",
        ] {
            assert!(parse_place(text).is_err(), "{text}");
        }
    }
}
