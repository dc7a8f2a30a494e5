//! `[log]`

use super::files::check_place;
use super::keys::{self, Log};
use super::reader::SectionReader;

/// Checks `[log]`. The log files are not opened, but their folders must exist.
pub(super) fn check(reader: &SectionReader<'_>) -> Log {
    let log = Log::read(reader);
    let (file, error_file) = (keys::LOG_FILE.name, keys::LOG_ERROR_FILE.name);
    reader.will_create(file, log.file.as_ref(), check_place);
    reader.will_create(error_file, log.error_file.as_ref(), check_place);
    let files = [(file, log.file.as_ref()), (error_file, log.error_file.as_ref())];
    reader.refuse_same_file(files, "give the errors a file of their own");
    log
}
