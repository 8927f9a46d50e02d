//! A window sorted and counted once: every metric is read off this.

use super::cards::CardDays;
use super::kind::MetricKind;
use super::order::{RankedScores, ScoreCounts};
use super::scored_rows::ScoredRows;
use crate::domain::contract::MetricValue;

pub(super) struct RankedWindow<'a> {
    pub(super) counts: ScoreCounts<'a>,
    card_days: Option<CardDays>,
}

impl<'a> RankedWindow<'a> {
    pub(super) fn new(scored: &ScoredRows<'_>, order: &'a RankedScores) -> Self {
        Self { counts: order.counts(), card_days: scored.cards.map(|cards| CardDays::new(scored, cards)) }
    }

    /// None for a metric per card where the rows have no cards.
    pub(super) fn metric(&self, kind: MetricKind) -> Option<MetricValue> {
        match (kind, &self.card_days) {
            (MetricKind::CardPrecisionAt(k), Some(days)) => Some(days.precision_at(k)),
            (kind, _) => kind.of(&self.counts),
        }
    }
}
