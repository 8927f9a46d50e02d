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
        inputs: ['*']
        training_profiles: ['*']
        governance_profiles: ['*']
    commands: [cancel, publish_retry]
  - names: [evaluator]
    may: [{intents: [candidate_eval], scopes: [staging/fraud], tenants: [acme], inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}]
    commands: [cancel]
  - names: [trainer]
    may: [{intents: [baseline_train], scopes: [test/fraud], inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}]
  - names: [elsewhere]
    topics: [another-topic]
    may: [{intents: [baseline_train], scopes: ['*'], inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}]
  - names: [signer]
    keys: [{file: signer.pub}]
    may: [{intents: [baseline_train], scopes: ['*'], inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}]
  - names: [narrow]
    may: [{intents: [baseline_train], scopes: ['*'], inputs: [ofs], training_profiles: [elsewhere]}]
  - names: [pinned]
    may:
      - intents: [baseline_train]
        scopes: ['*']
        inputs: ['*']
        training_profiles: ['*']
        governance_profiles: ['sha256:0000000000000000000000000000000000000000000000000000000000000000']
  - names: [bounded]
    may: [{intents: [baseline_train], scopes: ['*'], inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}]
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
