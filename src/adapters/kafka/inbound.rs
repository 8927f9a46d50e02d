//! A record as an owned value. The only file that reads parts of a record from the client library.
//!
//! Guarantees: reading never panics and never fails; every part is bounded. A record with a part over its bound, or one
//! that the client library cannot read, is [cut](CutRecord): its value is hashed in the client library's memory, and
//! only the beginnings of key and value are copied.

use crate::domain::contract::{CutRecord, MAX_MESSAGE_BYTES, RejectedIds, Rejection};
use crate::domain::run::FailureCode;
use crate::guard::guarded;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use std::collections::BTreeMap;
use std::hash::Hasher as _;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use twox_hash::XxHash64;

#[derive(Debug, Clone)]
pub struct Inbound {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    /// Empty if the record has no value.
    pub value: Vec<u8>,
    /// Headers whose value is UTF-8; if several have the same name, the last one. Empty if the headers break a bound or
    /// cannot be read.
    pub headers: BTreeMap<String, String>,
    /// Set if `key` and `value` hold at most the beginnings of the record's key and value; `None` if the record is
    /// whole.
    pub cut: Option<CutRecord>,
    /// Checksum over timestamp, key and value. Tells the record from another one at the same topic, partition and
    /// offset.
    pub fingerprint: i64,
    /// True if the record is read again only to compare it with what the ledger decided: its offset is below
    /// `ReadFrom::at`.
    pub is_check: bool,
    /// The member's generation when it read the record; 0 outside a consumer group.
    pub(super) generation: u64,
}

/// Upper bounds on the parts of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartBounds {
    pub(super) value_bytes: usize,
}

impl PartBounds {
    /// Bounds for topics that others write.
    pub(super) const FOREIGN: Self = Self { value_bytes: MAX_MESSAGE_BYTES };
    /// Bounds for topics that only workers write, whose events and publications are larger than requests.
    pub(super) const OURS: Self = Self { value_bytes: 16 * 1024 * 1024 };
}

/// Upper bound on a key, in bytes.
const MAX_KEY_BYTES: usize = CutRecord::KEPT_BYTES;
const MAX_HEADERS: usize = 64;
/// Upper bound on the name of a header, and on its value, in bytes.
const MAX_HEADER_BYTES: usize = 4 * 1024;
/// A value of this size takes a good part of a millisecond to hash.
const LARGE_BYTES: usize = 1024 * 1024;

type TextHeaders = BTreeMap<String, String>;

impl Inbound {
    pub(super) fn read(message: &BorrowedMessage<'_>, generation: u64, bounds: PartBounds) -> Self {
        let (key, value) = (message.key(), message.payload().unwrap_or_default());
        // The client library panics where a header's name is not UTF-8.
        let headers = match guarded(|| headers(message)) {
            Ok(headers) => headers,
            Err(panicked) => Err((FailureCode::MessageUnreadable, format!("its headers cannot be read: {panicked}"))),
        };
        let broken = within_bounds(message, bounds).err();
        let (headers, broken) = match headers {
            Ok(headers) => (headers, broken),
            Err(unreadable) => (TextHeaders::new(), broken.or(Some(unreadable))),
        };
        let cut = broken.map(|(code, rule)| {
            let rejection = Rejection::new(code, "", &rule, RejectedIds::default());
            beside_the_loops(value.len(), || CutRecord::of(key, value, rejection))
        });
        let kept = |part: &[u8]| if cut.is_some() { CutRecord::beginning(part).to_vec() } else { part.to_vec() };
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: key.map(kept),
            value: kept(value),
            headers,
            cut,
            fingerprint: fingerprint(message),
            is_check: false,
            generation,
        }
    }

    /// Builds a record for tests of code that reads records.
    #[cfg(test)]
    pub fn whole(topic: &str, partition: i32, offset: i64, value: Vec<u8>, headers: TextHeaders) -> Self {
        let (topic, fingerprint, is_check, generation) = (topic.to_owned(), offset, false, 0);
        let (key, cut) = (None, None);
        Self { topic, partition, offset, key, value, headers, cut, fingerprint, is_check, generation }
    }

    /// Returns how many bytes the client library unpacked for this record, without headers that break a bound.
    pub(super) fn unpacked_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let whole = self.key.as_ref().map_or(0, Vec::len) + self.value.len();
        headers + self.cut.as_ref().map_or(whole, |cut| (cut.key_bytes + cut.value_bytes) as usize)
    }
}

/// The code of a record that cannot be read whole, and why.
type Unreadable = (FailureCode, String);

fn too_large(what: &str, found: usize, most: usize, unit: &str) -> Unreadable {
    (FailureCode::MessageTooLarge, format!("the {what} has {found} {unit}, {most} are allowed"))
}

/// Checks value and key.
fn within_bounds(message: &BorrowedMessage<'_>, bounds: PartBounds) -> Result<(), Unreadable> {
    if message.payload_len() > bounds.value_bytes {
        return Err(too_large("value", message.payload_len(), bounds.value_bytes, "bytes"));
    }
    if message.key_len() > MAX_KEY_BYTES {
        return Err(too_large("key", message.key_len(), MAX_KEY_BYTES, "bytes"));
    }
    Ok(())
}

/// Returns the headers whose values are UTF-8, or the bound that the headers break.
fn headers(message: &BorrowedMessage<'_>) -> Result<TextHeaders, Unreadable> {
    let Some(found) = message.headers() else { return Ok(TextHeaders::new()) };
    if found.count() > MAX_HEADERS {
        return Err(too_large("record", found.count(), MAX_HEADERS, "headers"));
    }
    let mut headers = TextHeaders::new();
    for header in found.iter() {
        let longest = header.key.len().max(header.value.map_or(0, <[u8]>::len));
        if longest > MAX_HEADER_BYTES {
            return Err(too_large("name or value of a header", longest, MAX_HEADER_BYTES, "bytes"));
        }
        if let Some(Ok(text)) = header.value.map(std::str::from_utf8) {
            headers.insert(header.key.to_owned(), text.to_owned());
        }
    }
    Ok(headers)
}

/// Computes the checksum. A requester who constructs colliding bytes gains nothing: the timestamp is part of the
/// checksum, and one record of many that differs is enough to notice that a topic was created again.
fn fingerprint(message: &BorrowedMessage<'_>) -> i64 {
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(&message.timestamp().to_millis().unwrap_or(-1).to_be_bytes());
    for part in [message.key(), message.payload()] {
        hasher.write(&part.map_or(-1, |part| part.len() as i64).to_be_bytes());
        hasher.write(part.unwrap_or_default());
    }
    hasher.finish().cast_signed()
}

/// Runs `work` here, since the client library's record cannot be given to another thread. If the value is large, other
/// tasks of the runtime go on elsewhere meanwhile.
fn beside_the_loops<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let may_block = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > LARGE_BYTES && may_block { block_in_place(work) } else { work() }
}
