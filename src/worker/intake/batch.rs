//! Records that are decided on together, and how a batch becomes smaller when the ledger does not take it.

use super::screening::{BatchScreening, Screening};
use super::spans;
use crate::adapters::kafka::Inbound;
use crate::adapters::ledger::{self, Arrival, Coordinates, Ledger, Recalled, SourceRecord};
use crate::domain::identity::Digest;
use crate::domain::run::Outcome;
use crate::domain::trace_context::TraceContext;
use crate::guard::{Panicked, guarded};
use crate::telemetry::OpenSpan;
use std::sync::Arc;
use tracing::warn;

/// A record that the ledger decided on before has its outcome in `recalled`; the others are parsed into `arrivals`.
#[derive(Default)]
pub(super) struct Batch {
    /// Records that the ledger was not asked about yet, since it did not answer. If there are some, the other fields
    /// are empty.
    pub(super) unasked: Vec<Inbound>,
    /// Coordinates at which Kafka now holds another record than the one that the ledger decided on; `None` if there are
    /// none. If it is set, the other fields are empty.
    pub(super) contradicted: Option<Coordinates>,
    pub(super) records: Vec<Inbound>,
    pub(super) recalled: Vec<Option<Outcome>>,
    pub(super) arrivals: Vec<Arrival>,
    /// One for each arrival; `None` if traces are not recorded. A span ends when the offsets are settled.
    pub(super) spans: Vec<Option<OpenSpan>>,
    /// How often the ledger took too long over this one record; 0 if the batch has more.
    pub(super) timeouts: u32,
    /// Whether the batch's one record was replaced by its refusal.
    pub(super) is_refused: bool,
}

/// A record over which the ledger times out alone this often is refused. Before that, the ledger may be slow for all.
const TIMEOUTS: u32 = 3;

/// Why a batch was not decided on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undecided {
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// Our code panicked over something in the batch.
    #[error("admission failed: {0}")]
    Panicked(#[from] Panicked),
}

/// How to go on with a batch that was not decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Try again later: the cause lies outside of the batch, or may pass by itself.
    Wait,
    /// The cause may lie in one of the records.
    Halve,
    /// The batch is one record, and the cause lies in that record.
    Refuse,
    /// A person has to change something.
    End,
}

impl Batch {
    /// Parses and judges the records that the ledger has not decided on. A record over which this code panics is
    /// refused.
    pub(super) fn judged(
        records: Vec<Inbound>,
        recalled: Vec<Option<Outcome>>,
        screening: &Screening,
        group: &str,
        incarnation: u32,
    ) -> Self {
        let mut batch = Self { records, recalled, ..Self::default() };
        let mut screened = screening.of_batch();
        for (record, _) in batch.records.iter().zip(&batch.recalled).filter(|(_, recalled)| recalled.is_none()) {
            let arrival = judge(record, incarnation, &mut screened).fingerprinted(record.fingerprint);
            let (context, span) = spans::begin(record, group, &arrival);
            batch.arrivals.push(arrival.under(context));
            batch.spans.push(span);
        }
        batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unasked.is_empty() && self.contradicted.is_none() && self.records.is_empty()
    }

    pub(super) fn remedy(&self, error: &Undecided) -> Remedy {
        let is_one = self.arrivals.len() <= 1;
        match error {
            Undecided::Ledger(
                ledger::Error::Unavailable(_) | ledger::Error::CommitUnknown(_) | ledger::Error::Denied(_),
            ) => Remedy::Wait,
            Undecided::Ledger(ledger::Error::Refused(_)) => Remedy::End,
            Undecided::Ledger(ledger::Error::Unfit(_)) | Undecided::Panicked(_) if self.is_refused => Remedy::End,
            Undecided::Ledger(ledger::Error::TimedOut(_)) if is_one && self.timeouts < TIMEOUTS => Remedy::Wait,
            Undecided::Ledger(ledger::Error::TimedOut(_)) if self.is_refused => Remedy::Wait,
            Undecided::Ledger(ledger::Error::Unfit(_) | ledger::Error::TimedOut(_)) | Undecided::Panicked(_) => {
                if is_one {
                    Remedy::Refuse
                } else {
                    Remedy::Halve
                }
            }
        }
    }

