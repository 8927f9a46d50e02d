//! Reports whose numbers cannot all be true, and files that are nearly the right ones. All that follows from the changed
//! file is made anew, so that only the check of the change itself can find it.

use super::forgeries::looked_at_report;
use super::signed::Tampered;
use super::tampering::{BUNDLE, PARITY, PLAN, PROVENANCE, RECEIPT, REPORT, Tampering, tampering};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model_factory::tools::verify::Link;
use serde_json::{Value, json};
use std::fs;

/// Changes what was measured, and makes all that follows anew.
fn measured(t: &Tampered, change: impl FnOnce(&mut Value)) {
    t.edit(REPORT, |report| change(&mut report["metrics"]));
    looked_at_report(t);
}

pub const CONTRADICTIONS: &[Tampering] = &[
    tampering("a metric that is left out", Link::Report, "it lacks log_loss", |t| {
        measured(t, |m| {
            m["scores"].as_object_mut().unwrap().remove("log_loss");
        });
    }),
    tampering("a metric that nobody asked for", Link::Report, "does not ask for the metrics \"precision_at_7\"", |t| {
        measured(t, |m| m["scores"]["precision_at_7"] = m["scores"]["precision_at_50"].clone());
    }),
    tampering("a metric above one", Link::Report, "brier_score cannot be 1.5", |t| {
        measured(t, |m| m["scores"]["brier_score"]["value"] = json!(1.5));
    }),
    tampering(
        "a metric without a value or a reason",
        Link::Report,
        "neither a value with an interval nor the reason",
        |t| {
            measured(t, |m| m["scores"]["brier_score"]["value"] = Value::Null);
        },
    ),
    tampering("an interval beside the reason why there is none", Link::Report, "ks_statistic has neither", |t| {
        measured(t, |m| m["scores"]["ks_statistic"]["interval"] = m["scores"]["auc_roc"]["interval"].clone());
    }),
    tampering("an interval that is turned around", Link::Report, "average_precision has no interval from", |t| {
        measured(t, |m| m["scores"]["average_precision"]["interval"]["high"] = json!(0.0));
    }),
    tampering("an interval of another confidence", Link::Report, "with the confidence 0.5", |t| {
        measured(t, |m| m["scores"]["average_precision"]["interval"]["confidence"] = json!(0.5));
    }),
    tampering("counts at another threshold", Link::Report, "counts at other thresholds", |t| {
        measured(t, |m| m["confusion"][0]["threshold"] = json!(0.2));
    }),
    tampering(
        "a recall that its counts do not give",
        Link::Report,
        "recall_at_threshold_0.1 is not that of the counts",
        |t| {
            measured(t, |m| m["scores"]["recall_at_threshold_0.1"]["value"] = json!(0.987_654_321));
        },
    ),
    tampering("a ROC curve that falls", Link::Report, "the ROC curve is not one", |t| {
        measured(t, |m| {
            let points = m["curves"]["roc"].as_array_mut().unwrap();
            let inner = points.len() / 2;
            points[inner]["true_positive_rate"] = json!(0.000_001);
        });
    }),
    tampering("a calibration of more rows", Link::Report, "the calibration is not one", |t| {
        measured(t, |m| m["curves"]["calibration"][0]["rows"] = json!(1));
    }),
    tampering("a histogram with a fraud more", Link::Report, "the histogram of scores is not one", |t| {
        measured(t, |m| {
            let count = &mut m["curves"]["score_histogram"][0]["positives"];
            *count = json!(count.as_u64().unwrap() + 1);
        });
    }),
    tampering("a column that is not sliced any more", Link::Report, "sliced by other columns", |t| {
        measured(t, |m| {
            m["slices"].as_array_mut().unwrap().pop();
        });
    }),
    tampering("a bad slice that is left out", Link::Report, "do not add up to the test window", |t| {
        measured(t, |m| {
            m["slices"][0]["slices"].as_array_mut().unwrap().remove(0);
        });
    }),
    tampering("rows outside of every window called rows of known cards", Link::Report, "leaves 1 rows of known", |t| {
        measured(t, |m| {
            let unused = m["dataset"]["unused_rows"].as_u64().unwrap();
            (m["dataset"]["unused_rows"], m["dataset"]["excluded_rows"]) = (json!(unused - 1), json!(1));
        });
    }),
    tampering("a finding about too few rows", Link::Report, "what it found of the feature \"amount\"", |t| {
        measured(t, |m| m["feature_findings"] = json!([{"feature": "amount", "finding": "constant", "rows": 1}]));
    }),
    tampering("a finding about a feature that is none", Link::Report, "what it found of the feature \"none\"", |t| {
        measured(t, |m| m["feature_findings"] = json!([{"feature": "none", "finding": "constant", "rows": 1}]));
    }),
    tampering("a mean SHAP value above the mean of its size", Link::Report, "the mean SHAP value of", |t| {
        measured(t, |m| m["features"][0]["mean_shap"] = json!(1_000.0));
    }),
    // Names and forms that nearly are the right ones.
    tampering("a second card in capital letters", Link::Files, "\"MODEL_CARD.md\" is no file", |t| {
        t.add("MODEL_CARD.md", "# The best model");
    }),
    tampering("a file with a combining letter in its name", Link::Files, "is no file of a bundle", |t| {
        t.add("mode\u{301}l.json", "{}");
    }),
    tampering("a file with a space behind its name", Link::Files, "MLmodel  is not in bundle.json", |t| {
        fs::write(t.file("MLmodel "), "flavors: {}").unwrap();
    }),
    tampering("a letter as an escape", Link::Plan, "not the file that Model Factory wrote", |t| {
        t.rewrite(PLAN, |text| text.replacen("\"run_key\"", "\"run\\u005fkey\"", 1));
    }),
    tampering("keys in another order", Link::Gate, "not the file that Model Factory wrote", |t| {
        t.rewrite(RECEIPT, |text| {
            let (first, rest) = text.trim_start_matches("{\n").split_once('\n').unwrap();
            let (second, rest) = rest.split_once('\n').unwrap();
            assert!(first.ends_with(',') && second.ends_with(','), "{first} {second}");
            format!("{{\n{second}\n{first}\n{rest}")
        });
    }),
    tampering("a path with a dot before it", Link::Files, "./MLmodel is missing", |t| {
        t.edit(BUNDLE, |b| b["files"][0]["path"] = json!("./MLmodel"));
    }),
    tampering("vectors that changed places", Link::Parity, "at /vectors/0", |t| {
        t.edit(PARITY, |p| p["vectors"].as_array_mut().unwrap().reverse());
        t.repack();
    }),
    tampering("bits of a score that its number does not have", Link::Parity, "at /vectors/0/score_bits", |t| {
        t.edit(PARITY, |p| p["vectors"][0]["score_bits"] = json!("3f000000"));
        t.repack();
    }),
    tampering("provenance with a key of its own", Link::Provenance, "at /predicate/buildDefinition/note", |t| {
        t.forge(PROVENANCE, |p| p["predicate"]["buildDefinition"]["note"] = json!("approved"));
    }),
    tampering("a bill that leaves a component out", Link::Descriptions, "bom.json does not follow", |t| {
        t.forge("bom.json", |b| {
            b["components"].as_array_mut().unwrap().pop().unwrap();
        });
    }),
    tampering("an empty list of requirements", Link::Descriptions, "requirements.txt does not follow", |t| {
        t.rewrite("requirements.txt", |_| String::new());
    }),
    tampering("a card that turns its text around", Link::Descriptions, "model_card.md does not follow", |t| {
        t.rewrite("model_card.md", |text| text.replacen("**PASS**", "\u{202e}**PASS**", 1));
    }),
    tampering("a key twice in MLmodel", Link::Descriptions, "MLmodel does not follow", |t| {
        t.rewrite("MLmodel", |text| format!("{text}flavors: {{}}\n"));
    }),
    tampering("a signature without its last byte", Link::Signature, "it is no model signature", |t| {
        t.edit("model.sig", |s| {
            let signature = &mut s["dsseEnvelope"]["signatures"][0]["sig"];
            let mut bytes = BASE64.decode(signature.as_str().unwrap()).unwrap();
            bytes.pop();
            *signature = json!(BASE64.encode(bytes));
        });
    }),
];
