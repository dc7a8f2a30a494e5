//! The third step, and the sequence of all three: the text becomes a [`Raw`], this a [`Checked`] and,
//! with the files that it names, a [`Config`]; or all errors are returned.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;

use super::check::{self, Checked};
use super::files::read_bounded;
use super::kinds::Fault;
use super::model::Config;
use super::raw::Raw;
use super::reader::{ReadContext, SectionReader};
use super::report::{Lint, LoadError, Problem, Report};
use super::route::Shared;
use super::schema_files::{self, UsedSchema};
use crate::tls::Roots;

/// A valid configuration, and its lints.
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

/// Loads a configuration like [`load`], resolves the names of upstreams, which may take seconds, and looks for
/// schemas that are not used: for `framewall check`.
pub fn examine(path: &Path) -> Result<Loaded, LoadError> {
    parse_with(&read_text(path)?, path, true)
}

/// Reads the text of the configuration file at `path`, for [`parse`].
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

/// Loads a configuration from its text. `file_name` is the name in errors, and its folder is the base
/// of relative paths. If the text is not valid TOML, only the syntax errors are reported: the values of
/// such a file are unknown.
pub fn parse(text: &str, file_name: &Path) -> Result<Loaded, LoadError> {
    parse_with(text, file_name, false)
}

fn parse_with(text: &str, file_name: &Path, looks_up: bool) -> Result<Loaded, LoadError> {
    let raw = Raw::read(text, file_name)?;
    let base = file_name.parent().unwrap_or(Path::new("")).to_owned();
    let cx = ReadContext::new(Arc::clone(&raw.source), base);
    let checked = check::check(&raw.reader(&cx));
    // Load even after a fault, so that all errors of the file are reported at once.
    let loader = Loader::new(file_name, looks_up);
    let config = checked.load(&loader);
    if looks_up {
        schema_files::lint_unused(&cx, &loader.schemas.take());
    }
    cx.judge_new_files();
    let source = Arc::clone(&raw.source);
    let problems = cx.problems.take();
    if !problems.is_empty() {
        return Err(LoadError::Invalid(Report::new(source, problems)));
    }
    let lints = cx.allowed.take().rest(cx.lints.take());
    let lints = Lint::all(&source, lints);
    Ok(Loaded { config, lints })
}

/// Reads the files that a configuration names, and records their paths.
pub(super) struct Loader {
    /// The files that were read, or that could not be read.
    files: RefCell<Vec<PathBuf>>,
    /// Whether the names of upstreams are resolved, and the folders of schemas are read.
    pub(super) looks_up: bool,
    /// The schemas of messages, for the lint about unused ones.
    pub(super) schemas: RefCell<Vec<UsedSchema>>,
    /// The roots of the system, or the reason why there are none; read on first use.
    system_roots: OnceCell<Result<Roots, String>>,
}

impl Loader {
    fn new(file_name: &Path, looks_up: bool) -> Self {
        let files = RefCell::new(vec![file_name.to_owned()]);
        Self { files, looks_up, schemas: RefCell::default(), system_roots: OnceCell::new() }
    }

    /// Records a file that was read.
    pub(super) fn note(&self, path: &Path) {
        let mut files = self.files.borrow_mut();
        if !files.iter().any(|file| file == path) {
            files.push(path.to_owned());
        }
    }

    /// Reads the file of the key `name` with `read`; reports a fault at the key.
    pub(super) fn read<T>(
        &self,
        reader: &SectionReader<'_>,
        name: &str,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<T, Fault>,
    ) -> Option<T> {
        self.read_entry(reader, name, &Spanned::new(reader.span_of(name)?, path), read)
    }

    /// Reads a file that is one entry of the key `name`; reports a fault at the entry.
    pub(super) fn read_entry<T>(
        &self,
        reader: &SectionReader<'_>,
        name: &str,
        path: &Spanned<impl AsRef<Path>>,
        read: impl FnOnce(&Path) -> Result<T, Fault>,
    ) -> Option<T> {
        let span = path.span();
        let path = path.get_ref().as_ref();
        self.note(path);
        reader.accept(name, span, read(path))
    }

    /// The root certificates of the system. If there are none, reports an error at `span` that `subject`
    /// cannot be verified.
    pub(super) fn system_roots(
        &self,
        reader: &SectionReader<'_>,
        span: Range<usize>,
        subject: &str,
        instead: &str,
    ) -> Option<Roots> {
        match self.system_roots.get_or_init(Roots::system) {
            Ok(roots) => Some(roots.clone()),
            Err(reason) => {
                let what = format!("the system has no roots to verify {subject} with{reason}");
                let help = format!("install the system's CA certificates, or give {instead}");
                reader.cx.refuse(Problem::at(span, what).help(help));
                None
            }
        }
    }
}

impl Checked<'_> {
    /// Reads the files that the sections name. The result is valid only if no error was reported.
    fn load(self, loader: &Loader) -> Config {
        let tls = self.tls.map(|tls| tls.load(loader));
        let issuers = self.issuers.load(loader);
        let listen = &self.server.listen;
        let clusters = self.clusters.load(listen, loader);
        let shared = Shared { issuers: &issuers, clusters: &clusters, tls: tls.as_ref(), listen };
        let routes = self.routes.into_iter().filter_map(|route| route.load(&shared, loader));
        let routes = routes.map(Arc::new).collect();
        let firewall = self.firewall.load(loader, &self.server.trusted_proxies);
        Config {
            server: self.server,
            tls,
            routes,
            log: self.log,
            issuers: issuers.into_iter().flatten().collect(),
            admin: self.admin,
            firewall,
            limits: self.limits,
            files: loader.files.take(),
        }
    }
}
