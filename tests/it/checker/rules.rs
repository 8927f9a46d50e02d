//! The guarantees, one function each, over a whole history.

use super::history::{History, Run, Seen, Stepped};
use super::lineage::lineage_events_come_once_and_in_order;
use super::violation::{Found, Violation, broken};
use model_factory::domain::identity::Digest;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Every guarantee that does not hold: S1 to S13, and that of lineage events.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let rules = [
        s1_one_outcome_per_record,
        s2_dead_letters_carry_the_bytes,
        s3_one_run_per_key,
        s4_the_first_of_an_id_stands,
        s5_no_step_of_a_lost_lease,
        s6_legal_steps_only,
        s7_one_event_per_step,
        s8_first_occurrences_in_order,
        s9_one_bundle_per_run,
        s10_evidence_is_what_the_ledger_says,
        s11_nothing_is_announced_before_it_exists,
        s12_a_publish_retry_never_trains,
        s13_attempts_are_bounded,
        lineage_events_come_once_and_in_order,
    ];
    for rule in rules {
        rule(history, &mut found);
    }
    found
}

/// Whether every record is decided, every run ended, every event sent.
pub fn drained(history: &History) -> bool {
    let ended = |run: &Run| !run.leased && ["FAIL", "PASS", "PUBLISHED"].contains(&run.state.as_str());
    history.decided.len() == history.requests.len() && history.unsent == 0 && history.runs.iter().all(ended)
}

fn s1_one_outcome_per_record(history: &History, found: Found<'_>) {
    let mut count: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for decided in &history.decided {
        *count.entry((decided.partition, decided.offset)).or_default() += 1;
    }
    for record in &history.requests {
        let at = (record.partition, record.offset);
        let outcomes = count.remove(&at).unwrap_or(0);
        let committed = history.committed.get(&record.partition).copied().unwrap_or(0);
        if outcomes > 1 || (outcomes == 0 && record.offset < committed) {
            broken(found, "S1", format!("{at:?} has {outcomes} outcomes, {committed} is committed"));
        }
    }
    for at in count.keys() {
        broken(found, "S1", format!("an outcome for {at:?}, which has no record"));
    }
}

fn s2_dead_letters_carry_the_bytes(history: &History, found: Found<'_>) {
    for decided in &history.decided {
        let refused = ["REJECTED", "CONFLICT", "COMMAND_REJECTED"].contains(&decided.outcome.as_str());
        let (partition, offset) = (decided.partition.to_string(), decided.offset.to_string());
        let letters: Vec<&Seen> = history
            .dead_letters
            .iter()
            .filter(|l| l.header("mf_source_partition") == partition && l.header("mf_source_offset") == offset)
            .collect();
        if refused == letters.is_empty() {
            broken(found, "S2", format!("{} at {offset} has {} dead letters", decided.outcome, letters.len()));
        }
        let original = history.requests.iter().find(|r| (r.partition, r.offset) == (decided.partition, decided.offset));
        for letter in letters {
            // A record that is over a bound is named by its digest; its bytes stay on their topic.
            let names = |value: &[u8]| letter.header("mf_sha256") == Digest::of(value).to_string();
            let is_named = letter.header("mf_value_ref").starts_with("kafka:");
            if original.is_none_or(|original| original.value != letter.value && !(is_named && names(&original.value))) {
                broken(found, "S2", format!("the dead letter of {offset} has other bytes"));
            }
        }
    }
}

