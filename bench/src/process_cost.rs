//! What a process costs: CPU time, and memory with that of its BPF maps.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aya::maps::{Map, MapData, MapInfo};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Memory of a process at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident pages, the packet memory that it shares with AF_XDP sockets among them.
    pub resident: u64,
    /// What the kernel says that its BPF maps take.
    pub maps: u64,
}

impl Memory {
    /// The sum.
    pub fn total(self) -> u64 {
        self.resident + self.maps
    }
}

/// How often and how long a BPF program has run, while the kernel measures it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Runs {
    /// How often.
    pub count: u64,
    /// How long altogether, in nanoseconds.
    pub nanoseconds: u64,
}

/// CPU time of all threads so far.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedule = fs::read_to_string(task?.path().join("schedstat"))?;
        let spent = schedule.split_whitespace().next().context("an empty schedstat")?;
        nanoseconds += spent.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Does a piece of work; what it returns, and the CPU time that it has cost this thread.
pub fn on_the_clock<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let cpu_time = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let begin = cpu_time();
    let result = work();
    (result, cpu_time() - begin)
}

/// Memory now.
pub fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = field(&status, "VmRSS:").context("no VmRSS")?;
    let mut maps = 0;
    for info in descriptors(pid)?.iter().filter(|info| info.contains("map_type:")) {
        maps += field(info, "memlock:").unwrap_or(0);
    }
    Ok(Memory { resident: kilobytes * 1024, maps })
}

/// What the process's BPF programs have done together.
pub fn program_runs(pid: u32) -> Result<Runs> {
    let mut runs = Runs::default();
    for info in descriptors(pid)?.iter().filter(|info| info.contains("prog_type:")) {
        runs.count += field(info, "run_cnt:").unwrap_or(0);
        runs.nanoseconds += field(info, "run_time_ns:").unwrap_or(0);
    }
    Ok(runs)
}

/// The kernel's id of each map that the process holds.
fn map_ids(pid: u32) -> Result<Vec<u32>> {
    let maps = descriptors(pid)?;
    Ok(maps.iter().filter_map(|info| field(info, "map_id:")).map(|id| id as u32).collect())
}

/// A map that the process holds, by name.
pub fn map(pid: u32, name: &str) -> Result<Map> {
    for id in map_ids(pid)? {
        if MapInfo::from_id(id)?.name_as_str() == Some(name) {
            return Ok(Map::from_map_data(MapData::from_id(id)?)?);
        }
    }
    bail!("process {pid} has no map {name}")
}

fn descriptors(pid: u32) -> Result<Vec<String>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let files = fs::read_dir(Path::new(&folder))?;
    // A descriptor may be closed between the two reads.
    Ok(files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok()).collect())
}

/// The number that follows a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_cost_something() {
        let own = std::process::id();
        assert!(cpu_time(own).unwrap() > Duration::ZERO);
        assert!(memory(own).unwrap().resident > 100_000);
        assert_eq!(program_runs(own).unwrap(), Runs::default());
        assert_eq!(map_ids(own).unwrap(), [0; 0]);
    }

    #[test]
    fn fields_are_found_by_whole_names() {
        let text = "map_type:\\t2\\nmemlock:\\t4096\\nmap_id:\\t17\\n"
            .replace("\\t", "\t")
            .replace("\\n", "\n");
        assert_eq!(field(&text, "memlock:"), Some(4096));
        assert_eq!(field(&text, "map_id:"), Some(17));
        assert_eq!(field(&text, "run_cnt:"), None);
    }
}
