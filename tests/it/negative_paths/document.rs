//! The rows as `docs/negative-paths.md` shows them.

use super::row::{Bring, Emitted, Leaves, Row};
use model_factory::domain::run::FailureCode;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str = "\
# Negative paths

Every failure code, what brings it about, and what it leaves. Each row is a test that does what its second column
says, to the whole worker: a record on the request topic, intake, runner, relay, and then a look at inbox, ledger and
topics (`tests/it/negative_paths/`). This table is written by those tests. What each code asks of requester and operator
is in [failure codes](failure-codes.md).

For every row holds besides what it says:

- A dead letter has the record's key and all of its bytes, and says code, pointer and message in its headers. Of a
  record that is over a bound or that nobody can read it has the digest, the length and the first KiB.
- A run that goes wrong announces nothing, unless it was published before; the same request sent again does not change
  its verdict.
- A retryable code sends its run back to the queue with backoff, and the bound on attempts ends it with
  `ATTEMPTS_EXHAUSTED`. A publication is tried again in the same way; what no attempt can mend, or what is beyond the
  bound, waits at `PUBLISH_PENDING` for a publish retry.

Of the events those are shown that carry a reason; `-` means that no request id could be read, so that only the dead
letter tells.

";

pub fn render(families: &[(&str, Vec<Row>)]) -> String {
    let mut text = HEAD.to_owned();
    let rows: usize = families.iter().map(|(_, rows)| rows.len()).sum();
    let codes: BTreeSet<&str> = families.iter().flat_map(|(_, rows)| rows).map(|row| row.code.as_str()).collect();
    writeln!(text, "{rows} rows, {} codes.", codes.len()).unwrap();
    for (family, rows) in families {
        writeln!(text, "\n## {family}\n").unwrap();
        text.push_str("| code | what is done | outcome, state | events with their reason | dead letter | next |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for row in rows {
            let (outcome, events, letter) = left(row);
            writeln!(text, "| `{}` | {} | {outcome} | {events} | {letter} | {} |", row.code, row.cause, row.next)
                .unwrap();
        }
    }
    text
}

fn left(row: &Row) -> (String, String, String) {
    match &row.leaves {
        Leaves::Refusal { outcome, pointer, emits, .. } => {
            let events = if *emits { format!("`request.rejected` `{}`", row.code) } else { "-".to_owned() };
            let at = if pointer.is_empty() { "the whole record".to_owned() } else { format!("`{pointer}`") };
            (format!("`{outcome}`"), events, format!("yes, at {at}"))
        }
        Leaves::Run { state, events, .. } => (format!("`ADMITTED`, `{state}`"), with_reason(events), "no".to_owned()),
        Leaves::Published { .. } => {
            ("`ADMITTED`, `PUBLISHED`".to_owned(), "none; in the run's row".to_owned(), "no".to_owned())
        }
        Leaves::NoStart => {
            assert!(matches!(row.brought, Bring::Boundaries(_)));
            ("none: nothing starts, the record stays".to_owned(), "none; on standard error".to_owned(), "no".to_owned())
        }
    }
}

/// The events with a reason; one that repeats in a row is shown once, with its number.
fn with_reason(events: &[Emitted]) -> String {
    let mut shown: Vec<(String, usize)> = Vec::new();
    let with_code = events.iter().filter_map(|(event, reason)| Some((event, (*reason)?)));
    for (event, reason) in with_code {
        let text = format!("`{event}` `{}`", FailureCode::as_str(reason));
        match shown.last_mut() {
            Some((last, count)) if *last == text => *count += 1,
            _ => shown.push((text, 1)),
        }
    }
    if let Some((event, None)) = events.last() {
        shown.push((format!("`{event}`"), 1));
    }
    let times = |(text, count)| if count == 1 { text } else { format!("{count} × {text}") };
    shown.into_iter().map(times).collect::<Vec<String>>().join(", ")
}

/// Compares with the document in the tree, or writes it.
pub fn compare(expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/negative-paths.md");
    if std::env::var("MODEL_FACTORY_BLESS").is_ok() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/negative-paths.md does not show the rows of tests/it/negative_paths; write it anew with\n  \
         MODEL_FACTORY_BLESS=1 cargo test --test it negative_paths::the_documentation"
    );
}
