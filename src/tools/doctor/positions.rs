//! Checks whether consumer group, request topic and evidence store belong to this ledger. Other checks report what
//! cannot be read.

use super::finding::Finding;
use crate::adapters::evidence::{self, EvidenceStore};
use crate::adapters::kafka::{GroupPosition, Survey};
use crate::adapters::ledger::{Incarnation, Ledger, LedgerSettings, Position};
use crate::clock;
use crate::config::Config;
use crate::worker::foreign_ledger;
use chrono::{DateTime, TimeDelta, Utc};

/// For how long a finding says that a topic was made anew.
const RECENT: TimeDelta = TimeDelta::days(7);

/// What the ledger knows of the request topic.
struct Known {
    ledger: String,
    positions: Vec<Position>,
    incarnations: Vec<Incarnation>,
}

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let topic = &config.kafka.topics.requests;
    let Ok(group) = Survey::new(&config.kafka).positions(&config.kafka.group_id, topic).await else {
        return Vec::new();
    };
    let Some(known) = known(config, &group).await else { return Vec::new() };
    let settings = config.evidence.clone();
    let store = tokio::task::spawn_blocking(move || EvidenceStore::open(&settings)).await;
    if let Ok(Ok(store)) = store
        && let Err(error @ evidence::Error::Unusable(_)) = store.is_of(&known.ledger).await
    {
        return vec![Finding::red("positions", error.to_string(), "mend [ledger] url or [evidence] url")];
    }
    vec![judge(topic, &group, &known, clock::system_time().into())]
}

async fn known(config: &Config, group: &[GroupPosition]) -> Option<Known> {
    let settings = LedgerSettings { max_connections: 1, ..config.ledger.clone() };
    let ledger = Ledger::connect(&settings).await.ok()?;
    let (topic, ends) =
        (&config.kafka.topics.requests, group.iter().map(|position| (position.partition, position.end)).collect());
    let known = async {
        let positions = ledger.positions(topic, &ends).await.ok()?.partitions;
        let incarnations = ledger.incarnations(topic).await.ok()?;
        Some(Known { ledger: ledger.identity().await.ok()?, positions, incarnations })
    };
    let known = known.await;
    ledger.close().await;
    known
}

fn judge(topic: &str, group: &[GroupPosition], known: &Known, now: DateTime<Utc>) -> Finding {
    let check = "positions";
    if let Some(foreign) = group.iter().find_map(|position| foreign_ledger(position.mark.as_deref(), &known.ledger)) {
        let found = format!(
            "the group's offsets are those of the ledger {foreign}, and [ledger] url leads to the ledger {}",
            known.ledger
        );
        let advice = "mend [ledger] url or [kafka] group_id; to adopt the group, see \"Two ledgers\" in the runbook";
        return Finding::red(check, found, advice);
    }
    let next = |partition| known.positions.iter().find(|known| known.partition == partition)?.next_offset;
    // An offset beyond the end of the log is reported with the group.
    let ahead = group.iter().filter_map(|position| {
        let (committed, next) = (position.committed?, next(position.partition)?);
        (next < committed && committed <= position.end)
            .then(|| format!("partition {} at {committed}, the ledger has decided up to {next}", position.partition))
    });
    let ahead: Vec<String> = ahead.collect();
    if !ahead.is_empty() {
        let found = format!("Kafka's offset is ahead of the ledger, as after a restore: {}", ahead.join("; "));
        return Finding::yellow(check, found, "start or restart the workers: they go back to the ledger's positions");
    }
    match known.incarnations.first() {
        Some(Incarnation { incarnation, reason, since }) if now - *since < RECENT => {
            let found = format!("{topic} was made anew on {since:.0} ({topic}~{incarnation} in the ledger): {reason}");
            let advice =
                "ask who deleted the topic; requests that no worker had read are gone and have to be sent again";
            Finding::yellow(check, found, advice)
        }
        Some(_) | None => Finding::green(check, format!("group and store are those of the ledger {}", known.ledger)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Light;
    use super::*;

    #[test]
    fn what_does_not_fit_the_ledger_is_named() {
        let now = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        let at = |committed, mark: Option<&str>| GroupPosition {
            partition: 0,
            committed: Some(committed),
            mark: mark.map(str::to_owned),
            begin: 0,
            end: 9,
        };
        let known = |days: Option<i64>| Known {
            ledger: "one".to_owned(),
            positions: vec![Position { partition: 0, next_offset: Some(5), last_known: Some(4) }],
            incarnations: days
                .map(|days| Incarnation {
                    incarnation: 2,
                    reason: "why".to_owned(),
                    since: now - TimeDelta::days(days),
                })
                .into_iter()
                .collect(),
        };
        for (position, days, light, part) in [
            (at(5, Some("model-factory ledger one")), None, Light::Green, "the ledger one"),
            (at(5, None), Some(30), Light::Green, "the ledger one"),
            (at(5, Some("of somebody else's tool")), Some(1), Light::Yellow, "t~2"),
            (at(7, None), None, Light::Yellow, "decided up to 5"),
            (at(99, None), None, Light::Green, "the ledger one"),
            (at(5, Some("model-factory ledger two")), None, Light::Red, "the ledger two"),
        ] {
            let finding = judge("t", std::slice::from_ref(&position), &known(days), now);
            assert!(finding.light == light && finding.found.contains(part), "{position:?}: {finding:?}");
        }
    }
}
