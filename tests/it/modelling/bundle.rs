//! The same request gives the same bundle in every folder and on every number of threads.

use crate::support::{World, request};
use model_factory::domain::contract::BundlePublication;
use model_factory::domain::identity::Digest;
use model_factory::modelling::bundle_id;
use std::collections::BTreeMap;
use std::path::Path;

async fn build(threads: u32) -> (BundlePublication, BTreeMap<String, Vec<u8>>) {
    let world = World::new().await;
    world.send(&[request("req-same-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    world.run_until_idle(threads).await;
    world.drain().await;
    let publication: BundlePublication = serde_json::from_slice(&world.publications(1).await[0].value).unwrap();
    let folder = world.folder.path().join("evidence").join(&publication.bundle_ref);
    (publication, files(&folder))
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_and_two_threads_in_two_folders_give_the_same_bytes() {
    let (one, one_files) = build(1).await;
    let (two, two_files) = build(2).await;
    assert_eq!(one.bundle_id, two.bundle_id);
    assert_eq!(one.bundle_version, two.bundle_version);
    assert_eq!(one_files, two_files);
    assert_eq!(bundle_id(&one.artifacts), one.bundle_id);
    let names: Vec<&str> = one_files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "MLmodel",
            "bom.json",
            "bundle.json",
            "conda.yaml",
            "decision_report.json",
            "eval_report.json",
            "gate_receipt.json",
            "input_example.json",
            "model.json",
            "model_card.md",
            "model_factory_pyfunc.py",
            "parity_vectors.json",
            "provenance.intoto.json",
            "python_env.yaml",
            "requirements.txt",
            "resolved_train_plan.json"
        ]
    );
    assert_eq!(Digest::of(&one_files["bundle.json"]), one.bundle_digest);
}
