//! Records as anybody may write them: with any bytes in every part, and compressed by whatever codec.

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The bytes of a record; no client library has judged them.
#[derive(Debug, Clone, Default)]
pub struct ForeignRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Writes records to partition 0 of a topic by Kafka's own protocol (Produce, version 3); fails the test if the broker
/// refuses them.
pub async fn send_foreign(brokers: &str, topic: &str, records: &[ForeignRecord]) {
    let batch = batch(records);
    let mut request = Vec::new();
    request.extend([0, 0, 0, 3, 0, 0, 0, 1]); // Produce, its version, a correlation id.
    request.extend([0xff, 0xff, 0xff, 0xff]); // No client id, no transaction.
    request.extend([0xff, 0xff]); // All replicas acknowledge.
    request.extend(30_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend((topic.len() as i16).to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend((batch.len() as i32).to_be_bytes());
    request.extend(batch);
    let mut broker = TcpStream::connect(brokers).await.unwrap();
    broker.write_i32(request.len() as i32).await.unwrap();
    broker.write_all(&request).await.unwrap();
    let size = broker.read_i32().await.unwrap();
    let mut response = vec![0; size as usize];
    broker.read_exact(&mut response).await.unwrap();
    // Correlation id, one topic with its name, one partition with its number.
    let error = &response[4 + 4 + 2 + topic.len() + 4 + 4..][..2];
    assert_eq!(error, [0, 0], "the broker refuses the records");
}

/// Writes one record that this codec compresses: `gzip`, `snappy`, `lz4` or `zstd`.
pub async fn send_compressed(brokers: &str, topic: &str, codec: &str, value: &[u8]) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("compression.codec", codec)
        .set("message.max.bytes", "900000000")
        .create()
        .unwrap();
    let record = FutureRecord::<[u8], [u8]>::to(topic).partition(0).payload(value);
    producer.send(record, Duration::from_mins(1)).await.unwrap();
}

/// A record batch of format 2, not compressed.
fn batch(records: &[ForeignRecord]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0_i16.to_be_bytes());
    body.extend((records.len() as i32 - 1).to_be_bytes());
    body.extend(1_700_000_000_000_i64.to_be_bytes());
    body.extend(1_700_000_000_000_i64.to_be_bytes());
    body.extend([0xff; 8 + 2 + 4]); // No producer id, epoch or sequence.
    body.extend((records.len() as i32).to_be_bytes());
    for (index, record) in records.iter().enumerate() {
        let mut bytes = vec![0];
        varint(&mut bytes, 0);
        varint(&mut bytes, index as i64);
        part(&mut bytes, record.key.as_deref());
        part(&mut bytes, record.value.as_deref());
        varint(&mut bytes, record.headers.len() as i64);
        for (name, value) in &record.headers {
            part(&mut bytes, Some(name));
            part(&mut bytes, value.as_deref());
        }
        varint(&mut body, bytes.len() as i64);
        body.extend(bytes);
    }
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend((body.len() as i32 + 4 + 1 + 4).to_be_bytes());
    batch.extend([0xff, 0xff, 0xff, 0xff, 2]); // No leader epoch; format 2.
    batch.extend(crc32c(&body).to_be_bytes());
    batch.extend(body);
    batch
}

fn part(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend(bytes.unwrap_or_default());
}

/// Zigzag, then seven bits a byte.
fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}
