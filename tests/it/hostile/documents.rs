//! Documents of others that a run reads: large ones, many, and models that are deep.

use crate::support::{BOUND, Documents, World, act, data, document, eventually, request};
use model_factory::adapters::ledger::{RunCommand, RunRecord};
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{FailureCode, Outcome, State};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// The generated data's manifest, changed.
fn manifest(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let good = std::fs::read(data().folder.join(&data().inputs.manifest)).unwrap();
    let mut manifest: Value = serde_json::from_slice(&good).unwrap();
    change(&mut manifest);
    manifest.to_string().into_bytes()
}

/// A valid manifest of nearly 4 MiB, which is the bound on one document.
fn large_manifest() -> Vec<u8> {
    let bytes = manifest(|manifest| {
        let range = json!({"topic": "t".repeat(330), "partition": 0, "offset_kind": "kafka_offset", "start_offset": "0",
                           "end_offset": "1"});
        manifest["replay_basis"] = json!(vec![range; 9_900]);
    });
    assert!((39 * MIB / 10..4 * MIB).contains(&bytes.len()), "{}", bytes.len());
    bytes
}

/// Puts one document under many names into the inputs. Returns the references.
fn put(name: &str, bytes: &[u8], copies: usize) -> Vec<String> {
    let folder = data().folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("0.json"), bytes).unwrap();
    for copy in 1..copies {
        std::fs::hard_link(folder.join("0.json"), folder.join(format!("{copy}.json"))).unwrap();
    }
    (0..copies).map(|copy| format!("{name}/{copy}.json")).collect()
}

fn ask(request_id: &str, changes: &Value) -> Vec<u8> {
    let mut value = request(request_id);
    value["config_revision"] = json!(request_id);
    value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    value.to_string().into_bytes()
}

