//! Starts what a worker needs in one process: broker, database, evidence store, data.

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

/// A running broker and database, with evidence and inputs in a folder. Dropping this value ends broker and database.
/// The folder stays.
pub struct Environment {
    pub config: Config,
    pub inputs: DemoInputs,
    pub folder: PathBuf,
    _broker: MockBroker,
    _postgres: PrivatePostgres,
    _database: Option<tempfile::TempDir>,
}

impl Environment {
    /// Starts everything in `folder`, and reports each step to `progress`.
    pub async fn start(folder: &Path, mut progress: impl FnMut(&str)) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        progress("starting Postgres");
        let (data, temporary) = database_folder(&folder)?;
        if temporary.is_some() {
            // The temporary database of the last time is gone, and its evidence stays. Without this file the store
            // takes a new ledger.
            let _ = fs::remove_file(folder.join("evidence").join("_ledger"));
        }
        let postgres = PrivatePostgres::start(&data)?;
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
        let key = PrivateKey::generate();
        fs::write(folder.join(PUBLIC_KEY_FILE), key.public().to_pem())?;
        config.signing.key = Some(key.to_pem());
        progress("migrating the database");
        let ledger = Ledger::connect(&config.ledger).await?;
        ledger.migrate().await?;
        ledger.close().await;
        Ok(Self { config, inputs, folder, _broker: broker, _postgres: postgres, _database: temporary })
    }
}

/// Name of the file with the public key that verifies the environment's bundles.
pub const PUBLIC_KEY_FILE: &str = "signing.pub";

/// Chooses the database's folder. If root starts the server, it runs as another user, who must be able to enter the
/// folder. If a parent folder is closed to others, the database goes to a temporary folder instead.
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