/// The run key by the recipe of the contract, written once more for ASCII requests; `serde_json` sorts the keys.
fn key_of(request: &Value) -> String {
    let mut refs: Vec<&str> =
        request["dataset_manifest_refs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    refs.sort_unstable();
    refs.dedup();
    let mut payload = json!({"dataset_manifest_refs": refs});
    for field in [
        "intent_kind",
        "platform_run_id",
        "training_config_ref",
        "governance_profile_ref",
        "target_scope",
        "policy_revision",
        "config_revision",
        "mf_code_release_id",
    ] {
        payload[field] = request[field].clone();
    }
    Digest::of(json!({"payload": payload, "recipe": "mf.train_run_key.v1"}).to_string().as_bytes()).to_string()
}

fn s3_one_run_per_key(history: &History, found: Found<'_>) {
    let mut keys = BTreeSet::new();
    for run in &history.runs {
        if !keys.insert(&run.run_key) {
            broken(found, "S3", format!("two runs with key {}", run.run_key));
        }
    }
    for decided in history.decided.iter().filter(|d| d.outcome == "ADMITTED" || d.outcome == "DUPLICATE_RUN") {
        let record = history.requests.iter().find(|r| (r.partition, r.offset) == (decided.partition, decided.offset));
        let Some(record) = record else { continue };
        let key = key_of(&record.json());
        let run = history.runs.iter().find(|run| run.run_key == key);
        if run.map(|run| &run.run_id) != decided.run_id.as_ref() {
            broken(found, "S3", format!("{} at {} is not with the run of its key", decided.outcome, decided.offset));
        }
    }
    let mut admitted: Vec<&String> =
        history.decided.iter().filter(|d| d.outcome == "ADMITTED").filter_map(|d| d.run_id.as_ref()).collect();
    admitted.sort();
    if admitted != history.runs.iter().map(|run| &run.run_id).collect::<Vec<_>>() {
        broken(found, "S3", "not every run was admitted exactly once");
    }
}

fn s4_the_first_of_an_id_stands(history: &History, found: Found<'_>) {
    let mut first: BTreeMap<String, Value> = BTreeMap::new();
    let mut decided: Vec<_> = history.decided.iter().collect();
    decided.sort_by_key(|d| d.offset);
    for decided in decided {
        let record = history.requests.iter().find(|r| (r.partition, r.offset) == (decided.partition, decided.offset));
        let Some(request) =
            record.map(Seen::json).filter(|r| r["schema_version"] == "learning.mf_train_build_request.v0")
        else {
            continue;
        };
        if decided.outcome == "REJECTED" {
            continue;
        }
        let id = request["request_id"].to_string();
        let allowed: &[&str] = match first.get(&id) {
            None => &["ADMITTED", "DUPLICATE_RUN"],
            Some(earlier) if *earlier == request => &["DUPLICATE_REQUEST"],
            Some(_) => &["CONFLICT"],
        };
        if !allowed.contains(&decided.outcome.as_str()) {
            broken(found, "S4", format!("{id} at {} is {}, not {allowed:?}", decided.offset, decided.outcome));
        }
        first.entry(id).or_insert(request);
    }
}

fn by_run(steps: &[Stepped]) -> BTreeMap<&str, Vec<&Stepped>> {
    let mut runs: BTreeMap<&str, Vec<&Stepped>> = BTreeMap::new();
    for step in steps {
        runs.entry(&step.run_id).or_default().push(step);
    }
    for steps in runs.values_mut() {
        steps.sort_by_key(|step| step.seq);
    }
    runs
}

fn s5_no_step_of_a_lost_lease(history: &History, found: Found<'_>) {
    for (run_id, steps) in by_run(&history.steps) {
        let mut fence = 0;
        for step in steps {
            let claims = step.step.starts_with("START");
            if (claims && step.fence != fence + 1) || (!claims && step.fence != fence) {
                broken(found, "S5", format!("{run_id}: {} under fence {} after {fence}", step.step, step.fence));
            }
            fence = fence.max(step.fence);
        }
    }
}

fn s6_legal_steps_only(history: &History, found: Found<'_>) {
    const LEGAL: [(&str, &str, &str); 19] = [
        ("START", "QUEUED", "RUNNING"),
        ("FINISH_EVALUATION", "RUNNING", "EVAL_READY"),
        ("PASS_GATE", "EVAL_READY", "PASS"),
        ("FAIL_GATE", "EVAL_READY", "FAIL"),
        ("FAIL", "RUNNING", "FAIL"),
        ("FAIL", "EVAL_READY", "FAIL"),
        ("REQUEUE", "RUNNING", "QUEUED"),
        ("REQUEUE", "EVAL_READY", "QUEUED"),
        ("REOPEN", "FAIL", "QUEUED"),
        ("CANCEL", "QUEUED", "FAIL"),
        ("CANCEL", "RUNNING", "FAIL"),
        ("CANCEL", "EVAL_READY", "FAIL"),
        ("REQUEST_PUBLISH", "PASS", "PUBLISH_PENDING"),
        ("START_PUBLISH", "PUBLISH_PENDING", "RUNNING"),
        ("DEFER_PUBLISH", "RUNNING", "PUBLISH_PENDING"),
        ("DEFER_PUBLISH", "PUBLISH_PENDING", "PUBLISH_PENDING"),
        ("PUBLISH", "PUBLISH_PENDING", "PUBLISHED"),
        ("PUBLISH", "RUNNING", "PUBLISHED"),
        ("FAIL", "QUEUED", "FAIL"),
    ];
    let runs = by_run(&history.steps);
    for run in &history.runs {
        let mut at = "QUEUED";
        for step in runs.get(run.run_id.as_str()).into_iter().flatten() {
            let legal = LEGAL.contains(&(step.step.as_str(), step.from.as_str(), step.to.as_str()));
            if step.from != at || !legal {
                broken(found, "S6", format!("{}: {} from {} while {at}", run.run_id, step.step, step.from));
            }
            at = &step.to;
        }
        if at != run.state {
            broken(found, "S6", format!("{} is {} and its steps lead to {at}", run.run_id, run.state));
        }
    }
}

/// The first record of each event id, in the order of the topic.
fn first_occurrences(history: &History) -> Vec<Value> {
    let mut ids = BTreeSet::new();
    let first = history.lifecycle.iter().filter(|record| ids.insert(record.header("ce_id").to_owned()));
    first.map(Seen::json).collect()
}

fn s7_one_event_per_step(history: &History, found: Found<'_>) {
    let events = first_occurrences(history);
    for run in &history.runs {
        let mut of_run: Vec<(i64, &Value)> = events
            .iter()
            .filter(|event| event["run_id"] == run.run_id.as_str())
            .map(|event| (event["seq"].as_i64().unwrap_or(0), event))
            .collect();
        of_run.sort_by_key(|(seq, _)| *seq);
        let seqs: Vec<i64> = of_run.iter().map(|(seq, _)| *seq).collect();
        let complete = history.unsent == 0;
        if seqs != (1..=seqs.len() as i64).collect::<Vec<_>>() {
            broken(found, "S7", format!("{}: events {seqs:?}", run.run_id));
        }
        let steps: Vec<&Stepped> = history.steps.iter().filter(|step| step.run_id == run.run_id).collect();
        for step in &steps {
            let event = of_run.iter().find(|(seq, _)| *seq == step.seq);
            match event {
                None if complete => broken(found, "S7", format!("{}: no event for step {}", run.run_id, step.seq)),
                Some((_, event)) if event["state"] != step.to.as_str() => {
                    broken(found, "S7", format!("{}: event {} has another state", run.run_id, step.seq));
                }
                Some(_) | None => {}
            }
        }
        for (seq, event) in of_run {
            // Events without a step: requests that join, and progress of the trainer.
            let besides = |kind: &str| kind.starts_with("request.") || kind == "run.progress";
            if !event["event_type"].as_str().is_some_and(besides) && !steps.iter().any(|step| step.seq == seq) {
                broken(found, "S7", format!("{}: event {seq} is about a step that is not in the ledger", run.run_id));
            }
        }
    }
}

fn s8_first_occurrences_in_order(history: &History, found: Found<'_>) {
    let mut bytes: BTreeMap<&str, &Seen> = BTreeMap::new();
    for record in &history.lifecycle {
        let id = record.header("ce_id");
        match bytes.get(id) {
            Some(first) if first.value != record.value || first.key != record.key => {
                broken(found, "S8", format!("{id} came again with other bytes"));
            }
            Some(_) => {}
            None => {
                bytes.insert(id, record);
            }
        }
    }
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for event in first_occurrences(history) {
        let Some(run_id) = event["run_id"].as_str() else { continue };
        let seq = event["seq"].as_i64().unwrap_or(0);
        let before = last.insert(run_id.to_owned(), seq).unwrap_or(0);
        if seq < before {
            broken(found, "S8", format!("{run_id}: {seq} came after {before}"));
        }
    }
}

fn s9_one_bundle_per_run(history: &History, found: Found<'_>) {
    let mut bundles: BTreeMap<String, String> = BTreeMap::new();
    for record in &history.publications {
        let value = record.json();
        let (run, bundle) = (value["run_id"].to_string(), value["bundle_id"].to_string());
        let first = bundles.entry(run.clone()).or_insert_with(|| bundle.clone());
        if *first != bundle {
            broken(found, "S9", format!("{run} was published as {first} and as {bundle}"));
        }
    }
}

fn s10_evidence_is_what_the_ledger_says(history: &History, found: Found<'_>) {
    for run in &history.runs {
        for (role, (path, digest)) in &run.refs {
            if history.evidence.get(path) != Some(digest) {
                broken(found, "S10", format!("{}: {role} at {path} is not what the ledger says", run.run_id));
            }
        }
    }
}

fn s11_nothing_is_announced_before_it_exists(history: &History, found: Found<'_>) {
    for record in &history.publications {
        let value = record.json();
        let run_id = value["run_id"].as_str().unwrap_or_default();
        for artifact in value["artifacts"].as_array().into_iter().flatten() {
            let path = format!(
                "{}/{}",
                value["bundle_ref"].as_str().unwrap_or_default(),
                artifact["path"].as_str().unwrap_or_default()
            );
            if history.evidence.get(&path).map(String::as_str) != artifact["sha256"].as_str() {
                broken(found, "S11", format!("{run_id} announces {path}, which is not there"));
            }
        }
        let steps = history.steps.iter().filter(|step| step.run_id == run_id);
        if !steps.clone().any(|step| step.to == "PASS") {
            broken(found, "S11", format!("{run_id} was announced without a PASS"));
        }
    }
    for run in history.runs.iter().filter(|run| run.state == "PUBLISHED") {
        if !history.publications.iter().any(|record| record.json()["run_id"] == run.run_id.as_str()) {
            broken(found, "S11", format!("{} is PUBLISHED and nothing was announced", run.run_id));
        }
    }
}

fn s12_a_publish_retry_never_trains(history: &History, found: Found<'_>) {
    for (run_id, steps) in by_run(&history.steps) {
        let passed = steps.iter().position(|step| step.to == "PASS");
        let trains = |step: &&&Stepped| ["START", "FINISH_EVALUATION"].contains(&step.step.as_str());
        if let Some(step) = passed.and_then(|at| steps[at..].iter().find(trains)) {
            broken(found, "S12", format!("{run_id}: {} after PASS", step.step));
        }
    }
}

fn s13_attempts_are_bounded(history: &History, found: Found<'_>) {
    for run in &history.runs {
        if run.full_attempts_counted > history.max_full_attempts {
            broken(found, "S13", format!("{} had {} attempts", run.run_id, run.full_attempts_counted));
        }
        let claims = history.steps.iter().filter(|s| s.run_id == run.run_id && s.step == "START").count() as i32;
        if run.full_attempts > claims {
            broken(
                found,
                "S13",
                format!("{} counts {} attempts and was claimed {claims} times", run.run_id, run.full_attempts),
            );
        }
    }
}
