//! Where the sender is: inside a frame, inside a message, between them.

use super::*;
use crate::values::Endpoint::Upstream;

/// Feeds bytes one at a time, and tells after each what the gate says.
fn places<T>(stream: &[u8], tell: impl Fn(&Gate) -> T) -> Vec<T> {
    let mut gate = Gate::new(Upstream, LIMITS, OWN_PING);
    let step = |byte: &u8| {
        gate.judge(&[*byte], &ample());
        tell(&gate)
    };
    stream.iter().map(step).collect()
}

#[test]
fn a_message_is_in_progress_from_its_first_byte_to_its_last() {
    let stream = frames(Upstream, &[(0x01, b"a"), (0x89, b""), (0x80, b"b"), (0x82, b"")]);
    let one = Some(1);
    let expected = [one, one, one, one, one, one, one, None, Some(2), None];
    assert_eq!(places(&stream, Gate::message_begun), expected);
}

#[test]
fn a_control_frame_is_in_progress_from_its_first_byte_to_its_last() {
    let stream = frames(Upstream, &[(0x89, b"a"), (0x81, b""), (0x8a, b"")]);
    let expected = [Some(0), Some(0), None, None, None, Some(5), None];
    assert_eq!(places(&stream, Gate::control_begun), expected);
    let message = [None, None, None, Some(1), None, None, None];
    assert_eq!(places(&stream, Gate::message_begun), message);
}

#[test]
fn inside_a_frame() {
    let stream = frames(Upstream, &[(0x01, b"a"), (0x8a, b"")]);
    assert_eq!(places(&stream, Gate::in_frame), [true, true, false, true, false]);
    assert_eq!(places(&stream, Gate::released_boundary), [true; 5]);
}

/// The serial of an own pong is not given to the frame behind it.
#[test]
fn pongs_to_the_gateways_pings_have_a_serial() {
    let stream = frames(Upstream, &[(0x8a, &OWN_PING), (0x8a, b"")]);
    let serials: Vec<_> = places(&stream, Gate::control_begun).into_iter().flatten().collect();
    assert_eq!(serials, [0, 0, 0, 0, 0, 0, 0, 0, 0, 10]);
}

#[test]
fn activity_is_data_and_pings() {
    let stream = frames(
        Upstream,
        &[(0x8a, b""), (0x89, b""), (0x01, b""), (0x80, b""), (0x8a, &OWN_PING), (0x88, b"")],
    );
    let counts = places(&stream, Gate::activity);
    assert_eq!(counts, [0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
}
