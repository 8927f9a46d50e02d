//! Heartbeats: batched, judged by the database's clock alone.

use super::types::Renewal;
use super::{Error, Ledger};
use crate::domain::identity::RunId;
use crate::failpoints::failpoint;
use sqlx::Row;
use std::collections::HashMap;

impl Ledger {
    /// Renews these leases (run and fence) of one worker; the answers are in the same order.
    pub async fn renew(&self, worker: &str, held: &[(RunId, i64)]) -> Result<Vec<Renewal>, Error> {
        failpoint("heartbeat.before")?;
        let rows = sqlx::query(
            "UPDATE runs r SET lease_expires_at = clock_timestamp() + make_interval(secs => $4)
             FROM UNNEST($2::text[], $3::bigint[]) AS h (run_id, fence)
             WHERE r.run_id = h.run_id AND r.fence = h.fence AND r.lease_owner = $1
               AND r.lease_expires_at > clock_timestamp()
             RETURNING r.run_id, r.cancel_requested",
        )
        .bind(worker)
        .bind(held.iter().map(|(run_id, _)| run_id.to_string()).collect::<Vec<_>>())
        .bind(held.iter().map(|(_, fence)| *fence).collect::<Vec<_>>())
        .bind(f64::from(self.settings.lease_seconds))
        .fetch_all(&self.pool)
        .await?;
        let mut renewed = HashMap::with_capacity(rows.len());
        for row in rows {
            renewed.insert(row.try_get::<String, _>(0)?, row.try_get::<bool, _>(1)?);
        }
        let answer = |(run_id, _): &(RunId, i64)| match renewed.get(run_id.as_str()) {
            Some(false) => Renewal::Held,
            Some(true) => Renewal::CancelRequested,
            None => Renewal::Lost,
        };
        failpoint("heartbeat.after")?;
        Ok(held.iter().map(answer).collect())
    }
}
