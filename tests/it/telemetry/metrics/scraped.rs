//! A page of metrics, read.

use crate::support::Worker;
use std::collections::{BTreeMap, BTreeSet};

/// The metrics of one page.
#[derive(Debug, Default)]
pub struct Scraped {
    /// Types by metric.
    pub types: BTreeMap<String, String>,
    /// Names with a help text.
    pub helped: BTreeSet<String>,
    /// Values by series, as the page writes them.
    pub series: BTreeMap<String, f64>,
}

impl Scraped {
    /// None until the worker listens.
    pub fn from(worker: &Worker) -> Option<Self> {
        let (status, text) = worker.get("/metrics")?;
        assert_eq!(status, 200);
        Some(Self::read(text.as_str().unwrap()))
    }

    pub fn read(text: &str) -> Self {
        let mut scraped = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(scraped.types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                scraped.helped.insert(rest.split_once(' ').unwrap().0.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap();
                assert!(scraped.series.insert(series.to_owned(), value).is_none(), "{series} comes twice");
            }
        }
        scraped
    }

    /// Fails the test where the page has no such series.
    pub fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.series))
    }

    /// A metric's values that are not zero, by labels.
    pub fn beyond_zero(&self, name: &str) -> BTreeMap<&str, f64> {
        let of =
            |series: &'_ str| series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        let series = self.series.iter().filter(|(series, value)| of(series) && **value != 0.0);
        series.map(|(series, value)| (&series[name.len()..], *value)).collect()
    }
}
