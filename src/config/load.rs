//! From a file or a text to a [`Config`], or to every error of it.

use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, Error};

use super::files::read_bounded;
use super::keys;
use super::model::Config;
use super::profile::{self, Base};
use super::reader::{Context, Reader};
use super::report::{Lint, LoadError, Problem, Report, Source};
use super::{admin, ban, exposure, firewall, jwt, limits, log, route, server, tls, websocket};

/// How many errors of syntax are shown: one often causes the next.
const SYNTAX_SHOWN: usize = 10;

/// A configuration that may run, and what is unwise about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// Valid but unsafe choices, in the order of the file.
    pub lints: Vec<Lint>,
}

/// Loads the configuration file at `path` and the files that it names, relative to its folder.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    parse(&read_text(path)?, path)
}

/// [`load`], and looks up the names of upstreams, which may take seconds: for `framewall check`.
pub fn examine(path: &Path) -> Result<Loaded, LoadError> {
    parse_with(&read_text(path)?, path, true)
}

/// The text of the configuration file at `path`, for [`parse`].
pub fn read_text(path: &Path) -> Result<String, LoadError> {
    let file = || path.to_owned();
    let bytes =
        read_bounded(path).map_err(|source| LoadError::Unreadable { file: file(), source })?;
    let bytes = bytes.ok_or_else(|| LoadError::TooLarge { file: file() })?;
    String::from_utf8(bytes).map_err(|error| LoadError::NotUtf8 {
        file: file(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// Loads a configuration from its text. `file_name` is what errors call it, and its folder is the
/// one that relative paths are relative to. Errors of syntax are reported alone: what the rest of
/// such a file means is not known.
pub fn parse(text: &str, file_name: &Path) -> Result<Loaded, LoadError> {
    parse_with(text, file_name, false)
}

fn parse_with(text: &str, file_name: &Path, looks_up: bool) -> Result<Loaded, LoadError> {
    let source = Arc::new(Source::new(file_name.display().to_string(), text.to_owned()));
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problems = syntax_problems(&source, &errors);
        return Err(LoadError::Invalid(Report::new(source, problems)));
    }
    let base = file_name.parent().unwrap_or(Path::new("")).to_owned();
    let cx = Context::new(Arc::clone(&source), base, looks_up);
    cx.reads(file_name);
    let mut config = read(&Reader::root(&cx, table.get_ref()));
    config.files = cx.files.take();
    let problems = cx.problems.into_inner();
    if !problems.is_empty() {
        return Err(LoadError::Invalid(Report::new(source, problems)));
    }
    let lints = cx.allowed.into_inner().rest(cx.lints.into_inner());
    let lints = Lint::all(&source, lints);
    Ok(Loaded { config, lints })
}

/// Reads the whole file. The result is worth something only if nothing was reported.
fn read(root: &Reader<'_>) -> Config {
    root.demand(keys::ROUTES.name, keys::ROUTES.absent.0);
    root.acknowledge(&keys::FILE_ALLOW);
    let defaults = profile::read(root);
    let listener = root.table(&keys::SERVER);
    let server = server::read(&listener);
    let tls = tls::read(&root.table(&keys::TLS), &server.listen);
    let websocket = root.table(&keys::WEBSOCKET);
    let websocket = websocket::overlay(&websocket, &defaults.websocket);
    let limits_table = root.table(&keys::LIMITS);
    let limits = limits::read(&limits_table, &defaults.limits);
    let base = Base { websocket, limits, ..defaults };
    let issuers = jwt::read(&root.table(&keys::JWT));
    let routes = root.table(&keys::ROUTES);
    let shared =
        route::Shared { base: &base, issuers: &issuers, tls: tls.as_ref(), listen: &server.listen };
    let routes = route::read(&routes, &shared);
    limits::check_used(&limits_table, &base.limits, &routes);
    let log = log::read(&root.table(&keys::LOG));
    let admin = admin::read(&root.table(&keys::ADMIN));
    let issuers = issuers.finish(root);
    let firewall = root.table(&keys::FIREWALL);
    let firewall = firewall::read(&firewall, &server.trusted_proxies);
    ban::check_file(root, firewall.ban.as_ref(), &admin);
    let limits = base.limits.values;
    let mut config =
        Config { server, tls, routes, log, issuers, admin, firewall, limits, files: Vec::new() };
    exposure::lint(&listener, &config, base.profile.is_some());
    // Last: what is derived is not what the file says.
    let most = config.server.max_connections;
    config.limits = limits::bound_addresses(&limits_table, config.limits, most);
    config
}

/// The first error of each line, up to one within a list: a list that is not closed makes errors of
/// everything after it.
fn syntax_problems(source: &Source, errors: &[Error]) -> Vec<Problem> {
    let mut errors: Vec<_> = errors.iter().map(|error| (start(error), error)).collect();
    errors.sort_by_key(|(start, _)| *start);
    let breaks: Vec<_> = source.text.match_indices('\n').map(|(at, _)| at).collect();
    errors.dedup_by_key(|(start, _)| breaks.partition_point(|at| at < start));
    let in_list = errors.iter().position(|(_, error)| is_in_list(error));
    let shown = in_list.map_or(errors.len(), |last| last + 1).min(SYNTAX_SHOWN);
    let shown = errors.into_iter().take(shown);
    shown.map(|(_, error)| syntax_problem(error)).collect()
}

fn start(error: &Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

fn is_in_list(error: &Error) -> bool {
    error.message().contains("array")
}

fn syntax_problem(error: &Error) -> Problem {
    let what = format!("this is not TOML: {}", error.message());
    let problem = Problem::at(error.span().unwrap_or(0..0), what);
    if is_in_list(error) {
        problem.help("is the list before this place closed with ]?")
    } else {
        problem
    }
}
