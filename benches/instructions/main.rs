//! How many instructions a frame and a message take, counted by callgrind: a guard that does not
//! depend on the clock, nor on who else uses the machine. `scripts/instructions [--update]`.
//!
//! Everything is counted twice, once with more of the same, and the difference divided: what a
//! program does before and after is in neither. Counts beyond 5 % of those in
//! `benches/instructions/counts.toml` fail; where they are less, the file is out of date.

mod callgrind;
mod counts;
#[path = "../rules/frames.rs"]
mod frames;
mod gateway;
mod judged;
mod rules;

#[allow(dead_code, reason = "the benchmark of proxies uses the rest")]
#[path = "../proxies/app.rs"]
mod app;
#[allow(dead_code, reason = "the benchmark of proxies uses the rest")]
#[path = "../proxies/load.rs"]
mod load;
#[allow(dead_code, reason = "the benchmark of proxies uses the rest")]
#[path = "../proxies/measure.rs"]
mod measure;
#[allow(dead_code, reason = "the benchmark of proxies uses the rest")]
#[path = "../proxies/messages.rs"]
mod messages;
#[allow(dead_code, reason = "the benchmark of proxies uses the rest")]
#[path = "../proxies/peers/mod.rs"]
mod peers;
#[path = "../proxies/token.rs"]
mod token;

use std::error::Error;
use std::process::ExitCode;

use counts::{Counted, Counts};

/// What went wrong, for whoever runs this.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// How often everything is counted, at most.
const TRIES: usize = 3;

const USAGE: &str = "scripts/instructions [--update]  compare with benches/instructions/counts.toml, or \
                     rewrite it\nscripts/instructions --spread N  count N times, and say how far \
                     they lie apart";

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] => compare(),
        ["--update"] => count().and_then(|counted| Counts::of(counted)?.write()).map(|()| true),
        ["--spread", times] => spread(times).map(|()| true),
        // Itself, under callgrind.
        [rules::JUDGE, kind, times] => rules::judge(kind, times).map(|()| true),
        [judged::JUDGE, shape, rules, times] => judged::judge(shape, rules, times).map(|()| true),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    }
}

fn count() -> Outcome<Vec<Counted>> {
    let mut counted = rules::count()?;
    counted.extend(judged::count()?);
    counted.extend(gateway::count()?);
    Ok(counted)
}

/// Whether everything is within its bounds. What a busy machine does to the gateway's waiting can
/// only add to a count, so that the least of a few is taken where one is too many.
fn compare() -> Outcome<bool> {
    let wanted = Counts::read()?;
    let mut counted = count()?;
    let within_bounds = |counted: &[Counted]| -> Outcome<bool> {
        Ok(wanted.compare(counted)? & judged::compare(counted)?)
    };
    let mut within = within_bounds(&counted)?;
    for _ in 1..TRIES {
        if within {
            break;
        }
        println!("counted once more:");
        for (least, again) in counted.iter_mut().zip(count()?) {
            least.count = least.count.min(again.count);
        }
        within = within_bounds(&counted)?;
    }
    Ok(within)
}

fn spread(times: &str) -> Outcome<()> {
    let rounds = (0..times.parse()?).map(|_| count()).collect::<Outcome<Vec<_>>>()?;
    counts::print_spread(&rounds);
    Ok(())
}
