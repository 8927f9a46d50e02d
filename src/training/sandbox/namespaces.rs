//! Gives a registered command process ids, a `/proc`, a network and shared memory of its own, as far as the host lets
//! this user make namespaces. Many containers do not.
//!
//! ```text
//! watcher ── new user namespace, new process ids for its child ── trainer-init (process 1: network, /proc, /dev/shm)
//! ```

use crate::training::protocol::TrainerRegistration;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

const SHARED_MEMORY: &str = "/dev/shm";

/// What a command with process ids of its own also has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Separated {
    /// It has no network interface.
    pub network: bool,
    /// It shares no System V memory, semaphores or queues with others.
    pub memory: bool,
    /// Its `/proc` shows its own processes alone.
    pub proc: bool,
}

/// Lets the next child of this process begin new process ids. Returns false if the host does not allow it. This process
/// must have one thread. Returns an error if this process is now in a half-made user namespace.
pub(super) fn separate_processes() -> io::Result<bool> {
    let (user, group) = (geteuid(), getegid());
    if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID).is_err() {
        // Root with all its privileges needs no user namespace.
        return Ok(unshare(CloneFlags::CLONE_NEWPID).is_ok());
    }
    // Each id stands for itself, and no other id exists.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    keep_across_exec(CapabilitySet::SYS_ADMIN)?;
    Ok(true)
}

/// Lets this process's children keep a privilege over the user namespace when they become another program. Root's do
/// so by themselves.
fn keep_across_exec(privilege: CapabilitySet) -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable |= privilege;
    set_capabilities(None, sets)?;
    configure_capability_in_ambient_set(privilege, true)?;
    Ok(())
}

/// Separates this process, which is process 1 of its process ids, and all that it will start, from the rest of the
/// host. Goes on without what the host does not allow.
pub(super) fn separate_rest(registration: &TrainerRegistration, memory_mib: u32) -> Separated {
    Separated {
        network: !registration.network && unshare(CloneFlags::CLONE_NEWNET).is_ok(),
        memory: unshare(CloneFlags::CLONE_NEWIPC).is_ok(),
        proc: separate_mounts(registration, memory_mib).is_ok(),
    }
}

fn separate_mounts(registration: &TrainerRegistration, memory_mib: u32) -> Result<(), Errno> {
    const NOTHING: Option<&str> = None;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?;
    if registration.write.iter().any(|path| path == Path::new(SHARED_MEMORY)) {
        // Its own, with a bound: files in it are memory, and nobody else's are to be seen.
        let options = format!("mode=1777,size={memory_mib}m");
        mount(Some("tmpfs"), SHARED_MEMORY, Some("tmpfs"), plain, Some(options.as_str()))?;
    }
    // A container that hides parts of /proc does not allow a new one.
    mount(Some("proc"), "/proc", Some("proc"), plain | MsFlags::MS_NOEXEC, NOTHING)
}

/// Gives up all privileges of this process, so that root is only the owner of root's files. No program that it starts
/// gets them back.
pub(super) fn drop_privileges() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}
