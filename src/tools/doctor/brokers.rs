//! Checks brokers and topics, and the topics' settings.

use super::finding::Finding;
use crate::adapters::kafka::{Cluster, Error, KafkaSettings, Survey, TopicSettings};
use crate::adapters::ledger::ConfirmedBy;
use crate::config::Config;
use std::collections::BTreeMap;

/// Checks whether brokers reply, and whether each topic exists and is configured to keep our records.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let survey = Survey::new(&config.kafka);
    let cluster = match survey.cluster().await {
        Ok(cluster) => cluster,
        Err(error) => return vec![unreachable(&error)],
    };
    let count = cluster.brokers.len();
    let mut findings = vec![Finding::green("brokers", format!("{count} at {}", cluster.brokers.join(", ")))];
    let names = config.kafka.topics.needed(listens(config), config.lineage.enabled);
    let present: Vec<&str> = names.iter().copied().filter(|name| cluster.topics.contains_key(*name)).collect();
    let settings = if present.is_empty() { Ok(BTreeMap::new()) } else { survey.topic_settings(&present).await };
    if let Err(error) = &settings {
        findings.push(Finding::yellow(
            "topic settings",
            format!("the brokers do not tell cleanup policy and message size ({error})"),
            "give this principal DescribeConfigs on the topics, or look with kafka-configs.sh",
        ));
    }
    let settings = settings.unwrap_or_default();
    for name in names {
        let is_ours = name != config.kafka.topics.registry_lifecycle;
        findings.push(topic(&config.kafka, &cluster, name, is_ours, settings.get(name)));
    }
    findings
}

/// Returns whether the workers consume the registry's topic.
pub(super) fn listens(config: &Config) -> bool {
    config.publish.confirm == ConfirmedBy::Registry
}

fn unreachable(error: &Error) -> Finding {
    let advice = match error {
        Error::Setup(_) | Error::Security(_) => {
            "mend [kafka]; `model-factory config show` tells where each value comes from"
        }
        Error::Denied(_) => {
            "mend [kafka.security], or what the brokers ask for; docs/transport-security.md has each refusal"
        }
        Error::Unavailable(_) | Error::Refused(_) | Error::Fatal(_) => {
            "start the brokers, or mend [kafka] brokers and [kafka.security]"
        }
    };
    Finding::red("brokers", error.to_string(), advice)
}

/// Checks one topic. The registry's topic only has to exist, because the registry's operators choose its settings.
fn topic(
    kafka: &KafkaSettings,
    cluster: &Cluster,
    name: &str,
    is_ours: bool,
    settings: Option<&TopicSettings>,
) -> Finding {
    let check = format!("topic {name}");
    let Some(shape) = cluster.topics.get(name) else {
        return Finding::red(check, "missing", kafka.create_command(name, cluster.brokers.len()));
    };
    let alter = |setting: &str| {
        format!(
            "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {name} --add-config {setting}",
            kafka.brokers
        )
    };
    let found = format!("{} partitions, replicated {} times", shape.partitions, shape.replicas);
    if shape.leaderless > 0 {
        let found = format!("{} of {} partitions have no leader", shape.leaderless, shape.partitions);
        return Finding::red(check, found, "bring the brokers back that hold them");
    }
    let Some(settings) = settings.filter(|_| is_ours) else { return Finding::green(check, found) };
    let number = |name: &str| settings.get(name).and_then(|value| value.parse::<u64>().ok());
    let policy = settings.get("cleanup.policy").map_or("", String::as_str);
    if policy.contains("compact") {
        let found = format!("cleanup.policy={policy}: records of the same key would vanish");
        return Finding::red(check, found, alter("cleanup.policy=delete"));
    }
    let needed = kafka.largest_record();
    let largest = number("max.message.bytes");
    if let Some(largest) = largest.filter(|largest| *largest < needed) {
        let found = format!("max.message.bytes={largest}: records of [kafka] max_value_bytes need {needed}");
        return Finding::red(check, found, alter(&format!("max.message.bytes={needed}")));
    }
    let in_sync = number("min.insync.replicas").unwrap_or(1);
    if in_sync > shape.replicas as u64 {
        let found = format!("min.insync.replicas={in_sync} with {} replicas: nothing can be written", shape.replicas);
        return Finding::red(check, found, alter("min.insync.replicas=1"));
    }
    if shape.replicas < cluster.brokers.len().min(3) {
        let found = format!("{found}, on {} brokers: a broker that is lost takes records along", cluster.brokers.len());
        return Finding::yellow(check, found, "raise it with kafka-reassign-partitions.sh");
    }
    if shape.replicas >= 3 && in_sync < 2 {
        let found =
            format!("{found}, min.insync.replicas={in_sync}: one broker's word is enough for an acknowledgement");
        return Finding::yellow(check, found, alter("min.insync.replicas=2"));
    }
    let largest = largest.map_or_else(String::new, |largest| format!(", records up to {largest} bytes"));
    let policy = if policy.is_empty() { String::new() } else { format!(", cleanup.policy={policy}") };
    Finding::green(check, format!("{found}{policy}{largest}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Light;
    use super::*;
    use crate::adapters::kafka::TopicShape;

    #[test]
    fn a_topic_is_judged_by_what_it_has_to_keep() {
        let judged = |replicas: usize, brokers: usize, settings: &[(&str, &str)]| {
            let shape = TopicShape { partitions: 2, leaderless: 0, replicas };
            let cluster =
                Cluster { brokers: vec!["b:1".to_owned(); brokers], topics: BTreeMap::from([("t".to_owned(), shape)]) };
            let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let finding = topic(&KafkaSettings::default(), &cluster, "t", true, Some(&settings));
            (finding.light, format!("{} → {}", finding.found, finding.advice.join(" ")))
        };
        let plain = [("cleanup.policy", "delete"), ("max.message.bytes", "1048588"), ("min.insync.replicas", "2")];
        let changed = |name: &'static str, value: &'static str| {
            plain.map(|(known, given)| (known, if known == name { value } else { given }))
        };
        let small = changed("max.message.bytes", "900000");
        for (replicas, brokers, settings, light, part) in [
            (3, 3, plain, Light::Green, "records up to 1048588 bytes"),
            (1, 1, changed("min.insync.replicas", "1"), Light::Green, "replicated 1 times"),
            (3, 3, changed("cleanup.policy", "compact,delete"), Light::Red, "--add-config cleanup.policy=delete"),
            (3, 3, small, Light::Red, "--add-config max.message.bytes=916384"),
            (1, 1, plain, Light::Red, "nothing can be written"),
            (2, 3, plain, Light::Yellow, "kafka-reassign-partitions.sh"),
            (3, 3, changed("min.insync.replicas", "1"), Light::Yellow, "--add-config min.insync.replicas=2"),
        ] {
            let (found, text) = judged(replicas, brokers, &settings);
            assert!(found == light && text.contains(part), "{replicas} {settings:?}: {found:?} {text}");
        }
    }
}
