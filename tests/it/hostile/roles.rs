//! What a database role may do to others, and what stands in the log whoever writes it.

use crate::support::{World, admit_one, as_role, claim, count, fail_one, fresh_database, ledger_on, revision, sql};
use model_factory::adapters::authority::Policy;
use model_factory::adapters::ledger::{Arrival, Coordinates, Ledger, LedgerSettings, SourceRecord};
use model_factory::domain::contract::AllowList;
use model_factory::domain::run::Outcome;
use model_factory::worker::intake::Screening;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// The longest that a good admission or claim may take beside a role that holds whatever it can.
const USUAL: Duration = Duration::from_secs(2);

/// A requester who has a quota, so that its admissions take turns.
const BOUNDED: &str = "schema_version: platform.requester_policy.v0\nprincipals:\n- names: [tests]\n  quota: {per_day: 100}\n  \
                       may: [{intents: [baseline_train], scopes: ['*'], publish: true, inputs: ['*'], \
                       training_profiles: ['*'], governance_profiles: ['*']}]\n";

/// Admits a request of the bounded requester, within the usual time.
async fn admits(ledger: &Ledger, id: &str) {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let policy = Policy::read(BOUNDED.as_bytes(), |_| Err(String::new())).unwrap();
    let screening = Screening::from(AllowList::new([], true)).with_policy(Some(policy));
    let offset = NEXT.fetch_add(1, Ordering::Relaxed);
    let coordinates = Coordinates { topic: "requests".to_owned(), partition: 0, offset };
    let value = revision(id, id).to_string().into_bytes();
    let record = SourceRecord { coordinates, key: None, value, cut: None, trace: None };
    let arrival: Arrival = screening.of_batch().arrival(record);
    let since = Instant::now();
    let outcomes = ledger.admit(&[arrival], "w").await.unwrap();
    assert!(matches!(outcomes[..], [Outcome::Admitted { .. }]), "{outcomes:?}");
    assert!(since.elapsed() < USUAL, "{:?}", since.elapsed());
}

async fn connect_as(url: &str, role: &str) -> PgConnection {
    PgConnection::connect(&as_role(url, role)).await.unwrap()
}

/// Runs a statement, and returns the error's text. Panics if it is carried out.
async fn denied(connection: &mut PgConnection, statement: &str) -> String {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    done.err().unwrap_or_else(|| panic!("{statement} is carried out")).to_string()
}

