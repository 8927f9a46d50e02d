//! Turns the split of a profile into the split of a plan. Window boundaries become instants where that needs no rows.

use crate::domain::contract::{
    Anchor, ColumnRoles, DaysSpec, LabelBasis, PlannedSplit, ShareSpec, Shares, SplitSpec, TimeShares, TimeWindow,
    WindowDays, WindowSpec, Windows,
};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::data::windows_before;
use chrono::TimeDelta;

pub(super) fn plan_split(spec: &SplitSpec, roles: &ColumnRoles, labels: &LabelBasis) -> Result<PlannedSplit, Failure> {
    use WindowSpec::{Dates, Days, Share};
    let (train, validation, test, delay_days, anchor, known_entity) = match spec {
        SplitSpec::StratifiedRandom { train, validation, test } => {
            return shares(*train, *validation, *test).map(PlannedSplit::StratifiedRandom);
        }
        SplitSpec::TimeBased { train, validation, test, delay_days, anchor, exclude_known_entity } => {
            (train, validation, test, *delay_days, *anchor, exclude_known_entity.clone())
        }
    };
    if roles.event_time.is_none() {
        return Err(unfit("a split by time needs a column with the role event_time"));
    }
    if let Some(name) = known_entity.as_ref().filter(|name| !roles.entities.contains(name)) {
        return Err(unfit(&format!("exclude_known_entity {name:?} is no entity column of the manifest")));
    }
    if anchor.is_some() && !matches!(train, Days(_)) {
        return Err(invalid("anchor is for windows given in days"));
    }
    let days = |train: DaysSpec, validation: Option<DaysSpec>, test: DaysSpec| WindowDays {
        train_days: train.days,
        validation_days: validation.map(|window| window.days),
        test_days: test.days,
        delay_days,
        exclude_known_entity: known_entity.clone(),
    };
    let of_time = |shares| {
        PlannedSplit::SharesOfTime(TimeShares { shares, delay_days, exclude_known_entity: known_entity.clone() })
    };
    match (train, validation, test) {
        (Dates(train), None, Dates(test)) => dates(*train, None, *test, delay_days, known_entity),
        (Dates(train), Some(Dates(validation)), Dates(test)) => {
            dates(*train, Some(*validation), *test, delay_days, known_entity)
        }
        (Days(train), None, Days(test)) => by_days(days(*train, None, *test), anchor.unwrap_or_default(), labels),
        (Days(train), Some(Days(validation)), Days(test)) => {
            by_days(days(*train, Some(*validation), *test), anchor.unwrap_or_default(), labels)
        }
        (Share(train), None, Share(test)) => shares(*train, None, *test).map(of_time),
        (Share(train), Some(Share(validation)), Share(test)) => shares(*train, Some(*validation), *test).map(of_time),
        (Dates(_) | Days(_) | Share(_), _, _) => {
            Err(invalid("train, validation and test must all be given by dates, or all in days, or all as fractions"))
        }
    }
}

fn invalid(why: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::TrainingProfileInvalid, format!("split: {why}"))
}

fn unfit(why: &str) -> Failure {
    Failure::new(FailureCode::FeatureSchemaIncompatible, format!("split: {why}"))
}

fn by_days(days: WindowDays, anchor: Anchor, labels: &LabelBasis) -> Result<PlannedSplit, Failure> {
    if days.train_days == 0 || days.validation_days == Some(0) || days.test_days == 0 {
        return Err(invalid("a window must be at least a day long"));
    }
    match anchor {
        Anchor::LastEvent => Ok(PlannedSplit::DaysBeforeLastEvent(days)),
        Anchor::LabelMaturity => {
            let maturity = TimeDelta::days(i64::from(labels.maturity_days.unwrap_or(0)));
            let end = labels.label_asof_utc.checked_sub_signed(maturity);
            end.and_then(|end| windows_before(end, &days))
                .map(PlannedSplit::TimeBased)
                .ok_or_else(|| invalid("the windows reach back to before there were dates"))
        }
    }
}

