//! `[firewall.ban]`

use std::time::Duration;

use super::files::check_place;
use super::keys::{self, Admin, BanRules};
use super::lints::LintName;
use super::reader::SectionReader;
use super::report::Problem;
use super::units::show_duration;

/// Checks `[firewall.ban]`, if the file has it. The ban file is not opened, but its folder must exist.
pub(super) fn check(firewall: &SectionReader<'_>) -> Option<BanRules> {
    firewall.span_of(keys::BAN.name)?;
    let reader = firewall.table(&keys::BAN);
    let rules = BanRules::read(&reader);
    check_durations(&reader, rules.duration, rules.max_duration);
    reader.will_create(keys::BAN_FILE.name, rules.file.as_ref(), check_place);
    for network in reader.entries(keys::EXEMPT.name, &rules.exempt) {
        if network.get_ref().prefix_len() == 0 {
            let what = "every address is exempt: strikes ban nobody";
            let help = "list only your own networks, or remove the table";
            reader.lint(LintName::BanExemptsAll, Problem::at(network.span(), what).help(help));
        }
    }
    Some(rules)
}

/// Refuses a longest ban that is shorter than the first.
fn check_durations(reader: &SectionReader<'_>, first: Duration, longest: Duration) {
    if longest >= first {
        return;
    }
    let (first, most) = (show_duration(first), show_duration(longest));
    let what = format!(
        "firewall.ban: the longest ban, \"{most}\", is shorter than the first, \"{first}\""
    );
    let (given, longest) = (keys::BAN_DURATION.name, keys::MAX_DURATION.name);
    let problem = match (reader.span_of(longest), reader.span_of(given)) {
        (Some(longest), Some(given)) => Problem::at(longest, what).related(given, "duration"),
        (Some(one), None) => {
            Problem::at(one, what).label(format!("duration is \"{first}\" if it is not given"))
        }
        (None, Some(one)) => {
            Problem::at(one, what).label(format!("max_duration is \"{most}\" if it is not given"))
        }
        (None, None) => Problem::somewhere(what),
    };
    reader.cx.refuse(problem.help(format!("say max_duration = \"{first}\" or more")));
}

/// Refuses a ban file that `[admin]` also names: the bans and the revocations would overwrite each other.
pub(super) fn check_file(root: &SectionReader<'_>, ban: Option<&BanRules>, admin: &Admin) {
    let file = ban.and_then(|ban| ban.file.as_ref());
    if file.is_some() && (file == admin.revocations.as_ref() || file == admin.socket.as_ref()) {
        let what = "firewall.ban.file is a file of [admin], too";
        root.cx.refuse(Problem::somewhere(what).help("give the bans a file of their own"));
    }
}
