//! Computes the windows of a split as instants, from the plan and the rows.

use super::table::Table;
use crate::domain::contract::{PlannedSplit, SettledSplit, Shares, TimeShares, TimeWindow, WindowDays, Windows};
use crate::domain::run::{Failure, FailureCode};
use chrono::{DateTime, TimeDelta, Utc};

/// Computes the window boundaries that the plan leaves to the rows. Returns the failure `DATASET_INVALID` if rows have
/// no event times or are too few.
pub fn settle(plan: &PlannedSplit, table: &Table) -> Result<SettledSplit, Failure> {
    let invalid = |why: &str| Failure::new(FailureCode::DatasetInvalid, format!("split: {why}"));
    let times = || table.event_time.as_deref().ok_or_else(|| invalid("a split by time needs event times"));
    let windows = match plan {
        PlannedSplit::StratifiedRandom(shares) => return Ok(SettledSplit::StratifiedRandom(*shares)),
        PlannedSplit::TimeBased(windows) => {
            times()?;
            Some(windows.clone())
        }
        PlannedSplit::DaysBeforeLastEvent(days) => {
            let last = times()?.iter().max().copied();
            let end = last.and_then(|last| instant(last.saturating_add(1)));
            end.and_then(|end| windows_before(end, days))
        }
        PlannedSplit::SharesOfTime(plan) => windows_of_shares(times()?, plan),
    };
    windows.map(SettledSplit::TimeBased).ok_or_else(|| invalid("there are no rows for the windows, or no such dates"))
}

fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

/// Returns windows that follow each other, with a gap of `delay_days` before the test window, which ends at `end`.
/// `None` if a window would begin before the earliest date that `DateTime` can hold.
pub fn windows_before(end: DateTime<Utc>, days: &WindowDays) -> Option<Windows> {
    let before = |at: DateTime<Utc>, days: u32| at.checked_sub_signed(TimeDelta::days(i64::from(days)));
    let test = TimeWindow { start: before(end, days.test_days)?, end };
    let learned = before(test.start, days.delay_days)?;
    let validation = match days.validation_days {
        Some(days) => Some(TimeWindow { start: before(learned, days)?, end: learned }),
        None => None,
    };
    let train_end = validation.map_or(learned, |window| window.start);
    let train = TimeWindow { start: before(train_end, days.train_days)?, end: train_end };
    let (delay_days, exclude_known_entity) = (days.delay_days, days.exclude_known_entity.clone());
    Some(Windows { train, validation, test, delay_days, exclude_known_entity })
}

/// Returns windows by shares of the rows. The test window holds the last rows. If the shares add up to less than 1, the
/// oldest rows are left out. The other rows before the delay are split into train and validation in proportion to their
/// shares. Rows of one instant stay together. `None` if a window would hold no rows or a date is out of range.
fn windows_of_shares(times: &[i64], plan: &TimeShares) -> Option<Windows> {
    let Shares { train, validation, test } = plan.shares;
    let mut times = times.to_vec();
    times.sort_unstable();
    let rows = times.len();
    let index = |share: f64| ((share * rows as f64).round() as usize).min(rows.saturating_sub(1));
    let end = instant(times.last()?.saturating_add(1))?;
    let test = TimeWindow { start: instant(*times.get(index(1.0 - test))?)?, end };
    let learned_end = test.start.checked_sub_signed(TimeDelta::days(i64::from(plan.delay_days)))?;
    let first = index((1.0 - plan.shares.sum()).max(0.0));
    let behind = times.partition_point(|&at| at < learned_end.timestamp_micros());
    let learned = times.get(first..behind)?;
    let start = instant(*learned.first()?)?;
    let validation_start = match validation {
        Some(share) => {
            let parts = (train / (train + share) * learned.len() as f64).round() as usize;
            Some(instant(*learned.get(parts)?)?)
        }
        None => None,
    };
    Some(Windows {
        train: TimeWindow { start, end: validation_start.unwrap_or(learned_end) },
        validation: validation_start.map(|start| TimeWindow { start, end: learned_end }),
        test,
        delay_days: plan.delay_days,
        exclude_known_entity: plan.exclude_known_entity.clone(),
    })
}