fn bounded(settings: &mut LedgerSettings) {
    settings.max_connections = 8;
    settings.max_running = 10;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_role_holds_no_lock_that_admission_or_a_claim_needs() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, bounded).await;
    admits(&ledger, "req-before-001").await;
    let mut reader = connect_as(&url, "model_factory_read").await;
    // Every advisory lock that a release ever took, and tables as far as a reader may lock them.
    sqlx::raw_sql(
        "BEGIN;
         SELECT pg_advisory_xact_lock(hashtextextended('requests', 0)), pg_advisory_xact_lock(0, hashtext('tests')),
                pg_advisory_xact_lock(x'6d66617564697400'::bigint), pg_advisory_xact_lock(x'6d66636c61696d00'::bigint),
                pg_advisory_xact_lock(x'6d667475726e7300'::bigint);
         LOCK TABLE locks, positions, runs, audit_log IN ACCESS SHARE MODE;
         SELECT * FROM locks",
    )
    .execute(&mut reader)
    .await
    .unwrap();
    admits(&ledger, "req-beside-001").await;
    let since = Instant::now();
    claim(&ledger).await;
    assert!(since.elapsed() < USUAL, "{:?}", since.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut reader).await.unwrap();
    for table in ["locks", "positions", "runs", "audit_log", "requests", "tenants"] {
        let said = denied(&mut reader, &format!("SELECT FROM {table} FOR KEY SHARE")).await;
        assert!(said.contains("permission denied"), "{said}");
        denied(&mut reader, &format!("LOCK TABLE {table} IN SHARE MODE")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_append_to_the_log_decides_on_no_order_and_no_digest() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, bounded).await;
    admits(&ledger, "req-before-001").await;
    let mut prune = connect_as(&url, "model_factory_prune").await;
    for body in [
        "{}",
        "[]",
        r#"{"acts":[{"act":"run.gate_passed"}],"by":"x"}"#,
        r#"{"acts":[{"act":"ledger.pruned"},{"act":"request.admitted"}],"by":"x"}"#,
        r#"{"acts":[{}],"by":"x"}"#,
        r#"{"acts":[{"act":1}],"by":"x"}"#,
        r#"{"acts":[]}"#,
    ] {
        let said = denied(&mut prune, &format!("INSERT INTO audit_log (body) VALUES ('{body}')")).await;
        assert!(said.contains("only acts of ledger.pruned"), "{body}: {said}");
    }
    denied(&mut prune, "INSERT INTO audit_log (body) VALUES ('no JSON')").await;
    // Numbers, times and digests of the writer's own choice, in one statement and in several rows.
    let forged = |seq: &str, by: &str| {
        format!("({seq}, 'infinity', '{{\"acts\":[],\"by\":\"{by}\"}}', sha256('p'), sha256('d'))")
    };
    let into = "INSERT INTO audit_log (seq, at, body, previous, digest) VALUES";
    let statement = format!("{into} {}, {}", forged("9223372036854775807", "a"), forged("1", "b"));
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut prune).await.unwrap();
    let mut worker = connect_as(&url, "model_factory_worker").await;
    sqlx::raw_sql(AssertSqlSafe(format!("{into} {}", forged("3", "c")))).execute(&mut worker).await.unwrap();
    admits(&ledger, "req-beside-001").await;
    let verdict = ledger.verify_audit_log(None, None, |_, _| {}).await.unwrap();
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!(count(&url, "audit_log WHERE at = 'infinity'").await, 0);
    for connection in [&mut prune, &mut worker] {
        for statement in [
            "UPDATE audit_log SET body = '{}'",
            "DELETE FROM audit_log",
            "TRUNCATE audit_log",
            "DROP TRIGGER audit_log_chain ON audit_log",
            "ALTER TABLE audit_log DISABLE TRIGGER ALL",
            "SELECT chain_block()",
        ] {
            denied(connection, statement).await;
        }
    }
}

