//! `docs/metrics.md` shows every metric of the catalogue, with the alerts that use it.

use super::catalogue::described;
use model_factory::telemetry::metrics::{Described, Legend, Values};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Metrics

What `GET /metrics` of a worker returns, in Prometheus' text format. Units are base units; a histogram has the series
`_bucket`, `_sum` and `_count`. A label has a closed set of values, or values that the operator's configuration bounds; none
comes from the text of a request. A counter is 0 for every value of its labels from the start.

- **Counters** begin at 0 with each process. The worker counts what the ledger did once the COMMIT is acknowledged. A worker
  that dies right after it, or loses the acknowledgement, leaves it out; nothing counts twice.
- **Gauges of the ledger** (`model_factory_runs`, `…_queue_…`, `…_outbox_…`): every worker reads them every 15 seconds, and all
  show the same. Take `max`, never `sum`. While the database is away they keep their values, and
  `model_factory_ledger_surveyed_timestamp_seconds` shows since when.
- **The other gauges** are measured when `/metrics` is read.

This document is written by a test from the catalogue (`src/telemetry/metrics/catalogue.rs`) and the rules in `deploy/prometheus`.

## Every metric

";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder with this extension.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The expression of each alert, with the expressions of the recorded series that it names.
fn alerts() -> BTreeMap<String, String> {
    let (mut alerts, mut records) = (BTreeMap::new(), BTreeMap::new());
    for path in files(&root().join("deploy/prometheus/rules"), "yaml") {
        let rules: Value = serde_saphyr::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
        for rule in rules {
            let text = |key: &str| rule[key].as_str().map(str::to_owned);
            let expression = text("expr").unwrap();
            match text("alert") {
                Some(alert) => alerts.insert(alert, expression),
                None => records.insert(text("record").unwrap(), expression),
            };
        }
    }
    for expression in alerts.values_mut() {
        let named = records.iter().filter(|(record, _)| words(expression).any(|word| word == record.as_str()));
        let behind: Vec<String> = named.map(|(_, behind)| behind.clone()).collect();
        *expression = format!("{expression} {}", behind.join(" "));
    }
    alerts
}

fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
}

/// Whether an expression names this metric, or a series of this histogram.
fn looks_at(expression: &str, metric: &dyn Described) -> bool {
    words(expression).any(|word| {
        let base = match metric.kind() {
            "histogram" => ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)),
            _ => Some(word),
        };
        base == Some(metric.name())
    })
}

fn label(legend: &Legend) -> String {
    let values = match &legend.values {
        Values::Closed(values) => {
            let listed: Vec<String> = values.iter().map(|(value, meaning)| format!("`{value}` ({meaning})")).collect();
            listed.join(", ")
        }
        Values::Codes(more) => {
            let more: Vec<String> = more.iter().map(|value| format!(", or `{value}`")).collect();
            format!("[failure codes](failure-codes.md){}", more.concat())
        }
        Values::Bounded(bound) => (*bound).to_owned(),
    };
    format!("  - `{}`: {values}\n", legend.name)
}

fn written() -> String {
    let (mut text, alerts) = (HEAD.to_owned(), alerts());
    text.push_str("| metric | type | unit | labels |\n|---|---|---|---|\n");
    for (_, metric) in described() {
        let labels: Vec<String> = metric.labels().iter().map(|label| format!("`{}`", label.name)).collect();
        writeln!(text, "| `{}` | {} | {} | {} |", metric.name(), metric.kind(), metric.unit(), labels.join(", "))
            .unwrap();
    }
    let mut last = "";
    for (subject, metric) in described() {
        if subject != std::mem::replace(&mut last, subject) {
            writeln!(text, "\n## {subject}").unwrap();
        }
        write!(text, "\n### {}\n{}.\n\n", metric.name(), metric.help()).unwrap();
        writeln!(text, "- Type and unit: {}, {}", metric.kind(), metric.unit()).unwrap();
        if !metric.labels().is_empty() {
            text.push_str("- Labels:\n");
            metric.labels().iter().for_each(|legend| text.push_str(&label(legend)));
        }
        writeln!(text, "- Normal: {}", metric.normal()).unwrap();
        let used: Vec<String> = alerts
            .iter()
            .filter(|(_, expression)| looks_at(expression, metric))
            .map(|(alert, _)| format!("`{alert}`"))
            .collect();
        if !used.is_empty() {
            writeln!(text, "- Alerts: {}", used.join(", ")).unwrap();
        }
    }
    text
}

#[test]
fn the_documentation_of_metrics_shows_every_one() {
    let (path, written) = (root().join("docs/metrics.md"), written());
    if std::env::var_os("MODEL_FACTORY_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, written, "MODEL_FACTORY_BLESS=1 cargo test --test it metrics::document");
}
