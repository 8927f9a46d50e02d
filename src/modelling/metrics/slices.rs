//! The same metrics on parts of the window, by the values of a column.

use super::kind::MetricKind;
use super::order::{Level, RankedScores, ScoreCounts};
use crate::domain::contract::{Slice, SlicedBy};

/// A column cut into slices: their names in the order of the report, and the slice of every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slicing {
    /// The column.
    pub column: String,
    /// Names of the slices.
    pub names: Vec<String>,
    /// Per row an index into the names.
    pub slice_of: Vec<u32>,
}

/// The rows of one slice, from the highest score down.
#[derive(Default)]
struct SliceRows {
    levels: Vec<Level>,
    frauds: Vec<u32>,
    good: Vec<u32>,
}

impl SliceRows {
    fn push(&mut self, level: Level, fraud: bool) {
        if self.levels.last() != Some(&level) {
            self.levels.push(level);
            self.frauds.push(0);
            self.good.push(0);
        }
        let counts = if fraud { &mut self.frauds } else { &mut self.good };
        if let Some(count) = counts.last_mut() {
            *count += 1;
        }
    }
}

/// Measures every slice of a column in one pass over the sorted scores.
pub(super) fn sliced(order: &RankedScores, slicing: &Slicing, kinds: &[MetricKind]) -> SlicedBy {
    let mut parts: Vec<SliceRows> = slicing.names.iter().map(|_| SliceRows::default()).collect();
    order.visit(|row, level, fraud| parts[slicing.slice_of[row as usize] as usize].push(level, fraud));
    let slice = |(name, part): (&String, SliceRows)| {
        let counts = ScoreCounts::over(&part.levels, part.frauds, part.good);
        let scores = kinds.iter().filter_map(|kind| Some((kind.name(), kind.of(&counts)?))).collect();
        Slice { slice: name.clone(), rows: counts.rows(), positives: counts.frauds(), scores }
    };
    SlicedBy { column: slicing.column.clone(), slices: slicing.names.iter().zip(parts).map(slice).collect() }
}
