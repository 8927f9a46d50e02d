//! Reads a histogram as cells that hold each row once, in the same order for every window.

use super::psi::{contributions, psi};
use crate::domain::contract::{
    ByWindow, CategoricalHistogram, CategoryValue, NumericHistogram, ValueHistogram, WindowName,
};
use crate::domain::harmless::line;

/// The rows in each cell, by window: outside the bins, in the bins, without a value.
pub(super) fn cells(histogram: &ValueHistogram) -> ByWindow<Vec<u64>> {
    match histogram {
        ValueHistogram::Numeric(numeric) => numeric_cells(numeric),
        ValueHistogram::Categorical(categorical) => categorical.windows.map(|counts| {
            let mut cells = counts.values.clone();
            cells.extend([counts.other, counts.unseen, counts.missing]);
            cells
        }),
    }
}

pub(super) fn numeric_cells(histogram: &NumericHistogram) -> ByWindow<Vec<u64>> {
    histogram.windows.map(|counts| {
        let mut cells = vec![counts.below];
        cells.extend(&counts.bins);
        cells.extend([counts.above, counts.missing]);
        cells
    })
}

/// Returns the population stability index of a window against another. `None` if one of them is not there or has no
/// rows.
pub(super) fn index(cells: &ByWindow<Vec<u64>>, from: WindowName, to: WindowName) -> Option<f64> {
    psi(cells.of(from)?, cells.of(to)?)
}

/// The cell that adds most to the index of a window against the train window.
pub(super) struct Greatest {
    pub(super) cell: String,
    pub(super) train_share: f64,
    pub(super) share: f64,
}

/// Returns the cell that adds most to the index of a window against the train window. `None` without an index.
pub(super) fn greatest(histogram: &ValueHistogram, window: WindowName) -> Option<Greatest> {
    let cells = cells(histogram);
    let (train, other) = (&cells.train, cells.of(window)?);
    let added = contributions(train, other)?;
    let (most, _) = added.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let share = |of: &[u64]| of[most] as f64 / of.iter().sum::<u64>() as f64;
    Some(Greatest { cell: cell_name(histogram, most), train_share: share(train), share: share(other) })
}

fn cell_name(histogram: &ValueHistogram, cell: usize) -> String {
    match histogram {
        ValueHistogram::Numeric(NumericHistogram { low, highs, .. }) => {
            let (low, bins) = (low.unwrap_or(f32::NAN), highs.len());
            match cell {
                0 => format!("below {low}"),
                1 if bins > 0 => format!("{low} to {}", highs[0]),
                _ if cell <= bins => format!("above {} to {}", highs[cell - 2], highs[cell - 1]),
                _ if cell == bins + 1 => highs.last().map_or("any value".to_owned(), |high| format!("above {high}")),
                _ => "missing".to_owned(),
            }
        }
        ValueHistogram::Categorical(CategoricalHistogram { values, .. }) => match values.get(cell) {
            Some(value) => shown(value),
            None => ["other values", "unseen values", "missing"][cell - values.len()].to_owned(),
        },
    }
}

/// Returns a category as text of bounded length. Quotes tell a text from a number.
pub(super) fn shown(value: &CategoryValue) -> String {
    const CAP: usize = 60;
    match value {
        CategoryValue::Number(number) => number.to_string(),
        CategoryValue::Text(text) => format!("{:?}", line(text, CAP)),
    }
}
