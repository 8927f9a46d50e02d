//! The audit log's table: blocks of acts, each behind the one before; appending, reading, verifying.

mod append;
mod blocks;
mod verify;

pub(super) use append::append;
pub(super) use blocks::head;
pub use verify::AuditVerdict;

use super::connection::Ledger;
use super::error::Error;
use crate::domain::audit_log::Block;
use crate::domain::contract::{AuditAct, Head};

impl Ledger {
    /// Appends acts that leave no other row in the ledger, in a transaction of their own.
    pub async fn append_acts(&self, by: &str, acts: Vec<AuditAct>) -> Result<(), Error> {
        let mut transaction = self.begin(by).await?;
        transaction.effects.acts = acts;
        transaction.commit(None, None).await
    }

    /// The last block of the log.
    pub async fn audit_head(&self) -> Result<Head, Error> {
        let mut connection = self.pool.acquire().await?;
        head(&mut connection).await
    }

    /// A page of the blocks behind number `behind` and up to `upto`, in order; empty at the end.
    pub async fn audit_blocks(&self, behind: i64, upto: i64) -> Result<Vec<Block>, Error> {
        let mut connection = self.pool.acquire().await?;
        blocks::page(&mut connection, behind, upto).await
    }
}
