//! Judges a metric in every slice of a column, and how many times as great it is in one slice as in another.
//!
//! Guarantees: a slice with too few rows or frauds is unknown, and never makes a condition hold unless the profile says
//! so. A column by which the report does not slice, or a metric that it does not measure, never holds.

use crate::domain::contract::{
    Direction, GovernanceProfile, RatioCondition, RatioVerdict, Slice, SliceCondition, SliceFinding, SliceOutcome,
    SliceVerdict, SlicedBy, UnknownSlices,
};

/// Checks what the schema cannot say of the conditions on slices. The error names the invalid condition.
pub fn check(profile: &GovernanceProfile) -> Result<(), String> {
    for (index, condition) in profile.slices.iter().enumerate() {
        if condition.min.is_some() == condition.max.is_some() {
            return Err(format!("/slices/{index}: exactly one of min and max must be given"));
        }
    }
    match profile.ratio.iter().position(|condition| condition.max < 1.0) {
        Some(index) => Err(format!("/ratio/{index}/max: the greatest value is never below the least; use 1 or more")),
        None => Ok(()),
    }
}

/// The slices of a column, in three parts.
struct Sorted {
    known: Vec<SliceFinding>,
    /// Slices in which the metric is undefined or was not measured, each with the reason.
    undefined: Vec<(String, String)>,
    unknown: Vec<String>,
}

fn sort(columns: &[SlicedBy], column: &str, metric: &str, (min_rows, min_positives): (u64, u64)) -> Option<Sorted> {
    let of_column = columns.iter().find(|sliced| sliced.column == column)?;
    let mut sorted = Sorted { known: vec![], undefined: vec![], unknown: vec![] };
    for Slice { slice, rows, positives, stands_for: _, scores } in &of_column.slices {
        if *rows < min_rows || *positives < min_positives {
            sorted.unknown.push(slice.clone());
            continue;
        }
        let found = scores.get(metric);
        if let Some(value) = found.and_then(|found| found.value).filter(|value| value.is_finite()) {
            let (slice, rows, positives) = (slice.clone(), *rows, *positives);
            sorted.known.push(SliceFinding { slice, rows, positives, value });
        } else {
            let why = found.map_or("it was not measured", |found| {
                found.undefined_because.as_deref().unwrap_or("it is not a number")
            });
            sorted.undefined.push((slice.clone(), why.to_owned()));
        }
    }
    Some(sorted)
}

/// Decides between unknown and held, where no slice breaks the condition.
fn unbroken(unknown: bool, policy: UnknownSlices) -> (SliceOutcome, bool) {
    match (unknown, policy) {
        (false, _) => (SliceOutcome::Holds, true),
        (true, UnknownSlices::Pass) => (SliceOutcome::Unknown, true),
        (true, UnknownSlices::Fail) => (SliceOutcome::Unknown, false),
    }
}

const NOT_SLICED: &str = "the report does not slice by it; add it to evaluation.slices of the training profile";

/// Names the unknown slices for people.
fn list_unknown(unknown: &[String], min_rows: u64, min_positives: u64) -> String {
    const MOST_NAMED: usize = 5;
    let named = unknown.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let rest = if unknown.len() > MOST_NAMED { ", …" } else { "" };
    let least = format!("fewer than {min_rows} rows or {min_positives} frauds");
    format!("{} slices are unknown, with {least} ({named}{rest})", unknown.len())
}

/// Judges one condition on every slice of a column.
pub(super) fn judge_slices(condition: &SliceCondition, columns: &[SlicedBy]) -> SliceVerdict {
    let SliceCondition { column, metric, min, max, min_rows, min_positives, unknown } = condition;
    let (direction, bound) = match (min, max) {
        (Some(min), _) => (Direction::Min, *min),
        (None, max) => (Direction::Max, max.unwrap_or(f64::NEG_INFINITY)),
    };
    let mut verdict = SliceVerdict {
        column: column.clone(),
        metric: metric.clone(),
        direction,
        bound,
        min_rows: *min_rows,
        min_positives: *min_positives,
        unknown: *unknown,
        worst: None,
        known: 0,
        failing: vec![],
        unknown_slices: vec![],
        outcome: SliceOutcome::Fails,
        holds: false,
        reason: format!("{metric} by {column}: {NOT_SLICED}"),
    };
    let Some(Sorted { known, undefined, unknown: unknown_slices }) =
        sort(columns, column, metric, (*min_rows, *min_positives))
    else {
        return verdict;
    };
    let holds = |found: &SliceFinding| match direction {
        Direction::Min => found.value >= bound,
        Direction::Max => found.value <= bound,
    };
    let word = match direction {
        Direction::Min => "at least",
        Direction::Max => "at most",
    };
    verdict.known = known.len() as u64;
    verdict.failing = known.iter().filter(|found| !holds(found)).map(|found| found.slice.clone()).collect();
    verdict.failing.extend(undefined.iter().map(|(slice, _)| slice.clone()));
    verdict.worst = match direction {
        Direction::Min => known.into_iter().reduce(|a, b| if b.value < a.value { b } else { a }),
        Direction::Max => known.into_iter().reduce(|a, b| if b.value > a.value { b } else { a }),
    };
    let worst = verdict.worst.as_ref().map(|SliceFinding { slice, rows, positives, value }| {
        format!("{column} = {slice} has the worst {metric}, {value} ({rows} rows, {positives} frauds)")
    });
    let required = format!("required is {word} {bound} in every slice");
    let count = verdict.failing.len();
    verdict.reason = match (undefined.first(), worst) {
        (Some((slice, why)), _) => {
            format!("{metric} of {column} = {slice} is undefined: {why}; {required}, and {count} slices fail")
        }
        (None, Some(worst)) if count > 0 => format!("{worst}; {required}, and {count} slices fail"),
        (None, worst) if !unknown_slices.is_empty() || worst.is_none() => {
            let listed = list_unknown(&unknown_slices, *min_rows, *min_positives);
            format!("{metric} by {column}: {listed}; {required}")
        }
        (None, worst) => format!("{}; {required}", worst.unwrap_or_default()),
    };
    if count == 0 {
        let is_unknown = !unknown_slices.is_empty() || verdict.worst.is_none();
        (verdict.outcome, verdict.holds) = unbroken(is_unknown, *unknown);
    }
    verdict.unknown_slices = unknown_slices;
    verdict
}

