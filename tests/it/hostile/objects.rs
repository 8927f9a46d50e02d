//! What a request points at: profiles and data that its requester may not use, and files of somebody else.

use crate::support::{BOUND, Worker, World, data, eventually, request};
use model_factory::adapters::ledger::RunRecord;
use model_factory::domain::contract::BundlePublication;
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{Outcome, State};
use serde_json::{Value, json};
use std::future::ready;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Stands in files of tenant c, and must not stand anywhere else.
const CARD: &str = "4111111111111111";

/// Where the files of the tenants b and c of this test lie. Removed with the value.
struct Tenants {
    name: &'static str,
}

impl Tenants {
    fn new(name: &'static str) -> Self {
        let tenants = Self { name };
        for tenant in ["b", "c"] {
            std::fs::create_dir_all(tenants.path(tenant)).unwrap();
        }
        tenants.put("c/cards.csv", &format!("card,amount\n{CARD},12.50\n"));
        tenants.put("c/secret.yaml", &format!("password: {CARD}\n"));
        tenants.put("c/data.parquet", CARD);
        tenants
    }

    fn path(&self, name: &str) -> PathBuf {
        data().folder.join(self.name).join(name)
    }

    /// Writes a file. Returns the reference to it.
    fn put(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.at(name)
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }
}

impl Drop for Tenants {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(data().folder.join(self.name));
    }
}

fn text(reference: &str) -> String {
    std::fs::read_to_string(data().folder.join(reference)).unwrap()
}

/// The gate that the operator wrote, and its digest.
fn gate() -> (&'static str, Digest) {
    let reference = "profiles/easy_gate.yaml";
    (reference, Digest::of(text(reference).as_bytes()))
}

/// `tests` is the good requester. `mallory` is tenant b, who may use the manifests of the platform and everything of
/// his own, and publish under the operator's gate. `joiner` may publish under another gate only. `author` writes gates
/// of his own.
fn policy(tenants: &Tenants) -> String {
    let (b, (_, gate)) = (tenants.at("b"), gate());
    let other = Digest::of(b"another gate");
    format!(
        "schema_version: platform.requester_policy.v0
principals:
  - names: [tests]
    may:
      - intents: [baseline_train]
        scopes: [test]
        publish: true
        inputs: [ofs, profiles]
        training_profiles: [profiles]
        governance_profiles: ['sha256:{gate}']
  - names: [mallory]
    may:
      - intents: [baseline_train]
        scopes: [test]
        publish: true
        inputs: [ofs/manifests, profiles/easy_gate.yaml, {b}]
        training_profiles: [profiles, {b}]
        governance_profiles: ['sha256:{gate}']
  - names: [joiner]
    may:
      - intents: [baseline_train]
        scopes: [test]
        publish: true
        inputs: ['*']
        training_profiles: ['*']
        governance_profiles: ['sha256:{other}']
  - names: [author]
    may:
      - intents: [baseline_train]
        scopes: [test]
        inputs: [ofs, {b}]
        training_profiles: [profiles]
        governance_profiles: [{b}]
"
    )
}

fn put_policy(world: &mut World, text: &str) -> PathBuf {
    let path = world.folder.path().join("policy.yaml");
    std::fs::write(&path, text).unwrap();
    world.config.authority.policy = Some(path.clone());
    path
}

fn ask(requester: &str, request_id: &str, changes: &Value) -> Vec<u8> {
    let mut value = request(request_id);
    value["requester_principal"] = json!(requester);
    value["config_revision"] = json!(request_id);
    value.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    value.to_string().into_bytes()
}

/// Code and text of a run that failed, with the name that it is about cut out.
async fn answer(world: &World, request_id: &str, name: &str) -> (String, String) {
    let run = world.run(request_id).await;
    assert_eq!(run.state, State::Fail, "{request_id}");
    let why = run.reason_message.unwrap();
    assert!(why.contains(name), "{why}");
    (run.reason_code.unwrap(), why.replace(name, "…"))
}

