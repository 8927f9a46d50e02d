//! One signed bundle for each test process, and copies of it to tamper with.

use crate::support::{World, request};
use model_factory::adapters::signing::PrivateKey;
use model_factory::domain::contract::BundleManifest;
use model_factory::domain::identity::{Digest, document_bytes};
use model_factory::modelling::SIGNATURE_FILE;
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

    /// Signs all files anew with this key.
    pub fn sign(&self, key: &PrivateKey) {
        let names = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let files: BTreeMap<String, Digest> =
            names.filter(|name| name != SIGNATURE_FILE).map(|name| (name.clone(), self.digest(&name))).collect();
        fs::write(self.file(SIGNATURE_FILE), key.sign("bundle", &files, SIGNATURE_FILE)).unwrap();
    }
}
