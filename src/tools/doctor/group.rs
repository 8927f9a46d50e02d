//! Checks the committed offsets of the consumer groups.

use super::brokers::listens;
use super::finding::Finding;
use crate::adapters::kafka::{GroupPosition, KafkaSettings, StartAt, Survey};
use crate::config::Config;

/// Checks the offsets of the consumer group on the request topic and, if the registry confirms publications, of the
/// group `…-registry` on the registry's topic.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let kafka = &config.kafka;
    let mut findings = vec![position(kafka, &kafka.group_id, &kafka.topics.requests, kafka.from).await];
    if listens(config) {
        let group = format!("{}-registry", kafka.group_id);
        findings.push(position(kafka, &group, &kafka.topics.registry_lifecycle, Some(StartAt::Earliest)).await);
    }
    findings
}

async fn position(kafka: &KafkaSettings, group: &str, topic: &str, from: Option<StartAt>) -> Finding {
    match Survey::new(kafka).positions(group, topic).await {
        Ok(positions) => judge(kafka, group, topic, from, &positions),
        Err(error) => {
            let advice = "set the brokers right first (above); then, group and topic need Describe and Read";
            Finding::red(format!("group {group}"), format!("its offsets cannot be read: {error}"), advice)
        }
    }
}

fn judge(kafka: &KafkaSettings, group: &str, topic: &str, from: Option<StartAt>, all: &[GroupPosition]) -> Finding {
    let check = format!("group {group}");
    let reset = |partitions: &[&GroupPosition]| {
        let partitions: Vec<String> = partitions.iter().map(|position| position.partition.to_string()).collect();
        format!(
            "stop the workers, then (a replay changes nothing that is decided): kafka-consumer-groups.sh \
             --bootstrap-server {} --group {group} --topic {topic}:{} --reset-offsets --to-earliest --execute",
            kafka.brokers,
            partitions.join(",")
        )
    };
    let shown = |positions: &[&GroupPosition]| {
        let shown = positions.iter().map(|position| {
            let GroupPosition { partition, committed, begin, end, .. } = position;
            match committed {
                Some(committed) => format!("partition {partition} at {committed}, the log has {begin} to {end}"),
                None => format!("partition {partition} at no offset, the log has {begin} to {end}"),
            }
        });
        shown.collect::<Vec<_>>().join("; ")
    };
    if all.is_empty() {
        return Finding::red(check, format!("its topic {topic} is missing"), "make the topic (above)");
    }
    let records: i64 = all.iter().map(|position| position.end - position.begin).sum();
    if all.iter().all(|position| position.committed.is_none()) {
        let found = format!("has never committed; the topic holds {records} records");
        let advice = match from {
            Some(StartAt::Earliest) => "nothing: it starts with the oldest record, as `from` says".to_owned(),
            Some(StartAt::Latest) => format!("`from` is latest: it passes over these {records} records for good"),
            None => format!(
                "start a worker once with --from earliest (takes these {records} records) or --from latest (passes \
                 over them for good)"
            ),
        };
        return Finding::yellow(check, found, advice);
    }
    let with = |wrong: fn(i64, &GroupPosition) -> bool| -> Vec<&GroupPosition> {
        all.iter().filter(|position| position.committed.is_some_and(|committed| wrong(committed, position))).collect()
    };
    let beyond = with(|committed, position| committed > position.end);
    if !beyond.is_empty() {
        let found = format!("beyond the end, as if the topic had been made anew: {}", shown(&beyond));
        return Finding::red(check, found, reset(&beyond));
    }
    let behind = with(|committed, position| committed < position.begin);
    if !behind.is_empty() {
        let found = format!("older than retention, so that records were deleted unread: {}", shown(&behind));
        return Finding::red(check, found, reset(&behind));
    }
    // The group has committed offsets on other partitions. A partition without one is read from its beginning.
    let lag: i64 = all.iter().map(|position| position.end - position.committed.unwrap_or(position.begin)).sum();
    Finding::green(check, format!("on {} partitions of {topic}, {lag} records behind", all.len()))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Light;
    use super::*;

    fn at(partition: i32, committed: Option<i64>, begin: i64, end: i64) -> GroupPosition {
        GroupPosition { partition, committed, mark: None, begin, end }
    }

    fn judged(from: Option<StartAt>, all: &[GroupPosition]) -> (Light, String) {
        let finding = judge(&KafkaSettings::default(), "g", "t", from, all);
        (finding.light, format!("{} → {}", finding.found, finding.advice.join(" ")))
    }

    #[test]
    fn a_group_is_judged_by_what_its_log_still_holds() {
        let cases: [(Option<StartAt>, &[GroupPosition], Light, &str); 9] = [
            (None, &[at(0, Some(5), 0, 7), at(1, None, 0, 0)], Light::Green, "2 records behind"),
            (None, &[at(0, Some(7), 7, 7)], Light::Green, "0 records behind"),
            (None, &[at(0, None, 0, 7)], Light::Yellow, "--from earliest (takes these 7 records)"),
            (Some(StartAt::Earliest), &[at(0, None, 3, 7)], Light::Yellow, "starts with the oldest"),
            (Some(StartAt::Latest), &[at(0, None, 3, 7)], Light::Yellow, "passes over these 4 records"),
            (None, &[at(0, Some(8), 0, 7), at(1, Some(1), 0, 7)], Light::Red, "--topic t:0 --reset-offsets"),
            (None, &[at(0, Some(1), 0, 7), at(1, Some(2), 3, 7)], Light::Red, "older than retention"),
            (None, &[at(0, Some(1), 0, 7), at(1, None, 2, 7)], Light::Green, "11 records behind"),
            (None, &[], Light::Red, "make the topic"),
        ];
        for (from, all, light, part) in cases {
            let (found, text) = judged(from, all);
            assert!(found == light && text.contains(part), "{all:?}: {found:?} {text}");
        }
    }
}
