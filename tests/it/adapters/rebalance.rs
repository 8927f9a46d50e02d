//! Partitions move between members of a group while a member still has their records.

use crate::support::{committed, eventually, fresh_database, ledger_on, own_topics, revision};
use model_factory::adapters::kafka::{
    AssignedPartition, Inbound, Inbox, KafkaSettings, Outlet, ReadFrom, Record, StartAt,
};
use model_factory::adapters::ledger::{Arrival, Coordinates, Ledger, SourceRecord};
use model_factory::domain::contract::AllowList;
use model_factory::domain::run::Outcome;
use model_factory::worker::intake::{Intake, IntakeOutcome};
use std::collections::BTreeMap;
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_millis(200);
type Decisions = BTreeMap<(i32, i64), Outcome>;

async fn send(kafka: &KafkaSettings, ids: std::ops::Range<usize>) {
    let outlet = Outlet::open(kafka).unwrap();
    let values: Vec<(String, Vec<u8>)> = ids
        .map(|n| (format!("key-{n}"), revision(&format!("req-move-{n:04}"), &format!("c{n}")).to_string().into_bytes()))
        .collect();
    let topic = &kafka.topics.requests;
    let sending =
        values.iter().map(|(key, value)| outlet.send(Record { topic, key: Some(key.as_bytes()), value, headers: &[] }));
    futures::future::try_join_all(sending).await.unwrap();
    outlet.close().await;
}

/// Reads what is assigned from where the group stands, or from its beginning.
async fn read_on(inbox: &mut Inbox) {
    let standings = inbox.standings().await.unwrap();
    let start = |standing: &AssignedPartition| ReadFrom {
        partition: standing.partition,
        at: standing.committed.unwrap_or(standing.begin),
        check: None,
    };
    let starts: Vec<ReadFrom> = standings.iter().map(start).collect();
    if !starts.is_empty() {
        inbox.begin_at(&starts, "of a test").unwrap();
    }
}

/// Reads until `enough` records are there.
async fn take(inbox: &mut Inbox, what: &str, enough: impl Fn(&[Inbound]) -> bool) -> Vec<Inbound> {
    let mut records = Vec::new();
    let since = std::time::Instant::now();
    while !enough(&records) {
        assert!(since.elapsed() < BOUND, "waited for {what}, have {}", records.len());
        read_on(inbox).await;
        records.extend(inbox.next_batch(1_000, PATIENCE).await.unwrap());
    }
    records
}

/// Admits records; returns the outcome of each by partition and offset.
async fn decide(ledger: &Ledger, records: &[Inbound]) -> Decisions {
    let arrivals: Vec<Arrival> = records
        .iter()
        .map(|record| {
            let Inbound { topic, partition, offset, key, value, .. } = record.clone();
            let coordinates = Coordinates { topic, partition, offset };
            let record = SourceRecord { coordinates, key, value, cut: None, trace: None };
            Arrival::read(record, &AllowList::new([], true))
        })
        .collect();
    let outcomes = ledger.admit(&arrivals, "w").await.unwrap();
    records.iter().map(|record| (record.partition, record.offset)).zip(outcomes).collect()
}

