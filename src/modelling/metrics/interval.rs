//! Computes confidence intervals of metrics, and of their differences between two models.
//!
//! Guarantees: an interval is given only where simulated windows show that it holds the true value about as often as it
//! says (docs/intervals.md). Otherwise the error says why there is none, and the gate does not pass on it.

use super::influence::{Blind, Denominator, Influence, Ranking, Scale};
use super::kind::MetricKind;
use super::order::{RankedScores, ScoreCounts};
use super::units::{Moves, Spread, Units};
use crate::domain::contract::{Interval, IntervalMethod};
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// How the intervals of a window are computed.
#[derive(Debug, Clone, Copy)]
pub struct IntervalBasis<'a> {
    /// Share of windows in which an interval shall hold the true value, for example 0.95.
    pub confidence: f64,
    /// The entity of each payment. Payments of one entity are not independent. `None` takes each payment by itself.
    pub clusters: Option<&'a [u32]>,
}

/// Fewest units (entities, or else payments) with frauds.
const FEWEST_UNITS: u64 = 20;
/// Fewest units after those with many frauds are weighed down.
const FEWEST_EFFECTIVE: f64 = 10.0;
/// Fewest good payments, by how far each moves it, for the average precision of rows with weights.
const FEWEST_GOOD_OF_WEIGHT: f64 = 100.0;
/// Fewest days for the interval of a metric per day.
const FEWEST_DAYS: usize = 7;
/// A smaller variance is a rounding error.
const NO_VARIANCE: f64 = 1e-20;
const ALL_ALIKE: &str = "all entities say exactly the same, so that nothing says how far chance moves the metric";

/// A window of one model with all that its intervals need.
pub(super) struct IntervalWindow<'a> {
    order: &'a RankedScores,
    ranking: Ranking<'a>,
}

impl<'a> IntervalWindow<'a> {
    pub(super) fn new(order: &'a RankedScores, counts: &'a ScoreCounts<'a>) -> Self {
        Self { order, ranking: Ranking::new(counts, order.squares()) }
    }

    pub(super) fn units(&self, clusters: Option<&[u32]>) -> Units {
        Units::new(self.order, clusters)
    }

    /// Returns the interval of a metric with this value.
    pub(super) fn interval(
        &self,
        kind: MetricKind,
        value: f64,
        units: &Units,
        basis: &IntervalBasis<'_>,
    ) -> Result<Interval, String> {
        let (influence, moves, frauds) = self.measurable(kind, value, units, basis)?;
        let variance = units.variance(&moves);
        let quantile = t_quantile(basis.confidence, self.freedom(units, frauds));
        let estimate = Estimate { value, variance, quantile, frauds };
        let (low, high, method) = match influence.scale {
            Scale::LogOdds { center, blind } => {
                let (low, high) = estimate.transformed(center, &blind, &Transform::LOG_ODDS)?;
                (low, high, IntervalMethod::LogOdds)
            }
            Scale::Log { blind } => {
                let (low, high) = estimate.transformed(value, &blind, &Transform::LOG)?;
                (low, high, IntervalMethod::Log)
            }
            Scale::Share { of } => {
                let (low, high) = estimate.wilson(self.alike(&of, units, frauds), self.ranking.independent(&of));
                (low, high, IntervalMethod::Wilson)
            }
        };
        let (low, high) = (low.min(value), high.max(value));
        Ok(Interval { low, high, confidence: basis.confidence, method, units: frauds.units })
    }

    /// Returns the interval of the difference of a metric, own minus other, of two models on the same rows. `are_same`
    /// says that the metric cannot tell the two models apart, whatever the rows.
    pub(super) fn paired_interval(
        &self,
        other: &Self,
        kind: MetricKind,
        (own_value, other_value): (f64, f64),
        units: &Units,
        basis: &IntervalBasis<'_>,
        are_same: bool,
    ) -> Result<Interval, String> {
        let (_, own, frauds) = self.measurable(kind, own_value, units, basis)?;
        let (_, theirs, _) = other.measurable(kind, other_value, units, basis)?;
        let difference = own_value - other_value;
        let variance = units.variance(&own.less(&theirs));
        if variance < NO_VARIANCE && !are_same {
            return Err(ALL_ALIKE.to_owned());
        }
        let reach = t_quantile(basis.confidence, self.freedom(units, frauds)) * variance.sqrt();
        Ok(Interval {
            low: difference - reach,
            high: difference + reach,
            confidence: basis.confidence,
            method: IntervalMethod::Paired,
            units: frauds.units,
        })
    }

