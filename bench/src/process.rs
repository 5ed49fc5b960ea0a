//! What processes have used, from `/proc` (`proc(5)`).

use std::{fs, path::Path};

use eyre::{OptionExt, Result};

/// Clock ticks a second of the times in `/proc`: 100 on every Linux that Rust runs on (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// CPU seconds of a process, user and system.
pub fn cpu_s(pid: u32) -> Result<f64> {
    Ok(stat(pid)?.own_ticks as f64 / TICKS_A_SECOND)
}

/// CPU seconds of a process and of its children, those that have ended among them.
pub fn family_cpu_s(pid: u32) -> Result<f64> {
    let parent = stat(pid)?;
    let children = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let running = children.filter_map(|child| stat(child).ok()).filter(|child| child.parent == pid);
    let ticks = parent.own_ticks + parent.ended_ticks + running.map(|child| child.own_ticks).sum::<u64>();
    Ok(ticks as f64 / TICKS_A_SECOND)
}

/// The most memory that a process has had resident, bytes.
pub fn peak_memory_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or_eyre("no VmHWM in /proc")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1_024)
}

/// The process id that a Postgres cluster wrote into its folder.
pub fn postmaster(data_directory: &Path) -> Result<u32> {
    let pid_file = fs::read_to_string(data_directory.join("postmaster.pid"))?;
    Ok(pid_file.lines().next().ok_or_eyre("postmaster.pid is empty")?.parse()?)
}

struct Stat {
    parent: u32,
    own_ticks: u64,
    ended_ticks: u64,
}

fn stat(pid: u32) -> Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; what follows it begins with the third field.
    let (_, rest) = text.rsplit_once(')').ok_or_eyre("no name in /proc")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied().ok_or_eyre("a field is missing in /proc");
    Ok(Stat {
        parent: field(4)?.parse()?,
        own_ticks: field(14)?.parse::<u64>()? + field(15)?.parse::<u64>()?,
        ended_ticks: field(16)?.parse::<u64>()? + field(17)?.parse::<u64>()?,
    })
}
