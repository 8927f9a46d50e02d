//! Control groups of one command: the kernel counts its tasks, and all memory that it causes, wherever that lies.
//!
//! Version 2 needs a group that was delegated to this user with both controllers (systemd's `Delegate=`), with the
//! worker in a group below it (`DelegateSubgroup=`) or in the root group. Version 1 needs root. Where no group can be
//! made the watcher counts by itself.

use super::limits::MIB;
use std::path::{Path, PathBuf};
use std::{fs, io};

const MOUNT: &str = "/sys/fs/cgroup";

/// The groups of one command. Dropping this value removes those in which no process is left.
#[derive(Debug, Default)]
pub(super) struct ControlGroups {
    folders: Vec<PathBuf>,
    /// The file that says how many processes the kernel has killed for memory.
    kills: Option<PathBuf>,
}

impl ControlGroups {
    /// Creates what this process may create, with at most `tasks` tasks and `memory_mib` of memory, and some more for
    /// what the kernel counts to a group besides: page tables, stacks, and files that it is about to write.
    pub(super) fn create(tasks: u64, memory_mib: u32) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let name = format!("model-factory-{}", std::process::id());
        let memory = (u64::from(memory_mib) + u64::from(memory_mib) / 8 + 64) * MIB;
        let mut groups = Self::default();
        for parent in delegated(Path::new(MOUNT), &own) {
            // Fails if the parent has processes of its own, or has the controllers already. The limits show it.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory +pids");
            let limits = [
                ("pids.max", tasks.to_string()),
                ("memory.max", memory.to_string()),
                ("memory.oom.group", "1".to_owned()),
            ];
            if let Some(folder) = make(&parent.join(&name), &limits) {
                let _ = fs::write(folder.join("memory.swap.max"), "0");
                groups.kills = Some(folder.join("memory.events"));
                groups.folders.push(folder);
                return groups;
            }
        }
        if let Some(parent) = hierarchy(Path::new(MOUNT), &own, "pids") {
            groups.folders.extend(make(&parent.join(&name), &[("pids.max", tasks.to_string())]));
        }
        if let Some(parent) = hierarchy(Path::new(MOUNT), &own, "memory")
            && let Some(folder) = make(&parent.join(&name), &[("memory.limit_in_bytes", memory.to_string())])
        {
            groups.kills = Some(folder.join("memory.oom_control"));
            groups.folders.push(folder);
        }
        groups
    }

    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Returns true if the kernel counts the memory of the command.
    pub(super) fn count_memory(&self) -> bool {
        self.kills.is_some()
    }

    /// Returns true if the kernel has killed a process of the command, since the group held more than its limit.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let counts = self.kills.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        counts.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
    }

    /// Moves this process into a group. Processes that it starts later inherit the group.
    pub(super) fn join(group: &Path) -> io::Result<()> {
        // 0 is the writer. Its process id may be another one in its own process ids.
        fs::write(group.join("cgroup.procs"), "0")
    }
}

impl Drop for ControlGroups {
    fn drop(&mut self) {
        for folder in &self.folders {
            // A group that cannot be removed does no harm.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Makes a group with these limits. `None` if this process may not, or if the group lacks the files for them.
fn make(folder: &Path, limits: &[(&str, String)]) -> Option<PathBuf> {
    // An earlier process with this process id may have left a group.
    let _ = fs::remove_dir(folder);
    fs::create_dir(folder).ok()?;
    for (file, value) in limits {
        // A group that lacks the controller lacks the file. Writing must not create it.
        let set = fs::OpenOptions::new().write(true).open(folder.join(file)).and_then(|mut opened| {
            use std::io::Write as _;
            opened.write_all(value.as_bytes())
        });
        if set.is_err() {
            let _ = fs::remove_dir(folder);
            return None;
        }
    }
    Some(folder.to_owned())
}

/// Returns the groups of version 2 below which this process may make one: its own, and the one above.
fn delegated(mount: &Path, own: &str) -> Vec<PathBuf> {
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::")) else { return Vec::new() };
    let own = mount.join(path.trim_start_matches('/'));
    let above = own.parent().filter(|above| above.starts_with(mount)).map(Path::to_owned);
    [Some(own), above].into_iter().flatten().filter(|group| group.join("cgroup.subtree_control").exists()).collect()
}

/// Returns the folder of this process's group in the hierarchy of version 1 that has a controller.
fn hierarchy(mount: &Path, own: &str, controller: &str) -> Option<PathBuf> {
    own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let found = controllers.split(',').any(|one| one == controller);
        found.then(|| mount.join(controller).join(path.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_looked_for_where_this_process_is_in_both_versions() {
        let mount = tempfile::tempdir().unwrap();
        let mount = mount.path();
        let own = "9:cpu,pids:/a/b\n4:memory:/m\n0::/c/d\n";
        assert_eq!(hierarchy(mount, own, "pids"), Some(mount.join("pids/a/b")));
        assert_eq!(hierarchy(mount, own, "memory"), Some(mount.join("memory/m")));
        assert_eq!(hierarchy(mount, own, "cpuset"), None);
        // Nothing is mounted.
        assert!(delegated(mount, own).is_empty());
        fs::create_dir_all(mount.join("c/d")).unwrap();
        fs::write(mount.join("c/d/cgroup.subtree_control"), "").unwrap();
        fs::write(mount.join("c/cgroup.subtree_control"), "").unwrap();
        assert_eq!(delegated(mount, own), [mount.join("c/d"), mount.join("c")]);
        assert!(delegated(mount, "").is_empty());
    }

    #[test]
    fn a_group_without_the_controllers_is_not_kept() {
        let mount = tempfile::tempdir().unwrap();
        let folder = mount.path().join("group");
        assert_eq!(make(&folder, &[("memory.max", "1".to_owned())]), None);
        assert!(!folder.exists());
    }

    #[test]
    fn a_kill_for_memory_is_read_from_the_counts_of_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        let kills = folder.path().join("counts");
        let groups = ControlGroups { folders: Vec::new(), kills: Some(kills.clone()) };
        for (text, killed) in [
            ("", false),
            ("low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\noom_group_kill 0\n", false),
            ("low 0\noom 1\noom_kill 2\noom_group_kill 1\n", true),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", true),
        ] {
            fs::write(&kills, text).unwrap();
            assert_eq!(groups.ran_out_of_memory(), killed, "{text:?}");
        }
    }
}
