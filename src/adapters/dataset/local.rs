//! Files on local disk, inside the allowed folders whatever links say.

use super::InputError;
use crate::domain::contract::Reference;
use nix::fcntl::OFlag;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Opens a regular file inside one of these folders, given by their real paths.
///
/// A link may change between a check and the opening. So this takes hold of the file first, with `O_PATH`, which reads
/// nothing and waits for nobody; then checks where the held file really is; and then opens for reading what it holds.
/// Nothing outside the folders is ever opened.
pub(super) fn open_inside(folders: &[PathBuf], path: &Path, reference: &Reference) -> Result<File, InputError> {
    let held = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_CLOEXEC).bits())
        .open(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => InputError::not_found(reference),
            _ => InputError::unavailable(reference, error),
        })?;
    let unavailable = |error: io::Error| InputError::unavailable(reference, error);
    let held_at = format!("/proc/self/fd/{}", held.as_raw_fd());
    let real = std::fs::read_link(&held_at).map_err(unavailable)?;
    if !folders.iter().any(|folder| real.starts_with(folder)) {
        return Err(InputError::not_allowed(reference, "it leads out of the allowed folders"));
    }
    if !held.metadata().map_err(unavailable)?.is_file() {
        return Err(InputError::not_allowed(reference, "it is not a regular file"));
    }
    File::open(held_at).map_err(unavailable)
}