/// Judges one condition on the ratio between slices of a column.
pub(super) fn judge_ratio(condition: &RatioCondition, columns: &[SlicedBy]) -> RatioVerdict {
    let RatioCondition { column, metric, max, min_rows, min_positives, unknown } = condition;
    let mut verdict = RatioVerdict {
        column: column.clone(),
        metric: metric.clone(),
        bound: *max,
        min_rows: *min_rows,
        min_positives: *min_positives,
        unknown: *unknown,
        greatest: None,
        least: None,
        ratio: None,
        unknown_slices: vec![],
        outcome: SliceOutcome::Fails,
        holds: false,
        reason: format!("ratio of {metric} by {column}: {NOT_SLICED}"),
    };
    let Some(Sorted { known, undefined, unknown: unknown_slices }) =
        sort(columns, column, metric, (*min_rows, *min_positives))
    else {
        return verdict;
    };
    verdict.unknown_slices = unknown_slices;
    if let Some((slice, why)) = undefined.first() {
        verdict.reason = format!("{metric} of {column} = {slice} is undefined: {why}");
        return verdict;
    }
    let compared = known.len();
    verdict.greatest = known.iter().cloned().reduce(|a, b| if b.value > a.value { b } else { a });
    verdict.least = known.into_iter().reduce(|a, b| if b.value < a.value { b } else { a });
    let (Some(greatest), Some(least)) = (&verdict.greatest, &verdict.least) else {
        (verdict.outcome, verdict.holds) = unbroken(true, *unknown);
        let listed = list_unknown(&verdict.unknown_slices, *min_rows, *min_positives);
        verdict.reason = format!("ratio of {metric} by {column}: {listed}");
        return verdict;
    };
    verdict.ratio = match (greatest.value.total_cmp(&least.value).is_eq(), least.value > 0.0) {
        (true, _) => Some(1.0),
        (false, true) => Some(greatest.value / least.value),
        (false, false) => None,
    };
    let values = format!(
        "{metric} is {} for {column} = {} and {} for {column} = {}",
        greatest.value, greatest.slice, least.value, least.slice
    );
    let found = verdict.ratio.map_or("has no bound".to_owned(), |ratio| format!("is {ratio}"));
    verdict.reason = format!("{values}: the ratio {found}, required is at most {max}");
    if verdict.ratio.is_some_and(|ratio| ratio <= *max) {
        let is_unknown = !verdict.unknown_slices.is_empty() || compared < 2;
        (verdict.outcome, verdict.holds) = unbroken(is_unknown, *unknown);
        if is_unknown {
            let listed = list_unknown(&verdict.unknown_slices, *min_rows, *min_positives);
            verdict.reason = format!("{}; {listed}", verdict.reason);
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{MetricValue, Metrics};
    use serde_json::{Value, json};

    /// Slices of the column `shop`: name, rows, frauds, value.
    fn sliced(slices: &[(&str, u64, u64, Option<f64>)]) -> Vec<SlicedBy> {
        let slice = |&(name, rows, positives, value): &(&str, u64, u64, Option<f64>)| {
            let undefined_because = value.is_none().then(|| "no payment is flagged".to_owned());
            let metric = MetricValue { value, undefined_because, interval: None, no_interval_because: None };
            let scores = Metrics::from([("recall".to_owned(), metric)]);
            Slice { slice: name.to_owned(), rows, positives, stands_for: None, scores }
        };
        vec![SlicedBy { column: "shop".to_owned(), slices: slices.iter().map(slice).collect() }]
    }

    fn slices(condition: &Value, found: &[(&str, u64, u64, Option<f64>)]) -> SliceVerdict {
        judge_slices(&serde_json::from_value(condition.clone()).unwrap(), &sliced(found))
    }

    fn ratio(condition: &Value, found: &[(&str, u64, u64, Option<f64>)]) -> RatioVerdict {
        judge_ratio(&serde_json::from_value(condition.clone()).unwrap(), &sliced(found))
    }

    #[test]
    fn one_bad_slice_fails_and_is_named() {
        let condition = json!({"column": "shop", "metric": "recall", "min": 0.5});
        let good = [("a", 500, 20, Some(0.9)), ("b", 500, 20, Some(0.5))];
        let verdict = slices(&condition, &good);
        assert_eq!((verdict.outcome, verdict.holds, verdict.known), (SliceOutcome::Holds, true, 2));
        let bad = [good[0], ("casino", 500, 20, Some(0.1)), good[1], ("bar", 500, 20, Some(0.3))];
        let verdict = slices(&condition, &bad);
        assert_eq!((verdict.outcome, verdict.holds), (SliceOutcome::Fails, false));
        assert_eq!(
            (verdict.worst.unwrap().slice.as_str(), verdict.failing),
            ("casino", vec!["casino".to_owned(), "bar".to_owned()])
        );
        assert!(verdict.reason.starts_with("shop = casino has the worst recall, 0.1"), "{}", verdict.reason);
        let most = slices(&json!({"column": "shop", "metric": "recall", "max": 0.8}), &good);
        assert_eq!((most.worst.unwrap().slice.as_str(), most.holds), ("a", false));
    }

    #[test]
    fn an_unknown_slice_fails_unless_the_profile_says_otherwise_and_never_hides_a_bad_one() {
        let few = [("a", 500, 20, Some(0.9)), ("rare", 99, 20, Some(0.9)), ("clean", 500, 9, Some(0.0))];
        let condition = |unknown: &str| json!({"column": "shop", "metric": "recall", "min": 0.5, "unknown": unknown});
        let verdict = slices(&condition("fail"), &few);
        assert_eq!((verdict.outcome, verdict.holds), (SliceOutcome::Unknown, false));
        assert_eq!(verdict.unknown_slices, ["rare", "clean"]);
        assert!(verdict.reason.contains("fewer than 100 rows or 10 frauds (rare, clean)"), "{}", verdict.reason);
        let passes = slices(&condition("pass"), &few);
        assert_eq!((passes.outcome, passes.holds), (SliceOutcome::Unknown, true));
        let bad = [few[1], ("b", 500, 20, Some(0.4))];
        assert_eq!(slices(&condition("pass"), &bad).outcome, SliceOutcome::Fails);
        assert!(!slices(&condition("fail"), &[few[1]]).holds, "no slice is known");
    }

    #[test]
    fn what_was_not_measured_or_is_undefined_fails_even_where_unknown_passes() {
        let enough = [("a", 500, 20, None), ("b", 500, 20, Some(0.9))];
        let condition =
            |column: &str, metric: &str| json!({"column": column, "metric": metric, "min": 0.5, "unknown": "pass"});
        let undefined = slices(&condition("shop", "recall"), &enough);
        assert!(!undefined.holds && undefined.reason.contains("shop = a is undefined: no payment is flagged"));
        assert_eq!(undefined.failing, ["a"]);
        assert!(slices(&condition("shop", "recal"), &enough).reason.contains("it was not measured"));
        assert!(slices(&condition("bank", "recall"), &enough).reason.contains("does not slice by it"));
        let condition = json!({"column": "shop", "metric": "recall", "max": 9, "unknown": "pass"});
        assert!(!ratio(&condition, &enough).holds);
        let elsewhere = json!({"column": "bank", "metric": "recall", "max": 9, "unknown": "pass"});
        assert!(!ratio(&elsewhere, &enough).holds);
    }

    #[test]
    fn a_ratio_compares_the_extreme_slices() {
        let condition = json!({"column": "shop", "metric": "recall", "max": 2});
        let found = [("a", 500, 20, Some(0.3)), ("b", 500, 20, Some(0.5)), ("c", 500, 20, Some(0.25))];
        let verdict = ratio(&condition, &found);
        assert_eq!((verdict.ratio, verdict.holds, verdict.outcome), (Some(2.0), true, SliceOutcome::Holds));
        assert_eq!((verdict.greatest.unwrap().slice, verdict.least.unwrap().slice), ("b".to_owned(), "c".to_owned()));
        let zero = [found[0], ("d", 500, 20, Some(0.0))];
        assert_eq!((ratio(&condition, &zero).ratio, ratio(&condition, &zero).holds), (None, false));
        let equal = ratio(&condition, &[("a", 500, 20, Some(0.0)), zero[1]]);
        assert_eq!((equal.ratio, equal.holds), (Some(1.0), true));
        let one = ratio(&condition, &found[..1]);
        assert_eq!((one.outcome, one.holds), (SliceOutcome::Unknown, false));
        let rare = ratio(&condition, &[found[0], found[2], ("rare", 5, 0, Some(9.0))]);
        assert_eq!((rare.outcome, rare.holds, rare.unknown_slices.len()), (SliceOutcome::Unknown, false, 1));
    }
}
