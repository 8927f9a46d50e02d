//! `doctor` on a sound set-up, and on the same one with one thing broken. Needs a real Kafka: the in-process broker does
//! not describe its topics.

use crate::support::{
    World, commit_offset, create_compacted_topic, delete_records_before, fresh_database, request, write_private,
};
use model_factory::adapters::signing::PrivateKey;
use serde_json::Value;

/// The findings, and whether the exit status was 0.
struct Examined {
    sound: bool,
    findings: Vec<Value>,
}

impl Examined {
    fn of(&self, check: &str) -> &Value {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("{check} was not looked at: {:#?}", self.findings))
    }

    /// This finding is red with this reason and advice, and every other is green.
    fn only_red(&self, check: &str, found: &str, advice: &str) {
        let red = self.of(check);
        assert_eq!(red["light"], "red", "{red}");
        assert!(red["found"].as_str().unwrap().contains(found), "{red}");
        assert!(red["advice"][0].as_str().unwrap().contains(advice), "{red}");
        let others = self.findings.iter().filter(|finding| finding["check"] != check);
        let not_green: Vec<_> = others.filter(|finding| finding["light"] != "green").collect();
        assert!(not_green.is_empty(), "{not_green:#?}");
        assert!(!self.sound, "exit status 0 with a red light");
    }
}