fn of(partition: i32, records: &[Inbound]) -> Vec<i64> {
    records.iter().filter(|record| record.partition == partition).map(|record| record.offset).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_in_hand_while_their_partition_moves_away_and_back_are_decided_once_and_move_no_offset_back() {
    let kafka = own_topics(2).await;
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    send(&kafka, 0..40).await;
    let mut first = Inbox::subscribe(&kafka).await.unwrap();
    let in_hand = take(&mut first, "every record", |records| records.len() == 40).await;

    // A second member gets one of the two partitions, and reads it from the start: nothing is committed yet.
    let mut second = Inbox::subscribe(&kafka).await.unwrap();
    let moved = {
        let waiting = async {
            loop {
                first.idle(PATIENCE).await;
            }
        };
        let arriving = take(&mut second, "records of its own", |records| !records.is_empty());
        tokio::select! { records = arriving => records, () = waiting => unreachable!() }
    };
    let partition = moved[0].partition;
    assert!(moved.iter().all(|record| record.partition == partition), "one partition each");
    assert_eq!(moved[0].offset, 0);

    // Both members decide at once.
    let (mut decisions, again) = tokio::join!(decide(&ledger, &in_hand), decide(&ledger, &moved));
    for (at, outcome) in again {
        assert_eq!(decisions[&at], outcome, "{at:?}");
    }
    // The first member may not settle records of a partition that it lost, nor, until it reads them again, records from
    // before the rebalance.
    first.settle(&in_hand).unwrap();
    second.settle(&moved).unwrap();

    // The second member goes on, and leaves with everything committed.
    send(&kafka, 40..60).await;
    let end = of(partition, &in_hand).len() as i64;
    let mut more =
        take(&mut second, "the rest", |records| of(partition, records).last().is_some_and(|last| *last > end)).await;
    more.sort_by_key(|record| record.offset);
    let further = more.last().unwrap().offset + 1;
    decisions.extend(decide(&ledger, &more).await);
    second.settle(&more).unwrap();
    {
        let waiting = async {
            loop {
                first.idle(PATIENCE).await;
            }
        };
        tokio::select! { () = second.close() => {}, () = waiting => unreachable!() }
    }
    assert_eq!(committed(&kafka, partition).await, further);

    // The partition comes back to the first member, which still has the old records.
    let rest = take(&mut first, "the partition's return", |records| {
        let here = of(1 - partition, records).len() as i64 >= 60 - further;
        let tail = records.iter().any(|record| record.partition == partition && record.offset >= further);
        here || tail
    })
    .await;
    assert!(of(partition, &rest).iter().all(|offset| *offset >= further), "it starts at the committed offset");
    first.settle(&in_hand).unwrap();
    // The interval of the auto-commit passes after the old records are settled once more.
    first.idle(Duration::from_millis(1_500)).await;
    assert_eq!(committed(&kafka, partition).await, further, "no offset moves back");

    decisions.extend(decide(&ledger, &rest).await);
    first.settle(&rest).unwrap();
    first.close().await;
    eventually("a decision on every record", BOUND, || async {
        (ledger.counts().await.unwrap().inbox == decisions.len() as i64).then_some(())
    })
    .await;
    for partition in [0, 1] {
        let at = committed(&kafka, partition).await;
        let undecided: Vec<i64> = (0..at).filter(|offset| !decisions.contains_key(&(partition, *offset))).collect();
        assert!(undecided.is_empty(), "{undecided:?} of {partition} are undecided and below {at}");
    }
    let admitted = decisions.values().filter(|outcome| matches!(outcome, Outcome::Admitted { .. })).count();
    assert_eq!(admitted, decisions.len(), "a record that comes twice is decided once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_had_no_record_so_far_does_not_stop_the_next_member() {
    let mut kafka = own_topics(2).await;
    send(&kafka, 0..1).await;
    let mut first = Inbox::subscribe(&kafka).await.unwrap();
    let record = take(&mut first, "the only record", |records| records.len() == 1).await;
    first.settle(&record).unwrap();
    first.close().await;

    // No record of the other partition was ever committed, and the next member needs no `--from`.
    kafka.from = None;
    let mut second = Inbox::subscribe(&kafka).await.unwrap();
    assert!(second.next_batch(10, PATIENCE).await.unwrap().is_empty());
    send(&kafka, 1..40).await;
    let rest = take(&mut second, "the rest", |records| records.len() == 39).await;
    assert!(of(1 - record[0].partition, &rest).first() == Some(&0), "the other partition from its first record");
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_began_at_the_end_stays_there_though_nothing_came() {
    let mut kafka = own_topics(2).await;
    send(&kafka, 0..20).await;
    kafka.from = Some(StartAt::Latest);
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let intake = |inbox| Intake::new(inbox, ledger.clone(), AllowList::new([], true), "w".to_owned());
    let mut first = intake(Inbox::subscribe(&kafka).await.unwrap());
    let since = std::time::Instant::now();
    while committed(&kafka, 0).await + committed(&kafka, 1).await < 20 {
        assert!(since.elapsed() < BOUND, "waited for a committed beginning");
        assert_eq!(first.admit_once().await.unwrap(), IntakeOutcome::Idle, "what was there before is not read");
    }
    first.close().await;
    send(&kafka, 20..30).await;
    kafka.from = None;
    let mut second = intake(Inbox::subscribe(&kafka).await.unwrap());
    let mut later = 0;
    while later < 10 {
        assert!(since.elapsed() < BOUND, "waited for what came later");
        if let IntakeOutcome::Admitted(outcomes) = second.admit_once().await.unwrap() {
            later += outcomes.len();
        }
    }
    second.close().await;
    assert_eq!(ledger.counts().await.unwrap().inbox, 10);
}
