//! The ways to tamper with a bundle, and the link that each must break.

use super::signed::Tampered;
use model_factory::adapters::signing::PrivateKey;
use model_factory::domain::identity::{Digest, RunId};
use model_factory::modelling::eval_report_id;
use model_factory::tools::verify::Link;
use serde_json::json;
use std::fs;

/// A change of a bundle, the link that it breaks, and part of the reason.
pub struct Tampering {
    pub what: &'static str,
    pub link: Link,
    pub says: &'static str,
    pub change: fn(&Tampered),
}

pub const fn tampering(what: &'static str, link: Link, says: &'static str, change: fn(&Tampered)) -> Tampering {
    Tampering { what, link, says, change }
}

pub const REPORT: &str = "eval_report.json";
pub const DECISION: &str = "decision_report.json";
pub const RECEIPT: &str = "gate_receipt.json";
pub const PLAN: &str = "resolved_train_plan.json";
pub const PROVENANCE: &str = "provenance.intoto.json";
pub const PARITY: &str = "parity_vectors.json";
pub const BUNDLE: &str = "bundle.json";

pub const TAMPERINGS: &[Tampering] = &[
    // Careless: bundle.json still lists the old files.
    tampering("a byte of MLmodel", Link::Files, "MLmodel has digest", |t| t.flip("MLmodel")),
    tampering("a byte of the bill", Link::Files, "bom.json has digest", |t| t.flip("bom.json")),
    tampering("a byte of the report", Link::Files, "eval_report.json has digest", |t| t.flip(REPORT)),
    tampering("a byte of the decision report", Link::Files, "decision_report.json has digest", |t| t.flip(DECISION)),
    tampering("a byte of the receipt", Link::Files, "gate_receipt.json has digest", |t| t.flip(RECEIPT)),
    tampering("a byte of the example", Link::Files, "input_example.json has digest", |t| t.flip("input_example.json")),
    tampering("a byte of the model", Link::Files, "model.json has digest", |t| t.flip("model.json")),
    tampering("a byte of the card", Link::Files, "model_card.md has digest", |t| t.flip("model_card.md")),
    tampering("a byte of the vectors", Link::Files, "parity_vectors.json has digest", |t| t.flip(PARITY)),
    tampering("a byte of the provenance", Link::Files, "provenance.intoto.json has digest", |t| t.flip(PROVENANCE)),
    tampering("a byte of the plan", Link::Files, "resolved_train_plan.json has digest", |t| t.flip(PLAN)),
    tampering("a missing file", Link::Files, "model_card.md is missing", |t| {
        fs::remove_file(t.file("model_card.md")).unwrap();
    }),
    tampering("a missing bundle.json", Link::Bundle, "there is no bundle.json", |t| {
        fs::remove_file(t.file(BUNDLE)).unwrap();
    }),
    tampering("an added file", Link::Files, "notes.txt is not in bundle.json", |t| {
        fs::write(t.file("notes.txt"), "trust me").unwrap();
    }),
    tampering("an added folder", Link::Files, "code is no regular file", |t| fs::create_dir(t.file("code")).unwrap()),
    tampering("a link instead of a file", Link::Files, "model.json is no regular file", |t| {
        let elsewhere = t.file("elsewhere.json");
        fs::rename(t.file("model.json"), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, t.file("model.json")).unwrap();
    }),
    tampering("a cut model", Link::Files, "model.json has digest", |t| {
        let bytes = fs::read(t.file("model.json")).unwrap();
        fs::write(t.file("model.json"), &bytes[..bytes.len() / 2]).unwrap();
    }),
    tampering("a file that is not listed any more", Link::Files, "model_card.md is not in bundle.json", |t| {
        t.edit(BUNDLE, |b| b["files"].as_array_mut().unwrap().retain(|file| file["path"] != "model_card.md"));
    }),
    tampering("a file that is listed twice", Link::Files, "lists MLmodel where it must not", |t| {
        t.edit(BUNDLE, |b| {
            let files = b["files"].as_array_mut().unwrap();
            files.push(files[0].clone());
        });
    }),
    tampering("a bundle.json that is none", Link::Bundle, "bundle.json: ", |t| {
        fs::write(t.file(BUNDLE), "{").unwrap();
    }),
    tampering("a bundle.json with a field too many", Link::Bundle, "is not known", |t| {
        t.edit(BUNDLE, |b| b["approved"] = json!(true));
    }),
    // Careful: bundle.json fits the change.
    tampering("a plan for another request", Link::Request, "gives the run", |t| {
        t.forge(PLAN, |p| p["revisions"]["config_revision"] = json!("c2"));
    }),
    tampering("another run's bundle.json", Link::Request, "at /run_id", |t| {
        t.edit(BUNDLE, |b| b["run_id"] = json!(format!("tr_{}", "0".repeat(32))));
    }),
    tampering("a bundle for another scope", Link::Request, "at /target_scope/environment", |t| {
        t.edit(BUNDLE, |b| b["target_scope"]["environment"] = json!("production"));
    }),
    tampering("a plan with other parameters", Link::Plan, "at /lineage/run_config_digest", |t| {
        t.forge(PLAN, |p| p["algorithm"]["parameters"]["rounds"] = json!(7));
    }),
    tampering("features in another order", Link::Plan, "at /features/0", |t| {
        t.edit(BUNDLE, |b| b["features"].as_array_mut().unwrap().reverse());
    }),
    tampering(
        "a plan with other parameters that bundle.json names",
        Link::Report,
        "at /provenance/resolved_train_plan/sha256",
        |t| {
            t.forge(PLAN, |p| p["algorithm"]["parameters"]["rounds"] = json!(7));
            t.edit(BUNDLE, |b| b["lineage"]["run_config_digest"] = json!(t.digest(PLAN)));
        },
    ),
    tampering("a manifest with other data", Link::Data, "at /lineage/data/0/sha256", |t| {
        t.edit(BUNDLE, |b| b["lineage"]["data"][0]["sha256"] = json!(Digest::of(b"other rows")));
    }),
    tampering("another manifest", Link::Data, "at /lineage/manifests/0/sha256", |t| {
        t.edit(BUNDLE, |b| b["lineage"]["manifests"][0]["sha256"] = json!(Digest::of(b"another manifest")));
    }),
    tampering("another policy", Link::Data, "at /lineage/governance_profile/revision", |t| {
        t.edit(BUNDLE, |b| b["lineage"]["governance_profile"]["revision"] = json!("r0"));
    }),
    tampering("a report about other manifests", Link::Report, "at /dataset_manifest_refs/0", |t| {
        t.forge(REPORT, |r| r["dataset_manifest_refs"] = json!(["ofs/manifests/other.json"]));
    }),
    tampering("a model that needs another server", Link::Model, "at /compatibility/required_capabilities/0", |t| {
        t.edit(BUNDLE, |b| b["compatibility"]["required_capabilities"] = json!(["onnx"]));
    }),
    tampering("a pickle by the model's name", Link::Model, "it is a pickle", |t| {
        fs::write(t.file("model.json"), b"\x80\x04\x95").unwrap();
        t.relist();
    }),
    tampering("another model", Link::Report, "it is about the model", |t| {
        t.forge_compact("model.json", other_leaf);
    }),
    tampering("another decision report", Link::Report, "at /provenance/decision_report/sha256", |t| {
        t.forge(DECISION, |d| d["windows"]["test"]["days"] = json!(0.5));
    }),
    tampering("the decision report of another model", Link::Report, "its decision report is about", |t| {
        t.forge(DECISION, |d| d["model_sha256"] = json!(Digest::of(b"another model")));
        t.forge(REPORT, |r| r["provenance"]["decision_report"]["sha256"] = json!(t.digest(DECISION)));
    }),
    tampering("a decision report of more frauds", Link::Report, "counts other rows of the test window", |t| {
        t.forge(DECISION, |d| d["windows"]["test"]["positives"] = json!(1));
        t.forge(REPORT, |r| r["provenance"]["decision_report"]["sha256"] = json!(t.digest(DECISION)));
    }),
    tampering("another run's report", Link::Report, "it is about tr_", |t| {
        t.forge(REPORT, |r| r["run_id"] = json!(format!("tr_{}", "0".repeat(32))));
    }),
    tampering("a report under another id", Link::Report, "at /eval_report_id", |t| {
        t.forge(REPORT, |r| r["eval_report_id"] = json!(format!("er_{}", "0".repeat(32))));
    }),
    tampering("a better metric in the report", Link::Gate, "at /looked_at/eval_report/sha256", |t| {
        t.forge(REPORT, |r| r["metrics"]["scores"]["auc_roc"]["value"] = json!(0.999));
    }),
    tampering("a better metric in report, and a receipt about it", Link::Gate, "at /thresholds/0/", |t| {
        t.edit(REPORT, |r| r["metrics"]["scores"]["auc_roc"]["value"] = json!(0.999));
        t.forge(RECEIPT, |r| r["looked_at"]["eval_report"]["sha256"] = json!(t.digest(REPORT)));
    }),
    tampering("a lower bound in the receipt", Link::Report, "at /metrics/thresholds/", |t| {
        t.forge(RECEIPT, |r| r["thresholds"][0]["bound"] = json!(0.1));
    }),
    tampering("a receipt that says FAIL", Link::Gate, "at /decision", |t| {
        t.forge(RECEIPT, |r| r["decision"] = json!("FAIL"));
    }),
    tampering("a receipt about another model", Link::Gate, "at /looked_at/model/sha256", |t| {
        t.forge(RECEIPT, |r| r["looked_at"]["model"]["sha256"] = json!(Digest::of(b"another model")));
    }),
    tampering("a receipt under another policy", Link::Gate, "at /policy_id", |t| {
        t.forge(RECEIPT, |r| r["policy_id"] = json!("lenient"));
    }),
    tampering(
        "provenance of another request",
        Link::Provenance,
        "at /predicate/buildDefinition/externalParameters/policy_revision",
        |t| {
            t.forge(PROVENANCE, |p| {
                p["predicate"]["buildDefinition"]["externalParameters"]["policy_revision"] = json!("p0");
            });
        },
    ),
    tampering(
        "provenance without an input",
        Link::Provenance,
        "at /predicate/buildDefinition/resolvedDependencies",
        |t| {
            t.forge(PROVENANCE, |p| {
                p["predicate"]["buildDefinition"]["resolvedDependencies"].as_array_mut().unwrap().remove(0);
            });
        },
    ),
    tampering("provenance by another builder", Link::Provenance, "at /predicate/runDetails/builder/id", |t| {
        t.forge(PROVENANCE, |p| p["predicate"]["runDetails"]["builder"]["id"] = json!("https://example.org/laptop"));
    }),
    tampering("provenance of another file", Link::Provenance, "at /subject/0/digest/sha256", |t| {
        t.forge(PROVENANCE, |p| p["subject"][0]["digest"]["sha256"] = json!(Digest::of(b"another")));
    }),
    tampering("a bill of another model", Link::Descriptions, "at /metadata/component/hashes/0/content", |t| {
        t.forge("bom.json", |b| {
            b["metadata"]["component"]["hashes"][0]["content"] = json!(Digest::of(b"another model"));
        });
    }),
    tampering("MLflow's file of another model", Link::Descriptions, "MLmodel does not follow", |t| {
        let text = fs::read_to_string(t.file("MLmodel")).unwrap();
        fs::write(t.file("MLmodel"), text.replace("model_uuid: '", "model_uuid: 'f")).unwrap();
        t.relist();
    }),
    tampering("a score of a vector", Link::Parity, "at /vectors/0/score", |t| {
        t.edit(PARITY, |p| p["vectors"][0]["score"] = json!(0.5));
        follow_vectors(t);
    }),
    tampering("vectors of another model", Link::Parity, "the vectors are about the model", |t| {
        t.edit(PARITY, |p| p["model_sha256"] = json!(Digest::of(b"another model")));
        follow_vectors(t);
    }),
    tampering("vectors that say a command made them", Link::Parity, "come from elsewhere", |t| {
        t.edit(PARITY, |p| p["origin"] = json!("trainer"));
        follow_vectors(t);
    }),
    tampering("another model with all that names it", Link::Parity, "at /vectors/0/score", with_another_model),
    tampering("another card", Link::Descriptions, "model_card.md does not follow", |t| {
        fs::write(t.file("model_card.md"), "# The best model").unwrap();
        t.relist();
    }),
    tampering("no signature", Link::Signature, "there is no model.sig", |t| {
        fs::remove_file(t.file("model.sig")).unwrap();
    }),
    tampering("a signature that is none", Link::Signature, "it is no model signature", |t| {
        fs::write(t.file("model.sig"), "{}").unwrap();
    }),
    tampering("a bundle signed again with another key", Link::Signature, "it was made with the key", |t| {
        t.sign(&PrivateKey::generate());
    }),
    tampering("a byte of the signature", Link::Signature, "the key did not sign this statement", |t| {
        t.edit("model.sig", |s| {
            let other = PrivateKey::generate().sign("x", &[("x".to_owned(), Digest::of(b"x"))].into());
            let other: serde_json::Value = serde_json::from_slice(&other).unwrap();
            s["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"].clone();
        });
    }),
];

