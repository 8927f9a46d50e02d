//! The requester policy under which every row is produced.

use model_factory::adapters::signing::{PrivateKey, RequesterPrivateKey};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// `tests` may ask for everything; the other principals are those of the rows of `requesters`.
const POLICY: &str = "\
schema_version: platform.requester_policy.v0
principals:
  - names: [tests]
    may:
      - intents: [baseline_train, backfill_retrain, candidate_eval, regression_check]
        scopes: ['*']
        tenants: ['*']
        publish: true
    commands: [cancel, publish_retry]
  - names: [evaluator]
    may: [{intents: [candidate_eval], scopes: [staging/fraud], tenants: [acme]}]
    commands: [cancel]
  - names: [trainer]
    may: [{intents: [baseline_train], scopes: [test/fraud]}]
  - names: [elsewhere]
    topics: [another-topic]
    may: [{intents: [baseline_train], scopes: ['*']}]
  - names: [signer]
    keys: [{file: signer.pub}]
    may: [{intents: [baseline_train], scopes: ['*']}]
  - names: [bounded]
    may: [{intents: [baseline_train], scopes: ['*']}]
    quota: {in_flight: 1}
";

/// The key of the principal `signer`.
pub static SIGNER: LazyLock<RequesterPrivateKey> = LazyLock::new(|| RequesterPrivateKey::P256(PrivateKey::generate()));

/// Writes the policy and its public key to this folder; returns the policy's path.
pub fn policy(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("signer.pub"), SIGNER.public().to_pem()).unwrap();
    let file = folder.join("policy.yaml");
    std::fs::write(&file, POLICY).unwrap();
    file
}
