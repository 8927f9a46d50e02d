//! Everything around a worker in one process: broker, database, store, data.

use super::postgres::PrivatePostgres;
use super::transactions::{DemoInputs, TransactionSpec, write};
use crate::adapters::kafka::{MockBroker, StartAt};
use crate::adapters::ledger::Ledger;
use crate::adapters::signing::PrivateKey;
use crate::config::Config;
use anyhow::Context as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A private world; ends when dropped. Evidence and inputs stay in its folder.
pub struct Environment {
    /// A worker's configuration in this world.
    pub config: Config,
    /// The generated data.
    pub inputs: DemoInputs,
    /// Folder of inputs and evidence.
    pub folder: PathBuf,
    _broker: MockBroker,
    _postgres: PrivatePostgres,
    _database: Option<tempfile::TempDir>,
}

impl Environment {
    /// Starts everything over `folder`; `progress` is told what is being done.
    pub async fn start(folder: &Path, mut progress: impl FnMut(&str)) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        progress("starting Postgres");
        let (place, database) = database_folder(&folder)?;
        let postgres = PrivatePostgres::start(&place)?;
        progress("starting the in-process broker");
        let mut config = Config::default();
        let broker = MockBroker::start(&config.kafka.topics, 1)?;
        let inputs_folder = folder.join("inputs");
        let inputs = write(&TransactionSpec::demo(), &inputs_folder, &mut progress)?;
        config.kafka.brokers = broker.brokers();
        config.kafka.from = Some(StartAt::Earliest);
        config.ledger.url = postgres.url("postgres");
        config.evidence.url = format!("file://{}", folder.join("evidence").display());
        config.inputs.root = Some(inputs_folder);
        config.trainer.scratch = folder.join("scratch");
        config.worker.http = SocketAddr::from(([127, 0, 0, 1], 0));
        config.signing.key = Some(signing_key(&folder)?.to_pem());
        progress("migrating the database");
        let ledger = Ledger::connect(&config.ledger).await?;
        ledger.migrate().await?;
        ledger.close().await;
        Ok(Self { config, inputs, folder, _broker: broker, _postgres: postgres, _database: database })
    }
}

/// File of the public key that bundles of a private world are signed with.
pub const PUBLIC_KEY_FILE: &str = "signing.pub";

/// A new key for this world; its public half is left in the folder.
fn signing_key(folder: &Path) -> anyhow::Result<PrivateKey> {
    let key = PrivateKey::generate();
    fs::write(folder.join(PUBLIC_KEY_FILE), key.public().to_pem())?;
    Ok(key)
}

/// The database's folder. Run as root, the server runs as another user, who must be able to get there;
/// where a folder above is closed to others, the database goes to the temporary folder instead.
fn database_folder(folder: &Path) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
    let root = nix::unistd::Uid::effective().is_root();
    let open = folder.ancestors().all(|above| fs::metadata(above).is_ok_and(|found| found.mode() & 0o001 != 0));
    if !root || open {
        return Ok((folder.join("postgres"), None));
    }
    let temporary = tempfile::Builder::new()
        .prefix("model-factory-postgres-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()?;
    Ok((temporary.path().join("postgres"), Some(temporary)))
}
