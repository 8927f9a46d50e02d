//! Says what an error of the disk or of an object store means for the work that met it. No other file judges an
//! `errno`.

use nix::errno::Errno;
use object_store::Error as StoreError;
use std::error::Error;
use std::io;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreTrouble {
    /// This machine, or this process, has no descriptor, memory or disk left. Another worker may have some.
    Exhausted,
    /// Nothing has this name, or nothing has it yet.
    Absent,
    /// The store does not let this worker do this, because a key or a right is wrong.
    Refused,
    /// The store does not answer, or answers with an error that passes.
    Away,
    /// The store can never do what was asked.
    Impossible,
}

impl StoreTrouble {
    pub fn of_store(error: &StoreError) -> Self {
        match error {
            _ if is_exhausted(error) => Self::Exhausted,
            StoreError::NotFound { .. } => Self::Absent,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => Self::Refused,
            StoreError::InvalidPath { .. }
            | StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::UnknownConfigurationKey { .. } => Self::Impossible,
            _ => Self::Away,
        }
    }

    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            _ if is_exhausted(error) => Self::Exhausted,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Absent,
            io::ErrorKind::PermissionDenied => Self::Refused,
            _ => Self::Away,
        }
    }
}

/// Returns whether this error, or one of its causes, says that the machine or the process has no descriptor, memory or
/// disk left.
pub fn is_exhausted(error: &(dyn Error + 'static)) -> bool {
    const USED_UP: [Errno; 5] = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOSPC, Errno::EDQUOT];
    /// An error has few causes. A cycle of causes must not hang the worker.
    const DEPTH: usize = 16;
    let causes = std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // `source` of an I/O error skips the error that it wraps, and returns that error's cause.
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    });
    causes.take(DEPTH).any(|error| {
        let errno = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        errno.is_some_and(|errno| USED_UP.contains(&Errno::from_raw(errno)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(errno: Errno) -> StoreError {
        let inner = io::Error::other(io::Error::from(errno));
        StoreError::Generic { store: "test", source: Box::new(inner) }
    }

    #[test]
    fn a_machine_without_room_differs_from_a_store_that_is_away() {
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOSPC, Errno::ENOMEM, Errno::EDQUOT] {
            assert_eq!(StoreTrouble::of_store(&wrapped(errno)), StoreTrouble::Exhausted, "{errno}");
            assert_eq!(StoreTrouble::of_io(&io::Error::from(errno)), StoreTrouble::Exhausted, "{errno}");
        }
        assert_eq!(StoreTrouble::of_store(&wrapped(Errno::ECONNREFUSED)), StoreTrouble::Away);
        assert_eq!(StoreTrouble::of_io(&io::Error::from(Errno::EIO)), StoreTrouble::Away);
        assert_eq!(StoreTrouble::of_io(&io::Error::from(Errno::ENOENT)), StoreTrouble::Absent);
        assert_eq!(StoreTrouble::of_io(&io::Error::from(Errno::EACCES)), StoreTrouble::Refused);
    }
}
