//! Chooses the threshold of an operating point on the validation window.

use super::rows::{DecisionRows, ScoreStep};
use crate::domain::contract::{CostSpec, PointTarget};

/// Returns the threshold, which is one of the window's scores. The error says why none meets the target. `steps` are those
/// of `rows`.
pub(super) fn choose(
    target: PointTarget,
    rows: &DecisionRows<'_>,
    steps: &[ScoreStep],
    cost: Option<&CostSpec>,
) -> Result<f64, String> {
    let (frauds, good) = (rows.frauds() as f64, rows.good() as f64);
    if frauds == 0.0 || good == 0.0 {
        return Err("the validation window has only one class".to_owned());
    }
    let lowest = |allows: &dyn Fn(&ScoreStep) -> bool, too_much: &str| {
        let found = steps.iter().rev().find(|step| allows(step)).map(|step| step.score);
        found.ok_or_else(|| too_much.to_owned())
    };
    match target {
        PointTarget::AlertsPerDay(most) => {
            let days = rows.days().ok_or("rows that are split at random have no days")?;
            let top = steps.first().map_or(0, |step| step.rows);
            let too_much = format!("the highest score alone flags more than the target allows: rows with it: {top}");
            lowest(&|step| step.alerts as f64 <= most * days, &too_much)
        }
        PointTarget::Fpr(most) => {
            lowest(&|step| (step.alerts - step.hits) as f64 / good <= most, "every score flags too many good payments")
        }
        PointTarget::Precision(least) => lowest(
            &|step| step.hits as f64 / step.alerts as f64 >= least,
            "at every score, too few flagged payments are frauds",
        ),
        PointTarget::Recall(least) => {
            let found = steps.iter().find(|step| step.hits as f64 / frauds >= least).map(|step| step.score);
            found.ok_or_else(|| "no score of the validation window flags enough frauds".to_owned())
        }
        PointTarget::MinCost => {
            let cost = cost.ok_or("the training profile gives no evaluation.cost")?;
            let fraud_amount = rows.amount_of(|row| rows.labels[row]);
            let mut best: (Option<f64>, f64) = (None, cost.loss_share * fraud_amount);
            for step in steps {
                let found = cost_of(cost, step.alerts, step.hits, fraud_amount - step.hit_amount);
                if found < best.1 {
                    best = (Some(step.score), found);
                }
            }
            best.0.ok_or_else(|| "flagging no payment at all costs least on the validation window".to_owned())
        }
    }
}

/// Returns the cost of a threshold: `review * alerts + friction * (alerts - hits) + loss_share * missed`, where `missed`
/// is the summed amount of the frauds that are not flagged.
pub(super) fn cost_of(cost: &CostSpec, alerts: u64, hits: u64, missed: f64) -> f64 {
    cost.review * alerts as f64 + cost.friction * (alerts - hits) as f64 + cost.loss_share * missed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::TimeWindow;
    use chrono::DateTime;

    const SCORES: [f64; 8] = [0.9, 0.8, 0.8, 0.7, 0.6, 0.5, 0.5, 0.1];
    const LABELS: [bool; 8] = [true, true, false, false, true, false, false, false];
    const AMOUNTS: [f64; 8] = [100.0, 10.0, 5.0, 5.0, 40.0, 5.0, 5.0, 5.0];
    const COST: CostSpec = CostSpec { review: 2.0, loss_share: 1.0, friction: 3.0 };

    fn chosen(target: PointTarget) -> Result<f64, String> {
        let day = |n: i64| DateTime::from_timestamp(n * 86_400, 0).unwrap();
        let (at, window) = ([0; 8], TimeWindow { start: day(0), end: day(2) });
        let (amounts, times) = (Some(AMOUNTS.as_slice()), Some((at.as_slice(), window)));
        let rows = DecisionRows { scores: &SCORES, labels: &LABELS, amounts, times, clusters: None };
        choose(target, &rows, &rows.steps(), Some(&COST))
    }

    #[test]
    fn a_threshold_meets_its_target_as_nearly_as_the_scores_allow_and_ties_stay_together() {
        assert_eq!(chosen(PointTarget::AlertsPerDay(1.0)), Ok(0.9), "the tie at 0.8 would make it 1.5 a day");
        assert_eq!(chosen(PointTarget::AlertsPerDay(1.5)), Ok(0.8));
        assert_eq!(chosen(PointTarget::AlertsPerDay(9.0)), Ok(0.1));
        assert_eq!(chosen(PointTarget::Fpr(0.4)), Ok(0.6));
        assert_eq!(chosen(PointTarget::Precision(0.6)), Ok(0.6), "precision rises again below 0.7");
        assert_eq!(chosen(PointTarget::Recall(0.6)), Ok(0.8));
        assert_eq!(chosen(PointTarget::Recall(1.0)), Ok(0.6));
        // The cost is 150 without a model, then 52, 49, 54, 16, 26 and 31 down the scores.
        assert_eq!(chosen(PointTarget::MinCost), Ok(0.6));
    }

    #[test]
    fn a_target_that_no_score_meets_gives_no_threshold_and_says_why() {
        let why = chosen(PointTarget::AlertsPerDay(0.4)).unwrap_err();
        assert!(why.ends_with("rows with it: 1"), "{why}");
        let rows = DecisionRows { scores: &SCORES, labels: &LABELS, amounts: None, times: None, clusters: None };
        let choose = |target| choose(target, &rows, &rows.steps(), Some(&COST)).unwrap_err();
        assert!(choose(PointTarget::MinCost).contains("no payment at all"), "nothing is lost without amounts");
        assert!(choose(PointTarget::AlertsPerDay(1.0)).contains("no days"));
        let labels = [false; 8];
        let good = DecisionRows { labels: &labels, ..rows };
        let why = super::choose(PointTarget::Recall(0.5), &good, &good.steps(), None).unwrap_err();
        assert!(why.contains("only one class"), "{why}");
    }
}
