//! The table.

use std::fs;
use std::process::Command;

use crate::rows::{Row, Work};
use crate::run::{Bench, Round};

const HEAD: [&str; 6] =
    ["what", "Framewall", "nginx", "Framewall / nginx", "Framewall, per s", "nginx, per s"];

/// What the figures were measured on.
pub(crate) fn machine(bench: &Bench) {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("processor not known", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // It says its version where others say their errors.
    let nginx = Command::new(&bench.ground.nginx).arg("-v").output();
    let nginx = nginx.map(|output| output.stderr).unwrap_or_default();
    let nginx = String::from_utf8_lossy(&nginx);
    let pinned = |core: Option<usize>| core.map_or("any".to_owned(), |core| core.to_string());
    println!(
        "{model}, {} cores, Linux {}; Framewall {}, {}; proxies on core {}, load on core {}\n",
        cores.max(bench.cores.load.map_or(1, |load| load + 1)),
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
        nginx.trim().trim_start_matches("nginx version: "),
        pinned(bench.cores.proxy),
        pinned(bench.cores.load),
    );
}

/// The first lines of the table.
pub(crate) fn head(markdown: bool) {
    if markdown {
        println!("| {} |\n|{}", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    } else {
        print_columns(&HEAD.map(str::to_owned));
    }
}

/// One line of it.
pub(crate) fn row(row: &Row, rounds: &[Round], markdown: bool) {
    let spread = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let unit = if row.is_memory() { "KiB" } else { "µs" };
    let framewall = spread(|round| round.framewall.cost);
    let nginx = spread(|round| round.nginx.cost);
    let digits = if framewall.median < 10.0 { 2 } else { 1 };
    let ratio = spread(|round| round.framewall.cost / round.nginx.cost);
    let title = match row.work {
        // The machine may not allow as many as were wanted.
        Work::Idle { .. } => {
            format!("{}, of {:.0}", row.title, spread(|round| round.nginx.rate).median)
        }
        _ => row.title.to_owned(),
    };
    let rate = |spread: Spread| {
        if row.is_memory() { "-".to_owned() } else { format!("{:.0}", spread.median) }
    };
    let columns = [
        title,
        format!("{} {unit}", framewall.show(digits)),
        format!("{} {unit}", nginx.show(digits)),
        ratio.show(2),
        rate(spread(|round| round.framewall.rate)),
        rate(spread(|round| round.nginx.rate)),
    ];
    if markdown {
        println!("| {} |", columns.join(" | "));
    } else {
        print_columns(&columns);
    }
}

fn print_columns(columns: &[String; 6]) {
    let [what, framewall, nginx, ratio, framewall_rate, nginx_rate] = columns;
    println!(
        "{what:<40} {framewall:>24} {nginx:>24} {ratio:>20} {framewall_rate:>16} {nginx_rate:>12}"
    );
}

/// The middle of the rounds, and how far they lie apart.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { median, least: at(0), most: at(last) }
    }

    fn show(&self, digits: usize) -> String {
        let Self { median, least, most } = self;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}
