//! Computes areas under the ROC curve, and how far chance moves them.

/// Returns the area under the ROC curve of the values or of their negatives, whichever is larger. The result is 0.5 to
/// 1, and 0.5 if one class has no rows.
pub(super) fn area(values: impl Iterator<Item = (f32, bool)>) -> f64 {
    let below = area_below(values).area;
    below.max(1.0 - below)
}

/// An area under the ROC curve, with its standard deviation where labels and values have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AreaBelow {
    pub(super) area: f64,
    pub(super) chance: f64,
}

/// Returns the probability that a fraud's value is above a good payment's value, where ties count half. 0.5 if one
/// class has no rows.
///
/// The area is the statistic U of Mann and Whitney ("On a Test of Whether one of Two Random Variables is Stochastically
/// Larger than the Other", 1947), divided by the number of pairs. If all orders of the labels are equally likely, its
/// variance is ((n + 1) - sum(t^3 - t) / (n (n - 1))) / (12 m (n - m)), for m frauds among n rows, with a sum over the
/// sizes t of the groups of equal values.
pub(super) fn area_below(values: impl Iterator<Item = (f32, bool)>) -> AreaBelow {
    let mut values: Vec<(f32, bool)> = values.collect();
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut good, mut frauds, mut doubled, mut tied) = (0_u64, 0_u64, 0_u128, 0.0);
    for tie in values.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let of_tie = tie.iter().filter(|(_, fraud)| *fraud).count() as u64;
        let others = tie.len() as u64 - of_tie;
        doubled += u128::from(of_tie) * (2 * u128::from(good) + u128::from(others));
        tied += (tie.len() as f64).powi(3) - tie.len() as f64;
        good += others;
        frauds += of_tie;
    }
    if good == 0 || frauds == 0 {
        return AreaBelow { area: 0.5, chance: 0.0 };
    }
    let (pairs, rows) = (good as f64 * frauds as f64, values.len() as f64);
    let variance = (rows + 1.0 - tied / (rows * (rows - 1.0))) / (12.0 * pairs);
    AreaBelow { area: doubled as f64 / (2.0 * pairs), chance: variance.max(0.0).sqrt() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "the areas are exact")]

    use super::*;

    #[test]
    fn areas_count_ties_half_and_take_the_better_direction() {
        let below = |values: &[(f32, bool)]| area_below(values.iter().copied()).area;
        assert_eq!(below(&[(1.0, false), (2.0, true)]), 1.0);
        assert_eq!(below(&[(2.0, false), (1.0, true)]), 0.0);
        assert_eq!(area([(2.0, false), (1.0, true)].into_iter()), 1.0);
        assert_eq!(below(&[(1.0, false), (1.0, true)]), 0.5);
        assert_eq!(below(&[(1.0, false), (2.0, true), (2.0, false), (3.0, true)]), 0.875);
        assert_eq!(below(&[(1.0, true)]), 0.5);
    }

    /// The variance over every order of the labels, counted.
    #[test]
    fn the_spread_by_chance_is_that_over_all_orders_of_the_labels() {
        let values = [1.0_f32, 1.0, 2.0, 3.0, 3.0, 3.0, 4.0];
        let orders = (0_u32..1 << values.len()).filter(|order| order.count_ones() == 3);
        let labelled =
            |order: u32| values.iter().enumerate().map(move |(row, value)| (*value, (order >> row) & 1 == 1));
        let areas: Vec<f64> = orders.map(|order| area_below(labelled(order)).area).collect();
        let mean = areas.iter().sum::<f64>() / areas.len() as f64;
        let variance = areas.iter().map(|area| (area - mean).powi(2)).sum::<f64>() / areas.len() as f64;
        assert!((mean - 0.5).abs() < 1e-12);
        assert!((area_below(labelled(0b111)).chance - variance.sqrt()).abs() < 1e-12);
        assert_eq!(area_below([(1.0, true), (1.0, false)].into_iter()).chance, 0.0);
    }
}
