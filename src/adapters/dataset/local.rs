//! Files on local disk must lie inside the allowed folders after symbolic links are resolved. This is checked before a
//! request is admitted, and again when the file is opened. Only the second check is binding.

use super::InputError;
use crate::adapters::objects::StoreTrouble;
use crate::domain::contract::{Location, Reference};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Opens a regular file inside one of these folders (real paths). A link may change between check and opening. So this
/// first gets a descriptor with `O_PATH`, which neither reads nor blocks. Then it checks the descriptor's real path,
/// and opens the file through the descriptor. Nothing outside the folders is ever opened for reading.
pub(super) fn open_inside(folders: &[PathBuf], path: &Path, reference: &Reference) -> Result<File, InputError> {
    let unreadable = |error: io::Error| InputError::unreadable(reference, error);
    let held = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_CLOEXEC).bits())
        .open(path)
        .map_err(|error| match StoreTrouble::of_io(&error) {
            StoreTrouble::Absent => InputError::not_found(reference),
            StoreTrouble::Exhausted | StoreTrouble::Refused | StoreTrouble::Away | StoreTrouble::Impossible => {
                unreadable(error)
            }
        })?;
    let held_at = format!("/proc/self/fd/{}", held.as_raw_fd());
    let real = std::fs::read_link(&held_at).map_err(unreadable)?;
    if !folders.iter().any(|folder| real.starts_with(folder)) {
        return Err(InputError::not_allowed(reference, "it leads out of the allowed folders"));
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
    /// The allowed folders, with symbolic links resolved.
    pub(super) folders: Vec<PathBuf>,
}

impl Links {
    /// Returns whether a reference certainly leaves the allowed folders. False if the path does not exist or cannot be
    /// read, because that may be temporary and opening the file checks again.
    pub fn lead_out(&self, reference: &Reference) -> bool {
        let path = match (reference.location(), &self.root) {
            (Location::Relative(path), Some(root)) => root.join(path),
            (Location::File(path), _) => PathBuf::from(path),
            (Location::Relative(_), None) | (Location::Object { .. }, _) => return false,
        };
        path.canonicalize().is_ok_and(|real| !self.folders.iter().any(|folder| real.starts_with(folder)))
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
        let links = Links { root: Some(base.join("in")), folders: vec![base.join("in")] };
        let leads_out = |text: &str| links.lead_out(&Reference::parse(text).unwrap());
        for inside in ["a.json", "same.json", "missing.json", "dangling.json", "a.json/below", "s3://bucket/key"] {
            assert!(!leads_out(inside), "{inside}");
        }
        for outside in ["link.json", "up/secret"] {
            assert!(leads_out(outside), "{outside}");
        }
        assert!(!leads_out("up/in/a.json"), "out and back in again");
        assert!(leads_out(&format!("file://{}/in/link.json", base.display())));
        assert!(leads_out("file:///etc/passwd"));
    }
}
