//! The blocks of a ledger's audit log, read and verified.

use model_factory::adapters::ledger::{AuditVerdict, Ledger};
use model_factory::domain::audit_log::Block;
use model_factory::domain::contract::{ActKind, AuditAct, AuditActs, SchemaName, check};
use model_factory::domain::identity::canonical_json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Every block with its acts; each must fit the schema and be canonical JSON.
pub async fn blocks(ledger: &Ledger) -> Vec<(Block, AuditActs)> {
    let head = ledger.audit_head().await.unwrap();
    let mut blocks = Vec::new();
    while let Some(page) =
        Some(ledger.audit_blocks(blocks.len() as i64, head.seq).await.unwrap()).filter(|p| !p.is_empty())
    {
        for block in page {
            let value = serde_json::from_str(&block.body).unwrap();
            check(SchemaName::AuditActs, &value).unwrap();
            assert_eq!(canonical_json(&value), block.body);
            let body = block.read().unwrap();
            blocks.push((block, body));
        }
    }
    blocks
}

pub async fn acts(ledger: &Ledger) -> Vec<AuditAct> {
    blocks(ledger).await.into_iter().flat_map(|(_, body)| body.acts).collect()
}

/// The only act of a kind; fails the test if there are more or none.
pub fn only(acts: &[AuditAct], kind: ActKind) -> &AuditAct {
    let found: Vec<&AuditAct> = acts.iter().filter(|act| act.act == kind).collect();
    assert_eq!(found.len(), 1, "{kind}: {found:?}");
    found[0]
}

pub async fn verify(ledger: &Ledger) -> AuditVerdict {
    ledger.verify_audit_log(None, None, |_, _| {}).await.unwrap()
}

pub async fn assert_holds(ledger: &Ledger) {
    let verdict = verify(ledger).await;
    assert!(verdict.holds(), "{verdict:?}");
}

/// The error with which the server refuses a statement.
pub async fn refusal(url: &str, statement: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let refused = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap_err();
    connection.close().await.unwrap();
    refused.to_string()
}
