//! `reproduce` builds a bundle again, in another folder and on other numbers of threads.

use super::verify::bundle;
use crate::support::data;
use serde_json::Value;
use std::process::{Command, Output};

fn reproduce(root: &std::path::Path, more: &[&str]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_model-factory"));
    command.current_dir(elsewhere.path()).arg("reproduce").args(more).args(["--work", "work", "--output", "json"]);
    command.env_clear().env("MODEL_FACTORY_INPUTS__ROOT", root).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_model_report_and_bundle_id_come_out_the_same_on_one_and_three_threads() {
    let signed = bundle().await;
    for threads in ["1", "3"] {
        let output = reproduce(&data().folder, &[signed.folder.to_str().unwrap(), "--threads", threads]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["identical"], true, "{said}");
        let parts: Vec<&str> =
            said["parts"].as_array().unwrap().iter().map(|part| part["part"].as_str().unwrap()).collect();
        assert_eq!(parts, ["plan", "model", "report", "bundle_id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_that_are_not_the_pinned_ones_are_refused() {
    let signed = bundle().await;
    let inputs = &data().inputs;
    let other = tempfile::tempdir().unwrap();
    let names = [&inputs.manifest, &inputs.training_profile, "profiles/easy_gate.yaml"].map(ToOwned::to_owned);
    for name in &names {
        let into = other.path().join(name);
        std::fs::create_dir_all(into.parent().unwrap()).unwrap();
        std::fs::copy(data().folder.join(name), into).unwrap();
    }
    let profile = other.path().join(&inputs.training_profile);
    let text = std::fs::read_to_string(&profile).unwrap();
    std::fs::write(&profile, format!("{text}\n# changed\n")).unwrap();
    let output = reproduce(other.path(), &[signed.folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("DIGEST_MISMATCH") && said.contains(&inputs.training_profile), "{said}");
}
