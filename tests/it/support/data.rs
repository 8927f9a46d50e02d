//! Generated payments, written once a test process.

use model_factory::tools::dev::transactions::{DemoInputs, TransactionSpec, write};
use std::path::PathBuf;
use std::sync::LazyLock;

pub struct Data {
    pub folder: PathBuf,
    pub inputs: DemoInputs,
}

static DATA: LazyLock<Data> = LazyLock::new(|| {
    let folder = tempfile::Builder::new().prefix("model-factory-data-").tempdir().unwrap().keep();
    let spec = TransactionSpec { customers: 300, terminals: 1_000, ..TransactionSpec::demo() };
    let inputs = write(&spec, &folder, |_| {}).unwrap();
    std::fs::write(folder.join("profiles/easy_gate.yaml"), gate("min_auc_roc: 0.6")).unwrap();
    let training = std::fs::read_to_string(folder.join(&inputs.training_profile)).unwrap();
    // `steady` trains for longer than a lease, `long` until somebody stops it.
    for (name, rounds) in [("steady", 500), ("long", 4_000)] {
        let changed = training
            .replace("rounds: 200, max_depth: 5", &format!("rounds: {rounds}, max_depth: 8"))
            .replace("early_stopping_rounds: 20", "early_stopping_rounds: 0");
        assert_ne!(changed, training);
        std::fs::write(folder.join(format!("profiles/{name}_training.yaml")), changed).unwrap();
    }
    Data { folder, inputs }
});

fn gate(thresholds: &str) -> String {
    format!("policy_id: easy\nrevision: r1\ncontrols: {{require_pass_gate: true}}\neval_thresholds: {{{thresholds}}}\n")
}

pub fn data() -> &'static Data {
    &DATA
}

/// Writes a file that nobody else may read, as a private key has to be.
pub fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
