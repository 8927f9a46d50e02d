//! Counts the rows of a window by UTC day, also the days without any row.

use crate::domain::contract::TimeWindow;
use chrono::DateTime;

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

/// Most days that a violation names.
const MOST_NAMED: usize = 3;

/// The days of a window, in their order.
pub(super) struct Days {
    /// The first day, in days since 1970.
    first: i64,
    days: Vec<Day>,
}

#[derive(Clone, Copy)]
pub(super) struct Day {
    pub(super) rows: u64,
    pub(super) frauds: u64,
    /// Whether the day lies wholly in the window.
    is_whole: bool,
}

impl Days {
    pub(super) fn within(window: &TimeWindow) -> Self {
        let (start, end) = (window.start.timestamp_micros(), window.end.timestamp_micros());
        let is_whole = |day: i64| day * DAY >= start && (day + 1) * DAY <= end;
        let first = start.div_euclid(DAY);
        let days = (first..=(end - 1).div_euclid(DAY)).map(|day| Day { rows: 0, frauds: 0, is_whole: is_whole(day) });
        Self { first, days: days.collect() }
    }

    /// Counts a row of the window. `at` is in microseconds since 1970.
    pub(super) fn count(&mut self, at: i64, is_fraud: bool) {
        let day = usize::try_from(at.div_euclid(DAY) - self.first).ok();
        if let Some(day) = day.and_then(|day| self.days.get_mut(day)) {
            day.rows += 1;
            day.frauds += u64::from(is_fraud);
        }
    }

    /// Returns why a minimum is violated. `None` if it holds. A window without a whole day violates every minimum.
    pub(super) fn below(&self, bound: &str, least: u64, of: impl Fn(&Day) -> u64) -> Option<String> {
        let whole = || self.days.iter().enumerate().filter(|(_, day)| day.is_whole);
        if whole().next().is_none() {
            return Some(format!("{bound} is {least}, and no UTC day lies wholly in the window"));
        }
        let few = whole().map(|(index, day)| (index, of(day))).filter(|(_, count)| *count < least);
        self.violated(bound, least, "fewer", &few.collect::<Vec<_>>())
    }

    /// Returns why a maximum is violated. `None` if it holds.
    pub(super) fn above(&self, bound: &str, most: u64, of: impl Fn(&Day) -> u64) -> Option<String> {
        let many = self.days.iter().map(of).enumerate().filter(|(_, count)| *count > most);
        self.violated(bound, most, "more", &many.collect::<Vec<_>>())
    }

    fn violated(&self, bound: &str, at: u64, word: &str, days: &[(usize, u64)]) -> Option<String> {
        let name = |index: usize| {
            let day = DateTime::from_timestamp((self.first + index as i64) * (DAY / 1_000_000), 0);
            day.map_or_else(|| index.to_string(), |day| day.format("%Y-%m-%d").to_string())
        };
        let named = days.iter().take(MOST_NAMED).map(|(index, count)| format!("{}: {count}", name(*index)));
        let named = named.collect::<Vec<_>>().join(", ");
        let count = days.len();
        (count > 0).then(|| format!("{bound} is {at}, and {count} days have {word} ({named})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_without_rows_is_below_a_minimum_and_a_part_of_a_day_is_not_judged_by_one() {
        let window = TimeWindow { start: at("2026-03-01T12:00:00Z"), end: at("2026-03-04T06:00:00Z") };
        let mut days = Days::within(&window);
        let rows = [("2026-03-01T13:00:00Z", true), ("2026-03-02T00:00:00Z", false), ("2026-03-04T05:59:59Z", false)];
        for (time, is_fraud) in rows {
            days.count(at(time).timestamp_micros(), is_fraud);
        }
        let found = days.below("min_rows_per_day", 1, |day| day.rows).unwrap();
        assert_eq!(found, "min_rows_per_day is 1, and 1 days have fewer (2026-03-03: 0)");
        assert_eq!(days.above("max_rows_per_day", 1, |day| day.rows), None);
        let found = days.above("max_frauds_per_day", 0, |day| day.frauds).unwrap();
        assert_eq!(found, "max_frauds_per_day is 0, and 1 days have more (2026-03-01: 1)");
    }

    #[test]
    fn a_window_without_a_whole_day_holds_no_minimum() {
        let window = TimeWindow { start: at("2026-03-01T00:00:01Z"), end: at("2026-03-02T00:00:00Z") };
        let found = Days::within(&window).below("min_rows_per_day", 0, |day| day.rows).unwrap();
        assert!(found.contains("no UTC day lies wholly"), "{found}");
    }
}
