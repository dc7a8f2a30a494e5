//! `[log]`

use tracing::Level;

use super::DefaultTo::Value;
use super::{DefaultTo, Key, Omittable, Row, Section};
use crate::config::kinds::{Choice, File};
use crate::config::model::LogFormat;

keys! {
    LOG_ROWS;

    LOG_LEVEL: Choice<Level>, DefaultTo<Level> = Log "level"
        Choice::of(&[("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO),
            ("debug", Level::DEBUG), ("trace", Level::TRACE)]),
        Value(Level::INFO),
        "The lowest level that is logged.";
    LOG_FORMAT: Choice<LogFormat>, Omittable = Log "format"
        Choice::of(&[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)]),
        Omittable("pretty on a terminal, JSON elsewhere"),
        "`\"json\"` writes one object per line.";
    LOG_FILE: File, Omittable = Log "file" File, Omittable("standard error"),
        "The log file. Its folder must exist.";
    LOG_ERROR_FILE: File, Omittable = Log "error_file" File, Omittable("none"),
        "A second file with protocol and connection errors only. Its folder must exist.";
}
