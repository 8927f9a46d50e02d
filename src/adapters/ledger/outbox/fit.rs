//! Makes a dead letter small enough for its topic: what does not fit goes by reference to the ledger.

use crate::domain::contract::CutRecord;
use crate::domain::harmless::line;
use serde_json::json;

/// A dead letter's record.
pub(super) struct Letter {
    pub(super) key: Option<Vec<u8>>,
    /// The original's value. `None` if the ledger keeps only its beginning, or if it is longer than the largest record that
    /// may be sent; [`Self::fit`] then sets a reference to it.
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// The record that a dead letter repeats.
pub(super) struct OriginalRecord {
    /// Length of the original's value, in bytes.
    pub(super) bytes: i64,
    /// Beginning of the original's value; `None` if the ledger keeps all of it.
    pub(super) beginning: Option<Vec<u8>>,
    /// Where the original is kept: `ledger:topic/partition/offset`, or `kafka:` if only the request topic has all of
    /// it.
    pub(super) reference: String,
}

/// Upper bound, in bytes after escaping, on the beginning of the rejected record that a dead letter quotes.
const BEGINNING_CAP: usize = 4 * CutRecord::KEPT_BYTES;
/// A value of this length is hardly longer than a reference to it.
const SMALL_VALUE: usize = 256;
/// Bytes of a key and of a header that stay in a letter which is still too large when its value goes by reference.
const SMALL_KEY: usize = 1_024;
const SMALL_HEADER: usize = 4_096;
/// Upper bound on what Kafka's format adds to a record, and to each header.
const FRAME: usize = 100;
const HEADER_FRAME: usize = 10;

impl Letter {
    /// Shortens the letter to at most `max` bytes, key and headers counted, or as far as it can be shortened: first the
    /// value goes by reference, then a long key is left out, then long headers are cut.
    pub(super) fn fit(&mut self, original: &OriginalRecord, max: usize) {
        let is_small = self.value.as_ref().is_some_and(|value| value.len() <= SMALL_VALUE);
        if self.value.is_none() || (self.bytes() > max && !is_small) {
            let reference = &original.reference;
            self.headers.push(("mf_value_ref".to_owned(), reference.clone().into_bytes()));
            let mut value = json!({"bytes": original.bytes, "ref": reference});
            if let Some(beginning) = &original.beginning {
                value["beginning"] = line(&String::from_utf8_lossy(beginning), BEGINNING_CAP).into();
            }
            self.value = Some(value.to_string().into_bytes());
        }
        if self.bytes() > max && self.key.as_ref().is_some_and(|key| key.len() > SMALL_KEY) {
            let length = self.key.take().map_or(0, |key| key.len());
            self.headers.retain(|(name, _)| name != "mf_key_bytes");
            self.headers.push(("mf_key_bytes".to_owned(), length.to_string().into_bytes()));
        }
        if self.bytes() > max {
            for (_, value) in &mut self.headers {
                cut(value);
            }
        }
    }

    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_FRAME);
        let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        FRAME + length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

/// Cuts a header's text to `SMALL_HEADER` bytes, between two characters.
fn cut(value: &mut Vec<u8>) {
    if value.len() <= SMALL_HEADER {
        return;
    }
    value.truncate(SMALL_HEADER);
    while let Err(error) = std::str::from_utf8(value) {
        let valid = error.valid_up_to();
        value.truncate(valid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original() -> OriginalRecord {
        OriginalRecord { bytes: 7, beginning: None, reference: "ledger:t/0/1".to_owned() }
    }

    fn letter(key: usize, value: usize, header: &str) -> Letter {
        let headers = vec![("mf_pointer".to_owned(), header.as_bytes().to_vec())];
        Letter { key: Some(vec![b'k'; key]), value: Some(vec![b'v'; value]), headers }
    }

    #[test]
    fn a_letter_that_fits_stays_as_it_is() {
        let mut small = letter(10, 10, "/a");
        small.fit(&original(), 1_000);
        assert_eq!((small.value.as_deref(), small.headers.len()), (Some(&[b'v'; 10][..]), 1));
    }

    #[test]
    fn the_sum_of_its_parts_decides_and_the_largest_letter_fits_in_the_end() {
        for (key, value, header) in [(600_000, 400_000, 10), (600_000, 1_000, 500_000), (10, 1_000, 2_000_000)] {
            let mut large = letter(key, value, &"é".repeat(header / 2));
            large.fit(&original(), 900_000);
            assert!(large.bytes() <= 900_000, "{key} {value} {header}");
            assert!(large.headers.iter().any(|(name, _)| name == "mf_value_ref"));
            assert!(large.headers.iter().all(|(_, value)| std::str::from_utf8(value).is_ok()));
        }
    }

    #[test]
    fn a_letter_that_was_refused_goes_as_small_as_it_can_be_made() {
        let mut refused = letter(600_000, 200_000, &"x".repeat(300_000));
        refused.fit(&original(), 0);
        assert!(refused.bytes() < 6_000, "{}", refused.bytes());
        assert!(refused.key.is_none());
        let mut small = letter(10, 200_000, "/a");
        small.fit(&original(), 0);
        assert_eq!(small.key.map(|key| key.len()), Some(10), "a small key stays");
    }
}