    /// Returns the derivatives of a metric, how much each unit moves it, and over how many units the frauds spread. The
    /// error says why there can be no interval.
    fn measurable(
        &self,
        kind: MetricKind,
        value: f64,
        units: &Units,
        basis: &IntervalBasis<'_>,
    ) -> Result<(Influence, Moves, Spread), String> {
        let influence = self.ranking.influence(kind, value)?;
        let has = |what: &str| basis.clusters.map_or_else(|| what.to_owned(), |_| format!("entities with {what}"));
        let frauds = units.of_frauds();
        enough(frauds, &has("frauds"))?;
        if self.order.is_weighted() {
            enough(units.of_good(), &has("good payments"))?;
        }
        if let Scale::Share { of: Denominator::Flagged(part) } = &influence.scale {
            enough(units.of_flagged(self.order, part), &has("flagged payments"))?;
        }
        let moves = units.moves(self.order, &influence);
        if self.order.is_weighted() && kind == MetricKind::AveragePrecision {
            enough_good(moves.of_good())?;
        }
        Ok((influence, moves, frauds))
    }

    /// Returns the degrees of freedom of the variance. Rows with weights may be few good payments, each of which stands
    /// for many.
    fn freedom(&self, units: &Units, frauds: Spread) -> f64 {
        let few =
            if self.order.is_weighted() { frauds.effective.min(units.of_good().effective) } else { frauds.effective };
        few - 1.0
    }

    /// Returns the number of independent payments of a share of 0 or 1, where all say the same. Rows with weights count
    /// as if one more row might have the greatest weight.
    fn alike(&self, of: &Denominator, units: &Units, frauds: Spread) -> f64 {
        let (whole, heaviest) = match of {
            Denominator::Frauds => (frauds, units.heaviest_fraud),
            Denominator::FraudsAndFlagged(_) => (frauds, units.heaviest_fraud.max(units.heaviest_good)),
            Denominator::Flagged(part) => {
                (units.of_flagged(self.order, part), units.heaviest_fraud.max(units.heaviest_good))
            }
        };
        if self.order.is_weighted() { whole.effective.min(whole.payments / heaviest) } else { whole.effective }
    }
}

/// Few heavy good payments among the highest scores make an average precision skewed, in a way that neither its variance nor
/// its bias of second order shows.
fn enough_good(spread: Spread) -> Result<(), String> {
    if spread.effective < FEWEST_GOOD_OF_WEIGHT {
        return Err(format!(
            "rows have weights, and the good payments that move the metric count as {:.1}, an interval needs \
             {FEWEST_GOOD_OF_WEIGHT}",
            spread.effective
        ));
    }
    Ok(())
}

pub(super) fn enough(spread: Spread, what: &str) -> Result<(), String> {
    if spread.units < FEWEST_UNITS {
        return Err(format!("only {} {what}, an interval needs {FEWEST_UNITS}", spread.units));
    }
    if spread.effective < FEWEST_EFFECTIVE {
        return Err(format!(
            "a few of {} {what} hold most of them: they count as {:.1}, an interval needs {FEWEST_EFFECTIVE}",
            spread.units, spread.effective
        ));
    }
    Ok(())
}

/// Returns the interval of the mean of a value per day. The variance comes from the differences between one day and the
/// next, so that a trend within the window does not widen the interval (von Neumann, Kent, Bellinson and Hart, "The Mean
/// Square Successive Difference", Annals of Mathematical Statistics 1941). `are_same` says that the values are
/// differences of models that the metric cannot tell apart, which may all be equal.
pub(super) fn interval_of_days(values: &[f64], confidence: f64, are_same: bool) -> Result<Interval, String> {
    let days = values.len();
    if days < FEWEST_DAYS {
        return Err(format!("only {days} days, an interval needs {FEWEST_DAYS}"));
    }
    let count = days as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
    let variance = squares / (2.0 * (count - 1.0)) / count;
    if variance < NO_VARIANCE && !are_same {
        return Err("all days say exactly the same, so that nothing says how far chance moves the metric".to_owned());
    }
    let freedom = 2.0 * (count - 1.0).powi(2) / (3.0 * count - 4.0);
    let reach = t_quantile(confidence, freedom) * variance.sqrt();
    let (low, high) = (mean - reach, mean + reach);
    Ok(Interval { low, high, confidence, method: IntervalMethod::Days, units: days as u64 })
}

