use super::super::tests::Deflater;
use super::{Context, Inflation, PIECE, Rule};

const ANEW: Context = Context::Anew;

/// What a message comes to, its payload cut in two at `cut`.
fn cut(inflation: &mut Inflation, payload: &[u8], cut: usize) -> Result<Vec<u8>, Rule> {
    let mut text = Vec::new();
    let mut take = |piece: &[u8]| {
        text.extend_from_slice(piece);
        Ok(())
    };
    inflation.push(&payload[..cut], &mut take)?;
    inflation.push(&payload[cut..], &mut take)?;
    inflation.finish(&mut take)?;
    Ok(text)
}

/// What messages of one sender come to, the last of them cut everywhere.
#[track_caller]
fn inflated(context: Context, messages: &[&[u8]]) -> Result<Vec<u8>, Rule> {
    let (last, before) = messages.split_last().unwrap();
    let outcome = |at: usize| {
        let mut inflation = Inflation::new(context);
        for message in before {
            cut(&mut inflation, message, 0).unwrap();
        }
        cut(&mut inflation, last, at)
    };
    let whole = outcome(last.len());
    for at in 0..last.len() {
        assert_eq!(outcome(at), whole, "cut at {at}");
    }
    whole
}

/// The examples of RFC 7692 section 7.2.3.
#[test]
fn section_7_2_3_examples() {
    let hello = |messages: &[&[u8]]| {
        assert_eq!(inflated(Context::TakenOver(15), messages), Ok(b"Hello".to_vec()));
    };
    let first = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let shared = [0xf2, 0x00, 0x11, 0x00, 0x00];
    hello(&[&first]);
    hello(&[&first, &first]);
    hello(&[&first, &shared]);
    hello(&[&first, &shared, &shared]);
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    hello(&[&stored]);
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    hello(&[&two]);
    assert_eq!(inflated(ANEW, &[&[0x00]]), Ok(Vec::new()), "the empty message");
    assert_eq!(inflated(ANEW, &[&first, &shared]), Err(Rule::Deflate), "there is no window");
}

#[test]
fn invalid_data_is_refused_at_every_cut() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for (payload, rule) in [
        (&[0x06][..], Rule::Deflate),
        (&[0x07], Rule::Deflate),
        // A stored block whose length and its complement disagree.
        (&[0x00, 0x05, 0x00, 0xfa, 0xfe], Rule::Deflate),
        // A dynamic block with more literal codes than there are.
        (&[0xfc, 0xff, 0xff], Rule::Deflate),
        (&[&hello[..], &[0x06]].concat(), Rule::DeflateEnd),
        (&[], Rule::DeflateEnd),
        (&hello[..3], Rule::DeflateEnd),
        (&hello[..6], Rule::DeflateEnd),
        (&[0x00, 0x06, 0x00, 0xf9, 0xff, b'a'], Rule::DeflateEnd),
        // The last four bytes were left on.
        (&[&hello[..], &[0x00, 0x00, 0xff, 0xff]].concat(), Rule::DeflateEnd),
        // A final block: alone, as in section 7.2.3.4, before another block, and before data.
        (&last, Rule::DeflateFinal),
        (&[&last[..], &[0x00]].concat(), Rule::DeflateFinal),
        (&[&last[..], &[0x03, 0x00, 0x00]].concat(), Rule::DeflateFinal),
        (&[&last[..], &hello].concat(), Rule::DeflateFinal),
        (&[&hello[..], &[0x00, 0x00, 0xff, 0xff, 0x03, 0x00]].concat(), Rule::DeflateFinal),
        // A final stored block.
        (&[0x01, 0x01, 0x00, 0xfe, 0xff, b'a', 0x00], Rule::DeflateFinal),
        // One that only the four bytes end which the sender took off.
        (&[0x03], Rule::DeflateFinal),
    ] {
        assert_eq!(inflated(ANEW, &[payload]), Err(rule), "{payload:02x?}");
        let taken_over = Context::TakenOver(15);
        assert_eq!(inflated(taken_over, &[&hello, payload]), Err(rule), "{payload:02x?}");
    }
}

/// Each message repeats what the one before it said, so that it refers to it; all of them together
/// are longer than any window.
#[test]
fn windows_of_every_size_are_taken_over() {
    for bits in 9..=15 {
        let mut deflater = Deflater::new(bits, true);
        let mut inflation = Inflation::new(Context::TakenOver(bits));
        for number in 0..200_u32 {
            let text = format!("number {number} {}", "of many messages, ".repeat(20));
            let payload = deflater.message(text.as_bytes());
            assert!(number == 0 || payload.len() < 40, "{} bytes: it refers", payload.len());
            assert_eq!(cut(&mut inflation, &payload, 0), Ok(text.into_bytes()));
        }
        let window = inflation.window.as_ref().unwrap();
        assert_eq!(window.bytes.len(), 1 << bits);
        assert_eq!(window.bytes.capacity(), 1 << bits);
        assert!(inflation.stream.is_none());
    }
}

#[test]
fn a_window_grows_only_with_the_inflated_bytes() {
    let mut inflation = Inflation::new(Context::TakenOver(15));
    for _ in 0..3 {
        let payload = Deflater::new(15, false).message(&[b'a'; 100]);
        cut(&mut inflation, &payload, 0).unwrap();
    }
    assert!(inflation.window.as_ref().unwrap().bytes.capacity() <= 512);
}

#[test]
fn no_window_is_kept_without_context_takeover() {
    let mut inflation = Inflation::new(ANEW);
    let payload = Deflater::new(15, false).message(b"something");
    inflation.push(&payload[..3], |_| Ok(())).unwrap();
    assert!(inflation.stream.is_some());
    inflation.push(&payload[3..], |_| Ok(())).unwrap();
    inflation.finish(|_| Ok(())).unwrap();
    assert!(inflation.stream.is_none() && inflation.window.is_none());
    assert_eq!(inflation.inflated(), 9);
    inflation.push(&[0x06], |_| Ok(())).unwrap_err();
    assert!(inflation.stream.is_none(), "nor after a refusal");
}

#[test]
fn inflated_pieces_never_exceed_their_bound() {
    let bomb = Deflater::new(15, false).message(&vec![0; 1 << 20]);
    let mut total = 0;
    let refused = Inflation::new(ANEW).push(&bomb, |piece| {
        assert!(piece.len() <= PIECE);
        total += piece.len();
        if total > 100_000 { Err(Rule::MessageSize) } else { Ok(()) }
    });
    assert_eq!(refused, Err(Rule::MessageSize));
    assert!(total <= 100_000 + PIECE, "{total}");
}

#[test]
fn a_message_may_be_inflated_whole() {
    let payload = Deflater::new(15, false).message(b"all of it");
    assert_eq!(Inflation::whole(&payload, 9), Some(b"all of it".to_vec()));
    assert_eq!(Inflation::whole(&payload, 8), None);
    assert_eq!(Inflation::whole(&payload[..5], 9), None);
}