fn dates(
    train: TimeWindow,
    validation: Option<TimeWindow>,
    test: TimeWindow,
    delay_days: u32,
    exclude_known_entity: Option<String>,
) -> Result<PlannedSplit, Failure> {
    let window = |name: &str, spec: TimeWindow| {
        if spec.start < spec.end {
            Ok(spec)
        } else {
            Err(invalid(format!("the {name} window must start before it ends")))
        }
    };
    let train = window("train", train)?;
    let validation = validation.map(|spec| window("validation", spec)).transpose()?;
    let test = window("test", test)?;
    if validation.is_some_and(|validation| validation.start < train.end) {
        return Err(invalid("the validation window must start at or after the end of the train window"));
    }
    let learned_until = validation.map_or(train.end, |window| window.end);
    let known = learned_until.checked_add_signed(TimeDelta::days(i64::from(delay_days)));
    if known.is_none_or(|known| known > test.start) {
        return Err(invalid(format!("the test window must start at least {delay_days} days after {learned_until}")));
    }
    Ok(PlannedSplit::TimeBased(Windows { train, validation, test, delay_days, exclude_known_entity }))
}

fn shares(train: ShareSpec, validation: Option<ShareSpec>, test: ShareSpec) -> Result<Shares, Failure> {
    /// The most by which the sum of the fractions may exceed 1 because of rounding.
    const ROUNDING: f64 = 1e-9;
    let inside = |share: ShareSpec| share.fraction > 0.0 && share.fraction < 1.0;
    if !(inside(train) && inside(test) && validation.is_none_or(inside)) {
        return Err(invalid("a fraction must lie above 0 and below 1"));
    }
    let shares =
        Shares { train: train.fraction, validation: validation.map(|share| share.fraction), test: test.fraction };
    if shares.sum() > 1.0 + ROUNDING {
        return Err(invalid(format!("the fractions add up to {}, more than 1", shares.sum())));
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(spec: Value) -> Result<PlannedSplit, Failure> {
        let roles = json!({"event_time": "at", "label": "fraud", "row_id": "id", "entities": ["card"]});
        let labels = json!({"label_asof_utc": "2026-03-08T00:00:00Z", "resolution_rule": "r", "maturity_days": 7});
        let read = |value| serde_json::from_value(value).unwrap();
        plan_split(&read(spec), &serde_json::from_value(roles).unwrap(), &serde_json::from_value(labels).unwrap())
    }

    #[test]
    fn days_end_where_labels_are_mature_and_become_instants() {
        let found = plan(json!({
            "strategy": "time_based", "delay_days": 7,
            "train": {"days": 14}, "validation": {"days": 7}, "test": {"days": 7},
        }));
        let window = |start: &str, end: &str| json!({"start": start, "end": end});
        assert_eq!(
            serde_json::to_value(found.unwrap()).unwrap(),
            json!({
                "strategy": "time_based",
                "train": window("2026-01-25T00:00:00Z", "2026-02-08T00:00:00Z"),
                "validation": window("2026-02-08T00:00:00Z", "2026-02-15T00:00:00Z"),
                "test": window("2026-02-22T00:00:00Z", "2026-03-01T00:00:00Z"),
                "delay_days": 7,
                "exclude_known_entity": null,
            })
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_reason() {
        let time = |train: Value, test: Value| json!({"strategy": "time_based", "delay_days": 7, "train": train, "test": test});
        let dates = |start: &str, end: &str| json!({"start": start, "end": end});
        let day = |n: u32| format!("2026-02-{n:02}T00:00:00Z");
        let cases = [
            (time(json!({"days": 7}), json!({"fraction": 0.5})), "all be given"),
            (time(json!({"days": 0}), json!({"days": 7})), "at least a day"),
            (time(json!({"fraction": 0.8}), json!({"fraction": 0.3})), "more than 1"),
            (time(json!({"fraction": 0.0}), json!({"fraction": 0.3})), "above 0"),
            (time(dates(&day(2), &day(1)), dates(&day(9), &day(10))), "before it ends"),
            (time(dates(&day(1), &day(2)), dates(&day(8), &day(10))), "at least 7 days"),
            (
                json!({"strategy": "stratified_random", "train": {"fraction": 0.9}, "test": {"fraction": 0.9}}),
                "more than 1",
            ),
        ];
        for (spec, reason) in cases {
            let failure = plan(spec).unwrap_err();
            assert_eq!(failure.code, FailureCode::TrainingProfileInvalid);
            assert!(failure.message.contains(reason), "{}", failure.message);
        }
        let mut spec = time(dates(&day(1), &day(2)), dates(&day(9), &day(10)));
        spec["anchor"] = json!("last_event");
        assert!(plan(spec.clone()).unwrap_err().message.contains("anchor"));
        spec["exclude_known_entity"] = json!("shop");
        assert_eq!(plan(spec).unwrap_err().code, FailureCode::FeatureSchemaIncompatible);
    }
}
