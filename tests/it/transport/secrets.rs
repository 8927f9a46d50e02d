//! Every secret that a configuration can hold is set to something that can be searched for; then whatever leaves the
//! process is searched: logs, events, dead letters, publications, evidence, ledger, metrics, what commands print.

use super::secure::SecureKafka;
use crate::support::{Worker, World, as_worker, eventually, fresh_database, request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model_factory::adapters::kafka::{Inbound, Mechanism};
use model_factory::adapters::signing::PrivateKey;
use model_factory::domain::run::State;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(2);

/// Secrets by where they are set, and what was seen of the process by where it was seen.
struct Search {
    secrets: BTreeMap<&'static str, String>,
    seen: BTreeMap<String, Vec<u8>>,
}

impl Search {
    /// A file with a secret of its own.
    fn in_file(&mut self, folder: &Path, name: &'static str) -> String {
        let file = folder.join(name);
        let secret = format!("canary-of-{name}");
        std::fs::write(&file, &secret).unwrap();
        self.secrets.insert(name, secret);
        file.to_str().unwrap().to_owned()
    }

    fn saw(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        self.seen.insert(place.to_owned(), bytes.into());
    }

    fn saw_records(&mut self, place: &str, records: &[Inbound]) {
        let text = records.iter().map(|record| format!("{record:?} {}\n", String::from_utf8_lossy(&record.value)));
        self.saw(place, text.collect::<String>());
    }

    fn saw_output(&mut self, place: &str, mut command: Command) {
        let output = command.output().unwrap();
        self.saw(place, [output.stdout, output.stderr].concat());
    }

    fn saw_files(&mut self, place: &str, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{place}/{}", path.file_name().unwrap().to_string_lossy());
            if path.is_dir() {
                self.saw_files(&name, &path);
            } else {
                self.saw(&name, std::fs::read(path).unwrap());
            }
        }
    }

    /// In every place that starts like this; all of them together have to hold `mark`, or nothing was looked at.
    fn holds(&self, place: &str, mark: &str) {
        let found = self.seen.iter().any(|(name, bytes)| name.starts_with(place) && holds(bytes, mark.as_bytes()));
        assert!(found, "{mark:?} is nowhere in {place}: the search looks at the wrong things");
    }

    /// Where a secret was seen, as it is, in base64, or in hexadecimal.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for (set, secret) in &self.secrets {
            let forms = [secret.clone(), STANDARD.encode(secret), hex::encode(secret)];
            for (place, bytes) in &self.seen {
                if forms.iter().any(|form| holds(bytes, form.as_bytes())) {
                    leaks.push(format!("{set} in {place}"));
                }
            }
        }
        leaks
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

async fn rows(url: &str) -> Vec<u8> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let tables =
        sqlx::query("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let mut text = String::new();
    for table in tables {
        let all = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {} t", table.get::<String, _>(0));
        let found = sqlx::query(AssertSqlSafe(all)).fetch_one(&mut connection).await.unwrap();
        text.push_str(&found.get::<String, _>(0));
    }
    connection.close().await.unwrap();
    text.into_bytes()
}

