//! Bundles of earlier runs that a profile names and that cannot be used.

use super::inputs;
use super::row::{Row, ends};
use super::stage::{ask, ask_with, bytes};
use model_factory::domain::contract::{SchemaName, schema_text};
use model_factory::domain::identity::Digest;
use model_factory::domain::run::FailureCode as C;
use serde_json::{Value, json};

const PIN: &str = "pin a bundle that is there under its digest, ask with that profile";

pub fn rows() -> Vec<Row> {
    vec![
        ends(
            C::TrainingProfileInvalid,
            "a regression check whose profile names no bundle",
            "names none",
            "ask with a training profile that has a baseline_bundle_ref",
            || ask_with("req-regress-1", "intent_kind", json!("regression_check")),
        ),
        ends(
            C::EvidenceUnresolved,
            "a regression check of a bundle that is not there",
            "was not found",
            "nothing: it is tried again; after the bound, provide it and ask an operator for `runs requeue`",
            || checks("req-regress-2", "nowhere", Digest::of(b"")),
        ),
        ends(C::DigestMismatch, "a bundle.json whose bytes are not the pinned ones", "expected sha256", PIN, || {
            bundle("other-bytes", |_| {});
            checks("req-regress-3", "other-bytes", Digest::of(b"others"))
        }),
        ends(C::RefNotAllowed, "a bundle outside the allow-list", "outside the allow-list", PIN, || {
            let pinned = json!({"ref": "s3://elsewhere/bundle.json", "sha256": Digest::of(b"")});
            let profile =
                inputs::training("bundle-outside", "policy_id", &format!("baseline_bundle_ref: {pinned}\npolicy_id"));
            regression("req-regress-4", &profile)
        }),
        ends(
            C::FeatureSchemaIncompatible,
            "a bundle whose model reads another version of the feature set",
            "reads feature set",
            "ask with a profile and a manifest of the bundle's feature set",
            || {
                let other = |value: &mut Value| value["compatibility"]["feature_set_version"] = json!("v0");
                let sha256 = bundle("other-set", other);
                checks("req-regress-5", "other-set", sha256)
            },
        ),
        ends(
            C::TrainingProfileInvalid,
            "a bundle whose model is not in XGBoost's format",
            "can be scored",
            "name a bundle of the built-in booster, or of a command that saves xgboost_json",
            || {
                let skops = |value: &mut Value| {
                    for file in value["files"].as_array_mut().unwrap() {
                        if file["path"] == "model.json" {
                            file["path"] = json!("model.skops");
                        }
                    }
                };
                let sha256 = bundle("skops", skops);
                checks("req-regress-6", "skops", sha256)
            },
        ),
        ends(
            C::GovernanceProfileInvalid,
            "a champion whose bundle.json is none",
            "champion's bundle",
            "pin a mended profile under a new name, ask with that",
            || {
                let reference = inputs::file("no-bundle/bundle.json", b"{}");
                let rest = format!(
                    "eval_thresholds: {{min_auc_roc: 0.5}}\nchampion: {{bundle_ref: {}, eval_differences: {{min_auc_roc: 0}}}}",
                    json!({"ref": reference, "sha256": Digest::of(b"{}")})
                );
                let mut request = ask("req-champion1");
                request["governance_profile_ref"] = json!(inputs::governance("nochampion", true, &rest));
                bytes(&request)
            },
        ),
    ]
}

/// Writes a bundle made of the schemas' examples on the features of the test's data; returns the digest of its
/// `bundle.json`.
fn bundle(name: &str, change: impl FnOnce(&mut Value)) -> Digest {
    let example = |schema| {
        let text: Value = serde_json::from_str(schema_text(schema)).unwrap();
        text["examples"][0].clone()
    };
    let report = example(SchemaName::EvalReport).to_string().into_bytes();
    inputs::file(&format!("{name}/eval_report.json"), &report);
    let mut value = example(SchemaName::Bundle);
    value["compatibility"]["feature_set_id"] = json!("synthetic-cards");
    value["compatibility"]["feature_set_version"] = json!("v1");
    value["features"] = json!([{"name": "amount", "type": "numeric"}]);
    let file = |path: &str, sha256: Digest| json!({"path": path, "sha256": sha256, "bytes": 2, "media_type": "application/json"});
    value["files"] = json!([file("eval_report.json", Digest::of(&report)), file("model.json", Digest::of(b"{}"))]);
    change(&mut value);
    let bytes = value.to_string().into_bytes();
    inputs::file(&format!("{name}/bundle.json"), &bytes);
    Digest::of(&bytes)
}

fn checks(id: &str, name: &str, sha256: Digest) -> Vec<u8> {
    let pinned = json!({"ref": format!("negative/{name}/bundle.json"), "sha256": sha256});
    let with = format!("baseline_bundle_ref: {pinned}\npolicy_id");
    regression(id, &inputs::training(&format!("checks-{name}"), "policy_id", &with))
}

fn regression(id: &str, profile: &str) -> Vec<u8> {
    let mut request = ask(id);
    request["intent_kind"] = json!("regression_check");
    request["training_config_ref"] = json!(profile);
    bytes(&request)
}
