//! One record with hostile parts, beside a good request of somebody else.

use crate::support::{
    BOUND, ForeignRecord, World, confirmed_by_registry, eventually, outbox_sent, request, send_compressed, send_foreign,
};
use model_factory::domain::contract::EventType;
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{FailureCode, Outcome, RegistryReply, State};
use serde_json::{Value, json};

fn good(id: &str) -> ForeignRecord {
    ForeignRecord { value: Some(request(id).to_string().into_bytes()), ..ForeignRecord::default() }
}

fn refused(code: FailureCode) -> Outcome {
    Outcome::Rejected { code }
}

async fn send(world: &World, records: &[ForeignRecord]) {
    send_foreign(&world.config.kafka.brokers, &world.config.kafka.topics.requests, records).await;
}

fn header(name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> (Vec<u8>, Option<Vec<u8>>) {
    (name.into(), Some(value.into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_nobody_can_read_or_that_are_too_large_cost_that_record_alone() {
    let world = World::new().await;
    let with = |headers| ForeignRecord { headers, ..good("req-hostile-parts") };
    let hostile = [
        (with(vec![header(b"\xff", b"1")]), FailureCode::MessageUnreadable),
        (with(vec![header(b"x".repeat(4_097), b"1")]), FailureCode::MessageTooLarge),
        (with(vec![header(b"x", b"1".repeat(4_097))]), FailureCode::MessageTooLarge),
        (with((0..65).map(|n| header(format!("h{n}"), b"1")).collect()), FailureCode::MessageTooLarge),
        (ForeignRecord { key: Some(vec![b'k'; 600_000]), ..good("req-hostile-key") }, FailureCode::MessageTooLarge),
        (ForeignRecord { value: Some(vec![b'v'; 300_000]), ..ForeignRecord::default() }, FailureCode::MessageTooLarge),
    ];
    for (record, _) in &hostile {
        send(&world, &[record.clone(), good("req-hostile-good")]).await;
    }
    let outcomes = world.admit(2 * hostile.len()).await;
    for (index, (_, code)) in hostile.iter().enumerate() {
        assert_eq!(outcomes[2 * index], refused(*code), "record {index}");
        assert!(!matches!(outcomes[2 * index + 1], Outcome::Rejected { .. }), "record {index}");
    }
    let sent = world.drain().await;
    let [_, _, letters] = world.received(sent).await;
    assert_eq!(letters.len(), hostile.len());
    for letter in &letters {
        let size = letter.key.as_ref().map_or(0, Vec::len) + letter.value.len();
        let headers: usize = letter.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(size + headers < 10_000, "a dead letter of {size} and {headers} bytes");
        assert!(letter.headers["mf_value_ref"].starts_with("kafka:"), "{:?}", letter.headers);
    }
    // Of a record that is cut the dead letter says what it was; key and value stay on their topic.
    let large_key = letters.iter().find(|letter| letter.headers.contains_key("mf_key_bytes")).unwrap();
    assert_eq!((large_key.key.as_ref(), large_key.headers["mf_key_bytes"].as_str()), (None, "600000"));
    let large_value = letters.iter().find(|letter| letter.headers["mf_bytes"] == "300000").unwrap();
    assert_eq!(large_value.headers["mf_sha256"], Digest::of(&vec![b'v'; 300_000]).to_string());
    let quoted: Value = serde_json::from_slice(&large_value.value).unwrap();
    let at = format!("{}/0/10", world.config.kafka.topics.requests);
    assert_eq!(quoted, json!({"beginning": "v".repeat(1_024), "bytes": 300_000, "ref": format!("kafka:{at}")}));
    // People are sent to the topic.
    let shown = world.stdout(&["dead-letters", "show", &at]);
    assert!(shown.contains("kcat") && shown.contains("keeps only the beginning"), "{shown}");
    for arguments in
        [&["dead-letters", "replay", &at, "--reason", "again"][..], &["dead-letters", "show", &at, "--raw"]]
    {
        let output = world.command(arguments).output().unwrap();
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("kcat"), "{arguments:?}");
    }
    // The audit log compares the digest of all that was refused.
    world.stdout(&["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_message_quotes_reaches_no_header_raw_or_at_length() {
    let world = World::new().await;
    let mut escape = request("req-hostile-escape");
    escape["\u{1b}]0;owned\u{7}\u{202e}"] = json!(1);
    let mut long = request("req-hostile-long");
    long["x".repeat(250_000)] = json!(1);
    world.send(&[escape, long, request("req-hostile-good-2")].map(|value| value.to_string().into_bytes())).await;
    let outcomes = world.admit(3).await;
    assert_eq!(outcomes[..2], [refused(FailureCode::SchemaInvalid), refused(FailureCode::SchemaInvalid)]);
    assert!(matches!(outcomes[2], Outcome::Admitted { .. }));
    let sent = world.drain().await;
    let [events, _, letters] = world.received(sent).await;
    assert_eq!((events.len(), letters.len()), (3, 2));
    for letter in &letters {
        for (name, value) in &letter.headers {
            assert!(value.len() <= 1_024 && !value.contains(|c: char| c.is_control() || c == '\u{202e}'), "{name}");
        }
        assert!(letter.headers["mf_pointer"].len() <= 200);
    }
    assert!(letters[0].headers["mf_pointer"].starts_with("/\\u{1b}]0;owned"), "{:?}", letters[0].headers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registrys_topic_passes_over_what_cannot_be_read() {
    let mut world = World::new().await;
    world.ledger = world.ledger.publishing(&confirmed_by_registry(900));
    let (brokers, topic) = (&world.config.kafka.brokers, &world.config.kafka.topics.registry_lifecycle);
    let hostile = ForeignRecord { headers: vec![header(b"\xff", b"1")], ..ForeignRecord::default() };
    let large = ForeignRecord { value: Some(vec![b' '; 300_000]), ..ForeignRecord::default() };
    let other = json!({
        "registry_event_id": "reg-other-1", "event_type": "BUNDLE_PUBLISHED", "scope_key": "a/b/c",
        "bundle_ref": "nothing/of/ours", "actor": "tests", "ts_utc": "2026-03-01T09:30:00Z", "evidence_refs": [],
    });
    let other = ForeignRecord { value: Some(other.to_string().into_bytes()), ..ForeignRecord::default() };
    send_foreign(brokers, topic, &[hostile, large, other]).await;
    let replies = world.read_registry_events(3).await;
    assert_eq!(replies, [RegistryReply::Malformed, RegistryReply::Malformed, RegistryReply::Unknown]);
}

/// The worst at once, against a worker process: the memory is the operating system's own figure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_outlives_every_codec_and_a_record_that_unpacks_to_200_mib() {
    const UNPACKED: usize = 200 * 1024 * 1024;
    // Both large records may be unpacked at once, since they are small on the broker; none is copied.
    const MOST_KIB: u64 = (2 * UNPACKED as u64) / 1024 + 150 * 1024;
    let world = World::new().await;
    let (brokers, topic) = (world.config.kafka.brokers.clone(), world.config.kafka.topics.requests.clone());
    let large = vec![b'0'; UNPACKED];
    send_compressed(&brokers, &topic, "gzip", &large).await;
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let value = request(&format!("req-codec-{codec}")).to_string().into_bytes();
        send_compressed(&brokers, &topic, codec, &value).await;
    }
    send_compressed(&brokers, &topic, "zstd", &large).await;
    send(&world, &[good("req-codec-last")]).await;
    let mut worker = world.worker("codecs").start();
    world.decided(7).await;
    world.reaches("req-codec-last", State::Published).await;
    outbox_sent(&world.ledger).await;
    let letters = world.dead_letters(2).await;
    for letter in &letters {
        assert_eq!(letter.headers["mf_bytes"], UNPACKED.to_string());
        assert_eq!(letter.headers["mf_sha256"], Digest::of(&large).to_string());
    }
    let peak = worker.peak_kib();
    assert!(peak < MOST_KIB, "the worker had {peak} KiB at its peak");
    let events = eventually("five requests that are told", BOUND, || async {
        let found = world.next_event(std::time::Duration::from_secs(5)).await?;
        let event: Value = serde_json::from_slice(&found.value).unwrap();
        (event["event_type"] == EventType::PublishPublished.as_str()).then_some(event)
    })
    .await;
    assert_eq!(events["state"], "PUBLISHED");
    worker.stop().await;
}
