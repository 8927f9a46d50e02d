//! What an auditor has besides the bundle.

use crate::adapters::signing::{PublicKey, RequesterKey};
use crate::domain::identity::Digest;

/// What the caller knows about a bundle from another source.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The key that must have signed the bundle. If `None`, who signed is not checked.
    pub public_key: Option<PublicKey>,
    /// The id that the bundle must have, for example from its publication. `None` accepts any id.
    pub bundle_id: Option<Digest>,
    /// Bytes of the publication receipt.
    pub receipt: Option<Vec<u8>>,
    /// Bytes of the request, as it was sent.
    pub request: Option<Vec<u8>>,
    /// The key that must have signed the request.
    pub requester_key: Option<RequesterKey>,
    /// Bytes of the event by which the registry said that it holds the bundle.
    pub registry_event: Option<Vec<u8>>,
    /// Whether an unsigned bundle is accepted, although nobody knows who made it.
    pub allow_unsigned: bool,
}
