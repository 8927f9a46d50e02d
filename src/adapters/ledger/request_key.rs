//! Keys of requests and commands: under which name the ledger knows an id.
//!
//! An id belongs to the principal who chose it. Where there is a policy, the key is `<id>/<principal>`, and two principals
//! may choose the same id. Without a policy everybody is one anonymous principal, and the key is the id alone, as in
//! earlier releases. An id holds no slash, so that the two never meet, and a search by the beginning of an id finds both.
//! docs/decisions/0023-request-keys.md says why this is one column.

use crate::domain::identity::Digest;

/// Longest principal, in bytes, that a key holds as it is. A longer one is replaced by its digest, since an entry of an
/// index has a bound.
const LONGEST_NAME: usize = 256;

/// Returns the key of an id that belongs to this principal.
pub(super) fn request_key(principal: &str, id: &str) -> String {
    if principal.len() <= LONGEST_NAME {
        format!("{id}/{principal}")
    } else {
        format!("{id}/sha256:{}", Digest::of(principal.as_bytes()))
    }
}

/// Returns the principal to whom the key's id belongs, as [`request_key`] writes it; `None` if the id belongs to
/// nobody.
pub(super) fn owner_of(key: &str) -> Option<&str> {
    key.split_once('/').map(|(_, owner)| owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whose_id_it_is_and_is_short() {
        let long = "p".repeat(4_096);
        for principal in ["risk", "a/b", "sha256:", &long] {
            let key = request_key(principal, "req-20260101-0001");
            assert!(key.starts_with("req-20260101-0001/"));
            assert!(key.len() <= 128 + 1 + LONGEST_NAME);
            assert_eq!(owner_of(&key), owner_of(&request_key(principal, "another-id")));
        }
        assert_eq!(owner_of("req-1"), None);
        assert_ne!(request_key("a", "req-1"), request_key("b", "req-1"));
    }
}
