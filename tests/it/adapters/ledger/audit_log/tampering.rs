//! Changes by hand in the database: `verify` finds the log broken, or at odds with the ledger.

use super::blocks::{blocks, refusal, verify};
use crate::support::{admit_one, arrival, as_role, as_worker, bring, fresh_database, ledger_on, revision, sql};
use model_factory::adapters::ledger::{AuditVerdict, CommandRequest, Ledger, RunCommand};
use model_factory::domain::audit_log::Block;
use model_factory::domain::contract::Head;
use serde_json::json;

const DISABLE: &str = "ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only";

/// A ledger with a little history: blocks of a migration, two admissions, a command and a refusal.
async fn history() -> (String, Ledger) {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let run_id = admit_one(&ledger, "a").await;
    admit_one(&ledger, "b").await;
    let order = CommandRequest { command: RunCommand::Cancel, actor: "ann", why: "because" };
    ledger.command(&run_id, order).await.unwrap().unwrap().unwrap();
    ledger.admit(&[arrival(7, &json!({"no": "request"}))], "w").await.unwrap();
    assert!(verify(&ledger).await.holds());
    (url, ledger)
}

fn broken_at(verdict: &AuditVerdict) -> Option<i64> {
    verdict.broken.as_ref().map(|broken| broken.seq)
}

#[tokio::test]
async fn nobody_changes_or_removes_what_is_appended() {
    let (url, ledger) = history().await;
    let statements = [
        "UPDATE audit_log SET body = '{}'",
        "UPDATE audit_log SET at = now() WHERE false",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ];
    for statement in statements {
        let operation = statement.split(' ').next().unwrap();
        let owner = refusal(&url, statement).await;
        assert!(owner.contains(&format!("audit_log is append-only: {operation} is refused")), "{owner}");
        for role in [as_worker(&url), as_role(&url, "model_factory_prune"), as_role(&url, "model_factory_read")] {
            let role = refusal(&role, statement).await;
            assert!(role.contains("permission denied"), "{role}");
        }
    }
    let insert = "INSERT INTO audit_log SELECT 99, at, body, previous, digest FROM audit_log";
    assert!(refusal(&as_role(&url, "model_factory_read"), insert).await.contains("permission denied"));
    assert!(refusal(&url, "INSERT INTO audit_log (body) VALUES ('')").await.contains("violates check constraint"));
    // Whatever a statement says beside the text, the block is the next one of the chain.
    let before = verify(&ledger).await.head.seq;
    let copies = "INSERT INTO audit_log SELECT 99, now(), '{\"acts\":[],\"by\":\"x\"}', '', sha256('') FROM audit_log";
    sql(&url, &[copies]).await;
    let after = verify(&ledger).await;
    assert!(after.holds() && after.head.seq == 2 * before, "{after:?}");
}

