//! Counts what a command holds where neither a folder nor a process's counters show it: in files of memory, in files
//! that no folder names any more, and in shared memory that no process touches.
//!
//! A file that is open is measured through the process's descriptor. A file that is mapped and open nowhere counts with
//! the size that is mapped, since nobody can look at it. Never: opens a file that the command made.

use super::descendants::of_command;
use nix::sys::stat::{major, minor};
use nix::sys::statfs::{FsType, HUGETLBFS_MAGIC, TMPFS_MAGIC, statfs};
use nix::unistd::Pid;
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// A file by device (major, minor) and inode.
type FileId = (u64, u64, u64);

/// Bytes by where they lie.
#[derive(Debug, Default)]
pub(super) struct HeldFiles {
    memory: BTreeMap<FileId, u64>,
    disk: BTreeMap<FileId, u64>,
}

impl HeldFiles {
    /// Looks at every descriptor of the command. `work` is its folder, whose files with a name are counted elsewhere.
    pub(super) fn open(init: Option<Pid>, work: &Path) -> Self {
        let mut held = Self::default();
        let device = fs::metadata(work).map_or(0, |metadata| metadata.dev());
        for stat in of_command(init) {
            // A process or descriptor may be gone by the time that it is looked at. That is no error.
            for entry in fs::read_dir(format!("/proc/{}/fd", stat.pid)).into_iter().flatten().flatten() {
                held.add_open(&entry.path(), device);
            }
        }
        held
    }

    fn add_open(&mut self, descriptor: &Path, work_device: u64) {
        let Ok(file) = fs::metadata(descriptor) else { return };
        if !file.is_file() || (file.nlink() > 0 && file.dev() == work_device) {
            return;
        }
        let in_memory = file.dev() != work_device && statfs(descriptor).is_ok_and(|of| is_memory(of.filesystem_type()));
        // A file that has a name and is open for reading is somebody's input.
        let writable = fs::symlink_metadata(descriptor).is_ok_and(|link| link.permissions().mode() & 0o200 != 0);
        let id = (major(file.dev()), minor(file.dev()), file.ino());
        if in_memory && (file.nlink() == 0 || writable) {
            self.memory.insert(id, file.blocks() * 512);
        } else if file.nlink() == 0 {
            self.disk.insert(id, file.blocks() * 512);
        }
    }

    /// Adds what is mapped and was not found open. Takes longer than looking at descriptors.
    pub(super) fn add_mapped(&mut self, init: Option<Pid>, work: &Path) {
        let device = fs::metadata(work).map_or((0, 0), |file| (major(file.dev()), minor(file.dev())));
        let mut unseen: BTreeMap<FileId, (u64, bool)> = BTreeMap::new();
        for stat in of_command(init) {
            let Ok(maps) = Process::new(stat.pid).and_then(|process| process.maps()) else { continue };
            for map in maps {
                let id = (map.dev.0 as u64, map.dev.1 as u64, map.inode);
                let Some(in_memory) = hidden(&map, (id.0, id.1) == device) else { continue };
                if !self.memory.contains_key(&id) && !self.disk.contains_key(&id) {
                    let end = map.offset + (map.address.1 - map.address.0);
                    let (size, _) = unseen.entry(id).or_insert((0, in_memory));
                    *size = end.max(*size);
                }
            }
        }
        for (id, (size, in_memory)) in unseen {
            if in_memory { &mut self.memory } else { &mut self.disk }.insert(id, size);
        }
    }

    pub(super) fn memory(&self) -> u64 {
        self.memory.values().sum()
    }

    pub(super) fn disk(&self) -> u64 {
        self.disk.values().sum()
    }
}

fn is_memory(kind: FsType) -> bool {
    [TMPFS_MAGIC, HUGETLBFS_MAGIC].contains(&kind)
}

/// Returns whether a mapped file is memory (true) or takes up the work folder's disk without a name (false). `None` for
/// all others. Private memory is counted by the process.
fn hidden(map: &MemoryMap, on_work_device: bool) -> Option<bool> {
    let MMapPath::Path(path) = &map.pathname else { return None };
    let path = path.to_string_lossy();
    let shared_memory = path.starts_with("/memfd:") || path.starts_with("/dev/zero") || path.starts_with("/dev/shm/");
    if shared_memory && map.perms.contains(MMPermissions::SHARED) {
        return Some(true);
    }
    (on_work_device && path.ends_with(" (deleted)")).then_some(false)
}