/// Waits until the run of a request failed, and returns it.
async fn failed(world: &World, request_id: &str) -> RunRecord {
    eventually("the run's failure", BOUND, || async {
        let run = world.ledger.run_of_request(request_id).await.unwrap()?;
        (run.state == State::Fail).then_some(run)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_manifests_of_four_mebibytes_end_their_own_run_by_the_bound_on_their_sum() {
    /// A worker that trains takes 120 MiB by itself in a build without optimisation.
    const PEAK_KIB: u64 = 320 << 10;
    let world = World::new().await;
    let references = put("hostile_sum", &large_manifest(), 60);
    let attack = ask("req-documents-sum", &json!({"dataset_manifest_refs": references}));
    world.send(&[attack, ask("req-documents-good", &json!({}))]).await;
    let mut worker = world.worker("worker").set("WORKER__SLOTS", "2").set("LEDGER__LEASE_SECONDS", "30").start();
    world.reaches("req-documents-good", State::Published).await;
    let run = failed(&world, "req-documents-sum").await;
    assert_eq!((run.reason_code.as_deref(), run.full_run_attempts), (Some("MANIFEST_INVALID"), 1));
    let why = run.reason_message.unwrap();
    assert!(why.contains("more than 33554432 bytes ([inputs] max_documents_bytes)"), "{why}");
    assert!(worker.peak_kib() < PEAK_KIB, "{} KiB", worker.peak_kib());
    worker.stop().await;
    std::fs::remove_dir_all(data().folder.join("hostile_sum")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_takes_effect_between_two_documents() {
    let world = World::new().await;
    let references = put("hostile_cancel", &large_manifest(), 40);
    let attack = ask("req-documents-cancel", &json!({"dataset_manifest_refs": references}));
    world.send(&[attack, ask("req-documents-good", &json!({}))]).await;
    // Enough of them that a cancel comes before the last one.
    let settings = [("WORKER__SLOTS", "2"), ("INPUTS__MAX_DOCUMENTS_BYTES", "268435456")];
    let mut worker = world.worker("worker").set_all(&settings).start();
    let run = world.reaches("req-documents-cancel", State::Running).await;
    let inputs = world.folder.path().join("evidence").join(&run.request.platform_run_id);
    let copy = inputs.join(format!("mf/train_runs/{}/inputs/manifest_0.json", run.run_id));
    assert!(!copy.exists(), "the worker fetches and parses, and keeps nothing before it has understood all of it");
    let since = Instant::now();
    act(&world.ledger, &run.run_id, RunCommand::Cancel).await.unwrap();
    let run = failed(&world, "req-documents-cancel").await;
    assert_eq!(run.reason_code.as_deref(), Some("CANCELLED"));
    // The lease is renewed every second, and the document in hand is parsed to its end.
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    world.reaches("req-documents-good", State::Published).await;
    worker.stop().await;
    std::fs::remove_dir_all(data().folder.join("hostile_cancel")).unwrap();
}

#[test]
fn a_run_reads_a_bounded_number_of_data_files_and_compares_them_in_one_pass() {
    let good = data();
    let many = |from: usize, count: usize| {
        manifest(|manifest| {
            let file = manifest["materializations"][0].clone();
            let files = (from..from + count).map(|number| {
                let mut file = file.clone();
                file["sha256"] = json!(Digest::of(number.to_string().as_bytes()));
                file
            });
            manifest["materializations"] = files.collect();
        })
    };
    let training = crate::support::read_document(&good.folder, &good.inputs.training_profile);
    let mut documents = Documents::with_training(training);
    documents.manifests = vec![document("a.json", many(0, 5_000)), document("b.json", many(5_000, 5_000))];
    assert_eq!(documents.resolve().unwrap().files.len(), 10_000);
    documents.manifests[1] = document("b.json", many(4_999, 5_000));
    let twice = documents.resolve().unwrap_err();
    assert_eq!(twice.code, FailureCode::ManifestInvalid);
    assert!(twice.message.contains("has the same content as another file"), "{}", twice.message);
    documents.manifests[1] = document("b.json", many(5_000, 5_001));
    let over = documents.resolve().unwrap_err();
    assert_eq!(over.code, FailureCode::ManifestInvalid);
    assert!(over.message.contains("at most 10000 data files"), "{}", over.message);
    documents.manifests = vec![document("a.json", many(0, 10_001))];
    assert_eq!(documents.resolve().unwrap_err().code, FailureCode::ManifestInvalid);
}

/// A tree that is a chain of so many splits, as XGBoost writes it: each split has a leaf on its right.
fn chain(like: &Value, levels: usize) -> Value {
    const NOBODY: i64 = 2_147_483_647;
    let nodes = 2 * levels + 1;
    let split = |node: usize| node.is_multiple_of(2) && node + 1 < nodes;
    let each = |of: &dyn Fn(usize) -> Value| (0..nodes).map(of).collect::<Value>();
    let child = |node: usize, at: usize| if split(node) { json!(node + at) } else { json!(-1) };
    let parent = |node: usize| if node == 0 { json!(NOBODY) } else { json!((node - 1) / 2 * 2) };
    let mut tree = like.clone();
    tree["left_children"] = each(&|node| child(node, 2));
    tree["right_children"] = each(&|node| child(node, 1));
    tree["parents"] = each(&parent);
    tree["split_conditions"] = each(&|node| json!(if split(node) { 1e9 } else { 0.01 }));
    tree["sum_hessian"] = each(&|_| json!(1.0));
    for zeros in ["base_weights", "default_left", "loss_changes", "split_indices", "split_type"] {
        tree[zeros] = each(&|_| json!(0));
    }
    tree["tree_param"]["num_nodes"] = json!(nodes.to_string());
    tree
}

/// The built bundle, with one tree that is a chain. Returns how a profile names it.
fn deep_bundle(bundle: &std::path::Path, levels: usize) -> String {
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(bundle.join(name)).unwrap()).unwrap() };
    let (mut model, mut report, mut manifest) = (read("model.json"), read("eval_report.json"), read("bundle.json"));
    let tree = &mut model["learner"]["gradient_booster"]["model"]["trees"][0];
    *tree = chain(tree, levels);
    let folder = data().folder.join(format!("hostile_deep_{levels}"));
    std::fs::create_dir_all(&folder).unwrap();
    let mut put = |name: &str, value: &Value| {
        let bytes = value.to_string().into_bytes();
        let sha256 = Digest::of(&bytes);
        for file in manifest["files"].as_array_mut().into_iter().flatten().filter(|file| file["path"] == name) {
            (file["sha256"], file["bytes"]) = (json!(sha256), json!(bytes.len()));
        }
        std::fs::write(folder.join(name), bytes).unwrap();
        sha256
    };
    report["provenance"]["model"]["sha256"] = json!(put("model.json", &model));
    put("eval_report.json", &report);
    let bytes = manifest.to_string().into_bytes();
    std::fs::write(folder.join("bundle.json"), &bytes).unwrap();
    format!("{{ref: 'hostile_deep_{levels}/bundle.json', sha256: '{}'}}", Digest::of(&bytes))
}

fn profile(name: &str, text: &str) -> String {
    let reference = format!("profiles/hostile_{name}.yaml");
    std::fs::write(data().folder.join(&reference), text).unwrap();
    reference
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_champion_of_two_hundred_thousand_levels_ends_its_own_run_by_the_code_of_its_profile() {
    let world = World::new().await;
    world.send(&[ask("req-deep-good-01", &json!({"publish_allowed": false}))]).await;
    let outcomes = world.admit(1).await;
    let Outcome::Admitted { run_id } = &outcomes[0] else { panic!("{outcomes:?}") };
    world.run_until_idle(2).await;
    let built: PathBuf = world.folder.path().join("evidence").join(&data().inputs.platform_run_id);
    let bundle = built.join(format!("mf/train_runs/{run_id}/bundle"));
    let champion = |levels| {
        let text = "policy_id: deep\nrevision: r1\ncontrols: {require_pass_gate: true}\n\
                    eval_thresholds: {min_auc_roc: 0.5}\n";
        let named = deep_bundle(&bundle, levels);
        let champion = format!("champion: {{bundle_ref: {named}, eval_differences: {{min_auc_roc: -1}}}}\n");
        profile(&format!("champion_{levels}"), &format!("{text}{champion}"))
    };
    let training = std::fs::read_to_string(data().folder.join(&data().inputs.training_profile)).unwrap();
    let baseline = |levels| {
        let named = deep_bundle(&bundle, levels);
        profile(&format!("baseline_{levels}"), &format!("{training}baseline_bundle_ref: {named}\n"))
    };
    let measure = |levels| json!({"intent_kind": "regression_check", "training_config_ref": baseline(levels)});
    world
        .send(&[
            ask("req-deep-champion", &json!({"governance_profile_ref": champion(200_000)})),
            ask("req-deep-baseline", &measure(200_000)),
            ask("req-deep-allowed", &measure(256)),
            ask("req-deep-good-02", &json!({})),
        ])
        .await;
    world.admit(4).await;
    world.run_until_idle(2).await;
    for (request_id, code) in
        [("req-deep-champion", "GOVERNANCE_PROFILE_INVALID"), ("req-deep-baseline", "TRAINING_PROFILE_INVALID")]
    {
        let run = world.run(request_id).await;
        let why = run.reason_message.unwrap_or_default();
        assert_eq!((run.reason_code.as_deref(), run.full_run_attempts), (Some(code), 1), "{why}");
        assert!(why.contains("a tree has 200000 levels, and at most 256 can be scored"), "{why}");
    }
    // The deepest allowed tree is scored and explained, though the booster goes down it by recursion.
    let allowed = world.run("req-deep-allowed").await;
    assert!(matches!(allowed.reason_code.as_deref(), None | Some("GATE_FAIL")), "{:?}", allowed.reason_message);
    assert_eq!(world.run("req-deep-good-02").await.state, State::PublishPending);
}
