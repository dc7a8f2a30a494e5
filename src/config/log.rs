//! `[log]`

use std::path::PathBuf;

use toml::Spanned;

use super::files::check_place;
use super::keys::{self, Key, Omittable};
use super::kinds::File;
use super::model::Log;
use super::reader::SectionReader;
use super::report::Problem;

/// Checks `[log]`. The log files are not opened, but their folders must exist.
pub(super) fn check(reader: &SectionReader<'_>) -> Log {
    let file = log_file(reader, &keys::LOG_FILE);
    let error_file = log_file(reader, &keys::LOG_ERROR_FILE);
    if let (Some(file), Some(error_file)) = (&file, &error_file)
        && file.get_ref() == error_file.get_ref()
    {
        reader.cx.refuse(
            Problem::at(error_file.span(), "log.error_file and log.file are the same file")
                .related(file.span(), "log.file")
                .help("give the errors a file of their own"),
        );
    }
    Log {
        level: reader.value(&keys::LOG_LEVEL),
        format: reader.get(&keys::LOG_FORMAT).map(Spanned::into_inner),
        file: file.map(Spanned::into_inner),
        error_file: error_file.map(Spanned::into_inner),
    }
}

fn log_file(reader: &SectionReader<'_>, key: &Key<File, Omittable>) -> Option<Spanned<PathBuf>> {
    let path = reader.get(key)?;
    reader.will_create(key.name, &path, check_place);
    Some(path)
}
