//! Commands of requesters: each is decided once. Its id and digest are remembered as those of a request are.
//!
//! A record that brings a known command again changes nothing, whoever sends it: also if the command was refused, and also
//! after the run was requeued. To ask again, a requester chooses another id.

use super::{Admission, Arrival, KnownCommand};
use crate::adapters::ledger::Error;
use crate::adapters::ledger::error::unreadable;
use crate::adapters::ledger::outbox::NewEvent;
use crate::adapters::ledger::runs::{CommandRefused, CommandRequest, RunCommand};
use crate::domain::contract::{
    CommandMessage, Deduplication, EventType, Message, SameAs, TargetScope, message_accepted,
};
use crate::domain::identity::Digest;
use crate::domain::run::{FailureCode, Outcome};
use std::collections::BTreeMap;

#[derive(sqlx_macros::FromRow)]
struct MetCommand {
    request_id: String,
    payload_digest: Option<Digest>,
    duplicate_announced: bool,
    /// Read only if an earlier release decided on the command, and so kept no digest.
    value: Option<Vec<u8>>,
}

impl MetCommand {
    fn payload_digest(&self) -> Result<Digest, Error> {
        if let Some(digest) = self.payload_digest {
            return Ok(digest);
        }
        let value = self.value.as_deref().ok_or_else(|| unreadable("command", "its record is gone from the inbox"))?;
        match message_accepted(value).map_err(|rejection| unreadable("command", rejection))? {
            Message::Cancel(command) | Message::PublishRetry(command) => Ok(command.payload_digest()),
            Message::Train(_) => Err(unreadable("command", "its record holds a training request")),
        }
    }
}

impl Arrival {
    /// Returns the command; `None` if the record is something else or was rejected.
    pub(super) fn command(&self) -> Option<(RunCommand, &CommandMessage)> {
        match &self.parsed {
            Ok(Message::Cancel(command)) => Some((RunCommand::Cancel, command)),
            Ok(Message::PublishRetry(command)) => Some((RunCommand::RetryPublish, command)),
            Ok(Message::Train(_)) | Err(_) => None,
        }
    }
}

