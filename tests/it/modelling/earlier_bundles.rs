//! Bundles of earlier runs: evaluated again without training, and as the champion of a new model.

use crate::support::{World, data, request};
use crate::training::commands::{Trial, write_scores};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int64Type};
use model_factory::adapters::ledger::RunRecord;
use model_factory::domain::contract::{EventType, SchemaName, check};
use model_factory::domain::identity::{Digest, RunId};
use model_factory::domain::run::{Outcome, State};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A world that may read its own evidence, with a bundle in it.
struct EarlierBundle {
    world: World,
    /// The run that built the bundle.
    built: RunId,
}

fn profile(name: &str, text: &str) -> String {
    let reference = format!("profiles/earlier_{name}.yaml");
    std::fs::write(data().folder.join(&reference), text).unwrap();
    reference
}

/// The demo's training profile with a categorical feature, these rounds and depth, and more lines.
fn training(name: &str, rounds: &str, more: &str) -> String {
    let text = std::fs::read_to_string(data().folder.join(&data().inputs.training_profile)).unwrap();
    let wider = text.replace("algorithm:\n", "  - {name: merchant_category, type: categorical}\nalgorithm:\n");
    let changed = wider.replace("rounds: 200, max_depth: 5", rounds);
    assert!(wider != text && changed != wider);
    profile(name, &format!("{changed}{more}"))
}

/// Returns the profile without operating points, which need a validation window.
fn without_points(text: &str) -> String {
    let (before, rest) = text.split_once("  operating_points:").unwrap();
    let (_, after) = rest.split_once("  cost:").unwrap();
    format!("{before}  cost:{after}")
}

fn ask(id: &str, intent: &str, training: &str, governance: &str) -> Value {
    let mut value = request(id);
    value["intent_kind"] = json!(intent);
    value["config_revision"] = json!(id);
    value["training_config_ref"] = json!(training);
    value["governance_profile_ref"] = json!(governance);
    value
}

impl EarlierBundle {
    /// The bundle's run may not be published, so that every later publication is another run's.
    async fn new() -> Self {
        let mut world = World::new().await;
        let evidence = world.folder.path().join("evidence");
        std::fs::create_dir(&evidence).unwrap();
        world.config.inputs.allow = vec![format!("file://{}", evidence.display())];
        let quick = training("good", "rounds: 30, max_depth: 4", "");
        let mut first = ask("req-earlier-01", "baseline_train", &quick, "profiles/easy_gate.yaml");
        first["publish_allowed"] = json!(false);
        let built = admit_and_run(&world, &first).await;
        assert_eq!(run_of(&world, &built).await.state, State::Pass);
        world.drain().await;
        world.events(4).await;
        Self { world, built }
    }

    fn file(&self, run: &RunId, name: &str) -> PathBuf {
        let platform = &data().inputs.platform_run_id;
        self.world.folder.path().join(format!("evidence/{platform}/mf/train_runs/{run}/{name}"))
    }

