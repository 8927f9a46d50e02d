//! How many new runs a requester may still have: counted within the admission that would make one more.
//!
//! Admissions that bring requests of one bounded requester take turns, so that intakes side by side cannot
//! both take the last place. Where nobody is bounded nothing is asked.

use super::Error;
use super::admit::Admission;
use super::audit_log::Cause;
use crate::domain::contract::Message;
use crate::domain::grant::Quota;
use crate::domain::run::{FailureCode, Outcome};
use sqlx::{PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// Runs of one requester, those that this batch makes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Used {
    in_flight: i64,
    per_day: i64,
}

impl Used {
    /// The bound that one more run would break, in words.
    fn over(self, quota: Quota) -> Option<String> {
        let full = |used: i64, most: Option<u32>| most.filter(|most| used >= i64::from(*most));
        if let Some(most) = full(self.in_flight, quota.in_flight) {
            return Some(format!("{} runs are queued or worked on, and {most} may be", self.in_flight));
        }
        full(self.per_day, quota.per_day)
            .map(|most| format!("{} runs were admitted within 24 hours, and {most} may be", self.per_day))
    }
}

impl Admission<'_> {
    /// Refuses requests that would make a new run beyond their requester's quota. What joins a run, or was
    /// asked before, counts nothing.
    pub(super) async fn refuse_over_quota(
        &mut self,
        connection: &mut PgConnection,
        fresh: &[usize],
    ) -> Result<(), Error> {
        let batch = self.batch;
        let trains = || fresh.iter().filter_map(|&index| Some((index, batch[index].train()?)));
        let bounded: BTreeSet<&str> = trains()
            .filter(|(index, _)| batch[*index].quota().is_some())
            .map(|(_, (request, _))| request.requester_principal.as_str())
            .collect();
        if bounded.is_empty() {
            return Ok(());
        }
        let mut used = used(connection, &bounded).await?;
        let ids = trains().map(|(_, (request, _))| request.request_id.as_str()).collect();
        let mut asked = known(connection, "SELECT request_id FROM requests WHERE request_id = ANY($1)", ids).await?;
        let ids = trains().map(|(_, (_, print))| print.run_id.as_str()).collect();
        let mut made = known(connection, "SELECT run_id FROM runs WHERE run_id = ANY($1)", ids).await?;
        let mut refused = Vec::new();
        for (index, (request, print)) in trains() {
            if asked.contains(&request.request_id) {
                continue;
            }
            if !made.contains(print.run_id.as_str())
                && let Some(quota) = batch[index].quota()
            {
                let used = used.entry(request.requester_principal.clone()).or_default();
                if let Some(bound) = used.over(quota) {
                    refused.push((index, format!("of {:?} {bound}", request.requester_principal)));
                    continue;
                }
                used.in_flight += 1;
                used.per_day += 1;
            }
            asked.insert(request.request_id.clone());
            made.insert(print.run_id.to_string());
        }
        for (index, message) in refused {
            let Some((request, _)) = batch[index].train() else { continue };
            let code = FailureCode::QuotaExceeded;
            let asked = Message::Train(std::sync::Arc::clone(request));
            let told = self.additions.told.len();
            self.additions.cause = Some(Cause::record(&batch[index], self.worker));
            let rejection = asked.refused(code, "/requester_principal", message);
            self.refuse(index, &rejection.within(&batch[index].place));
            let outcome = Outcome::Rejected { code };
            self.additions.settle(told, &outcome);
            self.outcomes[index] = Some(outcome);
        }
        Ok(())
    }
}

/// Takes turns with other admissions for the same requesters, then counts what they left.
async fn used(connection: &mut PgConnection, principals: &BTreeSet<&str>) -> Result<BTreeMap<String, Used>, Error> {
    let names: Vec<&str> = principals.iter().copied().collect();
    // Locks of two numbers are apart from those of one, which partitions have.
    sqlx::query(
        "SELECT pg_advisory_xact_lock(0, p.key)
         FROM (SELECT DISTINCT hashtext(name) AS key FROM UNNEST($1::text[]) AS n (name) ORDER BY key OFFSET 0) p",
    )
    .bind(&names)
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query(
        "SELECT n.name,
                (SELECT count(*) FROM runs WHERE counted_for = n.name AND state IN ('QUEUED', 'RUNNING', 'EVAL_READY')),
                (SELECT count(*) FROM runs WHERE counted_for = n.name AND created_at > now() - interval '24 hours')
         FROM UNNEST($1::text[]) AS n (name)",
    )
    .bind(&names)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, Used { in_flight: row.try_get(1)?, per_day: row.try_get(2)? })))
        .collect()
}

async fn known(
    connection: &mut PgConnection,
    statement: &'static str,
    ids: Vec<&str>,
) -> Result<BTreeSet<String>, Error> {
    let rows = sqlx::query(statement).bind(ids).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
