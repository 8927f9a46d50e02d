//! Decides from which offset a partition is read, from the group's committed offset, the log's begin and end, and the
//! ledger.
//!
//! The ledger's word counts, since its outcomes are what requesters were told. Kafka's committed offset is ahead of it
//! only where the ledger was restored from a backup, or a failed-over Postgres lost commits; then intake goes back.
//! Where the log still holds a record that the ledger knows, that record is read first, and its bytes say whether this
//! is the same topic.

use crate::adapters::kafka::{AssignedPartition, ReadFrom, StartAt};
use crate::telemetry::metrics::Correction;

/// What the ledger knows of a partition, in the topic's current incarnation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Decided {
    /// The offset after the last record that was decided or passed; `None` if nothing of this partition was read.
    pub next: Option<i64>,
    /// The offset of the last record whose outcome the ledger holds and that may still be in the log; `None` if there
    /// is none.
    pub witness: Option<i64>,
}

/// What else the decision depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// The topic's incarnation, counted from 1. In a later one, Kafka's offsets may be those of an earlier one.
    pub incarnation: u32,
    /// Whether a worker on this ledger committed the committed offset.
    pub is_ours: bool,
    /// Where a group that has never committed starts; `None` if nobody said it (`--from`).
    pub from: Option<StartAt>,
    /// Whether the group has committed in this topic, or the ledger has read some of it. A partition without an offset
    /// is then new, and is read from its beginning.
    pub is_begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    Read(ReadFrom, Option<Correction>),
    /// The log ends before what the ledger decided, and holds nothing that the ledger knows.
    MadeAnew,
    /// Nobody said where a new group starts.
    Unsaid,
}

pub(super) fn placement(standing: &AssignedPartition, decided: Decided, circumstances: Circumstances) -> Placement {
    let &AssignedPartition { partition, committed, begin, end, .. } = standing;
    let read = |at: i64, check: Option<i64>, correction: Option<Correction>| {
        let check = check.filter(|check| *check < at && *check >= begin);
        Placement::Read(ReadFrom { partition, at, check }, correction)
    };
    let Some(next) = decided.next else { return placement_of_unread(standing, circumstances) };
    let witness = decided.witness.filter(|witness| (begin..end).contains(witness));
    if end < next {
        return match witness {
            Some(_) => read(end, witness, Some(Correction::EndLost)),
            None => Placement::MadeAnew,
        };
    }
    if begin > next {
        return read(begin, None, Some(Correction::DeletedUnread));
    }
    match committed {
        Some(committed) if committed > next => read(next, witness, Some(Correction::AheadOfLedger)),
        Some(committed) if committed < next => read(committed.max(begin), witness, None),
        None if circumstances.from == Some(StartAt::Earliest) => read(begin, None, None),
        Some(_) | None => read(next, witness, None),
    }
}

/// Decides about a partition of which the ledger has read nothing.
fn placement_of_unread(standing: &AssignedPartition, circumstances: Circumstances) -> Placement {
    let &AssignedPartition { partition, committed, begin, end, .. } = standing;
    let read = |at, correction| Placement::Read(ReadFrom { partition, at, check: None }, correction);
    match committed {
        _ if circumstances.incarnation > 1 => read(begin, None),
        // A worker stores a position in the ledger before it commits: this ledger is older than the offset.
        Some(_) if circumstances.is_ours => read(begin, Some(Correction::AheadOfLedger)),
        Some(committed) if (begin..=end).contains(&committed) => read(committed, None),
        Some(committed) if committed < begin => read(begin, Some(Correction::DeletedUnread)),
        Some(_) => read(begin, Some(Correction::EndLost)),
        None => match circumstances.from {
            Some(StartAt::Latest) => read(end, None),
            Some(StartAt::Earliest) => read(begin, None),
            None if circumstances.is_begun => read(begin, None),
            None => Placement::Unsaid,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: Circumstances = Circumstances { incarnation: 1, is_ours: true, from: None, is_begun: true };

    fn standing(committed: Option<i64>, begin: i64, end: i64) -> AssignedPartition {
        AssignedPartition { partition: 0, committed, mark: None, begin, end }
    }

    fn decided(next: i64, witness: i64) -> Decided {
        Decided { next: Some(next), witness: Some(witness) }
    }

    #[test]
    fn where_the_ledger_has_read_its_word_counts_and_what_it_knows_is_looked_at_first() {
        use Correction::{AheadOfLedger, DeletedUnread, EndLost};
        for (committed, begin, end, at, check, correction) in [
            (Some(10), 0, 12, 10, Some(9), None),
            (Some(11), 0, 12, 10, Some(9), Some(AheadOfLedger)),
            (Some(99), 0, 12, 10, Some(9), Some(AheadOfLedger)),
            (None, 0, 10, 10, Some(9), None),
            (Some(4), 0, 12, 4, None, None),
            (Some(4), 6, 12, 6, None, None),
            (Some(10), 10, 10, 10, None, None),
            (Some(10), 11, 12, 11, None, Some(DeletedUnread)),
        ] {
            let found = placement(&standing(committed, begin, end), decided(10, 9), BEGUN);
            assert_eq!(
                found,
                Placement::Read(ReadFrom { partition: 0, at, check }, correction),
                "{committed:?} {begin} {end}"
            );
        }
        let start = ReadFrom { partition: 0, at: 5, check: Some(4) };
        let shorter = placement(&standing(Some(10), 0, 5), decided(10, 4), BEGUN);
        assert_eq!(shorter, Placement::Read(start, Some(EndLost)));
        let empty = standing(None, 0, 0);
        let nothing_known = Decided { next: Some(10), witness: None };
        assert_eq!(placement(&empty, nothing_known, BEGUN), Placement::MadeAnew);
        let replay = Circumstances { from: Some(StartAt::Earliest), ..BEGUN };
        let all = Placement::Read(ReadFrom { partition: 0, at: 2, check: None }, None);
        assert_eq!(
            placement(&standing(None, 2, 12), decided(10, 9), replay),
            all,
            "another group reads all of it again"
        );
    }

    #[test]
    fn where_the_ledger_has_read_nothing_kafka_and_the_operator_say_where_to_start() {
        let first = Circumstances { is_ours: false, is_begun: false, ..BEGUN };
        let latest = Circumstances { from: Some(StartAt::Latest), ..first };
        let again = Circumstances { incarnation: 2, ..BEGUN };
        for (committed, circumstances, at, correction) in [
            (Some(5), Circumstances { is_ours: false, ..BEGUN }, 5, None),
            (Some(5), BEGUN, 2, Some(Correction::AheadOfLedger)),
            (Some(1), first, 2, Some(Correction::DeletedUnread)),
            (Some(9), first, 2, Some(Correction::EndLost)),
            (None, latest, 7, None),
            (None, BEGUN, 2, None),
            (Some(5), again, 2, None),
        ] {
            let found = placement(&standing(committed, 2, 7), Decided::default(), circumstances);
            assert_eq!(
                found,
                Placement::Read(ReadFrom { partition: 0, at, check: None }, correction),
                "{circumstances:?}"
            );
        }
        assert_eq!(placement(&standing(None, 2, 7), Decided::default(), first), Placement::Unsaid);
    }
}