#[tokio::test]
async fn a_role_changes_no_column_that_is_not_its_own() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, bounded).await;
    admit_one(&ledger, "a").await;
    for (role, columns) in [
        (
            "worker",
            &[
                "runs.run_id",
                "runs.run_key",
                "runs.near_key",
                "runs.request_id",
                "runs.tenant",
                "runs.created_at",
                "runs.platform_run_id",
                "runs.counted_for",
                "runs.evidence_at",
                "requests.run_id",
                "requests.counted_for",
                "commands.payload_digest",
                "inbox.outcome",
                "inbox.value",
                "transitions.to_state",
                "acts.actor",
                "outbox.value",
            ][..],
        ),
        (
            "prune",
            &[
                "runs.updated_at",
                "runs.state",
                "runs.refs",
                "inbox.received_at",
                "inbox.value",
                "requests.run_id",
                "outbox.sent_at",
                "commands.payload_digest",
                "locks.name",
                "positions.next_offset",
            ],
        ),
        ("read", &["runs.state", "locks.name", "positions.next_offset"]),
    ] {
        let mut connection = connect_as(&url, &format!("model_factory_{role}")).await;
        for column in columns {
            let (table, column) = column.split_once('.').unwrap();
            let said = denied(&mut connection, &format!("UPDATE {table} SET {column} = {column}")).await;
            assert!(said.contains("permission denied"), "{role} {table}.{column}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_cannot_be_compared_is_an_error() {
    let world = World::new().await;
    let run_id = admit_one(&world.ledger, "a").await;
    let mut heads = vec![world.ledger.audit_head().await.unwrap()];
    for revision in ["b", "c", "d"] {
        admit_one(&world.ledger, revision).await;
        heads.push(world.ledger.audit_head().await.unwrap());
    }
    let path = world.folder.path().join("audit.jsonl");
    let file = path.to_str().unwrap();
    let verify = |head: &str| {
        let output = world.command(&["audit", "verify", "--file", file, "--head", head]).output().unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let from = heads[2].seq.to_string();
    world.stdout(&["audit", "export", "--from", &from, "--output", file]);
    for head in &heads[1..] {
        let (good, said) = verify(&head.to_string());
        assert!(good, "{said}");
        let other = head.to_string().replace(&head.digest.to_string(), &"ab".repeat(32));
        let (good, said) = verify(&other);
        assert!(!good && said.contains("BROKEN"), "{said}");
    }
    assert!(verify(&heads[1].to_string()).1.contains("which the given head confirms"));
    let (good, said) = verify(&heads[0].to_string());
    assert!(!good && said.contains("nothing was compared with it"), "{said}");
    let beyond = heads[3].to_string().replacen(&heads[3].seq.to_string(), "99", 1);
    assert!(!verify(&beyond).0);

    world.stdout(&["audit", "export", "--run", run_id.as_str(), "--output", file]);
    let (good, said) = verify(&heads[0].to_string());
    assert!(!good && said.contains("only the blocks of one run"), "{said}");
}

#[tokio::test]
async fn a_run_that_was_changed_beside_the_log_is_found() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, bounded).await;
    let failed = admit_one(&ledger, "a").await;
    fail_one(&ledger).await;
    let queued = admit_one(&ledger, "b").await;
    let verdict = async || ledger.verify_audit_log(None, None, |_, _| {}).await.unwrap();
    let before = verdict().await;
    assert!(before.holds() && before.agreeing.runs == 1, "{before:?}");
    let evil = "{\"eval_report\": {\"ref\": \"p/other.json\", \"sha256\": \"00\"}}".replace("00", &"00".repeat(32));
    let mut worker = connect_as(&url, "model_factory_worker").await;
    for (run_id, change, back) in [
        (&failed, format!("refs = '{evil}'"), "refs = '{}'"),
        (&queued, format!("refs = '{evil}'"), "refs = '{}'"),
        (&failed, "refs = '{\"publish_receipt\": {}}'".to_owned(), "refs = '{}'"),
        (&failed, "state = 'PASS'".to_owned(), "state = 'FAIL'"),
        (&queued, "state = 'FAIL', reason_code = 'CANCELLED'".to_owned(), "state = 'QUEUED', reason_code = NULL"),
    ] {
        let mut update = async |set: &str| {
            let statement = format!("UPDATE runs SET {set} WHERE run_id = '{run_id}'");
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut worker).await.unwrap();
        };
        update(&change).await;
        // What does not read as evidence is an error.
        let evidence = ledger.evidence_of(run_id).await;
        let is_logged = evidence.as_ref().is_ok_and(|evidence| evidence.unlogged.is_empty());
        assert_eq!(is_logged, !change.starts_with("refs"), "{change}: {evidence:?}");
        let found = verdict().await;
        assert!(found.disagreements.iter().any(|what| what.contains(run_id.as_str())), "{change}: {found:?}");
        update(back).await;
        assert!(verdict().await.holds(), "{change}");
        assert!(ledger.evidence_of(run_id).await.unwrap().unlogged.is_empty(), "{change}");
    }
    // What no role may change, an owner can.
    for statement in [
        "UPDATE runs SET request_id = 'req-a-0001' WHERE request_id = 'req-b-0001'",
        "UPDATE requests SET run_id = (SELECT max(run_id) FROM runs), topic = topic",
    ] {
        sql(&url, &[statement]).await;
        assert!(!verdict().await.holds(), "{statement}");
    }
}