    fn document(&self, run: &RunId, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.file(run, name)).unwrap()).unwrap()
    }

    /// The receipt's two differences between a run and its champion, the model of `built`; both agree with the reports.
    fn differences<'r>(&self, run: &RunId, receipt: &'r Value) -> &'r [Value] {
        check(SchemaName::GateReceipt, receipt).unwrap();
        let score = |run: &RunId, metric: &str| {
            self.document(run, "eval/eval_report.json")["metrics"]["scores"][metric]["value"].clone()
        };
        let differences = receipt["champion"]["differences"].as_array().unwrap();
        assert_eq!(differences.len(), 2);
        for verdict in differences {
            let metric = verdict["metric"].as_str().unwrap();
            assert_eq!(verdict["champion"], score(&self.built, metric), "the champion's own report says the same");
            assert_eq!(verdict["candidate"], score(run, metric));
            assert!(verdict["interval"]["low"].as_f64() <= verdict["interval"]["high"].as_f64());
        }
        differences
    }

    /// The bundle's reference and digest, as profiles name them.
    fn bundle(&self) -> String {
        let path = self.file(&self.built, "bundle/bundle.json");
        let sha256 = Digest::of(&std::fs::read(&path).unwrap());
        format!("{{ref: 'file://{}', sha256: '{sha256}'}}", path.display())
    }

    fn governance(&self, name: &str, differences: &str) -> String {
        let bundle = self.bundle();
        profile(
            &format!("gate_{name}"),
            &format!(
                "policy_id: {name}\nrevision: r1\ncontrols: {{require_pass_gate: true}}\n\
                 eval_thresholds: {{min_auc_roc: {{bound: 0.6, on: confidence_bound}}}}\n\
                 min_positives: 20\n\
                 champion: {{bundle_ref: {bundle}, eval_differences: {differences}}}\n"
            ),
        )
    }

    /// Ids and scores of a run's test window.
    fn scores(&self, run: &RunId) -> (Vec<i64>, Vec<f64>) {
        let file = std::fs::File::open(self.file(run, "model/scores.parquet")).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let (mut ids, mut scores) = (Vec::new(), Vec::new());
        for batch in reader.map(Result::unwrap) {
            ids.extend(batch["row_id"].as_primitive::<Int64Type>().values());
            scores.extend(batch["score"].as_primitive::<Float32Type>().values().iter().map(|&score| f64::from(score)));
        }
        (ids, scores)
    }

    /// Sends the outbox; returns the types of the run's events, and checks how many publications there are.
    async fn emitted(&self, run: &RunId, events: usize, publications: usize) -> Vec<EventType> {
        self.world.drain().await;
        let events_of_run = self.world.events(events).await;
        self.world.publications(publications).await;
        assert!(events_of_run.iter().all(|(event, _)| event.run_id.as_ref() == Some(run)));
        events_of_run.iter().map(|(event, _)| event.event_type).collect()
    }
}

async fn admit_and_run(world: &World, request: &Value) -> RunId {
    world.send(&[request.to_string().into_bytes()]).await;
    let outcomes = world.admit(1).await;
    let Outcome::Admitted { run_id } = &outcomes[0] else { panic!("{outcomes:?}") };
    world.run_until_idle(2).await;
    run_id.clone()
}

async fn run_of(world: &World, run: &RunId) -> RunRecord {
    world.ledger.run(run).await.unwrap().unwrap()
}

