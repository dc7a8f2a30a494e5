//! `[firewall.ban]`

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::files::check_place;
use super::keys;
use super::lints::LintName;
use super::model::Admin;
use super::protection::Ban;
use super::reader::SectionReader;
use super::report::Problem;
use super::units::show_duration;

/// Checks `[firewall.ban]`, if the file has it. The ban file is not opened, but its folder must exist.
pub(super) fn check(firewall: &SectionReader<'_>) -> Option<Ban> {
    firewall.span_of(keys::BAN.name)?;
    let reader = firewall.table(&keys::BAN);
    let (duration, max_duration) = durations(&reader);
    let file = reader.get(&keys::BAN_FILE);
    if let Some(file) = &file {
        reader.will_create(keys::BAN_FILE.name, file, check_place);
    }
    Some(Ban {
        strikes: NonZeroU32::new(reader.value(&keys::STRIKES)).unwrap_or(NonZeroU32::MIN),
        within: reader.value(&keys::WITHIN),
        duration,
        max_duration,
        exempt: exempt(&reader),
        file: file.map(Spanned::into_inner),
    })
}

/// Reads `duration` and `max_duration`; refuses a `max_duration` below `duration`.
fn durations(reader: &SectionReader<'_>) -> (Duration, Duration) {
    let (given, longest) = (reader.get(&keys::BAN_DURATION), reader.get(&keys::MAX_DURATION));
    let or = |given: &Option<Spanned<Duration>>, default| {
        given.as_ref().map_or(default, |it| *it.get_ref())
    };
    let duration = or(&given, keys::BAN_DURATION.absent.value());
    let max_duration = or(&longest, keys::MAX_DURATION.absent.value());
    if max_duration >= duration {
        return (duration, max_duration);
    }
    let (first, most) = (show_duration(duration), show_duration(max_duration));
    let what = format!(
        "firewall.ban: the longest ban, \"{most}\", is shorter than the first, \"{first}\""
    );
    let help = format!("say max_duration = \"{first}\" or more");
    let problem = match (&longest, &given) {
        (Some(longest), Some(given)) => {
            Problem::at(longest.span(), what).related(given.span(), "duration")
        }
        (Some(one), None) => Problem::at(one.span(), what)
            .label(format!("duration is \"{first}\" if it is not given")),
        (None, Some(one)) => Problem::at(one.span(), what)
            .label(format!("max_duration is \"{most}\" if it is not given")),
        (None, None) => Problem::somewhere(what),
    };
    reader.cx.refuse(problem.help(help));
    (duration, max_duration)
}

fn exempt(reader: &SectionReader<'_>) -> Vec<IpNet> {
    let networks = reader.value(&keys::EXEMPT);
    for network in networks.iter().filter(|network| network.get_ref().prefix_len() == 0) {
        let what = "every address is exempt: strikes ban nobody";
        let help = "list only your own networks, or remove the table";
        reader.lint(LintName::BanExemptsAll, Problem::at(network.span(), what).help(help));
    }
    networks.into_iter().map(Spanned::into_inner).collect()
}

/// Refuses a ban file that `[admin]` also names: the bans and the revocations would overwrite each other.
pub(super) fn check_file(root: &SectionReader<'_>, ban: Option<&Ban>, admin: &Admin) {
    let file = ban.and_then(|ban| ban.file.as_ref());
    if file.is_some() && (file == admin.revocations.as_ref() || file == admin.socket.as_ref()) {
        let what = "firewall.ban.file is a file of [admin], too";
        root.cx.refuse(Problem::somewhere(what).help("give the bans a file of their own"));
    }
}
