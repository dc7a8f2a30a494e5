//! The frame rules alone, with rates to count.

use std::hint::black_box;
use std::num::NonZeroU16;
use std::time::Duration;

use framewall::state::limits::Limiters;
use framewall::values::Endpoint;
use framewall::values::Rate;
use framewall::values::UserKey;
use framewall::wire::{AboveRate, Allowance, ClientRates, FrameLimits, Gate, HoldBudget};
use tokio::time::Instant;

use crate::counts::Counted;
use crate::frames::{KINDS, Stream};
use crate::{Outcome, callgrind};

/// The argument with which this program judges frames and counts nothing.
pub(crate) const JUDGE: &str = "judge";
const LIMITS: FrameLimits = FrameLimits {
    max_frame_size: 1 << 20,
    max_message_size: 1 << 20,
    max_fragments: 1024,
    max_inflation_ratio: NonZeroU16::new(200),
};
/// How often a stream is judged in the two runs.
const TIMES: (u32, u32) = (2, 6);
/// Never met.
const RATE: Rate = Rate { count: 1_000_000, per: Duration::from_secs(1), burst: 1_000_000 };

/// Instructions a frame, of each kind.
pub(crate) fn count() -> Outcome<Vec<Counted>> {
    let mut counted = Vec::new();
    for kind in KINDS {
        let fewer = run(kind.name, TIMES.0)?;
        let more = run(kind.name, TIMES.1)?;
        let frames = u32::try_from(Stream::new(kind).frames)? * (TIMES.1 - TIMES.0);
        let count = (more - fewer) / f64::from(frames);
        counted.push(Counted { what: format!("frame rules, {}", kind.name), count });
    }
    Ok(counted)
}

fn run(kind: &str, times: u32) -> Outcome<f64> {
    callgrind::count_self(&[JUDGE, kind, &times.to_string()])
}

/// Judges a stream of this kind so many times.
pub(crate) fn judge(kind: &str, times: &str) -> Outcome<()> {
    let kind = KINDS.into_iter().find(|known| known.name == kind).ok_or("no such kind")?;
    let (stream, budget) = (Stream::new(kind), HoldBudget::new(1 << 26));
    let limiters = Limiters::default();
    let now = Instant::now();
    let share = limiters.share(&UserKey::new("main", "ada"), &RATE, now.into_std());
    for _ in 0..times.parse()? {
        let mut gate = Gate::new(Endpoint::Client, LIMITS, *b"ownping!");
        gate.allow(Allowance::new(&rates(), Some(share.clone()), now));
        let mut rest = black_box(stream.bytes.as_slice());
        while !rest.is_empty() {
            let judged = gate.judge(rest, &budget);
            if let Some(event) = judged.event {
                return Err(format!("a good stream led to {event:?}").into());
            }
            rest = &rest[black_box(judged.consumed)..];
        }
    }
    Ok(())
}

fn rates() -> ClientRates {
    ClientRates {
        messages: Some(RATE),
        bytes: Some(RATE),
        control_frames: Some(RATE),
        above: AboveRate::Close,
        small_reads: false,
    }
}
