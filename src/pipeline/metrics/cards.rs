//! Card precision: what a team that can check `k` cards a day would find.
//!
//! Definition: Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022), chapter 4.

use super::{Metric, Scored};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Mean over days of the share of compromised cards among the `k` with the highest score of the day. A
/// compromised card that was found leaves the pool of the days after. Equal scores are ranked by the
/// order in which the cards appear in the data.
pub(super) fn card_precision_at(scored: &Scored<'_>, cards: &[u32], k: u32) -> Metric {
    let mut days: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (row, &day) in scored.days.iter().enumerate() {
        days.entry(day).or_default().push(row);
    }
    if days.is_empty() {
        return Metric::undefined("the test window holds no rows");
    }
    let mut found: HashSet<u32> = HashSet::new();
    let mut sum = 0.0;
    for rows in days.values() {
        let mut pool: Vec<(f64, bool, u32)> = Vec::new();
        let mut place: HashMap<u32, usize> = HashMap::new();
        for &row in rows {
            let card = cards[row];
            if found.contains(&card) {
                continue;
            }
            let at = *place.entry(card).or_insert_with(|| {
                pool.push((f64::NEG_INFINITY, false, card));
                pool.len() - 1
            });
            pool[at].0 = pool[at].0.max(scored.scores[row]);
            pool[at].1 |= scored.labels[row];
        }
        // A stable sort keeps the order of appearance among equals.
        pool.sort_by(|a, b| b.0.total_cmp(&a.0));
        let hits: Vec<u32> =
            pool.iter().take(k as usize).filter(|(_, compromised, _)| *compromised).map(|(.., card)| *card).collect();
        sum += hits.len() as f64 / f64::from(k);
        found.extend(hits);
    }
    Metric::defined(sum / days.len() as f64)
}
