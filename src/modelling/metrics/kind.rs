//! Lists the metrics that a profile can ask for, by name. All metrics but card precision are computed from the counts
//! of frauds and good payments at each score.

use super::amounts::AmountLevels;
use super::cards::CardDays;
use super::order::{RankedScores, ScoreCounts, ScoredRows, undefined};
use super::ranking::{confusion, f1, false_positive_rate, precision, recall};
use super::{probability, ranking};
use crate::domain::contract::{EvaluationSpec, MetricValue};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKind {
    AucRoc,
    AveragePrecision,
    LogLoss,
    BrierScore,
    /// The expected calibration error over this many bins of equal width.
    ExpectedCalibrationError(u32),
    KsStatistic,
    RecallAtFpr(f64),
    /// Share of frauds among the `k` payments with the highest scores.
    PrecisionAt(u32),
    /// Share of all frauds that are among the `k` payments with the highest scores.
    RecallAt(u32),
    PrecisionAtThreshold(f64),
    RecallAtThreshold(f64),
    F1AtThreshold(f64),
    /// Share of the good payments that are flagged.
    FprAtThreshold(f64),
    /// Mean over the days of the share of compromised cards among the `k` cards with the highest scores of the day.
    CardPrecisionAt(u32),
    /// Money of the frauds among the `k` payments with the highest scores, as a share of the money of all frauds.
    AmountRecallAt(u32),
    /// Money of the frauds among the `k` payments with the highest scores, as a share of the money of these payments.
    AmountPrecisionAt(u32),
    /// Money of the frauds that are flagged at this false positive rate, as a share of the money of all frauds.
    ValueDetectionRateAtFpr(f64),
}

impl MetricKind {
    /// Whether the metric depends on the order of the scores alone, and not on their values.
    pub(super) fn is_of_order(self) -> bool {
        match self {
            Self::AucRoc
            | Self::AveragePrecision
            | Self::KsStatistic
            | Self::RecallAtFpr(_)
            | Self::PrecisionAt(_)
            | Self::RecallAt(_)
            | Self::CardPrecisionAt(_)
            | Self::AmountRecallAt(_)
            | Self::AmountPrecisionAt(_)
            | Self::ValueDetectionRateAtFpr(_) => true,
            Self::LogLoss
            | Self::BrierScore
            | Self::ExpectedCalibrationError(_)
            | Self::PrecisionAtThreshold(_)
            | Self::RecallAtThreshold(_)
            | Self::F1AtThreshold(_)
            | Self::FprAtThreshold(_) => false,
        }
    }

    /// Whether a lower value is the better one.
    pub fn is_loss(self) -> bool {
        matches!(self, Self::LogLoss | Self::BrierScore | Self::ExpectedCalibrationError(_))
    }

    pub fn all(spec: &EvaluationSpec, has_cards: bool, has_amounts: bool) -> Vec<Self> {
        let mut kinds = Self::of_any_rows(spec);
        for &k in &spec.k {
            kinds.extend([Self::PrecisionAt(k), Self::RecallAt(k)]);
            if has_cards {
                kinds.push(Self::CardPrecisionAt(k));
            }
            if has_amounts {
                kinds.extend([Self::AmountRecallAt(k), Self::AmountPrecisionAt(k)]);
            }
        }
        if has_amounts {
            kinds.extend(spec.fpr.iter().map(|&rate| Self::ValueDetectionRateAtFpr(rate)));
        }
        kinds
    }

