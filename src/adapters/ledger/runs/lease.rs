//! Renewal of leases: several with one statement, judged by the database's clock alone.

use super::held::Renewal;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::identity::RunId;
use crate::failpoints::failpoint;
use std::collections::HashMap;

#[derive(sqlx_macros::FromRow)]
struct RenewedLease {
    run_id: String,
    cancel_requested: bool,
}

impl Ledger {
    /// Renews leases of one worker, each named by run and fence; the result is in the same order.
    pub async fn renew(&self, worker: &str, held: &[(RunId, i64)]) -> Result<Vec<Renewal>, Error> {
        failpoint("heartbeat.before")?;
        let rows: Vec<RenewedLease> = sqlx::query_as(
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
        let renewed: HashMap<String, bool> = rows.into_iter().map(|row| (row.run_id, row.cancel_requested)).collect();
        let renewal = |(run_id, _): &(RunId, i64)| match renewed.get(run_id.as_str()) {
            Some(false) => Renewal::Held,
            Some(true) => Renewal::CancelRequested,
            None => Renewal::Lost,
        };
        failpoint("heartbeat.after")?;
        Ok(held.iter().map(renewal).collect())
    }
}
