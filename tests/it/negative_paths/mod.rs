//! The matrix of negative paths: a real input or fault brings about every failure code through the whole worker, and the
//! test checks everything that it must leave. `docs/negative-paths.md` shows the same rows.

mod bundles;
mod conflicts;
mod document;
mod evidence;
mod execution;
mod gate;
mod immutability;
pub mod inputs;
mod policy;
mod publish;
mod requesters;
mod requests;
mod resolution;
mod row;
mod rows_of_data;
mod stage;
mod verify;
mod wrapped;

use futures::FutureExt as _;
use model_factory::domain::contract::EventType;
use model_factory::domain::run::{Aftermath as A, FailureCode, State};
use row::{Leaves, Row};
use stage::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

type Family = (&'static str, fn() -> Vec<Row>);

const FAMILIES: [Family; 10] = [
    ("Requests", requests::rows),
    ("Requesters", requesters::rows),
    ("Conflicts and commands", conflicts::rows),
    ("Resolution", resolution::rows),
    ("Data", rows_of_data::rows),
    ("Execution", execution::rows),
    ("Evidence", evidence::rows),
    ("Immutability", immutability::rows),
    ("Gate", gate::rows),
    ("Publication", publish::rows),
];

/// Produces every row of a family in one world. A row that fails is named, and the others are still tried.
async fn family(name: &str) {
    let rows = FAMILIES.iter().find(|(family, _)| *family == name).unwrap().1();
    let mut stage = Stage::new().await;
    let mut failed = Vec::new();
    for row in &rows {
        if AssertUnwindSafe(verify::produce(&mut stage, row)).catch_unwind().await.is_err() {
            failed.push(format!("{}: {}", row.code, row.cause));
        }
    }
    stage.close().await;
    assert!(failed.is_empty(), "{name}, {} of {} rows:\n{}", failed.len(), rows.len(), failed.join("\n"));
    print_when_all_are_done(name, &rows);
}

/// The family that ends last prints one line for all, past the capture of the test harness: people look for it.
fn print_when_all_are_done(name: &str, rows: &[Row]) {
    static DONE: Mutex<BTreeMap<String, Vec<FailureCode>>> = Mutex::new(BTreeMap::new());
    let mut done = DONE.lock().unwrap();
    done.insert(name.to_owned(), rows.iter().map(|row| row.code).collect());
    if done.len() == FAMILIES.len() {
        let codes: BTreeSet<&str> = done.values().flatten().map(|code| code.as_str()).collect();
        let rows: usize = done.values().map(Vec::len).sum();
        let _ = writeln!(std::io::stderr(), "negative paths: {rows} rows, {} codes, all produced", codes.len());
    }
}

fn all() -> Vec<(&'static str, Vec<Row>)> {
    FAMILIES.iter().map(|(name, rows)| (*name, rows())).collect()
}

#[test]
fn every_code_has_a_row_and_every_row_carries_its_code() {
    let families = all();
    let rows: Vec<&Row> = families.iter().flat_map(|(_, rows)| rows).collect();
    let missing: Vec<&FailureCode> =
        FailureCode::ALL.iter().filter(|code| rows.iter().all(|row| row.code != **code)).collect();
    assert!(missing.is_empty(), "nothing produces {missing:?}");
    let mut causes = BTreeSet::new();
    for row in rows {
        assert!(causes.insert(row.cause), "two rows say {:?}", row.cause);
        if let Leaves::Run { events, .. } = &row.leaves {
            assert!(
                events.iter().any(|(_, reason)| *reason == Some(row.code)),
                "no event of {:?} carries it",
                row.cause
            );
        }
    }
}

/// Whatever a row leaves, the guidance of its code lists it.
#[test]
fn the_guidance_of_a_code_lists_what_its_rows_leave() {
    for row in all().iter().flat_map(|(_, rows)| rows) {
        let leaves = row.code.guidance().leaves;
        let listed = leaves.iter().any(|left| match (&row.leaves, left) {
            (Leaves::Refusal { outcome, .. }, A::Refused) => *outcome == "REJECTED",
            (Leaves::Refusal { .. }, A::RefusedForNow) => true,
            (Leaves::Refusal { outcome, .. }, A::Contradiction) => *outcome == "CONFLICT",
            (Leaves::Refusal { outcome, .. }, A::Command) => *outcome == "COMMAND_REJECTED",
            (Leaves::Run { state, .. }, A::Ended | A::Reopenable) => *state == State::Fail,
            // The run of a lost worker may have its verdict by now.
            (Leaves::Run { events, .. }, A::Requeued) => events.contains(&(EventType::RunRequeued, Some(row.code))),
            (Leaves::Run { events, .. }, A::Deferred) => events.contains(&(EventType::PublishPending, Some(row.code))),
            (Leaves::Run { state, events, .. }, A::Parked) => {
                *state == State::PublishPending && events.contains(&(EventType::PublishExhausted, Some(row.code)))
            }
            (Leaves::Published { .. }, A::Stands) | (Leaves::NoStart, A::NotStarted) => true,
            _ => false,
        });
        assert!(listed, "{}, {}: the guidance lists only {leaves:?}", row.code, row.cause);
    }
}

#[test]
fn the_documentation_shows_exactly_these_rows() {
    document::compare(&document::render(&all()));
}

macro_rules! families {
    ($($test:ident => $name:literal;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                family($name).await;
            }
        )+

        #[test]
        fn every_family_has_its_test() {
            assert_eq!([$($name),+], FAMILIES.map(|(name, _)| name));
        }
    };
}

families! {
    a_bad_message_is_refused_once_with_its_bytes => "Requests";
    whoever_may_not_ask_is_refused_by_screening => "Requesters";
    a_contradiction_or_command_out_of_place_is_refused => "Conflicts and commands";
    what_cannot_be_resolved_ends_the_run_before_it_trains => "Resolution";
    rows_that_cannot_be_learned_from_end_the_run => "Data";
    a_trainer_or_worker_that_goes_wrong_is_reported => "Execution";
    evidence_that_is_lost_or_forged_is_never_announced => "Evidence";
    a_name_never_changes_its_bytes => "Immutability";
    a_model_that_the_gate_refuses_is_not_announced => "Gate";
    a_publication_that_may_not_or_cannot_be_is_reported => "Publication";
}
