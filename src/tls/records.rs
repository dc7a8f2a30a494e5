//! The lengths of TLS records, read from their headers.

/// The longest record: its header, a payload of 2^14 bytes, and the expansion by encryption (RFC 5246
/// section 6.2.3; RFC 8446 section 5.2 allows less).
pub(super) const MAX_RECORD: usize = HEADER + (1 << 14) + 2048;
/// The type, version and length of a record.
const HEADER: usize = 5;

/// The length of the record at the front of `bytes`, including its header; `None` if the header is
/// incomplete.
fn record_length(bytes: &[u8]) -> Option<usize> {
    let [.., high, low] = bytes.first_chunk::<HEADER>()?;
    Some(HEADER + usize::from(u16::from_be_bytes([*high, *low])))
}

/// Whether `kept` and the bytes `read` after it are less than one record. False if the header in `kept`
/// is incomplete or its length is too large: then rustls must see the header, to refuse a wrong one as
/// soon as it arrives.
pub(super) fn is_incomplete(kept: &[u8], read: &[u8]) -> bool {
    record_length(kept)
        .is_some_and(|length| length <= MAX_RECORD && kept.len() + read.len() < length)
}

/// The length of the incomplete record at the end of `raw`, which begins at the start of a record.
pub(super) fn incomplete_tail(raw: &[u8]) -> usize {
    let mut rest = raw;
    while let Some(later) = record_length(rest).and_then(|length| rest.get(length..)) {
        rest = later;
    }
    rest.len()
}