/// A world in which a worker has worked, with a key to sign with.
async fn world() -> World {
    let world = World::new().await;
    world.send(&[request("req-doctor-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    write_private(&world.folder.path().join("key.pem"), PrivateKey::generate().to_pem().reveal());
    world
}

async fn examine(world: &World, changed: &[(&str, &str)]) -> Examined {
    let mut command = world.command(&["doctor", "--output", "json"]);
    command
        .env("MODEL_FACTORY_SIGNING__KEY_FILE", world.folder.path().join("key.pem"))
        // Little enough for any machine.
        .env("MODEL_FACTORY_TRAINER__MAX_FILE_MIB", "1")
        .env("MODEL_FACTORY_TRAINER__MAX_MEMORY_MIB", "1");
    for (name, value) in changed {
        command.env(format!("MODEL_FACTORY_{name}"), value);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let findings = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Examined { sound: output.status.success(), findings }
}

#[tokio::test]
async fn config_check_says_what_a_policy_leaves_open_and_is_green_for_a_closed_one() {
    let world = World::new().await;
    let folder = world.folder.path();
    let key = PrivateKey::generate();
    std::fs::write(folder.join("risk.pub"), key.public().to_pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.to_pem().reveal()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.join("key.pem"), private).unwrap();
    let digest = "0".repeat(64);
    let closed = format!("inputs: [ofs], training_profiles: [profiles], governance_profiles: ['sha256:{digest}']");
    let open = "inputs: ['*'], training_profiles: ['*'], governance_profiles: [gates]";
    let lights = |may: &str, more: &str| {
        let text = format!(
            "schema_version: platform.requester_policy.v0\nprincipals:\n- {{names: [risk], {more}may: \
             [{{intents: [baseline_train], scopes: [test], publish: true, {may}}}]}}\n"
        );
        std::fs::write(folder.join("policy.yaml"), text).unwrap();
        let mut command = world.command(&["config", "check", "--output", "json"]);
        let output = command
            .env("MODEL_FACTORY_SIGNING__KEY_FILE", folder.join("key.pem"))
            .env("MODEL_FACTORY_AUTHORITY__POLICY", folder.join("policy.yaml"))
            .output()
            .unwrap();
        let findings = String::from_utf8(output.stdout).unwrap();
        let findings: Vec<Value> = findings.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |light: &str| findings.iter().filter(|finding| finding["light"] == light).count();
        (count("green"), count("yellow"), count("red"), output.status.success())
    };
    let signed = "keys: [{file: risk.pub}], quota: {in_flight: 1}, ";
    assert_eq!(lights(&closed, signed), (3, 0, 0, true));
    assert_eq!(lights(open, ""), (3, 5, 0, true));
    assert_eq!(lights("tenants: [a]", signed), (2, 0, 1, false), "an entry of an earlier release");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_world_is_green_all_over() {
    let world = world().await;
    let examined = examine(&world, &[]).await;
    let not_green: Vec<_> = examined.findings.iter().filter(|finding| finding["light"] != "green").collect();
    assert!(not_green.is_empty() && examined.sound, "{not_green:#?}");
    for topic in world.config.kafka.topics.all() {
        let found = examined.of(&format!("topic {topic}"))["found"].as_str().unwrap().to_owned();
        assert!(found.contains("cleanup.policy=delete") && found.contains("records up to"), "{found}");
    }
    let lineage = format!("topic {}", world.config.kafka.topics.lineage);
    assert!(!examined.findings.iter().any(|finding| finding["check"] == *lineage), "lineage is off");
    let group = format!("group {}", world.config.kafka.group_id);
    for check in [
        "brokers",
        &group,
        "database",
        "durability",
        "schema",
        "rights",
        "outbox",
        "clock",
        "evidence store",
        "signing key",
        "ownership",
        "scratch disk",
        "memory",
        "confinement",
    ] {
        examined.of(check);
    }
    let root = format!("inputs {}", world.config.inputs.root.as_ref().unwrap().display());
    examined.of(&root);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_at_the_brokers_is_red_with_the_command_that_mends_it() {
    let world = world().await;
    let missing = format!("{}-missing", world.config.kafka.topics.lifecycle);
    let examined = examine(&world, &[("KAFKA__TOPICS__LIFECYCLE", &missing)]).await;
    let command = format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {missing} --partitions 12 --replication-factor 1 \
         --config cleanup.policy=delete",
        world.config.kafka.brokers
    );
    examined.only_red(&format!("topic {missing}"), "missing", &command);

    let missing = format!("{}-missing", world.config.kafka.topics.lineage);
    let with_lineage = [("LINEAGE__ENABLED", "true"), ("KAFKA__TOPICS__LINEAGE", missing.as_str())];
    let command = format!("--create --topic {missing}");
    examine(&world, &with_lineage).await.only_red(&format!("topic {missing}"), "missing", &command);

    let compacted = format!("{}-compacted", world.config.kafka.topics.lifecycle);
    create_compacted_topic(&world.config.kafka, &compacted).await;
    let examined = examine(&world, &[("KAFKA__TOPICS__LIFECYCLE", &compacted)]).await;
    let command = format!("--entity-name {compacted} --add-config cleanup.policy=delete");
    examined.only_red(&format!("topic {compacted}"), "cleanup.policy=compact", &command);

    let examined = examine(&world, &[("KAFKA__MAX_VALUE_BYTES", "2000000")]).await;
    for topic in world.config.kafka.topics.all() {
        let finding = examined.of(&format!("topic {topic}"));
        assert!(
            finding["advice"][0].as_str().unwrap().ends_with("--add-config max.message.bytes=2016384"),
            "{finding}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_offset_has_no_record_is_red_and_a_new_one_yellow() {
    let world = world().await;
    let kafka = &world.config.kafka;
    let check = format!("group {}", kafka.group_id);
    let command =
        format!("--group {} --topic {}:0 --reset-offsets --to-earliest", kafka.group_id, kafka.topics.requests);
    commit_offset(kafka, 1_000).await;
    examine(&world, &[]).await.only_red(&check, "beyond the end", &command);

    world.send(&[b"1".to_vec(), b"2".to_vec()]).await;
    commit_offset(kafka, 1).await;
    delete_records_before(kafka, 2).await;
    examine(&world, &[]).await.only_red(&check, "older than retention", &command);

    let new = format!("{}-new", kafka.group_id);
    let examined = examine(&world, &[("KAFKA__GROUP_ID", &new)]).await;
    let finding = examined.of(&format!("group {new}"));
    assert_eq!(finding["light"], "yellow", "{finding}");
    let advice = finding["advice"][0].as_str().unwrap();
    assert!(advice.contains("--from earliest") && advice.contains("--from latest"), "{advice}");
    assert!(examined.sound, "a first start is nothing broken");

    let examined = examine(&world, &[("PUBLISH__CONFIRM", "registry")]).await;
    examined.of(&format!("topic {}", kafka.topics.registry_lifecycle));
    let finding = examined.of(&format!("{check}-registry"));
    assert_eq!(finding["light"], "yellow", "{finding}");
    assert!(finding["advice"][0].as_str().unwrap().contains("starts with the oldest"), "{finding}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_at_the_database_hides_nothing_else() {
    let world = world().await;
    let examined = examine(&world, &[("LEDGER__URL", "postgres://mf:hush@127.0.0.1:1/mf")]).await;
    examined.only_red("database", "no Postgres answers at 127.0.0.1:1", "start Postgres");
    assert!(!format!("{:?}", examined.findings).contains("hush"));

    let empty = fresh_database().await;
    let examined = examine(&world, &[("LEDGER__URL", &empty)]).await;
    examined.only_red("schema", "has no schema", "model-factory migrate");

    let examined =
        examine(&world, &[("LEDGER__URL", &format!("{}?options[synchronous_commit]=off", world.config.ledger.url))])
            .await;
    examined.only_red("durability", "synchronous_commit is off", "SET synchronous_commit = on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_and_documents_that_cannot_be_used_are_red() {
    let world = world().await;
    let file = world.folder.path().join("key.pem");
    let examined = examine(&world, &[("EVIDENCE__URL", &format!("file://{}/evidence", file.display()))]).await;
    examined.only_red("evidence store", "is not usable", "[evidence]");

    let examined = examine(&world, &[("TRAINER__SCRATCH", &format!("{}/scratch", file.display()))]).await;
    examined.only_red("scratch disk", "cannot be written", "[trainer] scratch");

    let examined = examine(&world, &[("INPUTS__ROOT", "/nowhere/at/all")]).await;
    examined.only_red("inputs", "/nowhere/at/all", "make the folder");

    let boundaries = world.folder.path().join("boundaries.yaml");
    write_private(&boundaries, "owners: {}\n");
    let boundaries = boundaries.to_str().unwrap();
    let examined = examine(&world, &[("WORKER__OWNERSHIP_BOUNDARIES", boundaries)]).await;
    examined.only_red("ownership", "OWNERSHIP_BOUNDARY_VIOLATION", "ownership_boundaries");

    let examined = examine(&world, &[("SIGNING__KEY_FILE", boundaries)]).await;
    examined.only_red("signing key", "no private key", "P-256");
}

/// `doctor` checks the rights on every table, and prints a grant for each that is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_role_without_rights_the_missing_grants_are_printed() {
    use sqlx::{Connection as _, Row as _};
    let world = world().await;
    let mut admin = sqlx::PgConnection::connect(&world.config.ledger.url).await.unwrap();
    let role = format!("doctor_{}", std::process::id());
    let database = world.config.ledger.url.rsplit('/').next().unwrap();
    for statement in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("GRANT CONNECT ON DATABASE {database} TO {role}"),
        format!("GRANT USAGE ON SCHEMA public TO {role}"),
        format!("GRANT SELECT ON _sqlx_migrations TO {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    }
    let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace \
                  AND relname <> '_sqlx_migrations' ORDER BY relname";
    let rows = sqlx::query(tables).fetch_all(&mut admin).await.unwrap();
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();

    let url = url::Url::parse(&world.config.ledger.url).unwrap();
    let mut as_role = url.clone();
    as_role.set_username(&role).unwrap();
    let examined = examine(&world, &[("LEDGER__URL", as_role.as_str())]).await;
    examined.only_red("rights", &role, "GRANT");
    let grants: Vec<&str> =
        examined.of("rights")["advice"].as_array().unwrap().iter().map(|grant| grant.as_str().unwrap()).collect();
    let named: Vec<&str> =
        grants.iter().map(|grant| grant.split_whitespace().skip_while(|word| *word != "ON").nth(1).unwrap()).collect();
    assert_eq!(named, tables);

    for grant in grants {
        sqlx::query(sqlx::AssertSqlSafe(grant.to_owned())).execute(&mut admin).await.unwrap();
    }
    assert!(examine(&world, &[("LEDGER__URL", as_role.as_str())]).await.sound);
}
