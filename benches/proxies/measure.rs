//! What a process used: CPU time and memory, as Linux counts them; and what this machine allows.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Outcome;

/// Which core does what.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    /// Of the proxies; `None` where there is only one core for all.
    pub(crate) proxy: Option<usize>,
    /// Of this process: the clients and the application.
    pub(crate) load: Option<usize>,
}

impl Cores {
    /// The first core for the proxies, the last for this process, which is pinned to it.
    pub(crate) fn split() -> Outcome<Self> {
        let count = std::thread::available_parallelism()?.get();
        if count < 2 {
            eprintln!("proxies: one core for everything; the throughput says little");
            return Ok(Self { proxy: None, load: None });
        }
        let this = std::process::id().to_string();
        let pinned = Command::new("taskset")
            .args(["-c", "-p", &(count - 1).to_string(), &this])
            .stdout(Stdio::null())
            .status()?;
        if !pinned.success() {
            return Err("taskset could not pin this process to a core".into());
        }
        Ok(Self { proxy: Some(0), load: Some(count - 1) })
    }
}

/// CPU time of all threads of a process, user and system, to the nanosecond.
pub(crate) fn cpu_time(process: u32) -> Outcome<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let running = text.split_whitespace().next().unwrap_or_default();
        nanoseconds += running.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The memory of a process in bytes, pages shared with others counted in proportion (PSS).
pub(crate) fn memory(process: u32) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kibibytes.ok_or("smaps_rollup has no Pss")?.trim().parse::<u64>()? * 1024)
}

/// What the kernel has allocated for objects of its own, for whomever, in bytes: sockets, files and
/// the like.
pub(crate) fn kernel_memory() -> Outcome<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kibibytes.ok_or("meminfo has no Slab")?.trim().parse::<u64>()? * 1024)
}

/// Files that ten thousand connections and their other ends in this process need, and more.
const FILES: u64 = 65_536;

/// Raises the limit of open files as far as this user may; processes started later inherit it.
pub(crate) fn raise_open_files() {
    let hard = getrlimit(Resource::Nofile).maximum;
    let wanted = hard.map_or(FILES, |hard| hard.max(FILES));
    for limit in [Some(wanted), hard] {
        if setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).is_ok() {
            return;
        }
    }
}

/// How many of `wanted` connections the limit of open files allows: each has two ends in this
/// process, and two in the proxy.
pub(crate) fn affordable(wanted: u32) -> u32 {
    const OTHER_FILES: u64 = 200;
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = open.saturating_sub(OTHER_FILES) / 2;
    wanted.min(u32::try_from(connections).unwrap_or(u32::MAX))
}
