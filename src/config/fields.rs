//! `[server] drop_headers` and `keep_headers`

use toml::Spanned;

use super::keys;
use super::kinds::Fault;
use super::reader::SectionReader;
use super::report::Problem;
use crate::values::{FieldPattern, FieldRules};

/// Reads both lists. Refuses a pattern that has no effect.
pub(super) fn check(reader: &SectionReader<'_>) -> FieldRules {
    let (drop, keep) = (reader.value(&keys::DROP_HEADERS), reader.value(&keys::KEEP_HEADERS));
    let (dropped, kept) = (keys::DROP_HEADERS.name, keys::KEEP_HEADERS.name);
    let (dropped, kept) = (reader.entries(dropped, &drop), reader.entries(kept, &keep));
    for pattern in &dropped {
        check_dropped(reader, pattern);
    }
    for pattern in &kept {
        check_kept(reader, pattern, &drop, &dropped);
    }
    FieldRules { drop, keep }
}

fn check_dropped(reader: &SectionReader<'_>, pattern: &Spanned<&FieldPattern>) {
    let dropped = pattern.get_ref();
    if dropped.is_written_by_the_gateway() {
        let what = format!("server.drop_headers: {dropped} cannot be dropped");
        reader.cx.refuse(
            Problem::at(pattern.span(), what)
                .label("the gateway writes this field itself")
                .help("take it out of the list: no client's own value reaches the application"),
        );
    }
}

fn check_kept(
    reader: &SectionReader<'_>,
    pattern: &Spanned<&FieldPattern>,
    drop: &[FieldPattern],
    dropped: &[Spanned<&FieldPattern>],
) {
    let (kept, span) = (pattern.get_ref(), pattern.span());
    let problem = if let Some(same) = dropped.iter().find(|other| other.get_ref() == kept) {
        Problem::at(span, "server.keep_headers: a field is dropped and kept")
            .related(same.span(), "dropped here")
            .help("remove it from one of the two lists")
    } else if kept.is_written_by_the_gateway() {
        Problem::at(span, format!("server.keep_headers: {kept} cannot be kept"))
            .label("the gateway writes this field itself")
            .help("a proxy that may set it belongs into server.trusted_proxies")
    } else if !kept.is_removed(drop) {
        Problem::at(span, format!("server.keep_headers: {kept} is not removed anyway"))
            .help("docs/fields.md lists the fields that are: take it out of keep_headers")
    } else {
        return;
    };
    reader.cx.refuse(problem);
}

/// Reads a pattern for `drop_headers` or `keep_headers`.
pub(super) fn parse_field(text: &str) -> Result<FieldPattern, Fault> {
    let pattern = FieldPattern::parse(text).ok_or_else(|| {
        Fault::new(format!("\"{text}\" is neither the name of a header field nor its beginning"))
            .help("write a name, or the beginning of names with one * at its end")
    })?;
    if pattern.is_of_the_handshake() {
        let fault = Fault::new(format!("\"{text}\" is a field of the handshake or the connection"));
        return Err(fault.help("the gateway always writes these fields itself"));
    }
    Ok(pattern)
}