/// The client's key, locked by a password.
fn lock(key: &Path, by: &str, locked: &Path) {
    let mut command = Command::new("openssl");
    command.args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", &format!("pass:{by}"), "-in"]);
    assert!(command.arg(key).arg("-out").arg(locked).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_the_process() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let settings = kafka.topics("SASL", kafka.sasl(Mechanism::ScramSha512)).await;
    let world = World::between(settings, fresh_database().await).await;
    let folder = world.folder.path();
    let mut search = Search { secrets: BTreeMap::new(), seen: BTreeMap::new() };

    // One for each secret of worker.env.example, all of them in use or at least at hand.
    let key = PrivateKey::generate().to_pem().reveal().to_owned();
    search.secrets.insert("signing.key", key.lines().nth(1).unwrap().to_owned());
    search.secrets.insert("kafka.security.password", "secret-of-worker".to_owned());
    search.secrets.insert("ledger.url", "canary-of-ledger-url".to_owned());
    let url = as_worker(&world.config.ledger.url).replace("worker@", "worker:canary-of-ledger-url@");
    assert!(url.contains("canary"), "{url}");
    let key_password = search.in_file(folder, "key-password");
    let locked = folder.join("client-locked.key");
    lock(&kafka.file("client.key"), "canary-of-key-password", &locked);
    let set: Vec<(&str, String)> = vec![
        ("WORKER__LOG_FORMAT", "json".to_owned()),
        ("WORKER__LOG", "debug".to_owned()),
        ("KAFKA__SECURITY__PROTOCOL", "sasl_ssl".to_owned()),
        ("KAFKA__SECURITY__MECHANISM", "SCRAM-SHA-512".to_owned()),
        ("KAFKA__SECURITY__USERNAME", "worker".to_owned()),
        ("KAFKA__SECURITY__PASSWORD", "secret-of-worker".to_owned()),
        ("KAFKA__SECURITY__CA_FILE", kafka.file("ca.pem").to_str().unwrap().to_owned()),
        ("KAFKA__SECURITY__CERTIFICATE_FILE", kafka.file("client.pem").to_str().unwrap().to_owned()),
        ("KAFKA__SECURITY__KEY_FILE", locked.to_str().unwrap().to_owned()),
        ("KAFKA__SECURITY__KEY_PASSWORD_FILE", key_password),
        ("LEDGER__URL", url),
        ("LEDGER__PASSWORD_FILE", search.in_file(folder, "ledger-password")),
        ("INPUTS__ALLOW", "[\"s3://bucket/in\"]".to_owned()),
        ("INPUTS__S3__ENDPOINT", "http://127.0.0.1:9".to_owned()),
        ("INPUTS__S3__ALLOW_HTTP", "true".to_owned()),
        ("INPUTS__S3__ACCESS_KEY_ID", "worker".to_owned()),
        ("INPUTS__S3__SECRET_ACCESS_KEY_FILE", search.in_file(folder, "inputs-key")),
        ("EVIDENCE__S3__SECRET_ACCESS_KEY_FILE", search.in_file(folder, "evidence-key")),
        ("SIGNING__KEY", key),
        ("SIGNING__ALLOW_UNSIGNED", "false".to_owned()),
    ];
    let command = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.envs(set.iter().map(|(name, value)| (format!("MODEL_FACTORY_{name}"), value)));
        command
    };

    let worker = Worker::start(command(&["worker", "--from", "earliest"]), &folder.join("worker.log"));
    let mut beyond_reach = request("req-canary-0002");
    beyond_reach["training_config_ref"] = json!("s3://bucket/in/training.yaml");
    beyond_reach["config_revision"] = json!("c2");
    let values =
        [request("req-canary-0001").to_string(), "{\"no\": \"req-canary-0003\"}".to_owned(), beyond_reach.to_string()];
    world.send(&values.map(String::into_bytes)).await;
    let run = eventually("a published bundle", BOUND, || async {
        let run = world.ledger.run_of_request("req-canary-0001").await.unwrap()?;
        assert_ne!(run.state, State::Fail, "{:?}", run.reason_message);
        (run.state == State::Published).then_some(run)
    })
    .await;
    let publications = world.publications(1).await;
    let dead_letters = world.dead_letters(1).await;
    let metrics = worker.health("/metrics").unwrap().1;
    search.saw("metrics", metrics.as_str().unwrap());
    search.saw("livez", worker.health("/livez").unwrap().1.to_string());
    search.saw_records("publications", &publications);
    search.saw_records("dead letters", &dead_letters);
    let mut events = Vec::new();
    while let Some(event) = world.next_event(Duration::from_secs(1)).await {
        events.push(event);
    }
    search.saw_records("events", &events);
    search.saw_files("evidence", &folder.join("evidence"));
    search.saw("ledger", rows(&world.config.ledger.url).await);
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--output", "json"],
        &["doctor", "--output", "json"],
        &["runs", "show", run.run_id.as_str()],
        &["runs", "explain", run.run_id.as_str()],
    ] {
        search.saw_output(&arguments.join(" "), command(arguments));
    }
    drop(worker);
    search.saw("log", std::fs::read(folder.join("worker.log")).unwrap());

    // A token, a password that is wrong, and a key where none belongs: what is refused is not printed either.
    let token = kafka.token("token.key", Duration::from_hours(1));
    std::fs::write(folder.join("token"), &token).unwrap();
    let mut by_token = command(&["doctor"]);
    by_token
        .env("MODEL_FACTORY_KAFKA__SECURITY__MECHANISM", "OAUTHBEARER")
        .env("MODEL_FACTORY_KAFKA__SECURITY__USERNAME", "")
        .env("MODEL_FACTORY_KAFKA__SECURITY__PASSWORD", "")
        .env("MODEL_FACTORY_KAFKA__SECURITY__TOKEN_FILE", folder.join("token"));
    search.secrets.insert("kafka.security.token_file", token.split('.').nth(2).unwrap().to_owned());
    search.saw_output("doctor by token", by_token);
    search.secrets.insert("a wrong password", "canary-of-wrong-password".to_owned());
    let mut wrong = command(&["worker", "--from", "earliest"]);
    wrong.env("MODEL_FACTORY_KAFKA__SECURITY__PASSWORD", "canary-of-wrong-password");
    search.saw_output("refused by the broker", wrong);
    search.secrets.insert("a property", "canary-of-property".to_owned());
    for name in ["SASL_PASSWORD", "SSL_KEY_PASSWORD"] {
        let mut property = command(&["worker"]);
        property.env(format!("MODEL_FACTORY_KAFKA__PROPERTIES__{name}"), "canary-of-property");
        search.saw_output(name, property);
    }

    for (place, mark) in [
        ("log", run.run_id.as_str()),
        ("metrics", "model_factory_"),
        ("publications", run.run_id.as_str()),
        ("dead letters", "req-canary-0003"),
        ("events", run.run_id.as_str()),
        ("evidence", run.run_id.as_str()),
        ("ledger", run.run_id.as_str()),
        ("config show", "kafka.security.password"),
        ("doctor by token", "brokers"),
        ("doctor --output json", "signing key"),
        ("refused by the broker", "credentials"),
        ("SASL_PASSWORD", "kafka.security"),
    ] {
        search.holds(place, mark);
    }
    assert_eq!(search.leaks(), Vec::<String>::new());
}
