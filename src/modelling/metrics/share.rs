//! Computes a share of weights with its interval: of good payments that are flagged, or of money.

use super::interval::{Estimate, IntervalBasis, enough, t_quantile};
use super::order::{defined, undefined};
use super::units::{dense, spread, unbiased};
use crate::domain::contract::{Interval, IntervalMethod, MetricValue};

/// A share of weights, over the rows of a window. All slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct WeightedShare<'a> {
    /// 0 for a row that is not part of the whole.
    pub weights: &'a [f64],
    /// Whether the row's weight is in the share.
    pub hits: &'a [bool],
    /// The weights that decide how well the share is known, such as those of the rarer rows. They must spread over enough
    /// entities.
    pub evidence: &'a [f64],
    /// What `evidence` is, such as `frauds`.
    pub evidence_name: &'a str,
    /// Why there is no share if all weights are 0.
    pub otherwise: &'a str,
}

/// Returns the share `sum of weights with a hit / sum of weights`. The interval is Wilson's, as for other shares: each row
/// moves the share by `weight * (hit - share) / sum of weights`, and the variance follows from the sums of this over
/// entities (see `units`). Without `intervals`, the share has none.
pub fn weighted_share(of: &WeightedShare<'_>, intervals: Option<&IntervalBasis<'_>>) -> MetricValue {
    let whole: f64 = of.weights.iter().sum();
    if whole <= 0.0 {
        return undefined(of.otherwise);
    }
    let part: f64 = of.weights.iter().zip(of.hits).filter(|(_, hit)| **hit).map(|(weight, _)| weight).sum();
    let value = (part / whole).min(1.0);
    let mut metric = defined(value);
    match intervals.map(|basis| interval(of, value, whole, basis)) {
        Some(Ok(interval)) => metric.interval = Some(interval),
        Some(Err(why)) => metric.no_interval_because = Some(why),
        None => {}
    }
    metric
}

fn interval(of: &WeightedShare<'_>, value: f64, whole: f64, basis: &IntervalBasis<'_>) -> Result<Interval, String> {
    let unit_of = match basis.clusters {
        Some(clusters) => dense(clusters),
        None => (0..of.weights.len() as u32).collect(),
    };
    let count = unit_of.iter().max().map_or(0, |&last| last as usize + 1);
    let (mut evidence, mut weights, mut moves) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
    for (row, &unit) in unit_of.iter().enumerate() {
        let unit = unit as usize;
        evidence[unit] += of.evidence[row];
        weights[unit] += of.weights[row];
        moves[unit] += of.weights[row] * (f64::from(u8::from(of.hits[row])) - value) / whole;
    }
    let has = basis.clusters.map_or_else(String::new, |_| "entities with ".to_owned()) + of.evidence_name;
    let evidence = spread(evidence.into_iter());
    enough(evidence, &has)?;
    let units = spread(weights.into_iter());
    let variance = unbiased(units.units as usize) * moves.iter().map(|moved| moved * moved).sum::<f64>();
    let payments = spread(of.weights.iter().copied());
    let quantile = t_quantile(basis.confidence, evidence.effective - 1.0);
    let (low, high) =
        Estimate { value, variance, quantile, frauds: evidence }.wilson(units.effective, payments.effective);
    let (low, high) = (low.min(value), high.max(value));
    Ok(Interval { low, high, confidence: basis.confidence, method: IntervalMethod::Wilson, units: evidence.units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_weights_of_single_payments_have_wilsons_interval_and_money_in_few_hands_has_none() {
        let hits: Vec<bool> = (0..200).map(|row| row % 4 == 0).collect();
        let (ones, money) = (vec![1.0; 200], (0..200).map(|row| if row < 3 { 1e6 } else { 1.0 }).collect::<Vec<_>>());
        let of = |weights| WeightedShare {
            weights,
            hits: &hits,
            evidence: weights,
            evidence_name: "frauds",
            otherwise: "there are no frauds",
        };
        let basis = IntervalBasis { confidence: 0.95, clusters: None };
        let found = weighted_share(&of(&ones), Some(&basis)).interval.unwrap();
        // Wilson's interval of 50 of 200 by the quantile of Student's distribution with 199 degrees of freedom, with the
        // unbiased variance (199 in place of 200 payments).
        let (share, square, independent) = (0.25_f64, 1.971_956_5_f64.powi(2), 199.0_f64);
        let center = (share + square / (2.0 * independent)) / (1.0 + square / independent);
        assert!((found.low.midpoint(found.high) - center).abs() < 1e-6, "{found:?}");
        let few = weighted_share(&of(&money), Some(&basis));
        assert!(few.interval.is_none() && few.no_interval_because.unwrap().contains("hold most of them"));
        assert_eq!(weighted_share(&of(&[0.0; 200]), None).undefined_because.unwrap(), "there are no frauds");
    }
}
