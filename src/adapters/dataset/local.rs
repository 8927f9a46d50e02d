//! Files on local disk must lie inside the allowed folders after symbolic links are resolved. This is checked before a
//! request is admitted, and again when the file is opened. Only the second check is binding.

use super::InputError;
use crate::adapters::objects::StoreTrouble;
use crate::domain::contract::{Location, Reference};
use nix::fcntl::OFlag;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

/// The folders on local disk in which files must lie after their links are followed.
#[derive(Debug, Clone, Default)]
pub(super) struct Folders {
    /// What the operator allows, as real paths.
    pub(super) allowed: Vec<PathBuf>,
    /// What the policy lets one run read, with links followed. `None` for a run that may read all that is allowed.
    pub(super) within: Option<Vec<PathBuf>>,
}

impl Folders {
    fn hold(&self, real: &Path) -> bool {
        let lies_in = |folders: &[PathBuf]| folders.iter().any(|folder| real.starts_with(folder));
        lies_in(&self.allowed) && self.within.as_deref().is_none_or(lies_in)
    }

    /// Whether a path that cannot be opened leads out of the folders. A file outside then gets the same answer whether
    /// it is there or not. False while a folder of the operator's is away, because then links may lead elsewhere.
    fn are_left_by(&self, path: &Path) -> bool {
        self.allowed.iter().all(|folder| folder.exists()) && follow(path).is_ok_and(|real| !self.hold(&real))
    }
}

/// Follows the links of a path as far as it exists. What does not exist is taken as it is written.
pub(super) fn follow(path: &Path) -> io::Result<PathBuf> {
    const MOST_LINKS: usize = 40;
    let parts =
        |path: &Path| -> Vec<OsString> { path.components().rev().map(|part| part.as_os_str().to_owned()).collect() };
    let (mut real, mut left, mut links) = (PathBuf::new(), parts(&std::path::absolute(path)?), 0);
    while let Some(part) = left.pop() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => match std::fs::read_link(real.join(name)) {
                Ok(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(io::Error::other("too many links"));
                    }
                    left.extend(parts(&target));
                }
                Err(_) => real.push(name),
            },
            Some(Component::ParentDir) => {
                real.pop();
            }
            Some(Component::RootDir | Component::Prefix(_)) => real = PathBuf::from("/"),
            Some(Component::CurDir) | None => {}
        }
    }
    Ok(real)
}

/// Opens a regular file inside these folders. A link may change between check and opening. So this first gets a
/// descriptor with `O_PATH`, which neither reads nor blocks. Then it checks the descriptor's real path, and opens the
/// file through the descriptor. Nothing outside the folders is ever opened for
/// reading.
pub(super) fn open_inside(folders: &Folders, path: &Path, reference: &Reference) -> Result<File, InputError> {
    const LEADS_OUT: &str = "it leads out of the allowed folders";
    let unreadable = |error: io::Error| InputError::unreadable(reference, error);
    let held = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_CLOEXEC).bits())
        .open(path)
        .map_err(|error| match StoreTrouble::of_io(&error) {
            StoreTrouble::Exhausted => unreadable(error),
            _ if folders.are_left_by(path) => InputError::not_allowed(reference, LEADS_OUT),
            StoreTrouble::Absent => InputError::not_found(reference),
            StoreTrouble::Refused | StoreTrouble::Away | StoreTrouble::Impossible => unreadable(error),
        })?;
    let held_at = format!("/proc/self/fd/{}", held.as_raw_fd());
    let real = std::fs::read_link(&held_at).map_err(unreadable)?;
    if !folders.hold(&real) {
        return Err(InputError::not_allowed(reference, LEADS_OUT));
    }
    if !held.metadata().map_err(unreadable)?.is_file() {
        return Err(InputError::not_allowed(reference, "it is not a regular file"));
    }
    File::open(held_at).map_err(unreadable)
}

/// The allowed folders on local disk. Checks where symbolic links lead, without opening files.
#[derive(Debug, Clone, Default)]
pub struct Links {
    pub(super) root: Option<PathBuf>,
    pub(super) folders: Folders,
}

impl Links {
    /// Returns whether a reference certainly leaves the allowed folders, whether a file is there or not. False while a
    /// folder of the operator's is away, because that may be temporary and opening the file checks again.
    pub fn lead_out(&self, reference: &Reference) -> bool {
        let path = match (reference.location(), &self.root) {
            (Location::Relative(path), Some(root)) => root.join(path),
            (Location::File(path), _) => PathBuf::from(path),
            (Location::Relative(_), None) | (Location::Object { .. }, _) => return false,
        };
        match path.canonicalize() {
            Ok(real) => !self.folders.hold(&real),
            Err(_) => self.folders.are_left_by(&path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_is_known_to_lead_out_does() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("in")).unwrap();
        std::fs::write(base.join("in/a.json"), b"{}").unwrap();
        std::fs::write(base.join("secret"), b"secret").unwrap();
        symlink(base.join("secret"), base.join("in/link.json")).unwrap();
        symlink(&base, base.join("in/up")).unwrap();
        symlink("a.json", base.join("in/same.json")).unwrap();
        symlink(base.join("in/nowhere"), base.join("in/dangling.json")).unwrap();
        symlink(base.join("nowhere"), base.join("in/dangling_out.json")).unwrap();
        let folders = Folders { allowed: vec![base.join("in")], within: None };
        let links = Links { root: Some(base.join("in")), folders };
        let leads_out = |text: &str| links.lead_out(&Reference::parse(text).unwrap());
        for inside in ["a.json", "same.json", "missing.json", "dangling.json", "a.json/below", "s3://bucket/key"] {
            assert!(!leads_out(inside), "{inside}");
        }
        for outside in ["link.json", "up/secret", "up/missing", "up/missing/below", "dangling_out.json"] {
            assert!(leads_out(outside), "{outside}");
        }
        assert!(!leads_out("up/in/a.json"), "out and back in again");
        assert!(leads_out(&format!("file://{}/in/link.json", base.display())));
        assert!(leads_out("file:///etc/passwd"));
    }
}
