//! Restricts by seccomp, in the kernel, which system calls a registered command may make. That needs no privilege.
//!
//! Guarantees: a command makes only calls that `calls` lists, and of those that reach beyond the caller only the ones
//! whose arguments name the caller. Without `network` and `unix_sockets` it makes no socket but connected pairs. A
//! call of another architecture kills the process. Every process that the command starts inherits these restrictions.

use super::calls::{ALLOWED, REFUSED, SOCKETS, WITHOUT_EFFECT};
use crate::training::protocol::TrainerRegistration;
use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::path::Path;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// The bits of a socket's type that are its kind, without its flags.
const KIND: u64 = 0xf;
/// The flags of clone that make a namespace.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32 as u64;
/// Commands of ioctl that type into a terminal (`TIOCSTI`, `TIOCLINUX`), send signals to others (`FIOSETOWN`,
/// `SIOCSPGRP`), or change attributes of a file that is open for reading only (`FS_IOC_SETFLAGS`, `FS_IOC_FSSETXATTR`,
/// `FS_IOC_ENABLE_VERITY`, `FS_IOC_SET_ENCRYPTION_POLICY`).
const CLOSED_IOCTLS: [u64; 8] = [0x5412, 0x541c, 0x8901, 0x8902, 0x4008_6602, 0x401c_5820, 0x4080_6685, 0x800c_6613];
/// Commands of fcntl that send signals to others (`F_SETOWN`, `F_SETSIG`, `F_SETOWN_EX`), make others wait
/// (`F_SETLEASE`), watch folders (`F_NOTIFY`), or take up memory that nobody counts (`F_SETPIPE_SZ`).
const CLOSED_FCNTLS: [u64; 6] = [8, 10, 15, 1024, 1026, 1031];
/// Values of personality that change neither the layout of memory nor what the kernel reports of itself beyond the
/// version: Linux, Linux of 32 bits, both with a version of 2.6, and the question for the current value.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Returns true if this kernel filters system calls, on an architecture for which filters can be made.
pub fn filters_calls() -> bool {
    let architecture: Result<TargetArch, BackendError> = std::env::consts::ARCH.try_into();
    architecture.is_ok() && Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

/// Restricts the calls of this process and of every process that it will start.
pub(super) fn restrict_calls(registration: &TrainerRegistration) -> Result<(), String> {
    let errno = |number: i32| SeccompAction::Errno(number as u32);
    let allowed = allowed(registration).map_err(|error| error.to_string())?;
    let mut refused = without_arguments(REFUSED);
    if !registration.network && !registration.unix_sockets {
        refused.extend(without_arguments(SOCKETS));
    }
    // Of several filters the strictest answer counts. Of several errors that of the filter that came last counts.
    let filters = [
        (allowed, errno(libc::ENOSYS), SeccompAction::Allow),
        (refused, SeccompAction::Allow, errno(libc::EACCES)),
        (without_arguments(WITHOUT_EFFECT), SeccompAction::Allow, errno(0)),
    ];
    let architecture: TargetArch =
        std::env::consts::ARCH.try_into().map_err(|error: BackendError| error.to_string())?;
    for (rules, otherwise, matching) in filters {
        let filter = SeccompFilter::new(rules, otherwise, matching, architecture);
        let program = filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())?;
        seccompiler::apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn without_arguments(calls: &[c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// Returns the calls that are allowed, with what their arguments have to be.
fn allowed(registration: &TrainerRegistration) -> Result<Rules, BackendError> {
    let mut rules: Rules = ALLOWED.iter().copied().chain([WITHOUT_EFFECT]).flat_map(without_arguments).collect();
    // No namespace. The flags of clone3 are in memory, where a filter cannot look; C libraries then use clone.
    rules.insert(libc::SYS_clone, vec![all(&[(0, Is::MaskedEq(NAMESPACES), 0)])?]);
    // A pair of datagram sockets can send to any other Unix socket. A pair of streams cannot.
    let pair = |kind: i32| all(&[(0, Is::Eq, libc::AF_UNIX as u64), (1, Is::MaskedEq(KIND), kind as u64)]);
    rules.insert(libc::SYS_socketpair, vec![pair(libc::SOCK_STREAM)?, pair(libc::SOCK_SEQPACKET)?]);
    rules.insert(libc::SYS_ioctl, vec![all(&CLOSED_IOCTLS.map(|command| (1, Is::Ne, command)))?]);
    // Its descriptors can be counted.
    rules.insert(libc::SYS_prctl, vec![all(&[(0, Is::Ne, libc::PR_SET_DUMPABLE as u64)])?]);
    rules.insert(libc::SYS_fcntl, vec![all(&CLOSED_FCNTLS.map(|command| (1, Is::Ne, command)))?]);
    let personality = PERSONALITIES.map(|value| all(&[(0, Is::Eq, value)]));
    rules.insert(libc::SYS_personality, personality.into_iter().collect::<Result<_, _>>()?);
    // Limits, priority and processors of the caller alone. Of its own user it could change those of every process.
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        rules.insert(call, vec![all(&[(0, Is::Eq, 0)])?]);
    }
    rules.insert(libc::SYS_setpriority, vec![all(&[(0, Is::Eq, 0), (1, Is::Eq, 0)])?]);
    rules.insert(libc::SYS_ioprio_set, vec![all(&[(0, Is::Eq, 1), (1, Is::Eq, 0)])?]);
    // No huge pages, which the kernel counts in no process's memory.
    rules.insert(libc::SYS_mmap, vec![all(&[(3, Is::MaskedEq(libc::MAP_HUGETLB as u64), 0)])?]);
    rules.insert(libc::SYS_memfd_create, vec![all(&[(1, Is::MaskedEq(u64::from(libc::MFD_HUGETLB)), 0)])?]);
    if registration.network || registration.unix_sockets {
        rules.extend(without_arguments(SOCKETS));
        rules.insert(libc::SYS_socket, sockets(registration)?);
    }
    Ok(rules)
}

/// Returns which sockets may be made: TCP and UDP with `network`, Unix sockets with `unix_sockets`. Landlock knows
/// neither MPTCP and SCTP nor any other family.
fn sockets(registration: &TrainerRegistration) -> Result<Vec<SeccompRule>, BackendError> {
    let mut rules = Vec::new();
    if registration.network {
        for family in [libc::AF_INET, libc::AF_INET6] {
            for (kind, protocol) in [(libc::SOCK_STREAM, libc::IPPROTO_TCP), (libc::SOCK_DGRAM, libc::IPPROTO_UDP)] {
                for protocol in [0, protocol] {
                    rules.push(all(&[
                        (0, Is::Eq, family as u64),
                        (1, Is::MaskedEq(KIND), kind as u64),
                        (2, Is::Eq, protocol as u64),
                    ])?);
                }
            }
        }
    }
    if registration.unix_sockets {
        rules.push(all(&[(0, Is::Eq, libc::AF_UNIX as u64)])?);
    }
    Ok(rules)
}

/// Builds a rule that holds if each of these arguments, as (index, comparison, value), is as it says.
fn all(conditions: &[(u8, Is, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions
        .iter()
        .map(|(index, is, value)| SeccompCondition::new(*index, SeccompCmpArgLen::Dword, is.clone(), *value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}