#[tokio::test]
async fn a_changed_a_removed_and_a_moved_block_are_found_where_they_stand() {
    for (statement, first) in [
        ("UPDATE audit_log SET body = replace(body, 'req-a-0001', 'req-x-0001') WHERE seq = 2", 2),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE seq = 3", 3),
        ("DELETE FROM audit_log WHERE seq = 3", 4),
        ("DELETE FROM audit_log WHERE seq = 1", 2),
        (
            "UPDATE audit_log SET seq = -seq + 1000 WHERE seq IN (2, 3);
             UPDATE audit_log SET seq = CASE seq WHEN 998 THEN 3 ELSE 2 END WHERE seq IN (997, 998)",
            2,
        ),
    ] {
        let (url, ledger) = history().await;
        sql(&url, &[DISABLE, statement]).await;
        let verdict = verify(&ledger).await;
        assert_eq!(broken_at(&verdict), Some(first), "{statement}: {verdict:?}");
        assert_eq!(
            verdict.head.seq,
            first - 1 - i64::from(statement.starts_with("DELETE")),
            "up to where the chain holds"
        );
    }
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_found_by_a_head_that_was_kept_and_else_by_the_ledger() {
    let (url, ledger) = history().await;
    let kept = ledger.audit_head().await.unwrap();
    sql(&url, &[DISABLE, "DELETE FROM audit_log WHERE seq >= 4"]).await;
    let anchored = ledger.verify_audit_log(Some(kept), None, |_, _| {}).await.unwrap();
    assert_eq!(broken_at(&anchored), Some(4), "{anchored:?}");
    let verdict = verify(&ledger).await;
    assert_eq!(broken_at(&verdict), None, "the chain itself cannot know");
    let said = verdict.disagreements.join("\n");
    for row in ["transitions holds step 2 of tr_", "acts holds CANCEL of tr_", "inbox holds record requests/0/7"] {
        assert!(said.contains(row), "{row}: {said}");
    }
}

/// Somebody who may write the table can write the whole chain anew.
#[tokio::test]
async fn a_chain_that_was_made_anew_is_found_by_a_head_that_was_kept_and_else_by_the_ledger() {
    let (url, ledger) = history().await;
    let kept = ledger.audit_head().await.unwrap();
    let mut head = Head::start();
    let mut statements = vec![DISABLE.to_owned()];
    for (block, _) in blocks(&ledger).await {
        let body = block.body.replace("\"ann\"", "\"eve\"").replace("operator:ann", "operator:eve");
        let forged = Block::behind(&head, block.at, body);
        head = forged.head();
        statements.push(format!(
            "UPDATE audit_log SET body = '{}', previous = '\\x{}', digest = '\\x{}' WHERE seq = {}",
            forged.body, forged.previous, forged.digest, forged.seq
        ));
    }
    sql(&url, &statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let anchored = ledger.verify_audit_log(Some(kept), None, |_, _| {}).await.unwrap();
    assert_eq!(broken_at(&anchored), Some(kept.seq), "{anchored:?}");
    let verdict = verify(&ledger).await;
    assert_eq!(broken_at(&verdict), None);
    let said = verdict.disagreements.join("\n");
    assert!(
        said.contains("block 4 tells CANCEL of tr_") && said.contains("otherwise than the table of steps"),
        "{said}"
    );
}

#[tokio::test]
async fn a_ledger_that_was_changed_beside_the_log_disagrees_with_it() {
    for (statement, says) in [
        ("UPDATE transitions SET worker = 'eve'", "block 4 tells CANCEL of tr_"),
        ("UPDATE transitions SET reason_message = 'other words'", "otherwise than the table of steps"),
        ("DELETE FROM transitions", "which the ledger does not hold as told"),
        ("UPDATE acts SET reason = 'other words'", "the table of acts does not"),
        ("DELETE FROM acts", "the table of acts does not"),
        (r#"UPDATE inbox SET value = value || ' ' WHERE "offset" = 7"#, "block 5 tells of record requests/0/7 otherwise"),
        (r#"UPDATE inbox SET outcome = '{"outcome": "ADMITTED"}' WHERE "offset" = 7"#, "otherwise than the inbox holds it"),
        (
            "INSERT INTO transitions SELECT run_id, 9, transition, from_state, to_state, execution_mode, attempt, fence,
                                            'eve', NULL, NULL, now() FROM transitions",
            "transitions holds step 9 of tr_",
        ),
        (
            "INSERT INTO acts (run_id, act, actor, reason, at) SELECT run_id, act, actor, reason, now() FROM acts",
            "acts holds CANCEL of tr_",
        ),
    ] {
        let (url, ledger) = history().await;
        sql(&url, &[statement]).await;
        let verdict = verify(&ledger).await;
        assert!(verdict.broken.is_none(), "{verdict:?}");
        let said = verdict.disagreements.join("\n");
        assert!(said.contains(says), "{statement}: {said}");
    }
}

#[tokio::test]
async fn rows_from_before_a_given_time_need_no_acts() {
    let (url, ledger) = history().await;
    // A step without an act, as a worker of a release without the log writes it beside new workers.
    let step =
        "INSERT INTO transitions SELECT run_id, 9, transition, from_state, to_state, execution_mode, attempt, fence,
                                               'old', NULL, NULL, now() FROM transitions WHERE worker <> 'old'";
    sql(&url, &[step]).await;
    let now = ledger.clock().await.unwrap();
    bring(&ledger, &revision("req-later-0001", "later")).await;
    assert!(!verify(&ledger).await.holds());
    let verdict = ledger.verify_audit_log(None, Some(now), |_, _| {}).await.unwrap();
    assert!(verdict.holds(), "{verdict:?}");
    sql(&url, &[step.replace('9', "10").as_str()]).await;
    let verdict = ledger.verify_audit_log(None, Some(now), |_, _| {}).await.unwrap();
    assert!(verdict.disagreements[0].contains("step 10 of"), "{verdict:?}");
}
