//! A record as it was read.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct Inbound {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    /// Empty where the record has none.
    pub value: Vec<u8>,
    /// Those whose value is UTF-8; of several with one name, the last.
    pub headers: BTreeMap<String, String>,
    /// How many rebalances the member had seen when it read the record; 0 outside a group.
    pub(super) assignment: u64,
}

impl Inbound {
    pub(super) fn read(message: &BorrowedMessage<'_>, assignment: u64) -> Self {
        let mut headers = BTreeMap::new();
        for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            if let Some(Ok(text)) = header.value.map(std::str::from_utf8) {
                headers.insert(header.key.to_owned(), text.to_owned());
            }
        }
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            headers,
            assignment,
        }
    }
}
