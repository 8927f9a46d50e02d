//! Restricts by Landlock, in the kernel, which files and sockets a registered command may use. That needs no privilege.
//!
//! Guarantees: a command writes only to its work folder, to three null devices and to the `write` folders of its
//! registration. It reads only these, the system's paths, its program's folder, its scripts and the `read` paths of its
//! registration. With [`Enforcement::Full`], it also truncates no other file, signals no process outside its sandbox,
//! and uses no TCP unless its registration says `network`. Every process that the command starts inherits these
//! restrictions.

use super::seccomp::filters_calls;
use crate::training::protocol::TrainerRegistration;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Enforcement {
    /// The kernel restricts nothing: Linux before 5.13, or Landlock is switched off.
    Nothing,
    /// The kernel restricts reads and writes: Linux 5.13.
    Files,
    /// The kernel restricts reads, writes, truncation, TCP and signals: Linux 6.12.
    Full,
}

/// The newest version of Landlock that this release uses.
const NEWEST: ABI = ABI::V6;

/// The paths that every command may read: programs, libraries, and the files that these read when they start. Of `/etc`
/// only files without secrets.
const SYSTEM: &[&str] = &[
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/etc/alternatives",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
];
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full"];

pub fn enforcement() -> Enforcement {
    let has = |abi: ABI, full: bool| {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let ruleset = ruleset.handle_access(AccessFs::from_all(abi));
        let ruleset = if full { ruleset.and_then(|r| r.scope(Scope::from_all(abi))) } else { ruleset };
        ruleset.and_then(Ruleset::create).is_ok()
    };
    if has(NEWEST, true) {
        Enforcement::Full
    } else if has(ABI::V1, false) {
        Enforcement::Files
    } else {
        Enforcement::Nothing
    }
}

/// Returns the newest version of Landlock's interface that this kernel has and this release uses, 0 if there is none.
pub(super) fn version() -> u8 {
    const VERSIONS: [ABI; 6] = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6];
    let has = |abi: &ABI| {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let ruleset = ruleset.handle_access(AccessFs::from_all(*abi));
        // Its second, fourth and sixth version also restrict moves, TCP and signals.
        let ruleset =
            if *abi >= ABI::V4 { ruleset.and_then(|r| r.handle_access(AccessNet::from_all(*abi))) } else { ruleset };
        let ruleset = if *abi >= ABI::V6 { ruleset.and_then(|r| r.scope(Scope::from_all(*abi))) } else { ruleset };
        ruleset.and_then(Ruleset::create).is_ok()
    };
    VERSIONS.iter().take_while(|abi| has(abi)).count() as u8
}

/// Returns what Landlock can enforce. Returns an error if that is nothing or if the kernel has no seccomp, and
/// `allow_unconfined` is false.
pub fn check_confinement(allow_unconfined: bool) -> Result<Enforcement, &'static str> {
    if !filters_calls() && !allow_unconfined {
        return Err(
            "this kernel or architecture has no seccomp, so trainer commands could reach the network and every \
                    Unix socket; [trainer] allow_unconfined = true runs them all the same",
        );
    }
    match enforcement() {
        Enforcement::Nothing if !allow_unconfined => {
            Err("this kernel has no Landlock, so trainer commands could read the test labels and write anywhere; \
             [trainer] allow_unconfined = true runs them all the same")
        }
        enforced => Ok(enforced),
    }
}

/// Restricts this process and every process that it will start, as far as the kernel supports it.
pub(super) fn restrict_files(registration: &TrainerRegistration, work: &Path) -> Result<(), RulesetError> {
    let everything = AccessFs::from_all(NEWEST);
    let read = AccessFs::from_read(NEWEST);
    let mut ruleset = Ruleset::default().handle_access(everything)?.scope(Scope::from_all(NEWEST))?;
    if !registration.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut created = ruleset.create()?;
    // The whole disk is nobody's own folder.
    for path in readable_paths(registration).into_iter().filter(|path| path != Path::new("/")) {
        created = allow(created, &path, read)?;
    }
    for path in DEVICES.iter().map(Path::new).chain([work]).chain(registration.write.iter().map(PathBuf::as_path)) {
        created = allow(created, path, everything)?;
    }
    created.restrict_self()?;
    Ok(())
}

/// Returns every path that a command may read besides its work folder, with all that is below.
pub fn readable_paths(registration: &TrainerRegistration) -> Vec<PathBuf> {
    let system = SYSTEM.iter().map(PathBuf::from);
    system.chain(own_folders(registration)).chain(registration.read.iter().cloned()).collect()
}

/// Allows `access` to a path and everything below it. Skips a path that does not exist.
fn allow(
    ruleset: landlock::RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(opened, access))
}

/// Returns the scripts among the arguments and the program's folder, both as given and with links resolved. If the
/// folder is a `bin` beside a `lib`, as in a Python environment, also returns their parent folder.
fn own_folders(registration: &TrainerRegistration) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = registration.scripts().map(PathBuf::from).collect();
    let programs = [Some(registration.program.clone()), registration.program.canonicalize().ok()];
    for folder in programs.iter().flatten().filter_map(|program| program.parent()) {
        found.push(folder.to_owned());
        if let Some(prefix) = folder.parent()
            && folder.ends_with("bin")
            && prefix.parent().is_some()
            && prefix.join("lib").is_dir()
        {
            found.push(prefix.to_owned());
        }
    }
    found
}
