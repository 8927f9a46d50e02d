//! Whose id a record's request or command has: which key it is looked up by.

use super::Admission;
use crate::adapters::ledger::Error;
use crate::domain::contract::message_accepted;
use std::collections::BTreeMap;

/// A request or command that is known by the other one of its two keys.
#[derive(sqlx_macros::FromRow)]
struct OtherKey {
    is_command: bool,
    request_id: String,
    /// Read only if the key does not say whose the id is.
    value: Option<Vec<u8>>,
}

impl<'a> Admission<'a> {
    /// The key of the request or command of this record. Empty if the record was rejected.
    pub(super) fn key(&self, index: usize) -> &'a str {
        self.keys(index).map_or("", |[key, other]| if self.by_other_key.contains(&index) { other } else { key })
    }

    /// Returns the key by which this record is stored, then the other one: with the principal if there is no policy,
    /// without the principal if there is one. `None` if the record was rejected.
    fn keys(&self, index: usize) -> Option<[&'a str; 2]> {
        let arrival = &self.batch[index];
        let (message, owned) = (arrival.parsed.as_ref().ok()?, arrival.owned_key.as_deref()?);
        let alone = message.request_id();
        Some(if arrival.grant.is_some() { [owned, alone] } else { [alone, owned] })
    }

    /// Finds ids that the same principal took in an earlier release, before there was a policy, or while there was one. They
    /// stay taken.
    pub(super) async fn find_by_other_key(&mut self, fresh: &[usize]) -> Result<(), Error> {
        let batch = self.batch;
        let mut by_key: BTreeMap<(bool, &str), Vec<usize>> = BTreeMap::new();
        for &index in fresh {
            if let Some([_, other]) = self.keys(index) {
                by_key.entry((batch[index].command().is_some(), other)).or_default().push(index);
            }
        }
        if by_key.is_empty() {
            return Ok(());
        }
        let keys = |commands: bool| -> Vec<&str> {
            by_key.keys().filter(|(is_command, _)| *is_command == commands).map(|(_, key)| *key).collect()
        };
        let rows: Vec<OtherKey> = sqlx::query_as(
            r#"SELECT t.is_command, t.request_id,
                      (SELECT i.value FROM inbox i
                       WHERE strpos(t.request_id, '/') = 0 AND i.topic = t.topic AND i.partition = t.partition
                         AND i."offset" = t."offset") AS value
               FROM (SELECT false AS is_command, request_id, topic, partition, "offset" FROM requests
                     WHERE request_id = ANY($1)
                     UNION ALL
                     SELECT true, request_id, topic, partition, "offset" FROM commands WHERE request_id = ANY($2)) t"#,
        )
        .bind(keys(false))
        .bind(keys(true))
        .fetch_all(self.transaction.connection())
        .await?;
        for OtherKey { is_command, request_id, value } in &rows {
            let first = value.as_deref().and_then(|value| message_accepted(value).ok());
            for &index in by_key.get(&(*is_command, request_id.as_str())).into_iter().flatten() {
                let brought = batch[index].parsed.as_ref().ok();
                let is_same = match (&first, brought) {
                    (Some(first), Some(brought)) => first.requester_principal() == brought.requester_principal(),
                    (None, _) => batch[index].owned_key.as_deref() == Some(request_id),
                    (Some(_), None) => false,
                };
                if is_same {
                    self.by_other_key.insert(index);
                }
            }
        }
        Ok(())
    }
}
