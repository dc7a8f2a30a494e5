//! `[log]`

use tracing::Level;

use super::{Fallback, Key, Optional, Row, Section};
use crate::config::kinds::{Choice, File};
use crate::config::model::LogFormat;

keys! {
    LOG_ROWS;

    LOG_LEVEL: Choice<Level>, Fallback<Level> = Log "level"
        Choice::of(&[("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO),
            ("debug", Level::DEBUG), ("trace", Level::TRACE)]),
        Fallback(Level::INFO),
        "The lowest level that is written.";
    LOG_FORMAT: Choice<LogFormat>, Optional = Log "format"
        Choice::of(&[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)]),
        Optional("pretty on a terminal, JSON elsewhere"),
        "JSON has one object a line.";
    LOG_FILE: File, Optional = Log "file" File, Optional("standard error"),
        "Where the log goes. Its folder must exist.";
    LOG_ERROR_FILE: File, Optional = Log "error_file" File, Optional("no such file is written"),
        "A second file for protocol and connection errors alone. Its folder must exist.";
}