/// Changes the leaves of the first tree.
fn other_leaf(model: &mut serde_json::Value) {
    let tree = &mut model["learner"]["gradient_booster"]["model"]["trees"][0];
    let leaves: Vec<usize> = tree["left_children"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, child)| child.as_i64() == Some(-1))
        .map(|(node, _)| node)
        .collect();
    for leaf in leaves {
        (tree["split_conditions"][leaf], tree["base_weights"][leaf]) = (json!(0.75), json!(0.75));
    }
}

/// Puts the vectors' new digest into the provenance.
pub fn follow_vectors(t: &Tampered) {
    t.forge(PROVENANCE, |p| {
        let subjects = p["subject"].as_array_mut().unwrap();
        let of_vectors = subjects.iter_mut().find(|subject| subject["name"] == PARITY).unwrap();
        of_vectors["digest"]["sha256"] = json!(t.digest(PARITY));
    });
}

/// Swaps the model and every digest of it; only its scores do not fit the parity vectors.
fn with_another_model(t: &Tampered) {
    t.forge_compact("model.json", other_leaf);
    let model = t.digest("model.json");
    t.edit(DECISION, |d| d["model_sha256"] = json!(model));
    t.edit(REPORT, |r| {
        r["provenance"]["decision_report"]["sha256"] = json!(t.digest(DECISION));
        let run_id: RunId = r["run_id"].as_str().unwrap().parse().unwrap();
        r["provenance"]["model"]["sha256"] = json!(model);
        r["eval_report_id"] = json!(eval_report_id(&run_id, &model));
    });
    t.edit(RECEIPT, |r| {
        r["looked_at"]["model"]["sha256"] = json!(model);
        r["looked_at"]["decision_report"]["sha256"] = json!(t.digest(DECISION));
        r["looked_at"]["eval_report"]["sha256"] = json!(t.digest(REPORT));
    });
    t.edit(PARITY, |p| p["model_sha256"] = json!(model));
    t.repack();
}
