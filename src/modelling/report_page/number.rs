//! Writes numbers for people, with as many digits as matter and a comma between thousands.

use crate::domain::contract::Interval;
use chrono::{DateTime, SecondsFormat, Utc};

/// Writes a metric or parameter with four decimals. Below 0.001 it has two significant digits, and from 1,000 on no
/// decimals.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    let decimals = if size >= 1_000.0 {
        0
    } else if size >= 0.001 {
        4
    } else {
        (1 - size.log10().floor() as i32).clamp(4, 12) as usize
    };
    signed(&format!("{value:.decimals$}"))
}

/// Writes a bound with all the digits that the profile gives.
pub(super) fn bound(value: f64) -> String {
    signed(&value.to_string())
}

pub(super) fn bounds(interval: &Interval) -> String {
    format!("{} to {}", number(interval.low), number(interval.high))
}

/// Writes a share, 0 to 1, as a percentage with at most three decimals.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    let decimals = match value.abs() {
        size if size >= 10.0 || size == 0.0 => 0,
        size if size >= 1.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    format!("{}\u{202f}%", signed(&format!("{value:.decimals$}")))
}

/// Writes a number with a comma between thousands.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// Writes an instant in UTC. At midnight, writes only the date.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    if at.timestamp_micros().rem_euclid(86_400_000_000) == 0 {
        at.date_naive().to_string()
    } else {
        at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

/// Replaces each hyphen by a minus sign, which has the width of a plus sign.
fn signed(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_that_matter_are_shown() {
        let shown = [0.0, 0.924_503, 1.0, 12_345.6, 0.000_523_4, 0.001, -0.5].map(number);
        assert_eq!(shown, ["0", "0.9245", "1.0000", "12346", "0.00052", "0.0010", "−0.5000"]);
        let shown = [0.0, 0.018_469, 0.5, 0.000_91, 1.0].map(|share| percent(share).replace('\u{202f}', " "));
        assert_eq!(shown, ["0 %", "1.8 %", "50 %", "0.091 %", "100 %"]);
        assert_eq!([0, 999, 1_000, 12_345_678].map(thousands), ["0", "999", "1,000", "12,345,678"]);
    }
}
