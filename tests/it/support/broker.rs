//! An Apache Kafka of a test's own, which can go away and come back.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Ended, and its data removed, when dropped.
pub struct OwnKafka {
    state: tempfile::TempDir,
    brokers: String,
    secure: bool,
}

/// How a broker goes away.
#[derive(Debug, Clone, Copy)]
pub enum Departure {
    Terminated,
    Killed,
}

impl OwnKafka {
    /// None where no real Kafka can be provided, which is said where people see it; with
    /// `MODEL_FACTORY_REQUIRE_KAFKA=1` the test fails instead.
    pub async fn start() -> Option<Self> {
        Self::provide(false).await
    }

    /// One with TLS and SASL: [`Self::brokers`] names its listeners.
    pub async fn start_secure() -> Option<Self> {
        Self::provide(true).await
    }

    async fn provide(secure: bool) -> Option<Self> {
        let state = tempfile::Builder::new().prefix("model-factory-kafka-").tempdir().unwrap();
        let started = script(state.path(), "start", secure).await;
        match started {
            Ok(brokers) => Some(Self { state, brokers: brokers.trim().to_owned(), secure }),
            Err(why) if std::env::var("MODEL_FACTORY_REQUIRE_KAFKA").is_ok_and(|required| required == "1") => {
                panic!("a real Kafka is required and none could be started: {why}")
            }
            Err(why) => {
                let _ = writeln!(
                    std::io::stderr(),
                    "NOT TESTED: what needs a broker of its own. No Apache Kafka of the test's own could be started: {why}"
                );
                None
            }
        }
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Its folder; with TLS, certificates and keys are in `tls/`.
    pub fn folder(&self) -> &Path {
        self.state.path()
    }

    pub async fn go_away(&self, how: Departure) {
        let action = match how {
            Departure::Terminated => "down",
            Departure::Killed => "kill",
        };
        script(self.state.path(), action, self.secure).await.unwrap();
    }

    /// On the same port, with the same data.
    pub async fn come_back(&self) {
        script(self.state.path(), "up", self.secure).await.unwrap();
    }
}

impl Drop for OwnKafka {
    fn drop(&mut self) {
        let _ = command(self.state.path(), "stop", self.secure).status();
    }
}

fn command(state: &Path, action: &str, secure: bool) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/dev/kafka.sh"));
    command.arg(action).env("MODEL_FACTORY_KAFKA_STATE", state);
    command.env("MODEL_FACTORY_KAFKA_SECURE", if secure { "1" } else { "" });
    command
}

async fn script(state: &Path, action: &str, secure: bool) -> Result<String, String> {
    let mut command = command(state, action, secure);
    // Its answer ends with its standard output, which the broker must not hold open.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }
}
