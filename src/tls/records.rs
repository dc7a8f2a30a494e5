//! TLS records by their headers alone: where one ends, and how long one may be.

/// The longest record: its header, a payload of 2^14 bytes, and what encryption may add to it (RFC
/// 5246 section 6.2.3; RFC 8446 section 5.2 allows less).
pub(super) const MAX_RECORD: usize = HEADER + (1 << 14) + 2048;
/// Type, version and length of a record.
const HEADER: usize = 5;

/// The length of the record at the front of `bytes`, its header included; `None` if the header is
/// not whole.
fn record_length(bytes: &[u8]) -> Option<usize> {
    let [.., high, low] = bytes.first_chunk::<HEADER>()?;
    Some(HEADER + usize::from(u16::from_be_bytes([*high, *low])))
}

/// Whether `kept` and the bytes `read` behind it are still less than one record. Not so where the
/// header in `kept` is incomplete or claims too much: then rustls has to see it, to refuse a wrong
/// header as soon as it comes.
pub(super) fn is_incomplete(kept: &[u8], read: &[u8]) -> bool {
    record_length(kept)
        .is_some_and(|length| length <= MAX_RECORD && kept.len() + read.len() < length)
}

/// Bytes at the end of `raw`, which begins with a record, that are the beginning of an incomplete one.
pub(super) fn incomplete_tail(raw: &[u8]) -> usize {
    let mut rest = raw;
    while let Some(later) = record_length(rest).and_then(|length| rest.get(length..)) {
        rest = later;
    }
    rest.len()
}