/// All text below a folder.
fn all_text(folder: &Path) -> String {
    let mut found = String::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found += &all_text(&entry.path());
        } else {
            found += &String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn evidence(world: &World, run: &RunRecord) -> PathBuf {
    let folder = world.folder.path().join("evidence").join(&run.request.platform_run_id);
    folder.join(format!("mf/train_runs/{}", run.run_id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requester_uses_only_the_objects_that_the_policy_names_and_learns_of_no_other() {
    let tenants = Tenants::new("hostile_objects");
    let mut world = World::new().await;
    put_policy(&mut world, &policy(&tenants));
    let (gate, gate_digest) = gate();
    // A profile that claims to be the operator's, and asks for nothing.
    let forged = tenants.put("b/gate.yaml", &text(gate).replace("0.6", "0"));
    let one_round =
        tenants.put("b/training.yaml", &text(&data().inputs.training_profile).replace("rounds: 200", "rounds: 1"));
    let no_profile = tenants.put("b/own.csv", &format!("card,amount\n{CARD},12.50\n"));
    let manifest_of = |name: &str, file: &str| {
        let mut manifest: Value = serde_json::from_str(&text(&data().inputs.manifest)).unwrap();
        manifest["materializations"][0]["ref"] = json!(tenants.at(file));
        tenants.put(name, &manifest.to_string())
    };
    let there = manifest_of("b/there.json", "c/data.parquet");
    let missing = manifest_of("b/missing.json", "c/no_data.parquet");
    std::os::unix::fs::symlink("../c/secret.yaml", tenants.path("b/link_1.yaml")).unwrap();
    std::os::unix::fs::symlink("../c/nothing.yaml", tenants.path("b/link_2.yaml")).unwrap();
    std::os::unix::fs::symlink("../c", tenants.path("b/folder")).unwrap();
    let champion = |name: &str| {
        let named = format!("{{ref: '{}', sha256: '{}'}}", tenants.at(name), "0".repeat(64));
        let more = format!("champion: {{bundle_ref: {named}, eval_differences: {{min_auc_roc: -1}}}}\n");
        tenants.put(&format!("b/{}.yaml", name.replace('/', "_")), &format!("{}{more}", text(gate)))
    };
    let (champion_1, champion_2) = (champion("c/data.parquet"), champion("c/no_data.parquet"));

    // By name: refused before anything is opened.
    let refused = [
        ask("mallory", "req-objects-c1", &json!({"training_config_ref": tenants.at("c/cards.csv")})),
        ask("mallory", "req-objects-c2", &json!({"training_config_ref": tenants.at("c/nobody.csv")})),
        ask("mallory", "req-objects-c3", &json!({"governance_profile_ref": tenants.at("c/secret.yaml")})),
        ask("mallory", "req-objects-c4", &json!({"dataset_manifest_refs": [tenants.at("c/secret.yaml")]})),
        ask("mallory", "req-objects-c5", &json!({"dataset_manifest_refs": [tenants.at("bc/m.json")]})),
    ];
    // By content, and by names in documents: refused when the run is resolved.
    let admitted = [
        ask("mallory", "req-objects-m1", &json!({"governance_profile_ref": forged, "training_config_ref": one_round})),
        ask("mallory", "req-objects-m2", &json!({"training_config_ref": no_profile})),
        ask("mallory", "req-objects-m3", &json!({"dataset_manifest_refs": [there]})),
        ask("mallory", "req-objects-m4", &json!({"dataset_manifest_refs": [missing]})),
        ask("mallory", "req-objects-m5", &json!({"training_config_ref": tenants.at("b/link_1.yaml")})),
        ask("mallory", "req-objects-m6", &json!({"training_config_ref": tenants.at("b/link_2.yaml")})),
        ask("author", "req-objects-m7", &json!({"governance_profile_ref": champion_1, "publish_allowed": false})),
        ask("author", "req-objects-m8", &json!({"governance_profile_ref": champion_2, "publish_allowed": false})),
        ask("mallory", "req-objects-n1", &json!({"training_config_ref": tenants.at("b/folder/secret.yaml")})),
        ask("mallory", "req-objects-n2", &json!({"training_config_ref": tenants.at("b/folder/nobody.yaml")})),
        // The same run as the good request's, asked for first by somebody who may not read its data.
        ask("mallory", "req-objects-m9", &json!({"config_revision": "shared"})),
    ];
    world.send(&refused).await;
    world.send(&admitted).await;
    world.send(&[ask("tests", "req-objects-ok", &json!({"publish_allowed": false}))]).await;
    let outcomes = world.admit(17).await;
    for (outcome, taken) in outcomes.iter().zip([false; 5].into_iter().chain([true; 12])) {
        assert_eq!(matches!(outcome, Outcome::Admitted { .. }), taken, "{outcomes:?}");
    }
    world.run_until_idle(2).await;

    let (code, why) = answer(&world, "req-objects-m1", "b/gate.yaml").await;
    assert_eq!(code, "REQUESTER_NOT_ALLOWED", "{why}");
    let (code, why) = answer(&world, "req-objects-m2", "b/own.csv").await;
    assert_eq!(code, "TRAINING_PROFILE_INVALID", "{why}");
    // What is there and what is not: the same code and the same text.
    for (one, name, other, other_name, expected) in [
        ("req-objects-m3", "c/data.parquet", "req-objects-m4", "c/no_data.parquet", "REQUESTER_NOT_ALLOWED"),
        ("req-objects-m5", "b/link_1.yaml", "req-objects-m6", "b/link_2.yaml", "REF_NOT_ALLOWED"),
        ("req-objects-n1", "b/folder/secret.yaml", "req-objects-n2", "b/folder/nobody.yaml", "REF_NOT_ALLOWED"),
        ("req-objects-m7", "c/data.parquet", "req-objects-m8", "c/no_data.parquet", "REQUESTER_NOT_ALLOWED"),
    ] {
        let (one, other) = (answer(&world, one, name).await, answer(&world, other, other_name).await);
        assert_eq!((one.0.as_str(), &one), (expected, &other));
    }
    let data_of_others = answer(&world, "req-objects-m9", "ofs/data").await;
    assert_eq!(data_of_others.0, "REQUESTER_NOT_ALLOWED");
    // The good requester's own run passed. One who may not publish under its gate asks for that, in vain; so does the run
    // that mallory could not use go on for the one who may.
    assert_eq!(world.run("req-objects-ok").await.state, State::Pass);
    world
        .send(&[
            ask("joiner", "req-objects-j1", &json!({"config_revision": "req-objects-ok"})),
            ask("tests", "req-objects-g1", &json!({"config_revision": "shared"})),
        ])
        .await;
    world.admit(2).await;
    world.run_until_idle(2).await;
    let parked = world.run("req-objects-ok").await;
    let why = parked.reason_message.clone().unwrap_or_default();
    assert_eq!(
        (parked.state, parked.reason_code.as_deref()),
        (State::PublishPending, Some("REQUESTER_NOT_ALLOWED")),
        "{why}"
    );
    let shared = world.run("req-objects-g1").await;
    assert_eq!(shared.state, State::PublishPending, "{:?}", shared.reason_message);
    world.send(&[ask("tests", "req-objects-g2", &json!({"config_revision": "req-objects-ok"}))]).await;
    world.admit(1).await;
    world.run_until_idle(2).await;

    // Two publications, both of the good requester, with the gate that they were judged by.
    let sent = world.drain().await;
    let [lifecycle, publications, dead_letters] = world.received(sent).await;
    assert_eq!((publications.len(), dead_letters.len()), (2, 5));
    for record in &publications {
        let publication: BundlePublication = serde_json::from_slice(&record.value).unwrap();
        assert!([&parked.run_id, &shared.run_id].contains(&&publication.run_id));
        let profile = publication.governance_profile.unwrap();
        assert_eq!((profile.reference.as_str(), profile.sha256), (gate, gate_digest));
    }
    let events: Vec<String> =
        lifecycle.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect();
    assert!(!events.concat().contains(CARD));
    let rejected = |id: &str, name: &str| {
        let event = events.iter().find(|event| event.contains("request.rejected") && event.contains(id)).unwrap();
        serde_json::from_str::<Value>(event).unwrap()["reason"].to_string().replace(name, "…")
    };
    assert_eq!(rejected("req-objects-c1", "c/cards.csv"), rejected("req-objects-c2", "c/nobody.csv"));
    assert!(rejected("req-objects-c4", "…").contains("REQUESTER_NOT_ALLOWED"));

    // No copy of a file that is not what the request says, and the receipt names the gate.
    assert!(!all_text(&world.folder.path().join("evidence")).contains(CARD));
    let receipt: Value =
        serde_json::from_slice(&std::fs::read(evidence(&world, &shared).join("gate/gate_receipt.json")).unwrap())
            .unwrap();
    assert_eq!(receipt["governance_profile"], json!({"ref": gate, "sha256": gate_digest}));
    let bundle: Value =
        serde_json::from_slice(&std::fs::read(evidence(&world, &shared).join("bundle/bundle.json")).unwrap()).unwrap();
    assert_eq!(bundle["lineage"]["governance_profile"]["sha256"], json!(gate_digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_is_in_force_without_a_restart_and_a_broken_one_changes_nothing() {
    let tenants = Tenants::new("hostile_reload");
    let mut world = World::new().await;
    let good = policy(&tenants);
    let path = put_policy(&mut world, &good);
    let mut worker = world.worker("worker").roles("intake").start();
    let mut sent = 0;
    let mut bring = async |requester: &str| {
        sent += 1;
        let id = format!("req-reload-{sent:03}");
        world.send(&[ask(requester, &id, &json!({}))]).await;
        world.decided(sent).await;
        world.ledger.run_of_request(&id).await.unwrap().is_some()
    };
    assert!(bring("tests").await && !bring("later").await);

    // Another file in its place, as an operator's tools put it there; nobody sends a signal.
    let beside = path.with_extension("new");
    std::fs::write(&beside, good.replace("names: [tests]", "names: [later]")).unwrap();
    std::fs::rename(&beside, &path).unwrap();
    worker.logs("another policy is in force").await;
    assert!(bring("later").await && !bring("tests").await);

    // A broken file, read at once for the signal.
    std::fs::write(&path, "schema_version: platform.requester_policy.v0\nprincipals: everybody\n").unwrap();
    worker.signal(nix::sys::signal::Signal::SIGHUP);
    worker.logs("the policy that was read before stays in force").await;
    assert!(bring("later").await && !bring("tests").await);
    let is_stale = |worker: &Worker, stale: u8| {
        let (_, page) = worker.get("/metrics")?;
        page.as_str()?.contains(&format!("model_factory_policy_stale {stale}")).then_some(())
    };
    assert_eq!(is_stale(&worker, 1), Some(()));

    // A good one that everybody may write is not put in force.
    std::fs::write(&path, &good).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    worker.signal(nix::sys::signal::Signal::SIGHUP);
    worker.logs("everybody may write").await;
    assert!(bring("later").await && !bring("tests").await);
    assert_eq!(is_stale(&worker, 1), Some(()));

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    worker.signal(nix::sys::signal::Signal::SIGHUP);
    eventually("the policy of the beginning", BOUND, || ready(is_stale(&worker, 0))).await;
    assert!(bring("tests").await && !bring("later").await);
    worker.stop().await;
}
