//! How many new runs a requester may still have, and how many requests that join a run: the admission that would insert one
//! counts them in its transaction.
//!
//! Two admissions of one bounded requester wait for each other, so that two intakes cannot both take the last run that
//! is allowed. If no requester of a batch is bounded, nothing is locked or counted.

use super::Admission;
use crate::adapters::ledger::Error;
use crate::adapters::ledger::session::Session;
use crate::domain::contract::Message;
use crate::domain::grant::Quota;
use crate::domain::run::{FailureCode, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Runs of one requester, including those that this batch inserts.
#[derive(Debug, Default, sqlx_macros::FromRow)]
struct Used {
    name: String,
    in_flight: i64,
    per_day: i64,
    /// Requests that joined a run within 24 hours.
    joins: i64,
}

impl Used {
    /// Says in words that one more joining request would break the bound; `None` if it would not.
    fn over_joins(&self, quota: Quota) -> Option<String> {
        let most = quota.joins();
        (self.joins >= i64::from(most))
            .then(|| format!("{} requests joined a run within 24 hours, and {most} may", self.joins))
    }

    /// Says in words which bound one more run would break; `None` if it breaks none.
    fn over(&self, quota: Quota) -> Option<String> {
        let full = |used: i64, most: Option<u32>| most.filter(|most| used >= i64::from(*most));
        if let Some(most) = full(self.in_flight, quota.in_flight) {
            return Some(format!("{} runs are queued or worked on, and {most} may be", self.in_flight));
        }
        full(self.per_day, quota.per_day)
            .map(|most| format!("{} runs were admitted within 24 hours, and {most} may be", self.per_day))
    }
}

impl Admission<'_> {
    /// Rejects requests that would exceed their requester's quota, of new runs or of requests that join a run. A request
    /// that is known counts nothing.
    pub(super) async fn refuse_over_quota(&mut self, fresh: &[usize]) -> Result<(), Error> {
        let batch = self.batch;
        let trains = || fresh.iter().filter_map(|&index| Some((index, batch[index].train()?)));
        let bounded: BTreeSet<&str> = trains()
            .filter(|(index, _)| batch[*index].quota().is_some())
            .map(|(_, (request, _))| request.requester_principal.as_str())
            .collect();
        if bounded.is_empty() {
            return Ok(());
        }
        let mut used = used(self.transaction.connection(), &bounded).await?;
        let keys = trains().map(|(index, _)| self.key(index)).collect();
        let connection = self.transaction.connection();
        let mut requests =
            known(connection, "SELECT request_id FROM requests WHERE request_id = ANY($1)", keys).await?;
        let ids = trains().map(|(_, (_, print))| print.run_id.as_str()).collect();
        let mut runs = known(connection, "SELECT run_id FROM runs WHERE run_id = ANY($1)", ids).await?;
        for (index, (request, print)) in trains() {
            if requests.contains(self.key(index)) {
                continue;
            }
            let joins = runs.contains(print.run_id.as_str());
            if let Some(quota) = batch[index].quota() {
                let used = used.entry(request.requester_principal.clone()).or_default();
                if let Some(bound) = if joins { used.over_joins(quota) } else { used.over(quota) } {
                    let message = format!("of {:?} {bound}", request.requester_principal);
                    let code = FailureCode::QuotaExceeded;
                    let refused = Message::Train(Arc::clone(request)).refused(code, "/requester_principal", message);
                    self.settle(index, |admission| {
                        admission.refuse(index, &refused.within(&batch[index].pointer));
                        Outcome::Rejected { code }
                    });
                    continue;
                }
                if joins {
                    used.joins += 1;
                    self.joining.insert(index);
                } else {
                    used.in_flight += 1;
                    used.per_day += 1;
                }
            }
            requests.insert(self.key(index).to_owned());
            runs.insert(print.run_id.to_string());
        }
        Ok(())
    }
}

/// Names of the rows that admissions of these requesters lock: a name may be long, so that its digest is used.
macro_rules! lock_names {
    () => {
        "SELECT DISTINCT 'requester ' || encode(sha256(convert_to(r.name, 'UTF8')), 'hex') AS name
         FROM UNNEST($1::text[]) AS r (name)"
    };
}

/// Locks the rows of these requesters that exist, in ascending order. Returns how many there are.
async fn lock(connection: &mut Session, names: &[&str]) -> Result<u64, Error> {
    let locked =
        sqlx::query(concat!("SELECT FROM locks l WHERE l.name IN (", lock_names!(), ") ORDER BY l.name FOR UPDATE"))
            .bind(names)
            .execute(connection)
            .await?;
    Ok(locked.rows_affected())
}

/// Waits for other admissions of the same requesters, then counts the runs of each requester.
async fn used(connection: &mut Session, principals: &BTreeSet<&str>) -> Result<BTreeMap<String, Used>, Error> {
    let names: Vec<&str> = principals.iter().copied().collect();
    if lock(connection, &names).await? < names.len() as u64 {
        sqlx::query(concat!(
            "INSERT INTO locks (name) SELECT name FROM (",
            lock_names!(),
            ") n ORDER BY name ON CONFLICT DO NOTHING"
        ))
        .bind(&names)
        .execute(&mut *connection)
        .await?;
        lock(connection, &names).await?;
    }
    let rows: Vec<Used> = sqlx::query_as(
        "SELECT n.name,
                (SELECT count(*) FROM runs
                 WHERE counted_for = n.name AND state IN ('QUEUED', 'RUNNING', 'EVAL_READY')) AS in_flight,
                (SELECT count(*) FROM runs
                 WHERE counted_for = n.name AND created_at > now() - interval '24 hours') AS per_day,
                (SELECT count(*) FROM requests
                 WHERE counted_for = n.name AND admitted_at > now() - interval '24 hours') AS joins
         FROM UNNEST($1::text[]) AS n (name)",
    )
    .bind(&names)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|used| (used.name.clone(), used)).collect())
}

async fn known(connection: &mut Session, statement: &'static str, ids: Vec<&str>) -> Result<BTreeSet<String>, Error> {
    let found: Vec<String> = sqlx::query_scalar(statement).bind(ids).fetch_all(connection).await?;
    Ok(found.into_iter().collect())
}
