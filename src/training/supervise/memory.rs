//! How much memory this machine or container has for a trainer.

use std::fs;
use std::path::{Path, PathBuf};

/// Kept for the worker itself.
const RESERVE_MIB: u64 = 256;

/// MiB for a trainer: the tightest limit of this process's control groups or the machine's memory, whichever is less,
/// without what the worker needs. None where the system says neither.
pub fn available_memory_mib() -> Option<u32> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of_machine(&text));
    let limits = limit_files(&groups).into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    let bytes = limits.chain(machine).min()?;
    let mib: u64 = (bytes / (1024 * 1024)).saturating_sub(RESERVE_MIB);
    Some(u32::try_from(mib).unwrap_or(u32::MAX))
}

/// Files that may hold a limit: those of the process's group and of the groups around it, for both versions of control
/// groups. Inside a container the group's path may be the host's, while its files are at the mount's root.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let inside = Path::new(path.trim_start_matches('/'));
        files.extend(inside.ancestors().map(|group| Path::new(mount).join(group).join(name)));
    }
    files
}

fn total_of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_limit_is_looked_for_in_it_and_around_it() {
        let found = limit_files("0::/app/worker\n8:pids:/x\n4:memory:/docker/1\n");
        let found: Vec<&str> = found.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            found,
            [
                "/sys/fs/cgroup/app/worker/memory.max",
                "/sys/fs/cgroup/app/memory.max",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }

    #[test]
    fn the_machine_has_some_memory() {
        assert_eq!(total_of_machine("MemFree: 1 kB\nMemTotal:       24 kB\n"), Some(24 * 1024));
        assert!(available_memory_mib().is_some_and(|mib| mib > 0));
    }
}