    /// Returns the metric with this name among those that the specification asks for.
    pub fn named(name: &str, spec: &EvaluationSpec, has_cards: bool) -> Option<Self> {
        Self::all(spec, has_cards, false).into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the metrics that need no minimum number of rows. These metrics are also measured on slices.
    pub(super) fn of_any_rows(spec: &EvaluationSpec) -> Vec<Self> {
        let mut kinds = vec![
            Self::AucRoc,
            Self::AveragePrecision,
            Self::LogLoss,
            Self::BrierScore,
            Self::ExpectedCalibrationError(spec.calibration_bins),
            Self::KsStatistic,
        ];
        kinds.extend(spec.fpr.iter().map(|&rate| Self::RecallAtFpr(rate)));
        for &threshold in &spec.thresholds {
            kinds.extend([
                Self::PrecisionAtThreshold(threshold),
                Self::RecallAtThreshold(threshold),
                Self::F1AtThreshold(threshold),
                Self::FprAtThreshold(threshold),
            ]);
        }
        kinds
    }

    /// Returns the metric's name in reports and thresholds.
    pub fn name(self) -> String {
        match self {
            Self::AucRoc => "auc_roc".to_owned(),
            Self::AveragePrecision => "average_precision".to_owned(),
            Self::LogLoss => "log_loss".to_owned(),
            Self::BrierScore => "brier_score".to_owned(),
            Self::ExpectedCalibrationError(_) => "expected_calibration_error".to_owned(),
            Self::KsStatistic => "ks_statistic".to_owned(),
            Self::RecallAtFpr(rate) => format!("recall_at_fpr_{rate}"),
            Self::PrecisionAt(k) => format!("precision_at_{k}"),
            Self::RecallAt(k) => format!("recall_at_{k}"),
            Self::PrecisionAtThreshold(threshold) => format!("precision_at_threshold_{threshold}"),
            Self::RecallAtThreshold(threshold) => format!("recall_at_threshold_{threshold}"),
            Self::F1AtThreshold(threshold) => format!("f1_at_threshold_{threshold}"),
            Self::FprAtThreshold(threshold) => format!("fpr_at_threshold_{threshold}"),
            Self::CardPrecisionAt(k) => format!("card_precision_at_{k}"),
            Self::AmountRecallAt(k) => format!("amount_recall_at_{k}"),
            Self::AmountPrecisionAt(k) => format!("amount_precision_at_{k}"),
            Self::ValueDetectionRateAtFpr(rate) => format!("value_detection_rate_at_fpr_{rate}"),
        }
    }

    /// Computes the metric from counts. `None` for a metric per day or of money, since counts contain neither.
    pub(super) fn of(self, counts: &ScoreCounts<'_>) -> Option<MetricValue> {
        Some(match self {
            Self::AucRoc => ranking::auc_roc(counts),
            Self::AveragePrecision => ranking::average_precision(counts),
            Self::LogLoss => probability::log_loss(counts),
            Self::BrierScore => probability::brier_score(counts),
            Self::ExpectedCalibrationError(bins) => probability::expected_calibration_error(counts, bins),
            Self::KsStatistic => ranking::ks_statistic(counts),
            Self::RecallAtFpr(rate) => ranking::recall_at_fpr(counts, rate),
            Self::PrecisionAt(k) => ranking::precision_at(counts, k),
            Self::RecallAt(k) => ranking::recall_at(counts, k),
            Self::PrecisionAtThreshold(threshold) => precision(&confusion(counts, threshold)),
            Self::RecallAtThreshold(threshold) => recall(&confusion(counts, threshold)),
            Self::F1AtThreshold(threshold) => f1(&confusion(counts, threshold)),
            Self::FprAtThreshold(threshold) => false_positive_rate(&confusion(counts, threshold)),
            Self::CardPrecisionAt(_)
            | Self::AmountRecallAt(_)
            | Self::AmountPrecisionAt(_)
            | Self::ValueDetectionRateAtFpr(_) => return None,
        })
    }
}

pub(super) struct RankedWindow<'a> {
    pub(super) counts: ScoreCounts<'a>,
    /// `None` if the rows have no cards, or weights.
    pub(super) card_days: Option<CardDays>,
    is_weighted: bool,
    amounts: Option<AmountLevels>,
}

impl<'a> RankedWindow<'a> {
    pub(super) fn new(scored: &ScoredRows<'_>, order: &'a RankedScores) -> Self {
        let is_weighted = order.is_weighted();
        let cards = scored.cards.filter(|_| !is_weighted);
        let amounts = scored.amounts.filter(|_| !is_weighted).map(|amounts| AmountLevels::new(order, amounts));
        Self {
            counts: order.counts(),
            card_days: cards.map(|cards| CardDays::new(scored, cards)),
            is_weighted,
            amounts,
        }
    }

    /// Computes the metric. `None` for a metric of cards or of money if the rows have none.
    pub(super) fn metric(&self, kind: MetricKind) -> Option<MetricValue> {
        let (days, amounts) = (self.card_days.as_ref(), self.amounts.as_ref());
        match kind {
            MetricKind::CardPrecisionAt(_) if self.is_weighted => {
                Some(undefined("rows have weights: a card's day is known only where all of its payments are rows"))
            }
            MetricKind::CardPrecisionAt(k) => days.map(|days| days.precision_at(k)),
            MetricKind::AmountRecallAt(k) => amounts.map(|amounts| amounts.recall_at(k)),
            MetricKind::AmountPrecisionAt(k) => amounts.map(|amounts| amounts.precision_at(k)),
            MetricKind::ValueDetectionRateAtFpr(rate) => amounts.map(|amounts| amounts.detected_at_fpr(rate)),
            kind => kind.of(&self.counts),
        }
    }
}
