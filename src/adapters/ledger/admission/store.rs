//! What an admission writes beside its effects: records with their outcomes, and runs that changed.

use super::batch::Admission;
use crate::adapters::ledger::Error;
use crate::adapters::ledger::row::LockedRun;
use crate::domain::contract::{Message, Rejection};
use sqlx::types::Json;

impl Admission<'_> {
    /// `fresh` are the records that this transaction decided.
    pub(super) async fn store(&mut self, fresh: &[usize]) -> Result<(), Error> {
        self.insert_records(fresh).await?;
        let has_changed = |run: &&LockedRun| self.stored.get(&run.run_id).is_some_and(|stored| stored != *run);
        let changed: Vec<&LockedRun> = self.runs.values().filter(has_changed).collect();
        self.transaction.save_each(&changed, None).await??;
        if !self.announced.is_empty() {
            sqlx::query("UPDATE requests SET duplicate_announced = true WHERE request_id = ANY($1)")
                .bind(self.announced.iter().copied().collect::<Vec<_>>())
                .execute(self.transaction.connection())
                .await?;
        }
        Ok(())
    }

    async fn insert_records(&mut self, fresh: &[usize]) -> Result<(), Error> {
        let arrivals = || fresh.iter().map(|&index| &self.batch[index]);
        let records = || arrivals().map(|arrival| &arrival.record);
        sqlx::query(
            r#"INSERT INTO inbox (topic, partition, "offset", key, value, outcome, request_id, received_at)
               SELECT n.topic, n.partition, n.position, n.key, n.value, n.outcome, n.request_id, now()
               FROM UNNEST($1::text[], $2::integer[], $3::bigint[], $4::bytea[], $5::bytea[], $6::jsonb[], $7::text[])
                    AS n (topic, partition, position, key, value, outcome, request_id)"#,
        )
        .bind(records().map(|record| record.coordinates.topic.as_str()).collect::<Vec<_>>())
        .bind(records().map(|record| record.coordinates.partition).collect::<Vec<_>>())
        .bind(records().map(|record| record.coordinates.offset).collect::<Vec<_>>())
        .bind(records().map(|record| record.key.as_deref()).collect::<Vec<_>>())
        .bind(records().map(|record| record.value.as_slice()).collect::<Vec<_>>())
        .bind(fresh.iter().map(|&index| Json(&self.outcomes[index])).collect::<Vec<_>>())
        .bind(arrivals().map(|arrival| request_id(&arrival.parsed)).collect::<Vec<_>>())
        .execute(self.transaction.connection())
        .await?;
        Ok(())
    }
}

fn request_id(parsed: &Result<Message, Rejection>) -> Option<&str> {
    match parsed {
        Ok(message) => Some(message.request_id()),
        Err(rejection) => rejection.ids.request_id.as_deref(),
    }
}
