//! The checker must find each bad history, one or more for each guarantee.

use super::history::{Decided, History, Run, Seen, Stepped};
use super::rules::check;
use model_factory::domain::identity::Digest;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const RUN: &str = "tr_1";

fn seen(offset: i64, value: &[u8], headers: &[(&str, &str)]) -> Seen {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Seen { partition: 0, offset, key: None, value: value.to_vec(), headers }
}

fn request(id: &str) -> Value {
    json!({"schema_version": "learning.mf_train_build_request.v0", "request_id": id, "dataset_manifest_refs": ["m"],
           "config_revision": "c"})
}

fn decided(offset: i64, outcome: &str, run_id: Option<&str>) -> Decided {
    Decided { partition: 0, offset, outcome: outcome.to_owned(), run_id: run_id.map(str::to_owned) }
}

fn lineage(n: i64, state: &str) -> Seen {
    let id = if state == "RUNNING" { "lin_tr_1_2_read".to_owned() } else { format!("lin_tr_1_{n}") };
    let value = json!({"eventType": state, "run": {"runId": "u"}}).to_string();
    seen(n, value.as_bytes(), &[("ce_id", &id), ("ce_subject", RUN)])
}

/// A published run, a duplicate of its request, and a rejected message.
fn good() -> History {
    // Computed with Python's json and hashlib over the request above.
    let key = "d2465df3ff47e375e01e1776ae6982dcb5c0b1c8aabe63d1769dc0116bd54dc4";
    let steps = [
        (2, "START", "QUEUED", "RUNNING"),
        (3, "FINISH_EVALUATION", "RUNNING", "EVAL_READY"),
        (4, "PASS_GATE", "EVAL_READY", "PASS"),
        (5, "REQUEST_PUBLISH", "PASS", "PUBLISH_PENDING"),
        (6, "PUBLISH", "PUBLISH_PENDING", "PUBLISHED"),
    ];
    let mut events = vec![json!({"run_id": RUN, "seq": 1, "event_type": "request.admitted", "state": "QUEUED"})];
    events.extend(steps.map(|(seq, step, _, to)| json!({"run_id": RUN, "seq": seq, "event_type": step, "state": to})));
    let model = Digest::of(b"model").to_string();
    let publication = json!({"run_id": RUN, "bundle_id": "b", "bundle_ref": "runs/bundle",
                             "artifacts": [{"path": "model.json", "sha256": model}]});
    History {
        requests: vec![
            seen(0, request("one").to_string().as_bytes(), &[]),
            seen(1, request("one").to_string().as_bytes(), &[]),
            seen(2, b"{", &[]),
        ],
        committed: BTreeMap::from([(0, 3)]),
        decided: vec![
            decided(0, "ADMITTED", Some(RUN)),
            decided(1, "DUPLICATE_REQUEST", Some(RUN)),
            decided(2, "REJECTED", None),
        ],
        runs: vec![Run {
            run_id: RUN.to_owned(),
            run_key: key.to_owned(),
            state: "PUBLISHED".to_owned(),
            leased: false,
            full_attempts: 1,
            full_attempts_counted: 1,
            refs: BTreeMap::from([("model".to_owned(), ("runs/bundle/model.json".to_owned(), model.clone()))]),
        }],
        steps: steps
            .iter()
            .map(|(seq, step, from, to)| Stepped {
                run_id: RUN.to_owned(),
                seq: *seq,
                step: (*step).to_owned(),
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                fence: 1,
            })
            .collect(),
        unsent: 0,
        lifecycle: events
            .iter()
            .enumerate()
            .map(|(n, event)| seen(n as i64, event.to_string().as_bytes(), &[("ce_id", &format!("evt_{n}"))]))
            .collect(),
        publications: vec![seen(0, publication.to_string().as_bytes(), &[])],
        lineage: ["START", "RUNNING", "COMPLETE"]
            .iter()
            .enumerate()
            .map(|(n, state)| lineage(n as i64, state))
            .collect(),
        dead_letters: vec![seen(0, b"{", &[("mf_source_partition", "0"), ("mf_source_offset", "2")])],
        evidence: BTreeMap::from([("runs/bundle/model.json".to_owned(), model)]),
        max_full_attempts: 3,
    }
}

#[test]
fn a_good_history_is_good() {
    assert_eq!(check(&good()), []);
}

#[test]
fn every_guarantee_notices_a_bad_history() {
    type Spoil = fn(&mut History);
    let bad: [(&str, Spoil); 30] = [
        ("S1", |h| drop(h.decided.remove(2))),
        ("S1", |h| h.decided.push(decided(1, "DUPLICATE_REQUEST", Some(RUN)))),
        ("S1", |h| h.decided.push(decided(9, "DUPLICATE_REQUEST", Some(RUN)))),
        ("S2", |h| h.dead_letters.clear()),
        ("S2", |h| h.dead_letters[0].value = b"{}".to_vec()),
        ("S3", |h| {
            let mut twin = h.runs[0].clone();
            twin.run_id = "tr_2".to_owned();
            h.runs.push(twin);
        }),
        ("S3", |h| h.runs[0].run_key = "another".to_owned()),
        ("S4", |h| h.requests[1].value = request("one").to_string().replace("\"c\"", "\"d\"").into_bytes()),
        ("S4", |h| h.decided[1].outcome = "CONFLICT".to_owned()),
        ("S5", |h| h.steps[2].fence = 0),
        ("S5", |h| h.steps[0].fence = 2),
        ("S6", |h| h.steps[2].from = "RUNNING".to_owned()),
        ("S6", |h| h.runs[0].state = "FAIL".to_owned()),
        ("S6", |h| h.steps[1].step = "PUBLISH".to_owned()),
        ("S7", |h| drop(h.lifecycle.remove(3))),
        ("S7", |h| drop(h.steps.pop())),
        ("S8", |h| h.lifecycle.swap(2, 3)),
        ("S8", |h| {
            let mut again = h.lifecycle[1].clone();
            again.value.push(b' ');
            h.lifecycle.push(again);
        }),
        ("S9", |h| {
            let mut other = h.publications[0].clone();
            other.value = String::from_utf8(other.value).unwrap().replace("\"b\"", "\"c\"").into_bytes();
            h.publications.push(other);
        }),
        ("S10", |h| drop(h.evidence.insert("runs/bundle/model.json".to_owned(), "other".to_owned()))),
        ("S11", |h| h.evidence.clear()),
        ("S11", |h| h.publications.clear()),
        ("S12", |h| h.steps[4].step = "START".to_owned()),
        ("S13", |h| h.runs[0].full_attempts_counted = 4),
        ("lineage", |h| drop(h.lineage.remove(0))),
        ("lineage", |h| drop(h.lineage.remove(1))),
        ("lineage", |h| drop(h.lineage.pop())),
        ("lineage", |h| h.lineage.push(lineage(9, "FAIL"))),
        ("lineage", |h| {
            let changed = String::from_utf8(h.lineage[2].value.clone()).unwrap().replace("\"u\"", "\"v\"");
            h.lineage[2].value = changed.into_bytes();
        }),
        ("lineage", |h| {
            let mut again = h.lineage[1].clone();
            again.value.push(b' ');
            h.lineage.push(again);
        }),
    ];
    for (number, (guarantee, spoil)) in bad.iter().enumerate() {
        let mut history = good();
        spoil(&mut history);
        let found = check(&history);
        assert!(found.iter().any(|v| v.guarantee == *guarantee), "{guarantee} (case {number}) saw nothing: {found:?}");
    }
}
