//! `docs/failure-codes.md` shows the guidance of every failure code, and `runs explain` prints it.

use crate::support::{World, request};
use model_factory::domain::run::{FailureCategory, FailureCode, Guidance};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str = "\
# Failure codes

What each code means: what happened, what it leaves and whether asking again helps, what the requester does, what the
operator does. What brings a code about, input by input, is in [negative paths](negative-paths.md).

A code stands in `reason` of a lifecycle event, in the header `mf_code` of a dead letter and in the run's row.
`model-factory runs explain ID` and `model-factory dead-letters show TOPIC/PARTITION/OFFSET` say what is to be done.
`reproduce` and `score` use some of these codes for what they find themselves; there is no run then.

This document is written by a test from the texts beside the codes (`src/domain/run/guidance/`).
";

const PARTS: [&str; 10] = [
    "Requests",
    "Authority",
    "Conflicts and commands",
    "Resolution",
    "Data",
    "Training",
    "Evidence",
    "Evidence immutability",
    "Gate",
    "Publication",
];

fn part(code: FailureCode) -> &'static str {
    use FailureCode as C;
    match (code, code.category()) {
        (C::RequesterNotAllowed | C::SignatureInvalid | C::QuotaExceeded, _) => "Authority",
        (C::RunUnknown | C::PublishNotPending, _) | (_, FailureCategory::Conflict) => "Conflicts and commands",
        (_, FailureCategory::Request) => "Requests",
        (_, FailureCategory::Resolution) => "Resolution",
        (_, FailureCategory::Data) => "Data",
        (_, FailureCategory::Execution) => "Training",
        (_, FailureCategory::Evidence) => "Evidence",
        (_, FailureCategory::Immutability) => "Evidence immutability",
        (_, FailureCategory::Gate) => "Gate",
        (_, FailureCategory::Publish) => "Publication",
    }
}

fn codes_of(name: &str) -> impl Iterator<Item = FailureCode> {
    FailureCode::ALL.iter().copied().filter(move |code| part(*code) == name)
}

/// The anchor of the code's heading.
fn anchor(code: FailureCode) -> String {
    code.as_str().to_lowercase()
}

fn render() -> String {
    let mut text = HEAD.to_owned();
    for name in PARTS {
        let links: Vec<String> = codes_of(name).map(|code| format!("[`{code}`](#{})", anchor(code))).collect();
        writeln!(text, "\n**{name}**: {}", links.join(", ")).unwrap();
    }
    for name in PARTS {
        writeln!(text, "\n## {name}").unwrap();
        for code in codes_of(name) {
            let Guidance { happened, leaves, requester, operator } = code.guidance();
            writeln!(text, "\n### `{code}`\n\n- **What happened**: {happened}").unwrap();
            for (index, left) in leaves.iter().enumerate() {
                let label = if index == 0 { "What it leaves" } else { "Or" };
                writeln!(text, "- **{label}**: {}", left.sentence()).unwrap();
            }
            writeln!(text, "- **Requester**: {requester}\n- **Operator**: {operator}").unwrap();
        }
    }
    text
}

#[test]
fn the_documentation_of_failure_codes_shows_every_one() {
    let expected = render();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/failure-codes.md");
    if std::env::var("MODEL_FACTORY_BLESS").is_ok() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/failure-codes.md does not say what src/domain/run/guidance says; write it anew with\n  \
         MODEL_FACTORY_BLESS=1 cargo test --test it failure_codes"
    );
    let anchors: BTreeSet<String> = expected
        .lines()
        .filter_map(|line| Some(line.strip_prefix("### `")?.trim_end_matches('`').to_lowercase()))
        .collect();
    let wanted: BTreeSet<String> = FailureCode::ALL.iter().map(|code| anchor(*code)).collect();
    assert_eq!(anchors, wanted, "one heading for each code");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_prints_who_does_what_about_a_run_that_failed() {
    const ID: &str = "req-codes-0001";
    let world = World::new().await;
    world.send(&[request(ID).to_string().into_bytes()]).await;
    world.admit(1).await;
    let explain = ["runs", "explain", ID];
    assert!(!world.stdout(&explain).contains("operator:"), "nothing has happened yet");
    world.stdout(&["runs", "cancel", ID, "--reason", "a mistake"]);
    let Guidance { happened, requester, operator, .. } = FailureCode::Cancelled.guidance();
    let said = world.stdout(&explain);
    for text in ["CANCELLED", happened, requester, operator] {
        assert!(said.contains(text), "{text:?} is not in\n{said}");
    }
}
