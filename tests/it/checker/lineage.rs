//! The guarantee of lineage events over a whole history; a history without lineage fulfils it.

use super::history::{History, Seen};
use super::violation::{Found, broken};
use serde_json::Value;
use std::collections::BTreeMap;

const GUARANTEE: &str = "lineage";

/// Of each run one START first and one end last, and every event once but for repetitions with the same bytes.
pub fn lineage_events_come_once_and_in_order(history: &History, found: Found<'_>) {
    let mut violated = |witness: String| broken(found, GUARANTEE, witness);
    let mut first: BTreeMap<&str, &Seen> = BTreeMap::new();
    let mut by_run: BTreeMap<String, Vec<(Value, &str)>> = BTreeMap::new();
    for record in &history.lineage {
        let id = record.header("ce_id");
        match first.get(id) {
            Some(before) if before.value != record.value => violated(format!("{id} came again with other bytes")),
            Some(_) => {}
            None => {
                first.insert(id, record);
                by_run.entry(record.header("ce_subject").to_owned()).or_default().push((record.json(), id));
            }
        }
    }
    for (run, events) in &by_run {
        let states: Vec<&str> = events.iter().map(|(event, _)| event["eventType"].as_str().unwrap_or("")).collect();
        let is_end = |state: &str| ["COMPLETE", "FAIL", "ABORT"].contains(&state);
        let whole = matches!(states[..], ["START", ref between @ .., last]
                             if is_end(last) && between.iter().all(|state| *state == "RUNNING"));
        if !whole {
            violated(format!("the events of {run} are {states:?}"));
        }
        let uuid = &events[0].0["run"]["runId"];
        if events.iter().any(|(event, _)| event["run"]["runId"] != *uuid) {
            violated(format!("{run} has more than one UUID"));
        }
        let read = events.iter().filter(|(_, id)| id.ends_with("_read")).count();
        if states.last() == Some(&"COMPLETE") && read != 1 {
            violated(format!("{run} is complete, and has {read} events about what it read"));
        }
    }
    let started = history.steps.iter().filter(|step| step.step == "START");
    for step in started.filter(|step| !history.lineage.is_empty() && !by_run.contains_key(&step.run_id)) {
        violated(format!("{} has no lineage events", step.run_id));
    }
}