const NEVER_ANNOUNCED: [EventType; 4] =
    [EventType::RequestAdmitted, EventType::RunStarted, EventType::RunEvalReady, EventType::RunGatePassed];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_regression_check_measures_the_bundle_trains_nothing_and_announces_nothing() {
    let earlier = EarlierBundle::new().await;
    let more = format!("baseline_bundle_ref: {}\n", earlier.bundle());
    let training = training("regression", "rounds: 77, max_depth: 7", &more);
    let run =
        admit_and_run(&earlier.world, &ask("req-earlier-02", "regression_check", &training, "profiles/easy_gate.yaml"))
            .await;
    let found = run_of(&earlier.world, &run).await;
    assert_eq!(found.state, State::Pass, "{:?}", found.reason_message);
    assert_eq!(earlier.emitted(&run, 4, 0).await, NEVER_ANNOUNCED);

    let model = |run: &RunId| std::fs::read(earlier.file(run, "model/model.json")).unwrap();
    assert_eq!(model(&run), model(&earlier.built), "the evaluated model is the bundle's");
    assert!(!earlier.file(&run, "bundle").exists(), "nothing was packed");
    let (report, before) =
        (earlier.document(&run, "eval/eval_report.json"), earlier.document(&earlier.built, "eval/eval_report.json"));
    check(SchemaName::EvalReport, &report).unwrap();
    // Rows and model are the same; the intervals are drawn with the run's own seed.
    for (name, metric) in before["metrics"]["scores"].as_object().unwrap() {
        assert_eq!(report["metrics"]["scores"][name]["value"], metric["value"], "{name}");
    }
    assert_eq!(report["metrics"]["dataset"]["train"], json!({"rows": 0, "positives": 0}));
    assert_eq!(report["metrics"]["dataset"]["test"], before["metrics"]["dataset"]["test"]);
    let eligibility = earlier.document(&run, "gate/publish_eligibility.json");
    assert_eq!(
        (&eligibility["eligibility"], &eligibility["reasons"]),
        (&json!("INELIGIBLE"), &json!(["INTENT_NOT_PUBLISHABLE"]))
    );
    let leakage = earlier.document(&run, "eval/leakage_report.json");
    let rules: Vec<&Value> = leakage["rules"].as_array().unwrap().iter().map(|rule| &rule["rule"]).collect();
    assert!(rules.contains(&&json!("baseline_learned_from_test")), "{rules:?}");
    let receipt = earlier.document(&run, "gate/gate_receipt.json");
    check(SchemaName::GateReceipt, &receipt).unwrap();
    for role in ["scores", "inputs/baseline_bundle.json", "inputs/governance_profile.yaml"] {
        assert!(receipt["looked_at"][role]["sha256"].is_string(), "{role}");
    }
    let plan =
        std::fs::read(earlier.world.folder.path().join("evidence").join(&found.refs["resolved_train_plan"].reference));
    check(SchemaName::ResolvedTrainPlan, &serde_json::from_slice(&plan.unwrap()).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_as_good_as_the_champion_is_published_with_both_values_in_the_receipt() {
    let earlier = EarlierBundle::new().await;
    let governance = earlier.governance("as_good", "{min_auc_roc: -0.2, max_log_loss: {bound: 1, on: point}}");
    let training = training("as_good", "rounds: 31, max_depth: 4", "");
    let run = admit_and_run(&earlier.world, &ask("req-earlier-03", "baseline_train", &training, &governance)).await;
    let found = run_of(&earlier.world, &run).await;
    assert_eq!(found.state, State::PublishPending, "{:?}", found.reason_message);
    assert_eq!(earlier.emitted(&run, 6, 1).await.last(), Some(&EventType::PublishPublished));

    let receipt = earlier.document(&run, "gate/gate_receipt.json");
    let differences = earlier.differences(&run, &receipt);
    for verdict in differences {
        let number = |name: &str| verdict[name].as_f64().unwrap();
        assert_eq!(number("difference").to_bits(), (number("candidate") - number("champion")).to_bits());
        assert_eq!(verdict["holds"], true);
    }
    assert_eq!(receipt["champion"]["confidence"], 0.95);
    assert_eq!(differences[1]["compared"], differences[1]["interval"]["low"], "the lower bound was compared");
    let threshold = &receipt["thresholds"][0];
    assert_eq!(threshold["compared"], threshold["interval"]["low"]);
    check(SchemaName::EvalReport, &earlier.document(&run, "eval/eval_report.json")).unwrap();
    check(SchemaName::Bundle, &earlier.document(&run, "bundle/bundle.json")).unwrap();
    let page = std::fs::read_to_string(earlier.file(&run, "eval/report.html")).unwrap();
    assert!(page.contains("Against the champion"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_falls_behind_the_champion_fails_the_gate_by_the_name_of_the_threshold() {
    let earlier = EarlierBundle::new().await;
    let governance = earlier.governance("behind", "{min_average_precision: 0}");
    let training = training("behind", "rounds: 1, max_depth: 1", "");
    let run = admit_and_run(&earlier.world, &ask("req-earlier-04", "baseline_train", &training, &governance)).await;
    let found = run_of(&earlier.world, &run).await;
    assert_eq!((found.state, found.reason_code.as_deref()), (State::Fail, Some("GATE_FAIL")));
    let message = found.reason_message.unwrap();
    assert!(message.contains("champion.min_average_precision"), "{message}");
    let receipt = earlier.document(&run, "gate/gate_receipt.json");
    assert!(receipt["failed"].as_array().unwrap().contains(&json!("champion.min_average_precision")), "{receipt}");
    assert_eq!(earlier.emitted(&run, 4, 0).await.last(), Some(&EventType::RunGateFailed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_of_a_registered_command_meets_the_champion_on_the_same_rows() {
    let mut earlier = EarlierBundle::new().await;
    let trial = Trial::of("finish");
    earlier.world.config.trainer.commands.insert("trial".to_owned(), trial.registration.clone());
    let text = training("challenger", "rounds: 31, max_depth: 4", "");
    let text = std::fs::read_to_string(data().folder.join(text)).unwrap();
    let (before, rest) = text.split_once("algorithm:").unwrap();
    let (_, after) = rest.split_once("split:").unwrap();
    let text = format!("{before}algorithm: {{id: 'process:trial'}}\nsplit:{after}");
    // The given scores are those of the test window alone.
    let training = profile("challenger", &without_points(&text));
    // Half of the champion's scores keep the order and change the probabilities.
    let (ids, scores) = earlier.scores(&earlier.built);
    let halved = scores.iter().map(|score| score / 2.0).collect();
    write_scores(&trial.folder.path().join("given/scores.parquet"), ids, halved);

    let governance = earlier.governance("challenged", "{min_auc_roc: -0.01, max_log_loss: 10}");
    let run = admit_and_run(&earlier.world, &ask("req-earlier-09", "baseline_train", &training, &governance)).await;
    let found = run_of(&earlier.world, &run).await;
    assert_eq!(found.state, State::PublishPending, "{:?}", found.reason_message);
    let receipt = earlier.document(&run, "gate/gate_receipt.json");
    for verdict in earlier.differences(&run, &receipt) {
        let metric = verdict["metric"].as_str().unwrap();
        let difference = verdict["difference"].as_f64().unwrap();
        assert_eq!(difference.abs() > 0.0, metric == "log_loss", "{metric}: {difference}");
    }
    let bundle = earlier.file(&run, "bundle");
    earlier.world.stdout(&["verify", bundle.to_str().unwrap(), "--allow-unsigned"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_may_be_published_is_trained_gated_and_never_published() {
    let earlier = EarlierBundle::new().await;
    let training = training("candidate", "rounds: 20, max_depth: 4", "");
    let request = ask("req-earlier-05", "candidate_eval", &training, "profiles/easy_gate.yaml");
    assert_eq!(request["publish_allowed"], true);
    let run = admit_and_run(&earlier.world, &request).await;
    let found = run_of(&earlier.world, &run).await;
    assert_eq!((found.state, found.full_run_attempts), (State::Pass, 1), "{:?}", found.reason_message);
    // A second request that allows publication changes nothing.
    let mut again = request.clone();
    again["request_id"] = json!("req-earlier-06");
    earlier.world.send(&[again.to_string().into_bytes()]).await;
    assert_eq!(earlier.world.admit(1).await, [Outcome::DuplicateRun { run_id: run.clone() }]);
    earlier.world.run_until_idle(1).await;
    assert_eq!(run_of(&earlier.world, &run).await.state, State::Pass);
    let types = earlier.emitted(&run, 5, 0).await;
    assert_eq!(types[..4], NEVER_ANNOUNCED);
    assert_eq!(types[4], EventType::RequestDeduplicated);
    let eligibility = earlier.document(&run, "gate/publish_eligibility.json");
    assert_eq!(eligibility["reasons"], json!(["INTENT_NOT_PUBLISHABLE"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_of_a_bundle_that_was_changed_is_not_scored() {
    let earlier = EarlierBundle::new().await;
    let more = format!("baseline_bundle_ref: {}\n", earlier.bundle());
    let training = training("changed", "rounds: 20, max_depth: 4", &more);
    let model = earlier.file(&earlier.built, "bundle/model.json");
    let mut bytes = std::fs::read(&model).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let request = ask("req-earlier-07", "regression_check", &training, "profiles/easy_gate.yaml");
    let run = admit_and_run(&earlier.world, &request).await;
    let found = run_of(&earlier.world, &run).await;
    assert_eq!((found.state, found.reason_code.as_deref()), (State::Fail, Some("DIGEST_MISMATCH")));
    assert_eq!(earlier.emitted(&run, 3, 0).await.last(), Some(&EventType::RunFailed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_baseline_learned_from_are_leakage() {
    let earlier = EarlierBundle::new().await;
    let more = format!("baseline_bundle_ref: {}\n", earlier.bundle());
    let text =
        std::fs::read_to_string(data().folder.join(training("early", "rounds: 20, max_depth: 4", &more))).unwrap();
    // The test window lies where the baseline's train window was.
    let start = text.find("split:").unwrap();
    let end = text.find("seed_policy:").unwrap();
    let split = "split:\n  strategy: time_based\n  train: {fraction: 0.3}\n  test: {fraction: 0.6}\n  delay_days: 7\n";
    let early = profile(
        "early",
        &without_points(&format!("{}{split}{}", &text[..start], &text[end..]))
            .replace("early_stopping_rounds: 20", "early_stopping_rounds: 0"),
    );
    let request = ask("req-earlier-08", "regression_check", &early, "profiles/easy_gate.yaml");
    let run = admit_and_run(&earlier.world, &request).await;
    let found = run_of(&earlier.world, &run).await;
    let message = found.reason_message.unwrap_or_default();
    assert_eq!(found.reason_code.as_deref(), Some("LEAKAGE_GUARD_VIOLATION"), "{message}");
    assert!(message.contains("baseline_learned_from_test"), "{message}");
}