    /// Asks the ledger which records it has decided on, and compares these with what it decided on. Judges the others
    /// on a thread for blocking work. `incarnation` is the topic's, which the coordinates name.
    pub(super) async fn ask(
        records: Vec<Inbound>,
        group: String,
        ledger: &Ledger,
        screening: &Arc<Screening>,
        incarnation: u32,
    ) -> Self {
        if records.is_empty() {
            return Self::default();
        }
        let coordinates: Vec<Coordinates> = records.iter().map(|record| coordinates(record, incarnation)).collect();
        let recalled = match ledger.recall(&coordinates).await {
            Ok(recalled) => recalled,
            Err(error) => {
                warn!(fault = %error, records = records.len(), "nothing is settled until the ledger answers");
                return Self { unasked: records, ..Self::default() };
            }
        };
        if let Some(index) = records.iter().zip(&recalled).position(contradicts) {
            return Self { contradicted: coordinates.into_iter().nth(index), ..Self::default() };
        }
        let screening = Arc::clone(screening);
        let judging = tokio::task::spawn_blocking(move || {
            let asked = records.into_iter().zip(recalled).filter(|(record, _)| !record.is_check);
            let asked = asked.map(|(record, recalled)| (record, recalled.map(|recalled| recalled.outcome)));
            let (records, recalled) = asked.unzip();
            Self::judged(records, recalled, &screening, &group, incarnation)
        });
        judging.await.expect("judging is guarded and is not cancelled")
    }

    /// Splits a batch of two arrivals or more in its order; each half has at least one.
    pub(super) fn halves(mut self) -> (Self, Self) {
        let arrivals = self.arrivals.len() / 2;
        let mut new =
            self.recalled.iter().enumerate().filter(|(_, recalled)| recalled.is_none()).map(|(index, _)| index);
        let first_of_second = new.nth(arrivals).unwrap_or(self.records.len());
        let second = Self {
            records: self.records.split_off(first_of_second),
            recalled: self.recalled.split_off(first_of_second),
            arrivals: self.arrivals.split_off(arrivals),
            spans: self.spans.split_off(arrivals),
            ..Self::default()
        };
        (self, second)
    }

    /// Replaces the batch's one arrival by its refusal, which gives `why` as the reason.
    pub(super) fn refuse(&mut self, why: &str) {
        self.is_refused = true;
        self.arrivals = std::mem::take(&mut self.arrivals).into_iter().map(|arrival| arrival.unreadable(why)).collect();
    }
}

/// Whether the ledger decided on another record at these coordinates.
fn contradicts((record, recalled): (&Inbound, &Option<Recalled>)) -> bool {
    let digest = || record.cut.as_ref().map_or_else(|| Digest::of(&record.value), |cut| cut.value_sha256);
    recalled.as_ref().is_some_and(|recalled| !recalled.is_of(record.fingerprint, digest))
}

fn judge(record: &Inbound, incarnation: u32, screened: &mut BatchScreening<'_>) -> Arrival {
    guarded(|| screened.arrival(source(record, incarnation))).unwrap_or_else(|panicked| {
        let why = format!("the record cannot be judged: {panicked}");
        Arrival::unjudged(source(record, incarnation), &why)
    })
}

pub(super) fn coordinates(record: &Inbound, incarnation: u32) -> Coordinates {
    let topic = Coordinates::incarnate(&record.topic, incarnation);
    Coordinates { topic, partition: record.partition, offset: record.offset }
}

