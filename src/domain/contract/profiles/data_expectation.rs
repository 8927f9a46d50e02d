//! `DataExpectation`: what a training profile expects of the rows before anything is fitted. The plan holds the same.

use crate::domain::contract::CategoryValue;
use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray};

/// What must hold of one column, or of the number of rows, in each of the named windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DataExpectation {
    Column(ColumnExpectation),
    Days(DaysExpectation),
}

/// Bounds on the values of one feature. `None` sets no bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnExpectation {
    /// A feature.
    pub column: String,
    /// In a profile, `None` stands for every window of the run. A plan always lists the windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<WindowName>>,
    /// Greatest share of rows without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_null_share: Option<f64>,
    /// Least value of a numeric feature. Bound and values are compared as 32-bit floats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest value of a numeric feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The only values that a categorical feature may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<CategoryValue>>,
    /// Greatest population stability index of the window against the train window. Not judged on the train window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_psi: Option<f64>,
}

/// Bounds on the rows of each UTC day. `None` sets no bound. A minimum is judged on the days that lie wholly in the
/// window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaysExpectation {
    /// As in [`ColumnExpectation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<WindowName>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rows_per_day: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows_per_day: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_frauds_per_day: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_frauds_per_day: Option<u64>,
}

impl DataExpectation {
    pub fn windows(&self) -> Option<&[WindowName]> {
        match self {
            Self::Column(column) => column.windows.as_deref(),
            Self::Days(days) => days.windows.as_deref(),
        }
    }

    /// Returns the same expectation of these windows.
    #[must_use]
    pub fn of_windows(&self, windows: Vec<WindowName>) -> Self {
        let windows = Some(windows);
        match self.clone() {
            Self::Column(column) => Self::Column(ColumnExpectation { windows, ..column }),
            Self::Days(days) => Self::Days(DaysExpectation { windows, ..days }),
        }
    }
}

/// A window of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, VariantArray, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WindowName {
    Train,
    Validation,
    Test,
}
