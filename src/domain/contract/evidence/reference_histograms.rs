//! Histograms of the windows of a run, with the same bins in each window.

use crate::domain::contract::{CategoryValue, WindowName};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureHistogram {
    pub feature: String,
    pub histogram: ValueHistogram,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ValueHistogram {
    Numeric(NumericHistogram),
    Categorical(CategoricalHistogram),
}

/// Bins between quantiles of the train window. Equal quantiles are one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumericHistogram {
    /// Least value of the train window, part of the first bin. `None` if the train window has no value.
    pub low: Option<f32>,
    /// Upper bound of each bin, part of the bin. The last one is the greatest value of the train window.
    pub highs: Vec<f32>,
    pub windows: ByWindow<NumericCounts>,
}

/// Bins by value: those with the most rows in the train window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoricalHistogram {
    /// By descending number of rows in the train window, then by value.
    pub values: Vec<CategoryValue>,
    pub windows: ByWindow<CategoryCounts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByWindow<T> {
    pub train: T,
    /// `None` if the split has no validation window.
    pub validation: Option<T>,
    pub test: T,
}

impl<T> ByWindow<T> {
    pub fn map<U>(&self, of: impl Fn(&T) -> U) -> ByWindow<U> {
        ByWindow { train: of(&self.train), validation: self.validation.as_ref().map(&of), test: of(&self.test) }
    }

    /// Returns the entry of a window. `None` for the validation window if the split has none.
    pub fn of(&self, window: WindowName) -> Option<&T> {
        match window {
            WindowName::Train => Some(&self.train),
            WindowName::Validation => self.validation.as_ref(),
            WindowName::Test => Some(&self.test),
        }
    }
}

/// Rows of a window, by bin of a numeric histogram. Each row is counted once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumericCounts {
    pub bins: Vec<u64>,
    /// Rows below every bin.
    pub below: u64,
    /// Rows above every bin.
    pub above: u64,
    pub missing: u64,
}

/// Rows of a window, by value of a categorical histogram. Each row is counted once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryCounts {
    pub values: Vec<u64>,
    /// Rows with a value of the train window that has no bin of its own.
    pub other: u64,
    /// Rows with a value that the train window does not have.
    pub unseen: u64,
    pub missing: u64,
}
