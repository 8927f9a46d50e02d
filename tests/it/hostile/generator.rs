//! Records with raw bytes in every part, from a seed, beside good requests: nothing is lost, nothing stands still.
//! `MODEL_FACTORY_TEST_HOSTILE_RECORDS` sets how many there are.

use crate::support::{ForeignRecord, World, count, outbox_sent, revision, send_foreign};
use model_factory::domain::run::Outcome;
use model_factory::worker::intake::IntakeOutcome;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

const SEED: u64 = 17;
/// Every so many records one is a good request of somebody else.
const GOOD: usize = 20;

fn bytes(random: &mut ChaCha8Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..=most)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// A part that is mostly small, and now and then over its bound.
fn part(random: &mut ChaCha8Rng, bound: usize) -> Vec<u8> {
    let most = if random.random_ratio(1, 200) { 2 * bound } else { 40 };
    bytes(random, most)
}

/// A good request with a few of its bytes changed.
fn mutated(random: &mut ChaCha8Rng, n: usize) -> Vec<u8> {
    let mut value = revision(&format!("req-mutated-{n:06}"), "mutated").to_string().into_bytes();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..value.len());
        match random.random_range(0..3) {
            0 => value[at] = random.random(),
            1 => drop(value.remove(at)),
            _ => value.insert(at, random.random()),
        }
    }
    value
}

fn record(random: &mut ChaCha8Rng, n: usize) -> ForeignRecord {
    if n.is_multiple_of(GOOD) {
        let value = revision(&format!("req-generated-{n:06}"), &format!("c{n}")).to_string().into_bytes();
        return ForeignRecord { value: Some(value), ..ForeignRecord::default() };
    }
    let key = random.random_ratio(1, 2).then(|| part(random, 1_024));
    let value = match random.random_range(0..10) {
        0 => None,
        1..5 => Some(part(random, 256 * 1_024)),
        _ => Some(mutated(random, n)),
    };
    let headers = if random.random_ratio(1, 500) { 70 } else { random.random_range(0..4) };
    let header = |random: &mut ChaCha8Rng| {
        let name = if random.random_ratio(1, 2) { b"traceparent".to_vec() } else { part(random, 4_096) };
        (name, random.random_ratio(3, 4).then(|| part(random, 4_096)))
    };
    ForeignRecord { key, value, headers: (0..headers).map(|_| header(random)).collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_bytes_come_each_record_has_one_outcome_and_each_good_request_its_run() {
    let wanted: usize =
        std::env::var("MODEL_FACTORY_TEST_HOSTILE_RECORDS").map_or(2_000, |number| number.parse().unwrap());
    let world = World::new().await;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let (mut intake, mut outcomes, mut sent) = (world.intake().await, Vec::new(), 0);
    let mut moved_at = Instant::now();
    while outcomes.len() < wanted {
        if sent < wanted && sent - outcomes.len() < 2_000 {
            let records: Vec<_> = (sent..wanted.min(sent + 100)).map(|n| record(&mut random, n)).collect();
            sent += records.len();
            send_foreign(&world.config.kafka.brokers, &world.config.kafka.topics.requests, &records).await;
        }
        if let IntakeOutcome::Admitted(more) = intake.admit_once().await.unwrap() {
            outcomes.extend(more);
            moved_at = Instant::now();
        }
        assert!(moved_at.elapsed() < Duration::from_secs(30), "{} of {sent} records have an outcome", outcomes.len());
    }
    intake.close().await;
    assert_eq!(outcomes.len(), wanted);
    let good = outcomes.iter().step_by(GOOD);
    assert!(good.clone().all(|outcome| matches!(outcome, Outcome::Admitted { .. })), "a good request was refused");
    let url = &world.config.ledger.url;
    assert_eq!(count(url, "inbox").await, wanted as i64);
    let refused = outcomes.iter().filter(|outcome| outcome.code().is_some()).count() as i64;
    assert_eq!(count(url, "outbox WHERE kind = 'DEAD_LETTER'").await, refused);
    assert!(refused as usize > wanted / 2, "{refused} were refused");
    world.drain().await;
    outbox_sent(&world.ledger).await;
}
