//! Writes `model_card.md`, which describes the model to people. Every name and number in it comes from the evidence.

use crate::domain::contract::{
    Decision, EvalReport, FeatureKind, GateReceipt, MetricValue, ModelFormat, SettledSplit, SlicedBy, TimeWindow,
    TrainPlan, WindowSummary,
};
use crate::domain::identity::Digest;
use chrono::SecondsFormat;
use std::fmt::Write as _;

pub const CARD_FILE: &str = "model_card.md";

pub struct CardSources<'a> {
    pub plan: &'a TrainPlan,
    pub report: &'a EvalReport,
    pub receipt: &'a GateReceipt,
    pub model: &'a Digest,
    pub format: ModelFormat,
}

/// Writes the card as `CommonMark` with tables.
pub fn model_card(sources: &CardSources<'_>) -> String {
    let sections = [use_of(sources), data(sources), metrics(sources), gate(sources), limits(sources), lineage(sources)];
    let scope = sources.plan.target_scope.scope_key();
    format!("# Fraud model for {}\n\n{}", code(&scope), sections.join("\n"))
}

fn use_of(sources: &CardSources<'_>) -> String {
    let CardSources { plan, format, .. } = sources;
    let set = &plan.feature_definition_set;
    let mut text = format!(
        "## Intended use\n\nGives a payment the probability that it is fraud, from 0 to 1, in the scope {}. It reads the \
         feature set {}, version {}, as the {} inputs below, and needs a server that loads {}.\n\nIt is meant for nothing \
         else: not for other scopes, other feature sets, or decisions about people that are not about a payment.\n\n\
         | input | kind |\n|---|---|\n",
        code(&plan.target_scope.scope_key()),
        code(&set.feature_set_id),
        code(&set.feature_set_version),
        plan.features.len(),
        code(format.capability()),
    );
    for feature in &plan.features {
        let kind = match feature.kind {
            FeatureKind::Numeric => "number",
            FeatureKind::Categorical => "category",
        };
        row(&mut text, &[code(&feature.name), kind.to_owned()]);
    }
    text
}

fn data(sources: &CardSources<'_>) -> String {
    let CardSources { plan, report, .. } = sources;
    let dataset = &report.metrics.dataset;
    let windows = match &report.metrics.split {
        SettledSplit::TimeBased(windows) => Some(windows),
        SettledSplit::StratifiedRandom(_) => None,
    };
    let mut text = "## Data\n\n| window | from | to before | rows | frauds |\n|---|---|---|---:|---:|\n".to_owned();
    let mut window = |name: &str, window: Option<TimeWindow>, summary: WindowSummary| {
        let instant = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (from, to) =
            window.map_or(("drawn".to_owned(), "drawn".to_owned()), |of| (instant(of.start), instant(of.end)));
        row(&mut text, &[name.to_owned(), from, to, summary.rows.to_string(), summary.positives.to_string()]);
    };
    window("train", windows.map(|of| of.train), dataset.train);
    if let Some(summary) = dataset.validation {
        window("validation", windows.and_then(|of| of.validation), summary);
    }
    window("test", windows.map(|of| of.test), dataset.test);
    let basis = &plan.label_basis;
    let weight = plan.columns.weight.as_ref().map_or_else(String::new, |weight| {
        format!(" Each row stands for as many payments as its {} says: in fit and metrics.", code(weight))
    });
    format!(
        "{text}\nThe files hold {} rows; {} lie outside every window, {} left the test window because a fraud of their entity was \
         known when they happened.{weight} Labels are as of {}, resolved by {}.\n",
        dataset.rows,
        dataset.unused_rows,
        dataset.excluded_rows,
        basis.label_asof_utc.to_rfc3339_opts(SecondsFormat::Secs, true),
        code(&basis.resolution_rule),
    )
}

fn metrics(sources: &CardSources<'_>) -> String {
    let measured = &sources.report.metrics;
    let mut text = "## Metrics on the test window\n\n| metric | value | interval |\n|---|---:|---|\n".to_owned();
    for (name, metric) in &measured.scores {
        row(&mut text, &[code(name), value(metric), interval(metric)]);
    }
    for by in &measured.slices {
        slices(&mut text, by);
    }
    text
}

fn slices(text: &mut String, by: &SlicedBy) {
    const SHOWN: [&str; 2] = ["auc_roc", "average_precision"];
    writeln!(text, "\n### By {}\n", code(&by.column)).expect("writing to a string");
    text.push_str("| slice | rows | frauds | auc_roc | average_precision |\n|---|---:|---:|---:|---:|\n");
    for slice in &by.slices {
        let mut cells = vec![code(&slice.slice), slice.rows.to_string(), slice.positives.to_string()];
        cells.extend(SHOWN.map(|name| slice.scores.get(name).map_or_else(String::new, value)));
        row(text, &cells);
    }
}

fn gate(sources: &CardSources<'_>) -> String {
    let CardSources { plan, receipt, .. } = sources;
    let decision = match receipt.decision {
        Decision::Pass => "PASS",
        Decision::Fail => "FAIL",
    };
    let mut text = format!(
        "## Gate\n\n**{decision}** under the policy {}, revision {}. The test window holds {} frauds; {} were required.\n\n\
         | threshold | bound | holds |\n|---|---:|---|\n",
        code(&plan.governance_profile.policy_id),
        code(&plan.governance_profile.revision),
        receipt.min_positives.found,
        receipt.min_positives.required,
    );
    for verdict in &receipt.thresholds {
        let holds = if verdict.holds { "yes" } else { "no" };
        row(&mut text, &[code(&verdict.threshold), verdict.bound.to_string(), holds.to_owned()]);
    }
    let slices = receipt.slices.iter().map(|of| (of.name(), of.bound, of.holds));
    for (name, bound, holds) in slices.chain(receipt.ratio.iter().map(|of| (of.name(), of.bound, of.holds))) {
        let holds = if holds { "yes" } else { "no" };
        row(&mut text, &[code(&name), bound.to_string(), holds.to_owned()]);
    }
    text
}

