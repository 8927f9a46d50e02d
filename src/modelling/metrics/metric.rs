//! Writes a metric's value, or the reason why it has none.

use crate::domain::contract::MetricValue;

pub(super) const ONE_CLASS: &str = "there is only one class";
pub(super) const NO_FRAUDS: &str = "there are no frauds";
pub(super) const NO_ROWS: &str = "there are no rows";

pub(super) fn defined(value: f64) -> MetricValue {
    MetricValue { value: Some(value), undefined_because: None, interval: None }
}

pub(super) fn undefined(why: impl Into<String>) -> MetricValue {
    MetricValue { value: None, undefined_because: Some(why.into()), interval: None }
}
