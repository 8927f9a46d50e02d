//! The outbox as relays see it: the first events of each run, marked under their fence.

use crate::support::{admit_one, fresh_database, ledger_on, whole_room};
use model_factory::adapters::ledger::{Coordinates, Lane, Room, Sent, Shard};

#[tokio::test]
async fn a_run_with_events_in_flight_is_not_chosen_again_and_a_stale_relay_marks_nothing() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    admit_one(&ledger, "a").await;
    ledger.claim("w").await.unwrap().unwrap();
    let shards = ledger.take_shards("r1", 16).await.unwrap();
    assert_eq!(shards.len(), 16);
    assert!(ledger.take_shards("r2", 16).await.unwrap().is_empty(), "r1 holds them all");
    let choose = async |busy: &[&str], of_a_stream: usize| {
        let room = Room { busy, of_a_stream, ..whole_room() };
        ledger.unsent(Lane::RunEvents, room).await.unwrap()
    };
    let rows = choose(&[], 1).await;
    assert_eq!(rows.len(), 1, "run.started waits for request.admitted");
    assert_eq!(choose(&[], 10).await.len(), 2);
    assert_eq!(choose(&[&rows[0].stream], 10).await, []);
    let sent = |offset: i64, relay_shards: &[Shard]| Sent {
        id: rows[0].id,
        kind: rows[0].kind,
        shard: relay_shards.iter().copied().find(|shard| shard.shard == rows[0].shard).unwrap(),
        coordinates: Coordinates { topic: "lifecycle".to_owned(), partition: 0, offset },
    };
    ledger.release_shards("r1").await.unwrap();
    let taken = ledger.take_shards("r2", 16).await.unwrap();
    assert_eq!(ledger.mark_sent("r1", &[sent(7, &shards)]).await.unwrap(), 0);
    assert_eq!(ledger.mark_sent("r2", &[sent(8, &taken)]).await.unwrap(), 1);
    assert_eq!(ledger.mark_sent("r2", &[sent(9, &taken)]).await.unwrap(), 0, "once");
    assert_eq!(choose(&[], 10).await.len(), 1);
}