fn limits(sources: &CardSources<'_>) -> String {
    let CardSources { plan, report, format, .. } = sources;
    let measured = &report.metrics;
    let mut points = vec![
        "The metrics say how it did on the test window above. Fraud changes; they promise nothing for later payments."
            .to_owned(),
        "The scores are what the model gives, not adjusted afterwards; the calibration curve stands in eval_report.json."
            .to_owned(),
    ];
    if measured.scores.values().all(|metric| metric.interval.is_none()) {
        let point = "No metric has an interval, for the reasons in eval_report.json: nothing is said of how far chance may \
                     have moved a metric.";
        points.push(point.to_owned());
    }
    if measured.slices.is_empty() {
        let point = "The profile asked for no slices: nothing is known of how it does on parts of the payments.";
        points.push(point.to_owned());
    }
    let undefined = measured.scores.iter().filter(|(_, metric)| metric.value.is_none());
    points.extend(undefined.map(|(name, metric)| {
        let why = metric.undefined_because.as_deref().unwrap_or("it is not a number");
        format!("{} is undefined: {}", code(name), plain(why))
    }));
    let findings = measured.feature_findings.iter();
    points.extend(
        findings.map(|of| format!("The input {} {} ({} rows).", code(&of.feature), of.finding.meaning(), of.rows)),
    );
    if plan.features.iter().any(|feature| feature.kind == FeatureKind::Categorical) {
        points.push("Categories that the train window does not show count as missing.".to_owned());
    }
    if format.runs_code() {
        points.push("Its file runs code when it is loaded: load it only where its maker is trusted.".to_owned());
    }
    format!("## Limits\n\n{}\n", points.iter().map(|point| format!("- {point}")).collect::<Vec<_>>().join("\n"))
}

fn lineage(sources: &CardSources<'_>) -> String {
    let CardSources { plan, report, model, format, .. } = sources;
    let mut text = "## Where it comes from\n\n| what | which | sha256 |\n|---|---|---|\n".to_owned();
    let mut line = |what: &str, which: &str, sha256: &Digest| {
        row(&mut text, &[what.to_owned(), code(which), code(&sha256.to_string())]);
    };
    line("model", format.file_name(), model);
    line("plan", plan.run_id.as_str(), &report.provenance.resolved_train_plan.sha256);
    for manifest in &plan.manifests {
        line("manifest", &manifest.reference, &manifest.sha256);
    }
    for file in &plan.files {
        line("data", &file.reference, &file.sha256);
    }
    line("training profile", &plan.training_profile.reference, &plan.training_profile.sha256);
    line("governance profile", &plan.governance_profile.reference, &plan.governance_profile.sha256);
    format!(
        "{text}\nTrained by {}, code {}, configuration {}, policy {}. Provenance for machines: `provenance.intoto.json`.\n",
        code(plan.algorithm.id()),
        code(&plan.revisions.mf_code_release_id),
        code(&plan.revisions.config_revision),
        code(&plan.revisions.policy_revision),
    )
}

fn value(metric: &MetricValue) -> String {
    metric.value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.4}"))
}

fn interval(metric: &MetricValue) -> String {
    metric.interval.as_ref().map_or_else(String::new, |of| {
        format!("{:.4} to {:.4} ({} %)", of.low, of.high, (of.confidence * 1_000.0).round() / 10.0)
    })
}

fn row(text: &mut String, cells: &[String]) {
    writeln!(text, "| {} |", cells.join(" | ")).expect("writing to a string");
}

/// Writes text from outside as a code span on one line. The text can end neither the span nor the table's cell.
fn code(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() || c == '`' { '\u{fffd}' } else { c }).collect();
    format!("`{}`", shown.replace('|', "\\|"))
}

/// Writes text from outside with all punctuation escaped, so that Markdown reads none of it as markup.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            plain.push('\\');
        }
        plain.push(if c.is_control() { ' ' } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{SchemaName, schema_text};
    use serde::de::DeserializeOwned;

    fn example<T: DeserializeOwned>(schema: SchemaName) -> T {
        let text: serde_json::Value = serde_json::from_str(schema_text(schema)).unwrap();
        serde_json::from_value(text["examples"][0].clone()).unwrap()
    }

    #[test]
    fn the_limits_name_inputs_that_deserve_a_look() {
        let (plan, report, receipt) = (
            example::<TrainPlan>(SchemaName::ResolvedTrainPlan),
            example::<EvalReport>(SchemaName::EvalReport),
            example::<GateReceipt>(SchemaName::GateReceipt),
        );
        let (model, format) = (&Digest::of(b"a model"), ModelFormat::XgboostJson);
        let card = model_card(&CardSources { plan: &plan, report: &report, receipt: &receipt, model, format });
        let limits = card.split_once("## Limits").unwrap().1;
        assert!(limits.contains("- The input `terminal_region` has one value in the whole train window"), "{limits}");
    }
}
