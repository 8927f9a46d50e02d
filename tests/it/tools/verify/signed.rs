//! One signed bundle for each test process, and copies of it to tamper with.

use crate::support::{World, request};
use model_factory::adapters::signing::PrivateKey;
use model_factory::domain::contract::{
    BundleManifest, DecisionReport, EvalReport, GateReceipt, Limits, ModelFormat, ParityVectors, TrainPlan,
};
use model_factory::domain::identity::{Digest, document_bytes};
use model_factory::modelling::{self, BundleEvidence, SIGNATURE_FILE, bundle_id, bundle_version};
use model_factory::tools::verify::Verifier;
use model_factory::training::TrainerCommand;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::sync::OnceCell;

pub struct Signed {
    pub folder: PathBuf,
    pub key: PrivateKey,
    _world: World,
}

pub async fn bundle() -> &'static Signed {
    static SIGNED: OnceCell<Signed> = OnceCell::const_new();
    SIGNED.get_or_init(build).await
}

async fn build() -> Signed {
    let mut world = World::new().await;
    let key = PrivateKey::generate();
    world.config.signing.key = Some(key.to_pem());
    world.config.signing.allow_unsigned = false;
    world.send(&[request("req-audit-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    world.run_until_idle(2).await;
    let run = world.run("req-audit-0001").await;
    let at = world.folder.path().join("evidence").join(&run.refs["bundle/bundle.json"].reference);
    Signed { folder: at.parent().unwrap().to_owned(), key, _world: world }
}

pub fn verifier() -> Verifier {
    Verifier::new(TrainerCommand::binary(env!("CARGO_BIN_EXE_model-factory").into()), &Limits::default())
}

/// A copy of the bundle.
pub struct Tampered(tempfile::TempDir);

impl Tampered {
    pub fn copy(from: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        Self(copy)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn digest(&self, name: &str) -> Digest {
        Digest::of(&fs::read(self.file(name)).unwrap())
    }

    /// Flips a bit in the middle of a file.
    pub fn flip(&self, name: &str) {
        let mut bytes = fs::read(self.file(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x01;
        fs::write(self.file(name), bytes).unwrap();
    }

    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&fs::read(self.file(name)).unwrap()).unwrap();
        let before = value.clone();
        change(&mut value);
        assert_ne!(value, before, "nothing was changed in {name}");
        fs::write(self.file(name), document_bytes(&value)).unwrap();
    }

    /// Changes a file, and lists its new digest in `bundle.json`.
    pub fn forge(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.edit(name, change);
        self.relist();
    }

    /// Changes a model, and lists its new digest in `bundle.json`.
    pub fn forge_compact(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&fs::read(self.file(name)).unwrap()).unwrap();
        change(&mut value);
        fs::write(self.file(name), value.to_string()).unwrap();
        self.relist();
    }

    /// Lists every file as it is now in `bundle.json`.
    pub fn relist(&self) {
        self.edit(BundleManifest::FILE, |manifest| {
            for file in manifest["files"].as_array_mut().unwrap() {
                let bytes = fs::read(self.file(file["path"].as_str().unwrap())).unwrap();
                file["sha256"] = json!(Digest::of(&bytes));
                file["bytes"] = json!(bytes.len());
            }
        });
    }

    /// Writes text in place of a file's own, and lists its new digest in `bundle.json`.
    pub fn rewrite(&self, name: &str, change: impl FnOnce(String) -> String) {
        let before = fs::read_to_string(self.file(name)).unwrap();
        let after = change(before.clone());
        assert_ne!(after, before, "nothing was changed in {name}");
        fs::write(self.file(name), after).unwrap();
        if name != BundleManifest::FILE && name != SIGNATURE_FILE {
            self.relist();
        }
    }

    /// Adds a file, and lists it in `bundle.json`.
    pub fn add(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
        self.edit(BundleManifest::FILE, |manifest| {
            let listed = json!({"path": name, "sha256": Digest::of(text.as_bytes()), "bytes": text.len(), "media_type": "text/plain"});
            manifest["files"].as_array_mut().unwrap().push(listed);
        });
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> (T, Vec<u8>) {
        let bytes = fs::read(self.file(name)).unwrap();
        (serde_json::from_slice(&bytes).unwrap(), bytes)
    }

    /// Makes every other file anew from plan, report, receipt, parity vectors and model, as Model Factory itself does.
    pub fn repack(&self) {
        let (plan, plan_bytes): (TrainPlan, _) = self.read("resolved_train_plan.json");
        let (report, report_bytes): (EvalReport, _) = self.read("eval_report.json");
        let (decision, decision_bytes): (DecisionReport, _) = self.read(DecisionReport::FILE);
        let (receipt, receipt_bytes): (GateReceipt, _) = self.read("gate_receipt.json");
        let (parity, parity_bytes): (ParityVectors, _) = self.read(ParityVectors::FILE);
        let packed = modelling::bundle(&BundleEvidence {
            plan: (&plan, &plan_bytes),
            report: (&report, &report_bytes),
            decision: Some((&decision, &decision_bytes)),
            receipt: (&receipt, &receipt_bytes),
            parity: (&parity, &parity_bytes),
            model: (ModelFormat::XgboostJson, &fs::read(self.file("model.json")).unwrap()),
        });
        for file in packed.files {
            fs::write(self.file(file.path), file.bytes).unwrap();
        }
    }

    /// Signs all files anew with this key.
    pub fn sign(&self, key: &PrivateKey) {
        let (manifest, _): (BundleManifest, _) = self.read(BundleManifest::FILE);
        let mut files = manifest.files;
        let mut of_manifest = files[0].clone();
        BundleManifest::FILE.clone_into(&mut of_manifest.path);
        of_manifest.sha256 = self.digest(BundleManifest::FILE);
        files.push(of_manifest);
        self.sign_as(&bundle_version(&bundle_id(&files), &manifest.lineage.revisions), key);
    }

    /// Signs all files anew under the name of some bundle.
    pub fn sign_as(&self, name: &str, key: &PrivateKey) {
        let names = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let files: BTreeMap<String, Digest> =
            names.filter(|name| name != SIGNATURE_FILE).map(|name| (name.clone(), self.digest(&name))).collect();
        fs::write(self.file(SIGNATURE_FILE), key.sign(name, &files)).unwrap();
    }
}
