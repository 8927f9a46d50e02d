//! The outbox as relays see it: one event of a run at a time, marked under its fence.

use crate::support::{admit_one, fresh_database, ledger_on};
use model_factory::adapters::ledger::{Coordinates, Sent, Shard};

#[tokio::test]
async fn of_each_run_one_record_is_given_out_at_a_time_and_a_stale_relay_marks_nothing() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    admit_one(&ledger, "a").await;
    ledger.claim("w").await.unwrap().unwrap();
    let shards = ledger.take_shards("r1").await.unwrap();
    assert_eq!(shards.len(), 16);
    assert!(ledger.take_shards("r2").await.unwrap().is_empty(), "r1 holds them all");
    let rows = ledger.unsent(&shards, 10, 1_000).await.unwrap();
    assert_eq!(rows.len(), 1, "run.started waits until request.admitted is sent");
    let sent = |offset: i64, relay_shards: &[Shard]| Sent {
        id: rows[0].id,
        kind: rows[0].kind,
        shard: relay_shards.iter().copied().find(|shard| shard.shard == rows[0].shard).unwrap(),
        coordinates: Coordinates { topic: "lifecycle".to_owned(), partition: 0, offset },
    };
    ledger.release_shards("r1").await.unwrap();
    let taken = ledger.take_shards("r2").await.unwrap();
    assert_eq!(ledger.mark_sent("r1", &[sent(7, &shards)]).await.unwrap(), 0);
    assert_eq!(ledger.mark_sent("r2", &[sent(8, &taken)]).await.unwrap(), 1);
    assert_eq!(ledger.mark_sent("r2", &[sent(9, &taken)]).await.unwrap(), 0, "once");
    assert_eq!(ledger.unsent(&taken, 10, 1_000).await.unwrap().len(), 1);
}
