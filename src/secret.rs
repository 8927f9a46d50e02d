//! Holds secrets: text from the configuration or a file that is never printed.
//!
//! Guarantees: neither `Debug` nor an error shows a secret. Every new client reads the file again, and so uses the
//! file's current text. The mode of a file says whether others may read or write it.

use nix::sys::statvfs::{FsFlags, statvfs};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const SHOWN: &str = "(secret)";

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Reads a secret from a file. Line breaks at the end are removed, since editors add them. Spaces at the end are
    /// kept. Returns an error for an empty file.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("{} is empty", path.display())),
            text => Ok(Self(text.to_owned())),
        }
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Checks that nobody else may read or write a file that holds a secret. The group may read it if the file belongs to
/// another user, as a mounted secret belongs to root. The error says how to mend it. A file that is not there passes.
pub fn check_private(file: &Path) -> Result<(), String> {
    let Ok(found) = fs::metadata(file) else { return Ok(()) };
    let ours = found.uid() == nix::unistd::geteuid().as_raw();
    let closed = if ours { 0o077 } else { 0o037 };
    if found.mode() & closed == 0 {
        return Ok(());
    }
    let mode = found.mode() & 0o777;
    Err(format!("others may read or write {} (mode {mode:04o}): `chmod 600 {0}`", file.display()))
}

/// Checks that nobody but owner and group may write a file, or replace it in its folder. The error says how to mend it.
/// A file that is not there passes, and one on a disk that is mounted for reading only, as a platform's documents are.
pub fn check_unwritable(file: &Path) -> Result<(), String> {
    const STICKY: u32 = 0o1000;
    for path in [Some(file), file.parent().filter(|folder| !folder.as_os_str().is_empty())].into_iter().flatten() {
        let Ok(found) = fs::metadata(path) else { continue };
        let read_only = statvfs(path).is_ok_and(|disk| disk.flags().contains(FsFlags::ST_RDONLY));
        if !read_only && found.mode() & 0o002 != 0 && !(found.is_dir() && found.mode() & STICKY != 0) {
            return Err(format!("everybody may write {}: `chmod o-w {0}`", path.display()));
        }
    }
    Ok(())
}

/// Serialises a secret as the text `(secret)`.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SHOWN)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_may_read_or_write_is_refused_by_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        fs::write(&file, "key").unwrap();
        let with = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        for (mode, private, unwritable) in [
            (0o400, true, true),
            (0o600, true, true),
            (0o640, false, true),
            (0o604, false, true),
            (0o620, false, true),
            (0o602, false, false),
            (0o666, false, false),
        ] {
            with(mode);
            assert_eq!(check_private(&file).is_ok(), private, "{mode:o}");
            assert_eq!(check_unwritable(&file).is_ok(), unwritable, "{mode:o}");
        }
        assert!(check_private(&file).unwrap_err().contains("chmod 600"));
        with(0o600);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check_unwritable(&file).unwrap_err().contains("everybody may write"));
        assert!(check_private(&folder.path().join("none")).is_ok());
    }

    #[test]
    fn a_secret_is_never_printed_and_a_file_gives_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, " p w \r\n").unwrap();
        let secret = Secret::from_file(&file).unwrap();
        assert_eq!(secret.reveal(), " p w ");
        assert!(!format!("{secret:?}").contains("p w"));
        std::fs::write(&file, "\n").unwrap();
        assert!(Secret::from_file(&file).unwrap_err().ends_with("is empty"));
    }
}
