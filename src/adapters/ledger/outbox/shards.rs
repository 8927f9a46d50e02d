//! Which relay sends which shards of the outbox.
//!
//! A relay announces itself, learns how many others live, and takes its part of the shards. A shard is a sixteenth of
//! the streams. One relay at a time sends it, so that a busy relay does not hold up the streams of the others. The
//! order of a stream does not rest on these leases (docs/decisions/0019-relay-lanes.md): two relays that send the same
//! shard cost duplicates.

use super::Shard;
use crate::adapters::ledger::{Error, Ledger};

/// A relay that has not renewed its shards for this many seconds loses them. It renews every second.
const SHARD_LEASE_SECONDS: f64 = 5.0;
/// Number of shards.
const SHARDS: usize = 16;

impl Ledger {
    /// Says that this relay lives, forgets those that do not, and returns how many shards are its part.
    pub async fn join_relays(&self, relay: &str) -> Result<usize, Error> {
        sqlx::query("DELETE FROM relays WHERE expires_at < clock_timestamp() AND name <> $1")
            .bind(relay)
            .execute(&self.pool)
            .await?;
        sqlx::query(
            "INSERT INTO relays (name, expires_at) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
             ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at",
        )
        .bind(relay)
        .bind(SHARD_LEASE_SECONDS)
        .execute(&self.pool)
        .await?;
        let relays: i64 = sqlx::query_scalar("SELECT count(*) FROM relays").fetch_one(&self.pool).await?;
        Ok(SHARDS.div_ceil(usize::try_from(relays).unwrap_or(1).max(1)))
    }

    /// Renews the shards of this relay, takes free ones, each under a new fence, until it has `share`, and returns all
    /// that it holds. It may hold more than its share.
    pub async fn take_shards(&self, relay: &str, share: usize) -> Result<Vec<Shard>, Error> {
        Ok(sqlx::query_as(
            "UPDATE relay_shards s
             SET owner = $1, expires_at = clock_timestamp() + make_interval(secs => $2),
                 fence = CASE WHEN s.owner = $1 THEN s.fence ELSE s.fence + 1 END
             WHERE s.shard IN (SELECT f.shard FROM relay_shards f
                               WHERE f.owner = $1 OR f.owner IS NULL OR f.expires_at < clock_timestamp()
                               ORDER BY (f.owner = $1) IS TRUE DESC, f.shard
                               LIMIT GREATEST($3, (SELECT count(*) FROM relay_shards m WHERE m.owner = $1))
                               FOR UPDATE SKIP LOCKED)
             RETURNING s.shard, s.fence",
        )
        .bind(relay)
        .bind(SHARD_LEASE_SECONDS)
        .bind(share as i64)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Gives these shards back, those of them that the relay still holds.
    pub async fn give_back_shards(&self, relay: &str, shards: &[i16]) -> Result<(), Error> {
        sqlx::query("UPDATE relay_shards SET owner = NULL, expires_at = NULL WHERE owner = $1 AND shard = ANY($2)")
            .bind(relay)
            .bind(shards)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Gives back every shard that this relay holds, and removes it from the relays that live.
    pub async fn release_shards(&self, relay: &str) -> Result<(), Error> {
        sqlx::query("UPDATE relay_shards SET owner = NULL, expires_at = NULL WHERE owner = $1")
            .bind(relay)
            .execute(&self.pool)
            .await?;
        sqlx::query("DELETE FROM relays WHERE name = $1").bind(relay).execute(&self.pool).await?;
        Ok(())
    }
}