impl<'a> Admission<'a> {
    /// Inserts new commands in ascending order of their keys, then locks and reads those that existed before.
    pub(super) async fn find_or_insert_commands(&mut self, fresh: &[usize]) -> Result<(), Error> {
        let batch = self.batch;
        let mut first: BTreeMap<&'a str, (usize, Digest)> = BTreeMap::new();
        for &index in fresh {
            if let Some((_, command)) = batch[index].command() {
                first.entry(self.key(index)).or_insert_with(|| (index, command.payload_digest()));
            }
        }
        if first.is_empty() {
            return Ok(());
        }
        let coordinates = || first.values().map(|&(index, _)| &batch[index].record.coordinates);
        let inserted: Vec<String> = sqlx::query_scalar(
            r#"INSERT INTO commands (request_id, payload_digest, topic, partition, "offset", decided_at)
               SELECT n.request_id, n.payload_digest, n.topic, n.partition, n.position, now()
               FROM UNNEST($1::text[], $2::bytea[], $3::text[], $4::integer[], $5::bigint[])
                    AS n (request_id, payload_digest, topic, partition, position)
               ORDER BY n.request_id
               ON CONFLICT (request_id) DO NOTHING RETURNING request_id"#,
        )
        .bind(first.keys().copied().collect::<Vec<_>>())
        .bind(first.values().map(|(_, digest)| digest.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(coordinates().map(|at| at.topic.as_str()).collect::<Vec<_>>())
        .bind(coordinates().map(|at| at.partition).collect::<Vec<_>>())
        .bind(coordinates().map(|at| at.offset).collect::<Vec<_>>())
        .fetch_all(self.transaction.connection())
        .await?;
        for key in inserted {
            let (&key, &(index, payload_digest)) = first.get_key_value(key.as_str()).expect("it was just inserted");
            let known = KnownCommand { payload_digest, inserted_by: Some(index), duplicate_announced: false };
            self.commands.insert(key, known);
        }
        let met: Vec<&str> = first.keys().copied().filter(|key| !self.commands.contains_key(key)).collect();
        if met.is_empty() {
            return Ok(());
        }
        let rows: Vec<MetCommand> = sqlx::query_as(
            r#"SELECT c.request_id, c.payload_digest, c.duplicate_announced,
                      (SELECT i.value FROM inbox i
                       WHERE c.payload_digest IS NULL AND i.topic = c.topic AND i.partition = c.partition
                         AND i."offset" = c."offset") AS value
               FROM commands c WHERE c.request_id = ANY($1) ORDER BY c.request_id FOR UPDATE OF c"#,
        )
        .bind(&met)
        .fetch_all(self.transaction.connection())
        .await?;
        for row in rows {
            let (&key, _) = first.get_key_value(row.request_id.as_str()).expect("it is one of those asked for");
            let payload_digest = row.payload_digest()?;
            let duplicate_announced = row.duplicate_announced;
            self.commands.insert(key, KnownCommand { payload_digest, inserted_by: None, duplicate_announced });
        }
        Ok(())
    }

    pub(super) fn decide_command(&mut self, index: usize, command: RunCommand, message: &'a CommandMessage) -> Outcome {
        let CommandMessage { request_id, run_id, requester_principal: actor, reason: why, attempt, .. } = message;
        let key = self.key(index);
        let known = &self.commands[key];
        let grant = self.batch[index].grant.as_ref();
        if known.payload_digest != message.payload_digest() {
            let text = format!("request id {request_id:?} was used before for another command; the first one stands");
            self.refuse_as(index, FailureCode::RequestIdPayloadMismatch, "/request_id", &text, request_id);
            return Outcome::Conflict { run_id: run_id.clone(), differs: Vec::new() };
        }
        let is_first = known.inserted_by == Some(index);
        let emits = !is_first && !known.duplicate_announced && !self.announced_commands.contains(key);
        let publishes = command == RunCommand::RetryPublish;
        // Whoever may not see a run gets the same answer as for a run that does not exist.
        let may = |scope: &TargetScope| grant.is_none_or(|grant| grant.covers(scope, publishes));
        let Some(run) = self.runs.get_mut(run_id).filter(|run| may(&run.request.target_scope)) else {
            let text = match grant {
                Some(_) => format!("there is no run {run_id} to which {actor:?} may do this"),
                None => format!("there is no run {run_id}"),
            };
            return self.refuse_command(index, FailureCode::RunUnknown, &text, request_id);
        };
        if !is_first {
            if emits {
                self.announced_commands.insert(key);
                let deduplication = Deduplication {
                    because: SameAs::Request,
                    first_request_id: run.request.request_id.clone(),
                    compared: Vec::new(),
                    ignored_differences: Vec::new(),
                };
                let event = NewEvent {
                    request_id: Some(request_id.clone()),
                    deduplication: Some(deduplication),
                    ..NewEvent::of(EventType::RequestDeduplicated, None)
                };
                self.transaction.emit(run, event);
            }
            return Outcome::DuplicateRequest { run_id: run_id.clone() };
        }
        if let Some(attempt) = attempt.filter(|attempt| i64::from(*attempt) != i64::from(run.full_run_attempts)) {
            let text = format!("{run_id} is at attempt {}, the command is for {attempt}", run.full_run_attempts);
            return self.refuse_command(index, FailureCode::CommandNotApplicable, &text, request_id);
        }
        match self.transaction.command(run, CommandRequest { command, actor, why }) {
            Ok(()) => Outcome::CommandApplied { run_id: run_id.clone() },
            Err(CommandRefused { code, message }) => self.refuse_command(index, code, &message, request_id),
        }
    }

    fn refuse_command(&mut self, index: usize, code: FailureCode, text: &str, request_id: &str) -> Outcome {
        self.refuse_as(index, code, "/run_id", text, request_id);
        Outcome::CommandRejected { code }
    }
}
