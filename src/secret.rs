//! Holds secrets: text from the configuration or a file that is never printed.
//!
//! Guarantees: neither `Debug` nor an error shows a secret. Every new client reads the file again, and so uses the
//! file's current text.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
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
