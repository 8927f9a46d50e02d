//! The gate's receipt as assertions on the scores of the test window.

use super::facets::Assertion;
use crate::domain::contract::{Direction, GateReceipt, ThresholdBasis};

/// One assertion per condition of the receipt, by the name that the receipt's `failed` uses.
pub(super) fn assertions(receipt: &GateReceipt) -> Vec<Assertion> {
    let thresholds = receipt.thresholds.iter().map(|verdict| {
        let bound = Bound { direction: verdict.direction, on: verdict.on, limit: verdict.bound };
        let found = (verdict.compared, verdict.holds, verdict.reason.as_str());
        bound.assertion(&verdict.metric, verdict.threshold.clone(), found)
    });
    let positives = &receipt.min_positives;
    let enough = Assertion {
        assertion: "positives_min".to_owned(),
        success: positives.holds,
        column: Some("label"),
        severity: BLOCKS,
        name: "min_positives".to_owned(),
        description: format!("the test window holds {} frauds, required are {}", positives.found, positives.required),
        expected: positives.required.to_string(),
        actual: Some(positives.found.to_string()),
    };
    let champion = receipt.champion.iter().flat_map(|champion| &champion.differences).map(|verdict| {
        let bound = Bound { direction: verdict.direction, on: verdict.on, limit: verdict.bound };
        let found = (verdict.compared, verdict.holds, verdict.reason.as_str());
        bound.assertion(&format!("champion.{}", verdict.metric), verdict.name(), found)
    });
    thresholds.chain([enough]).chain(champion).collect()
}

/// OpenLineage's severity: a condition that does not hold stops the bundle.
const BLOCKS: &str = "error";

struct Bound {
    direction: Direction,
    on: ThresholdBasis,
    limit: f64,
}

impl Bound {
    fn assertion(&self, metric: &str, name: String, found: (Option<f64>, bool, &str)) -> Assertion {
        let (compared, success, reason) = found;
        let side = match self.direction {
            Direction::Min => "min",
            Direction::Max => "max",
        };
        let on = match self.on {
            ThresholdBasis::Point => "",
            ThresholdBasis::ConfidenceBound => "_confidence_bound",
        };
        Assertion {
            assertion: format!("{metric}{on}_{side}"),
            success,
            column: Some("score"),
            severity: BLOCKS,
            name,
            description: reason.to_owned(),
            expected: self.limit.to_string(),
            actual: compared.map(|value| value.to_string()),
        }
    }
}
