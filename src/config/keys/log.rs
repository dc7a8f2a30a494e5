//! `[log]`

use std::path::PathBuf;

use tracing::Level;

use crate::config::kinds::{Choice, File};
use crate::config::model::LogFormat;

section! {
    /// `[log]`
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Log {} Log log_rows;

    LOG_LEVEL level: Level = Choice<Level>,
        Choice::of(&[("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO),
            ("debug", Level::DEBUG), ("trace", Level::TRACE)]),
        Value(Level::INFO),
        "The lowest level that is logged.";
    LOG_FORMAT format: Option<LogFormat> = Choice<LogFormat>,
        Choice::of(&[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)]),
        Omittable("pretty on a terminal, JSON elsewhere"),
        "`\"json\"` writes one object per line.";
    LOG_FILE file: Option<PathBuf> = File, File, Omittable("standard error"),
        "The log file. Its folder must exist.";
    LOG_ERROR_FILE error_file: Option<PathBuf> = File, File, Omittable("none"),
        "A second file with protocol and connection errors only. Its folder must exist.";
}
