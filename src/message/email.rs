//! The format `email`: a mailbox of RFC 5321.

use serde_json::{Value, json};

/// The longest address, in bytes: a path is 256 with its brackets (RFC 5321 section 4.5.3.1.3).
const LONGEST: usize = 254;

/// Returns the check of the format: that of the crate, and two rules of RFC 5321 that it lacks.
pub(super) fn check()
-> Result<impl Fn(&str) -> bool + Send + Sync + 'static, jsonschema::ValidationError<'static>> {
    let schema = json!({ "format": "email" });
    let form = jsonschema::options().should_validate_formats(true).build(&schema)?;
    Ok(move |address: &str| {
        address.len() <= LONGEST
            && !shortens_one_group(address)
            && form.is_valid(&Value::String(address.to_owned()))
    })
}

/// Whether `::` stands for one group of an IPv6 address alone (RFC 5321 section 4.1.3: for two at least).
fn shortens_one_group(address: &str) -> bool {
    let Some((_, literal)) = address.rsplit_once("@[") else {
        return false;
    };
    let Some((_, groups)) = literal.trim_end_matches(']').split_once(':') else {
        return false;
    };
    let count = groups.split(':').filter(|group| !group.is_empty()).count();
    // An IPv4 address at the end is two groups.
    groups.contains("::") && count + usize::from(groups.contains('.')) > 6
}