fn source(record: &Inbound, incarnation: u32) -> SourceRecord {
    // A CloudEvent in binary mode may carry its trace context as `ce_traceparent`; a plain `traceparent` wins.
    let prefix = if record.headers.contains_key("traceparent") { "" } else { "ce_" };
    let header = |name: &str| record.headers.get(&format!("{prefix}{name}")).map(String::as_str);
    SourceRecord {
        coordinates: coordinates(record, incarnation),
        key: record.key.clone(),
        value: record.value.clone(),
        cut: record.cut.clone(),
        trace: TraceContext::read(header("traceparent"), header("tracestate")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::AllowList;
    use crate::domain::identity::RunId;
    use std::collections::BTreeMap;

    fn record(offset: i64) -> Inbound {
        Inbound::whole("requests", 0, offset, format!("record {offset}").into_bytes(), BTreeMap::new())
    }

    /// A batch of records 0, 1, 2…, of which those at `recalled` were decided before.
    fn batch(records: i64, recalled: &[i64]) -> Batch {
        let run_id: RunId = "tr_16a2ad9c3ad29e2e989ece1cb3c61936".parse().unwrap();
        let known = |offset| recalled.contains(&offset).then(|| Outcome::DuplicateRequest { run_id: run_id.clone() });
        let known = (0..records).map(known).collect();
        Batch::judged((0..records).map(record).collect(), known, &AllowList::default().into(), "group", 1)
    }

    fn offsets(batch: &Batch) -> (Vec<i64>, Vec<i64>) {
        let arrivals = batch.arrivals.iter().map(|arrival| arrival.record().coordinates.offset);
        (batch.records.iter().map(|record| record.offset).collect(), arrivals.collect())
    }

    #[test]
    fn halves_keep_every_record_once_and_in_order_whatever_was_decided_before() {
        for (records, recalled) in [(2, &[][..]), (7, &[]), (7, &[0, 1, 2, 3]), (6, &[0, 2, 5]), (9, &[3, 4, 8])] {
            let whole = batch(records, recalled);
            let (all, new) = offsets(&whole);
            let mut waiting = vec![whole];
            let (mut seen, mut seen_new, mut most) = (Vec::new(), Vec::new(), 0);
            while let Some(next) = waiting.pop() {
                if next.arrivals.len() > 1 {
                    let (first, second) = next.halves();
                    assert!(!first.arrivals.is_empty() && !second.arrivals.is_empty());
                    waiting.extend([second, first]);
                } else {
                    assert_eq!(next.spans.len(), next.arrivals.len());
                    let (records, arrivals) = offsets(&next);
                    most = most.max(arrivals.len());
                    seen.extend(records);
                    seen_new.extend(arrivals);
                }
            }
            assert_eq!((seen, seen_new, most), (all, new, 1));
        }
    }

    #[test]
    fn only_what_content_can_cause_makes_a_batch_smaller() {
        let many = batch(3, &[]);
        let mut one = batch(2, &[0]);
        let unfit = || Undecided::Ledger(ledger::Error::Unfit("too long".to_owned()));
        let timed_out = || Undecided::Ledger(ledger::Error::TimedOut("57014".to_owned()));
        let panicked = || Undecided::Panicked(guarded(|| panic!("defect")).unwrap_err());
        let away = || Undecided::Ledger(ledger::Error::Unavailable("away".to_owned()));
        let set_up = || Undecided::Ledger(ledger::Error::Refused("no such table".to_owned()));
        for error in [unfit(), timed_out(), panicked()] {
            assert_eq!(many.remedy(&error), Remedy::Halve, "{error}");
        }
        assert_eq!((one.remedy(&unfit()), one.remedy(&panicked())), (Remedy::Refuse, Remedy::Refuse));
        assert_eq!(one.remedy(&timed_out()), Remedy::Wait);
        one.timeouts = TIMEOUTS;
        assert_eq!(one.remedy(&timed_out()), Remedy::Refuse);
        for batch in [&many, &one] {
            assert_eq!((batch.remedy(&away()), batch.remedy(&set_up())), (Remedy::Wait, Remedy::End));
        }
        one.refuse("it is unfit");
        assert_eq!(one.arrivals[0].parsed().as_ref().unwrap_err().code.as_str(), "MESSAGE_UNREADABLE");
        assert_eq!((one.remedy(&unfit()), one.remedy(&timed_out())), (Remedy::End, Remedy::Wait));
    }
}
