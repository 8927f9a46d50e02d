//! Records that the broker refuses for good: each rests, longer after each try. A record about a rejected request (its
//! dead letter, its event) is set aside after [`MOST_TRIES`], until an operator gives it back. A record about a run is
//! never set aside.

use super::Lane;
use crate::adapters::ledger::{Coordinates, Error, Ledger};
use crate::domain::contract::{ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct};
use std::collections::BTreeSet;

/// What the stream of a record about a rejected record begins with. The rejected record's coordinates follow.
const ABOUT_A_RECORD: &str = "refused:";

/// A record about a rejected request is set aside after this many tries.
const MOST_TRIES: i16 = 4;
/// Longest text of a refusal that is kept, in characters.
const LONGEST_REFUSAL: usize = 500;

impl Ledger {
    /// Lets a record rest that the broker refused: 10 s, a minute, six minutes, then ten each; returns whether it was
    /// set aside.
    pub async fn rest_refused(&self, lane: Lane, id: i64, refusal: &str) -> Result<bool, Error> {
        let refusal: String = refusal.chars().filter(|c| *c != '\0').take(LONGEST_REFUSAL).collect();
        let query = match lane {
            Lane::Lineage => sqlx::query_scalar(
                "UPDATE lineage_outbox SET tries = LEAST(tries + 1, 1000), refusal = $2,
                        rests_until = now() + make_interval(secs => LEAST(10 * power(6, LEAST(tries, 3)), 600))
                 WHERE id = $1 AND sent_at IS NULL RETURNING false",
            ),
            Lane::RunEvents | Lane::Publications | Lane::RefusalEvents | Lane::DeadLetters => sqlx::query_scalar(
                "UPDATE outbox SET tries = LEAST(tries + 1, 1000), refusal = $2,
                        rests_until = now() + make_interval(secs => LEAST(10 * power(6, LEAST(tries, 3)), 600)),
                        set_aside_at = CASE WHEN left(stream, 3) <> 'tr_' AND tries + 1 >= $3 THEN now() END
                 WHERE id = $1 AND sent_at IS NULL RETURNING set_aside_at IS NOT NULL",
            ),
        };
        let query = query.bind(id).bind(refusal);
        let query = if lane == Lane::Lineage { query } else { query.bind(MOST_TRIES) };
        Ok(query.fetch_optional(&self.pool).await?.unwrap_or(false))
    }

    /// Gives the relay back records that were set aside: those about the records at `sources`, or all if `sources` is
    /// empty; at most `limit`, the oldest first. The audit log names each rejected record, the operator and the reason.
    /// Returns how many records the relay has back.
    pub async fn give_back_set_aside(
        &self,
        sources: &[Coordinates],
        limit: i64,
        actor: &str,
        why: &str,
    ) -> Result<u64, Error> {
        let streams: Vec<String> = sources.iter().map(|source| format!("{ABOUT_A_RECORD}{source}")).collect();
        let by = format!("operator:{actor}");
        let mut transaction = self.begin(&by).await?;
        let given_back: Vec<String> = sqlx::query_scalar(
            "UPDATE outbox SET set_aside_at = NULL, tries = 1, rests_until = now()
             WHERE id IN (SELECT id FROM outbox WHERE set_aside_at IS NOT NULL AND sent_at IS NULL
                                                  AND (cardinality($1::text[]) = 0 OR stream = ANY($1))
                          ORDER BY id LIMIT $2 FOR UPDATE)
             RETURNING stream",
        )
        .bind(streams)
        .bind(limit)
        .fetch_all(transaction.connection())
        .await?;
        // The dead letter and the event about it are two records of the outbox.
        for stream in given_back.iter().collect::<BTreeSet<_>>() {
            let record = stream.strip_prefix(ABOUT_A_RECORD).unwrap_or(stream).to_owned();
            let subject = ActSubject { record: Some(record), ..ActSubject::default() };
            let actor = Actor::new(ActorKind::Operator, actor);
            let mut act = AuditAct::new(ActKind::DeadLetterGivenBack, actor, subject);
            act.reason = Some(ActReason::said(why));
            transaction.effects.acts.push(act);
        }
        transaction.commit(None, None).await?;
        Ok(given_back.len() as u64)
    }
}
