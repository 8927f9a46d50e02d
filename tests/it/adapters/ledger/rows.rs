//! How many rows stand in the ledger's tables.

use sqlx::{Connection as _, PgConnection, Row as _};

/// Rows of runs, requests, inbox, outbox and transitions, in this order.
pub async fn rows(url: &str) -> Vec<i64> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM requests), (SELECT count(*) FROM inbox),
                (SELECT count(*) FROM outbox), (SELECT count(*) FROM transitions)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    (0..5).map(|index| row.get(index)).collect()
}
