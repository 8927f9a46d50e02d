//! No secret leaves the process. Every secret that a configuration can hold gets a value to search for; the test then
//! searches logs, events, dead letters, publications, evidence, ledger, metrics and what commands print.

use super::secure::SecureKafka;
use crate::support::{World, as_worker, fresh_database, request};
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

/// Secrets by configuration key, and what the process put out by where it went.
struct Search {
    secrets: BTreeMap<&'static str, String>,
    seen: BTreeMap<String, Vec<u8>>,
}

impl Search {
    /// Writes a new secret to a file; returns the path.
    fn in_file(&mut self, folder: &Path, name: &'static str) -> String {
        let file = folder.join(name);
        let secret = format!("canary-of-{name}");
        std::fs::write(&file, &secret).unwrap();
        self.secrets.insert(name, secret);
        file.to_str().unwrap().to_owned()
    }

    fn saw(&mut self, output: &str, bytes: impl Into<Vec<u8>>) {
        self.seen.insert(output.to_owned(), bytes.into());
    }

    fn saw_records(&mut self, output: &str, records: &[Inbound]) {
        let text = records.iter().map(|record| format!("{record:?} {}\n", String::from_utf8_lossy(&record.value)));
        self.saw(output, text.collect::<String>());
    }

    fn saw_output(&mut self, output: &str, mut command: Command) {
        let printed = command.output().unwrap();
        self.saw(output, [printed.stdout, printed.stderr].concat());
    }

    fn saw_files(&mut self, output: &str, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{output}/{}", path.file_name().unwrap().to_string_lossy());
            if path.is_dir() {
                self.saw_files(&name, &path);
            } else {
                self.saw(&name, std::fs::read(path).unwrap());
            }
        }
    }

    /// One of the outputs whose names start so must hold `mark`: else the search looks at the wrong things.
    fn holds(&self, output: &str, mark: &str) {
        let found = self.seen.iter().any(|(name, bytes)| name.starts_with(output) && holds(bytes, mark.as_bytes()));
        assert!(found, "{mark:?} is nowhere in {output}: the search looks at the wrong things");
    }

    /// Every output with a secret in it: plain, in base64, or in hexadecimal.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for (key, secret) in &self.secrets {
            let forms = [secret.clone(), STANDARD.encode(secret), hex::encode(secret)];
            for (output, bytes) in &self.seen {
                if forms.iter().any(|form| holds(bytes, form.as_bytes())) {
                    leaks.push(format!("{key} in {output}"));
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

/// Encrypts a private key with a password.
fn encrypt(key: &Path, password: &str, encrypted: &Path) {
    let mut command = Command::new("openssl");
    command.args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", &format!("pass:{password}"), "-in"]);
    assert!(command.arg(key).arg("-out").arg(encrypted).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_the_process() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let settings = kafka.topics("SASL", kafka.sasl(Mechanism::ScramSha512)).await;
    let world = World::between(settings, fresh_database().await).await;
    let folder = world.folder.path();
    let mut search = Search { secrets: BTreeMap::new(), seen: BTreeMap::new() };

    // One for each secret of worker.env.example; the process reads all of them, and uses most.
    let key = PrivateKey::generate().to_pem().reveal().to_owned();
    search.secrets.insert("signing.key", key.lines().nth(1).unwrap().to_owned());
    search.secrets.insert("kafka.security.password", "secret-of-worker".to_owned());
    search.secrets.insert("ledger.url", "canary-of-ledger-url".to_owned());
    let url = as_worker(&world.config.ledger.url).replace("worker@", "worker:canary-of-ledger-url@");
    assert!(url.contains("canary"), "{url}");
    let key_password = search.in_file(folder, "key-password");
    let encrypted = folder.join("client-locked.key");
    encrypt(&kafka.file("client.key"), "canary-of-key-password", &encrypted);
    let settings: Vec<(&str, String)> = vec![
        ("WORKER__LOG", "debug".to_owned()),
        ("KAFKA__SECURITY__PROTOCOL", "sasl_ssl".to_owned()),
        ("KAFKA__SECURITY__MECHANISM", "SCRAM-SHA-512".to_owned()),
        ("KAFKA__SECURITY__USERNAME", "worker".to_owned()),
        ("KAFKA__SECURITY__PASSWORD", "secret-of-worker".to_owned()),
        ("KAFKA__SECURITY__CA_FILE", kafka.file("ca.pem").to_str().unwrap().to_owned()),
        ("KAFKA__SECURITY__CERTIFICATE_FILE", kafka.file("client.pem").to_str().unwrap().to_owned()),
        ("KAFKA__SECURITY__KEY_FILE", encrypted.to_str().unwrap().to_owned()),
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
        command.envs(settings.iter().map(|(name, value)| (format!("MODEL_FACTORY_{name}"), value)));
        command
    };

    let worker = settings.iter().fold(world.worker("worker"), |worker, (key, value)| worker.set(key, value)).start();
    let mut unreadable = request("req-canary-0002");
    unreadable["training_config_ref"] = json!("s3://bucket/in/training.yaml");
    unreadable["config_revision"] = json!("c2");
    let values =
        [request("req-canary-0001").to_string(), "{\"no\": \"req-canary-0003\"}".to_owned(), unreadable.to_string()];
    world.send(&values.map(String::into_bytes)).await;
    let run = world.reaches("req-canary-0001", State::Published).await;
    let publications = world.publications(1).await;
    let dead_letters = world.dead_letters(1).await;
    let metrics = worker.get("/metrics").unwrap().1;
    search.saw("metrics", metrics.as_str().unwrap());
    search.saw("livez", worker.get("/livez").unwrap().1.to_string());
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

    // Values that are refused are not printed either: a token, a wrong password, a password as a property.
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

    for (output, mark) in [
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
        search.holds(output, mark);
    }
    assert_eq!(search.leaks(), Vec::<String>::new());
}
