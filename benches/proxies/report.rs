//! The tables: a column a proxy, the median of the rounds with the least and the most, and Framewall
//! beside the best of the others.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::measure::Cores;
use crate::peers::{Kind, Peer};
use crate::rows::{Line, Row};
use crate::run::{Round, Used};

/// Lines of a document that the tables are put between.
const BEGIN: &str = "<!-- Written by scripts/bench --write from here -->";
const END: &str = "<!-- to here. -->";

/// What was measured so far.
pub(crate) struct Report {
    machine: String,
    proxies: Vec<Kind>,
    costs: String,
    rates: String,
    csv: String,
}

impl Report {
    pub(crate) fn new(peers: &[Peer], cores: Cores) -> Self {
        let machine = machine(peers, cores);
        let proxies: Vec<_> = peers.iter().map(|peer| peer.kind).collect();
        let names: Vec<_> = proxies.iter().map(|kind| kind.name().to_owned()).collect();
        let mut costs = vec!["CPU time, latency, memory".to_owned()];
        costs.extend(names.clone());
        costs.push("Framewall / best peer".to_owned());
        let rates = [vec!["a second".to_owned()], names].concat();
        println!("{machine}\n\n{}", head(&costs).trim_end());
        let csv = "row,connections,what,unit,proxy,round,value\n".to_owned();
        Self { machine, proxies, costs: head(&costs), rates: head(&rates), csv }
    }

    /// Prints the lines of a row, and keeps them for the end.
    pub(crate) fn add(&mut self, row: &Row, rounds: &[Round]) {
        for (at, line) in row.lines.iter().enumerate() {
            let title = title(line, row);
            let columns = self.line(&title, line.unit, rounds, |used| used.figures.get(at));
            println!("{columns}");
            let _ = writeln!(self.costs, "{columns}");
            self.keep(row, &title, line.unit, rounds, |used| used.figures.get(at));
        }
        if let Some(line) = row.lines.first() {
            let title = title(line, row);
            self.rate(&title, rounds);
            self.keep(row, &title, "per s", rounds, |used| used.rate.as_ref());
        }
    }

    /// Prints the other table, and puts both where they were asked for.
    pub(crate) fn finish(self, document: Option<&Path>, csv: Option<&Path>) -> Outcome<()> {
        println!("\n{}", self.rates);
        if let Some(file) = document {
            let tables = format!("{}\n\n{}\n{}", self.machine, self.costs, self.rates);
            let text = replace(&fs::read_to_string(file)?, &tables)
                .ok_or_else(|| format!("{} has no place for the tables", file.display()))?;
            fs::write(file, text)?;
        }
        if let Some(file) = csv {
            fs::write(file, self.csv)?;
        }
        Ok(())
    }

    fn line(
        &self,
        title: &str,
        unit: &str,
        rounds: &[Round],
        figure: impl Fn(&Used) -> Option<&f64> + Copy,
    ) -> String {
        let spreads: Vec<_> = (0..self.proxies.len())
            .map(|proxy| Spread::of(values(rounds, proxy, figure)))
            .collect();
        let mut columns = vec![format!("{title}, {unit}")];
        columns.extend(spreads.iter().map(Spread::show));
        let others = (1..self.proxies.len()).filter(|_| self.proxies[0] == Kind::Framewall);
        let best = others.min_by(|a, b| spreads[*a].median.total_cmp(&spreads[*b].median));
        columns.push(best.map_or("-".to_owned(), |best| {
            let (ours, theirs) = (values(rounds, 0, figure), values(rounds, best, figure));
            let ratio = Spread::of(ours.zip(theirs).map(|(ours, theirs)| ours / theirs));
            format!("{} {}", ratio.show(), self.proxies[best].name())
        }));
        format!("| {} |", columns.join(" | "))
    }

    fn rate(&mut self, title: &str, rounds: &[Round]) {
        let medians = (0..self.proxies.len())
            .map(|proxy| Spread::of(values(rounds, proxy, |used| used.rate.as_ref())).median);
        let medians: Vec<_> = medians.collect();
        if medians.iter().all(|median| median.is_finite()) {
            let shown: Vec<_> = medians.iter().map(|median| format!("{median:.0}")).collect();
            let _ = writeln!(self.rates, "| {title} | {} |", shown.join(" | "));
        }
    }

    fn keep(
        &mut self,
        row: &Row,
        title: &str,
        unit: &str,
        rounds: &[Round],
        figure: impl Fn(&Used) -> Option<&f64> + Copy,
    ) {
        let connections = row.wanted().map_or(String::new(), |wanted| wanted.to_string());
        for (proxy, kind) in self.proxies.iter().enumerate() {
            for (round, value) in (1..).zip(values(rounds, proxy, figure)) {
                let _ = writeln!(
                    self.csv,
                    "{},{connections},\"{title}\",{unit},{},{round},{value:.4}",
                    row.name,
                    kind.name(),
                );
            }
        }
    }
}

/// What the figures were measured on, and of.
fn machine(peers: &[Peer], cores: Cores) -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("processor not known", |model| model.trim_start_matches([' ', '\t', ':']));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let pinned = |core: Option<usize>| core.map_or("any".to_owned(), |core| core.to_string());
    let versions: Vec<_> = peers.iter().map(Peer::version).collect();
    format!(
        "{model}, {} cores, Linux {}; {}; proxies on core {}, load on core {}.",
        count.max(cores.load.map_or(1, |load| load + 1)),
        kernel.trim(),
        versions.join(", "),
        pinned(cores.proxy),
        pinned(cores.load),
    )
}

fn title(line: &Line, row: &Row) -> String {
    let size = row.size().map_or(String::new(), |size| match size {
        0..1024 => format!("{size} B"),
        _ => format!("{} KiB", size / 1024),
    });
    let connections = row.wanted().map_or(String::new(), |count| match count {
        0..1000 => count.to_string(),
        _ => format!("{},{:03}", count / 1000, count % 1000),
    });
    line.title.replace("{connections}", &connections).replace("{size}", &size)
}

fn head(columns: &[String]) -> String {
    format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

fn values(
    rounds: &[Round],
    proxy: usize,
    figure: impl Fn(&Used) -> Option<&f64> + Copy,
) -> impl Iterator<Item = f64> {
    rounds.iter().filter_map(move |round| round.get(proxy).and_then(figure).copied())
}

/// The document with other lines between the two that mark the place.
fn replace(document: &str, tables: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))
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

    fn show(&self) -> String {
        let Self { median, least, most } = self;
        let digits = match *median {
            ..10.0 => 2,
            ..100.0 => 1,
            _ => 0,
        };
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}
