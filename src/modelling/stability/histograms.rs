//! Counts the rows of each window by the values of each feature, in bins that the train window gives.

use crate::domain::contract::{
    ByWindow, CategoricalHistogram, CategoryCounts, CategoryValue, Feature, FeatureHistogram, NumericCounts,
    NumericHistogram, ValueHistogram,
};
use crate::modelling::data::{Assignment, Features, Table};

/// Quantiles of the train window that bound a feature's bins, in thousandths.
const DECILES: [usize; 10] = [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000];

/// Most rows of the train window whose values quantiles are computed from, evenly spaced over the window.
const ROWS_FOR_QUANTILES: usize = 100_000;

/// Most values of a categorical feature that get a bin of their own.
const MOST_VALUES: usize = 100;

/// Returns a histogram of each feature, in the order of `features`. The categories must not be encoded yet, since codes
/// lack the values that only later windows have. Of the test window, counts the rows that are measured on. `validated`
/// says whether the run has a validation window, perhaps without any row.
pub fn feature_histograms(
    table: &Table,
    assignment: &Assignment,
    features: &[Feature],
    validated: bool,
) -> Vec<FeatureHistogram> {
    let train = &assignment.train;
    let bins = |index: usize| match table.features.vocabulary(index) {
        None => Bins::Numbers(Ranges::of_quantiles(evenly(train, &table.features, index), &DECILES)),
        Some(known) => Bins::Values(Ranked::of_train(&table.features, index, known, train)),
    };
    let all: Vec<Bins> = (0..features.len()).map(bins).collect();
    let count = |rows: &[usize]| count(&table.features, rows, &all);
    let counted = ByWindow {
        train: count(train),
        validation: validated.then(|| count(&assignment.validation)),
        test: count(&assignment.test),
    };
    let histogram = |(index, bins): (usize, Bins)| FeatureHistogram {
        feature: features[index].name.clone(),
        histogram: bins.histogram(&counted.map(|slots| slots[index].clone())),
    };
    all.into_iter().enumerate().map(histogram).collect()
}

/// Returns the values of a feature in evenly spaced rows.
fn evenly(rows: &[usize], features: &Features, index: usize) -> Vec<f32> {
    let step = rows.len().div_ceil(ROWS_FOR_QUANTILES).max(1);
    rows.iter().step_by(step).map(|&row| features.value(row, index)).collect()
}

/// Counts the rows by the slot of each feature's value.
fn count(features: &Features, rows: &[usize], all: &[Bins]) -> Vec<Vec<u64>> {
    let mut counts: Vec<Vec<u64>> = all.iter().map(|bins| vec![0; bins.slots()]).collect();
    for &row in rows {
        for ((value, bins), slots) in features.row(row).iter().zip(all).zip(&mut counts) {
            slots[bins.slot(*value)] += 1;
        }
    }
    counts
}

enum Bins {
    Numbers(Ranges),
    Values(Ranked),
}

impl Bins {
    fn slots(&self) -> usize {
        match self {
            Self::Numbers(ranges) => ranges.highs.len() + 3,
            Self::Values(ranked) => ranked.values.len() + 3,
        }
    }

    fn slot(&self, value: f32) -> usize {
        match self {
            Self::Numbers(ranges) => ranges.slot(value),
            Self::Values(ranked) => ranked.slot(value),
        }
    }

    fn histogram(self, slots: &ByWindow<Vec<u64>>) -> ValueHistogram {
        match self {
            Self::Numbers(ranges) => ValueHistogram::Numeric(ranges.histogram(slots)),
            Self::Values(Ranked { values, .. }) => {
                let windows = slots.map(|slots| {
                    let (of_values, rest) = slots.split_at(values.len());
                    CategoryCounts { values: of_values.to_vec(), other: rest[0], unseen: rest[1], missing: rest[2] }
                });
                ValueHistogram::Categorical(CategoricalHistogram { values, windows })
            }
        }
    }
}

/// Ranges of numbers. Slots: below, one for each range, above, missing.
struct Ranges {
    low: Option<f32>,
    highs: Vec<f32>,
}

impl Ranges {
    /// Builds the ranges between quantiles, given in thousandths. The quantile `q` of `n` values is the value at rank
    /// `q n / 1000`, rounded up, as by numpy's method `inverted_cdf`.
    fn of_quantiles(mut values: Vec<f32>, quantiles: &[usize]) -> Self {
        values.retain(|value| !value.is_nan());
        // A negative zero is a zero.
        for value in &mut values {
            *value += 0.0;
        }
        values.sort_unstable_by(f32::total_cmp);
        let at = |thousandths: &usize| values[(thousandths * values.len()).div_ceil(1_000).max(1) - 1];
        let mut highs: Vec<f32> = if values.is_empty() { vec![] } else { quantiles.iter().map(at).collect() };
        highs.dedup();
        Self { low: values.first().copied(), highs }
    }

    fn slot(&self, value: f32) -> usize {
        if value.is_nan() {
            self.highs.len() + 2
        } else if self.low.is_some_and(|low| value < low) {
            0
        } else {
            1 + self.highs.iter().filter(|high| value > **high).count()
        }
    }

    fn histogram(self, slots: &ByWindow<Vec<u64>>) -> NumericHistogram {
        let windows = slots.map(|slots| {
            let (bins, rest) = slots[1..].split_at(self.highs.len());
            NumericCounts { bins: bins.to_vec(), below: slots[0], above: rest[0], missing: rest[1] }
        });
        NumericHistogram { low: self.low, highs: self.highs, windows }
    }
}

