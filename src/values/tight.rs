//! Tight growth of buffers that many connections hold while they wait.

/// Extra capacity for bytes that arrive one by one.
const STEP: usize = 512;

/// Appends `more` and reserves at most an eighth and 512 bytes beyond it. `Vec` would double its
/// capacity, and a client that stops in the middle of a head or a handshake decides how long the
/// memory is held.
pub(crate) fn extend(buffer: &mut Vec<u8>, more: &[u8]) {
    if buffer.capacity() - buffer.len() < more.len() {
        buffer.reserve_exact(more.len() + buffer.len() / 8 + STEP);
    }
    buffer.extend_from_slice(more);
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_little_to_spare_and_not_a_move_for_each_byte() {
        let (mut buffer, mut moves) = (Vec::new(), 0);
        for byte in 0..16_384_u32 {
            let before = buffer.capacity();
            super::extend(&mut buffer, &byte.to_be_bytes()[3..]);
            moves += usize::from(buffer.capacity() != before);
            assert!(buffer.capacity() <= buffer.len() + buffer.len() / 8 + super::STEP);
        }
        assert!(moves < 40, "{moves}");
    }
}