/// Returns the quantile of Student's distribution that the standard error is multiplied by. From a thousand degrees of
/// freedom up the quantile stays the same, since it then differs from its limit by a thousandth.
pub(super) fn t_quantile(confidence: f64, freedom: f64) -> f64 {
    let tail = f64::midpoint(1.0, confidence);
    StudentsT::new(0.0, 1.0, freedom.clamp(1.0, 1_000.0)).map_or(f64::INFINITY, |student| student.inverse_cdf(tail))
}

pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) variance: f64,
    pub(super) quantile: f64,
    pub(super) frauds: Spread,
}

/// A scale on which the metric's distribution is closer to a normal one.
struct Transform {
    to: fn(f64) -> f64,
    back: fn(f64) -> f64,
    slope: fn(f64) -> f64,
}

impl Transform {
    const LOG_ODDS: Self =
        Self { to: |p| (p / (1.0 - p)).ln(), back: |x| 1.0 / (1.0 + (-x).exp()), slope: |p| 1.0 / (p * (1.0 - p)) };
    const LOG: Self = Self { to: f64::ln, back: f64::exp, slope: |p| 1.0 / p };

    /// Returns the end of an interval. A metric at the border of its range stays there.
    fn end(&self, center: f64, variance: f64, quantile: f64) -> f64 {
        if self.is_border(center) {
            return center;
        }
        (self.back)((self.to)(center) + quantile * variance.sqrt() * (self.slope)(center))
    }

    /// Returns true if a metric is at the border of its range, but for a rounding error.
    fn is_border(&self, center: f64) -> bool {
        !(0.0..1e9).contains(&(self.slope)(center))
    }
}

impl Estimate {
    /// Returns the interval on the transformed scale. The worse end counts half an entity more, whose frauds the model
    /// does not tell from good payments: such frauds are rare under a good model, so that many windows show none, and
    /// the interval of such a window would be too narrow (compare Agresti and Coull, "Approximate is Better than
    /// 'Exact' for Interval Estimation of Binomial Proportions", The American Statistician 1998). The entity has as many
    /// frauds as the entity of an average fraud. Entities with many frauds move the metric most, so that one of mean
    /// size would be too small.
    fn transformed(&self, center: f64, blind: &Blind, transform: &Transform) -> Result<(f64, f64), String> {
        if self.variance < NO_VARIANCE && !transform.is_border(center) {
            return Err(ALL_ALIKE.to_owned());
        }
        let half = self.frauds.payments / self.frauds.effective / 2.0;
        let payments = blind.payments + half;
        let worse = (blind.payments * center + half * blind.metric) / payments;
        let variance = self.variance + (half * (blind.metric - worse) / payments).powi(2);
        let side = if blind.metric < center { -self.quantile } else { self.quantile };
        let better_end = transform.end(center, self.variance, -side);
        let worse_end = transform.end(worse, variance, side);
        Ok((better_end.min(worse_end), better_end.max(worse_end)))
    }

    /// Returns the interval of a share (Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    /// JASA 1927), with the number of independent payments that would give the same variance (Korn and Graubard,
    /// "Confidence Intervals for Proportions with Small Expected Number of Positive Counts", Survey Methodology 1998).
    pub(super) fn wilson(&self, alike: f64, payments: f64) -> (f64, f64) {
        let (share, square) = (self.value, self.quantile * self.quantile);
        let spread = share * (1.0 - share);
        let says_nothing = self.variance < NO_VARIANCE || spread < NO_VARIANCE;
        let independent = if says_nothing { alike } else { (spread / self.variance).min(payments) };
        let center = (share + square / (2.0 * independent)) / (1.0 + square / independent);
        let reach = (spread / independent + square / (4.0 * independent * independent)).sqrt() * self.quantile
            / (1.0 + square / independent);
        ((center - reach).max(0.0), (center + reach).min(1.0))
    }
}
