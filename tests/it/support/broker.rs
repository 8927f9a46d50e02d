//! An Apache Kafka of a test's own, which can go away and come back.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Stopped, and its data removed, when dropped.
pub struct OwnKafka {
    state: tempfile::TempDir,
    brokers: String,
    secure: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Departure {
    Terminated,
    Killed,
}

impl OwnKafka {
    /// None where no real Kafka can be started, with a line on standard error; with `MODEL_FACTORY_REQUIRE_KAFKA=1` the
    /// test fails instead.
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
    // The output ends when nobody holds it open any more: the script keeps the broker from inheriting it.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }
}
