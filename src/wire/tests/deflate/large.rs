//! Compressed frames that are cut through.

use super::*;

#[test]
fn a_large_frame_is_cut_through_in_blocks_that_were_judged() {
    let mut text = noise(40_000);
    for sender in [Client, Upstream] {
        let good = frame(sender, FIN | TEXT, &compressed(&text));
        assert!(good.len() > 20_000);
        let outcome = read(sender, Context::Anew, &good, &[1000]);
        assert_eq!((outcome.violation, outcome.released), (None, good.clone()));
        text[30_000] = 0xff;
        let bad = frame(sender, FIN | TEXT, &compressed(&text));
        text[30_000] = b'a';
        let header = if sender == Client { 8 } else { 4 };
        let whole = read(sender, Context::Anew, &bad, &[bad.len()]);
        assert_eq!((whole.released.len() - header) % 1024, 0);
        assert!(whole.released.len() > 20_000 && !whole.boundary);
        let violation = whole.violation.clone().expect("it is not UTF-8");
        assert_eq!(violation.offset + 1, whole.released.len() as u64 + 1024);
        for reads in [&[1][..], &[3, 5, 1024], &[1023], &[1024], &[1025], &[4000], &[header, 9]] {
            let outcome = read(sender, Context::Anew, &bad, reads);
            assert_eq!(outcome.released, whole.released, "{reads:?}");
            assert_eq!(outcome.violation.as_ref(), Some(&violation), "{reads:?}");
            let hurried =
                pass_on(&mut gate(sender, Context::Anew), &bad, reads, &HoldBudget::new(0));
            assert_eq!(hurried.violation.as_ref(), Some(&violation), "{reads:?}");
            assert!(hurried.released.starts_with(&whole.released));
        }
    }
}

#[test]
fn a_large_frame_that_ends_too_early() {
    let payload = compressed(&noise(40_000));
    let bad = frame(Client, FIN | TEXT, &payload[..20_500]);
    let whole = read(Client, Context::Anew, &bad, &[bad.len()]);
    let violation = whole.violation.expect("it ends within a block");
    assert_eq!((violation.rule, violation.offset + 1), (Rule::DeflateEnd, bad.len() as u64));
    assert_eq!(whole.released, bad[..8 + 20 * 1024]);
    for reads in [&[1][..], &[1000], &[1024], &[20_000], &[20_490, 1]] {
        let outcome = read(Client, Context::Anew, &bad, reads);
        assert_eq!(outcome.released, whole.released, "{reads:?}");
    }
}

/// Several large frames in a row, so that what is handed out of one is in the way of the next.
#[test]
fn large_frames_in_a_row() {
    let frames = [
        frame(Client, FIN | TEXT, &compressed(&noise(30_000))),
        frame(Client, FIN | TEXT, &compressed(b"small")),
        fragments(Client, BINARY, &compressed(&noise(70_000)), &[5, 20_000, 20_000]).concat(),
        frame(Client, FIN | 0x02, &noise(20_000)),
        frame(Client, FIN | TEXT, &compressed(&noise(20_000))),
    ];
    let stream = frames.concat();
    for reads in [&[1][..], &[700], &[1024], &[1460], &[16_384], &[65_536], &[1, 30_000, 9]] {
        let outcome = read(Client, Context::Anew, &stream, reads);
        assert_eq!(outcome.violation, None);
        assert_eq!(outcome.released, stream, "{reads:?}");
    }
}
