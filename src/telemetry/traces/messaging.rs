//! Begins the spans of Kafka records that are received and sent.
//!
//! Guarantees: names and attributes follow OpenTelemetry's semantic conventions for messaging (1.42). Never: puts the
//! value of a record into a span.

use super::spans::{OpenSpan, RECORDING, remote, under};
use crate::domain::trace_context::TraceContext;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanBuilder, SpanKind};

#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    /// The size of the record's value in bytes.
    pub bytes: usize,
    pub group: &'a str,
}

/// Begins the span `process {topic}` under the requester's context. `None` if traces are off.
pub fn process_span(record: &Received<'_>, from: Option<&TraceContext>) -> Option<OpenSpan> {
    let recording = RECORDING.get()?;
    let mut attributes = messaging("process", record.topic, record.key, record.bytes);
    attributes.push(KeyValue::new("messaging.destination.partition.id", record.partition.to_string()));
    attributes.push(KeyValue::new("messaging.kafka.offset", record.offset));
    attributes.push(KeyValue::new("messaging.consumer.group.name", record.group.to_owned()));
    // The conventions require a link and also allow a parent. Both are set, since one record is one request.
    let links = from.map(|from| Link::with_context(remote(from))).into_iter().collect();
    let builder = SpanBuilder::from_name(format!("process {}", record.topic))
        .with_kind(SpanKind::Consumer)
        .with_attributes(attributes)
        .with_links(links);
    Some(OpenSpan::begin(recording, builder, &under(from)))
}

/// What the span of a send states about a Kafka record: topic, key, size and ids.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    /// The size of the record's value in bytes.
    pub bytes: usize,
    /// The record's header `ce_id`; `None` if it has no such header.
    pub id: Option<&'a str>,
    pub run_id: Option<&'a str>,
}

/// Begins the span `send {topic}` under the context that the record was written with. `None` if traces are off.
pub fn send_span(record: &Sending<'_>, from: Option<&TraceContext>) -> Option<OpenSpan> {
    let recording = RECORDING.get()?;
    let mut attributes = messaging("send", record.topic, record.key, record.bytes);
    for (name, value) in [("messaging.message.id", record.id), ("run.id", record.run_id)] {
        attributes.extend(value.map(|value| KeyValue::new(name, value.to_owned())));
    }
    let builder = SpanBuilder::from_name(format!("send {}", record.topic))
        .with_kind(SpanKind::Producer)
        .with_attributes(attributes);
    Some(OpenSpan::begin(recording, builder, &under(from)))
}

/// The most bytes of a record key in a span. A longer key is left out.
const KEY_CAP: usize = 256;

fn messaging(operation: &'static str, topic: &str, key: Option<&[u8]>, bytes: usize) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.destination.name", topic.to_owned()),
        KeyValue::new("messaging.message.body.size", i64::try_from(bytes).unwrap_or(i64::MAX)),
    ];
    let key = key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| key.len() <= KEY_CAP);
    attributes.extend(key.map(|key| KeyValue::new("messaging.kafka.message.key", key.to_owned())));
    attributes
}
