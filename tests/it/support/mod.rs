//! What tests stand on: a database and topics of their own, and generated data.

mod arrivals;
mod broker;
mod data;
mod group;
mod kafka;
mod postgres;
mod process;
mod registry;
mod world;

pub use arrivals::{admit_one, arrival, bring, event, event_of_bytes, revision};
pub use broker::{Departure, OwnKafka};
pub use data::data;
pub use group::{compacted_topic, forget_before, stand_at};
pub use kafka::{committed, own_topics, own_topics_on};
pub use postgres::{as_role, as_worker, count, fresh_database, grant_roles, ledger_on, sql};
pub use process::Worker;
pub use registry::{asks_the_registry, said, serve};
pub use world::{World, request, turn, unwatched};

use std::time::{Duration, Instant};

/// Polls until `condition` gives a value; fails the test after `bound`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> F,
) -> T {
    let since = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(since.elapsed() < bound, "waited {bound:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
