//! How fast records become decisions.

use super::database::{ALL_ROWS, BenchDatabase, BenchFault};
use super::load::{arrival, expect, request};
use super::measure::{Figures, Laps};
use crate::ledger::{Arrival, Ledger, Outcome};

/// What to measure.
#[derive(Debug, Clone)]
pub struct AdmissionSpec {
    /// New requests.
    pub requests: usize,
    /// Records a transaction.
    pub batch: usize,
    /// Tenants that they belong to.
    pub tenants: usize,
}

/// New requests, the ceiling, the same records once more, the same requests in new records. Parsing
/// and schema validation are part of the time.
pub async fn admission(
    database: &BenchDatabase,
    spec: &AdmissionSpec,
    mut doing: impl FnMut(&str),
) -> Result<Vec<Figures>, BenchFault> {
    let mut measured = Vec::new();
    doing("admitting new requests");
    let new = |outcome: &Outcome| matches!(outcome, Outcome::Admitted { .. });
    measured.push(database.costing(|ledger| bring(ledger, spec, "new requests", 0, new)).await?);
    doing("inserting the same rows by plain SQL");
    measured.push(database.ceiling(&["inbox", "requests", "runs", "outbox"], "request", spec.batch, ALL_ROWS).await?);
    doing("bringing the same records again");
    measured.push(database.costing(|ledger| bring(ledger, spec, "the same records again", 0, new)).await?);
    doing("bringing the same requests in new records");
    let duplicate = |outcome: &Outcome| matches!(outcome, Outcome::DuplicateRequest { .. });
    let again = |ledger| bring(ledger, spec, "known requests, new records", spec.requests, duplicate);
    measured.push(database.costing(again).await?);
    Ok(measured)
}

async fn bring(
    ledger: Ledger,
    spec: &AdmissionSpec,
    name: &str,
    first_offset: usize,
    wanted: impl Fn(&Outcome) -> bool,
) -> Result<Figures, BenchFault> {
    let mut laps = Laps::default();
    let mut start = 0;
    while start < spec.requests {
        let end = (start + spec.batch).min(spec.requests);
        // Made outside the time: they stand for what the broker delivers.
        let values: Vec<(usize, Vec<u8>)> = (start..end)
            .map(|index| (first_offset + index, request(&format!("bench-{index:012}"), index, spec.tenants)))
            .collect();
        let outcomes = laps
            .lap(async {
                let batch: Vec<Arrival> = values.into_iter().map(|(offset, value)| arrival(offset, value)).collect();
                ledger.admit(&batch, "bench").await
            })
            .await?;
        expect(&outcomes, &wanted)?;
        start = end;
    }
    Ok(laps.figures(name, "request", spec.requests as u64, &format!("batch of {}", spec.batch)))
}
