//! A control group that bounds processes and threads. The kernel enforces it at once, while a fork bomb can starve the
//! watcher, which only counts now and then. Needs the right to make control groups: root, or a delegated hierarchy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The control group of one command; the drop removes it, if it is empty by then.
pub(super) struct PidsGroup(PathBuf);

impl PidsGroup {
    /// None where this process may not make groups, which is usual for a worker that is not root.
    pub(super) fn create(tasks: u64) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let folder = parent(&groups)?.join(format!("model-factory-{}", std::process::id()));
        // An earlier process with this id may have left a group behind.
        let _ = fs::remove_dir(&folder);
        fs::create_dir(&folder).ok()?;
        let group = Self(folder);
        fs::write(group.0.join("pids.max"), tasks.to_string()).ok()?;
        Some(group)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves this process, and every process that it will start, into a group.
    pub(super) fn join(group: &Path) -> io::Result<()> {
        fs::write(group.join("cgroup.procs"), std::process::id().to_string())
    }
}

impl Drop for PidsGroup {
    fn drop(&mut self) {
        // A group that cannot be removed costs nothing.
        let _ = fs::remove_dir(&self.0);
    }
}

/// The folder of this process's group in the hierarchy that counts processes; version 1 before version 2.
fn parent(groups: &str) -> Option<PathBuf> {
    let of = |wanted: &str, mount: &str| {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let found = controllers.split(',').any(|controller| controller == wanted);
            found.then(|| Path::new(mount).join(path.trim_start_matches('/')))
        })
    };
    of("pids", "/sys/fs/cgroup/pids").or_else(|| of("", "/sys/fs/cgroup"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_counts_processes_is_found_in_both_versions() {
        assert_eq!(parent("9:cpu,pids:/a/b\n0::/c\n"), Some("/sys/fs/cgroup/pids/a/b".into()));
        assert_eq!(parent("0::/c\n"), Some("/sys/fs/cgroup/c".into()));
        assert_eq!(parent(""), None);
    }
}
