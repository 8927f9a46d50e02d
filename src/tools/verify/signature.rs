//! Checks the signature, which covers every other file.

use super::folder::Folder;
use super::link::{BrokenLink, Link};
use crate::adapters::signing::{self, PublicKey};
use crate::domain::identity::Digest;
use crate::modelling::SIGNATURE_FILE;

/// Who signed a bundle, as far as it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signed {
    /// The given key, by its digest.
    By(Digest),
    /// A signature about these files is there. No key was given to check it with.
    BySomebody,
    ByNobody,
}

impl Signed {
    pub(super) fn describe(&self, files: usize) -> String {
        match self {
            Self::By(key) => format!("{files} files signed by the key {key}"),
            Self::BySomebody => format!(
                "{SIGNATURE_FILE} is about these {files} files; who signed it is not checked, since no key was given"
            ),
            Self::ByNobody => format!("there is no {SIGNATURE_FILE}, and no key was given"),
        }
    }
}

/// Checks whether the bundle's signature covers its files and was made by `expected`, if that is given. `name` is the
/// bundle's version, which a signature names.
pub(super) fn signature(folder: &Folder, name: &str, expected: Option<&PublicKey>) -> Result<Signed, BrokenLink> {
    let link = Link::Signature;
    let files = folder.digests();
    match (folder.find(SIGNATURE_FILE), expected) {
        (None, None) => Ok(Signed::ByNobody),
        (None, Some(_)) => Err(link.broken(format!("there is no {SIGNATURE_FILE}, so nobody signed them"))),
        (Some(signature), None) => {
            signing::check_files(signature, name, &files).map_err(|error| link.broken(error))?;
            Ok(Signed::BySomebody)
        }
        (Some(signature), Some(key)) => {
            signing::verify(key, signature, name, &files).map_err(|error| link.broken(error))?;
            Ok(Signed::By(key.hint()))
        }
    }
}