/// The values of a categorical feature. Slots: one for each of the most frequent values, other, unseen, missing.
struct Ranked {
    values: Vec<CategoryValue>,
    /// The slot of each value, by its number in the vocabulary.
    slot_of: Vec<usize>,
}

impl Ranked {
    fn of_train(features: &Features, index: usize, known: &[CategoryValue], train: &[usize]) -> Self {
        let mut rows_of = vec![0_u64; known.len()];
        for &row in train {
            let value = features.value(row, index);
            if !value.is_nan() {
                rows_of[value as usize] += 1;
            }
        }
        let mut ranked: Vec<usize> = (0..known.len()).filter(|&number| rows_of[number] > 0).collect();
        ranked.sort_by(|&a, &b| rows_of[b].cmp(&rows_of[a]).then_with(|| known[a].cmp(&known[b])));
        let own = ranked.len().min(MOST_VALUES);
        let (other, unseen) = (own, own + 1);
        let mut slot_of = vec![unseen; known.len()];
        for (rank, &number) in ranked.iter().enumerate() {
            slot_of[number] = rank.min(other);
        }
        Self { values: ranked[..own].iter().map(|&number| known[number].clone()).collect(), slot_of }
    }

    fn slot(&self, value: f32) -> usize {
        if value.is_nan() { self.values.len() + 2 } else { self.slot_of[value as usize] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::FeatureKind;

    const GAP: f32 = f32::NAN;

    /// The histogram of one feature, whose values are given for each window.
    fn histogram(known: Option<&[&str]>, train: &[f32], test: &[f32]) -> ValueHistogram {
        let values = [train, test].concat();
        let known = known.map(|known| known.iter().map(|text| CategoryValue::Text((*text).to_owned())).collect());
        let table = Table::of_good(values.len(), Features::new(1, values, vec![known]));
        let (train, test) = ((0..train.len()).collect(), (train.len()..table.rows()).collect());
        let assignment = Assignment { train, test, ..Assignment::default() };
        let features = [Feature { name: "f".to_owned(), kind: FeatureKind::Numeric, monotone: None }];
        feature_histograms(&table, &assignment, &features, false).remove(0).histogram
    }

    #[track_caller]
    fn numeric(train: &[f32], test: &[f32]) -> NumericHistogram {
        match histogram(None, train, test) {
            ValueHistogram::Numeric(histogram) => histogram,
            ValueHistogram::Categorical(_) => panic!("a numeric feature"),
        }
    }

    #[test]
    fn bins_lie_between_deciles_of_the_train_window_and_hold_their_upper_bound() {
        let train: Vec<f32> = (1..=20_u8).map(f32::from).collect();
        let found = numeric(&train, &[0.5, 1.0, 2.0, 2.5, 20.0, 21.0, GAP]);
        assert_eq!((found.low, found.highs[0], found.highs[9]), (Some(1.0), 2.0, 20.0));
        assert_eq!(found.windows.train.bins, [2; 10]);
        let test = &found.windows.test;
        assert_eq!((test.below, test.above, test.missing), (1, 1, 1));
        assert_eq!(test.bins, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(found.windows.validation, None);
    }

    #[test]
    fn equal_quantiles_are_one_and_a_value_beside_a_constant_is_outside() {
        let found = numeric(&[0.0, -0.0, 0.0, 0.0, 7.0], &[-1.0, 0.0, 3.0]);
        assert_eq!((found.low, found.highs.as_slice()), (Some(0.0), [0.0, 7.0].as_slice()));
        assert_eq!((found.windows.test.below, found.windows.test.bins.as_slice()), (1, [1, 1].as_slice()));
        let constant = numeric(&[3.0, 3.0, GAP], &[2.0, 3.0, 4.0]);
        assert_eq!(constant.highs, [3.0]);
        let test = constant.windows.test;
        assert_eq!((test.below, test.bins.as_slice(), test.above), (1, [1].as_slice(), 1));
        let nothing = numeric(&[GAP], &[2.0, GAP]);
        assert_eq!((nothing.low, nothing.windows.test.above, nothing.windows.test.missing), (None, 1, 1));
    }

    #[test]
    fn the_most_frequent_categories_have_bins_and_the_rest_is_told_apart_by_what_the_train_window_knows() {
        let names: Vec<String> = (0..MOST_VALUES + 3).map(|number| format!("v{number:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // Every value but the last one is in the train window, the value 5 twice.
        let mut train: Vec<f32> = (0..names.len() - 1).map(|number| number as f32).collect();
        train.extend([5.0, GAP]);
        let last = (names.len() - 1) as f32;
        let ValueHistogram::Categorical(found) = histogram(Some(&names), &train, &[5.0, last, last - 1.0, GAP]) else {
            panic!("a categorical feature")
        };
        let text = |text: &str| CategoryValue::Text(text.to_owned());
        assert_eq!(found.values[..3], [text("v005"), text("v000"), text("v001")]);
        assert_eq!(found.values.len(), MOST_VALUES);
        let (learned, measured) = (found.windows.train, found.windows.test);
        assert_eq!((learned.values[0], learned.other, learned.unseen, learned.missing), (2, 2, 0, 1));
        assert_eq!((measured.values[0], measured.other, measured.unseen, measured.missing), (1, 1, 1, 1));
    }
}
